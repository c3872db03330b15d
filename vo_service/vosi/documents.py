"""XML documents of VOSI and the registry: namespaces, elements, and text that XML can hold."""

from __future__ import annotations

import re

from lxml import etree

NAMESPACES = {
    "cap": "http://www.ivoa.net/xml/VOSICapabilities/v1.0",
    "avail": "http://www.ivoa.net/xml/VOSIAvailability/v1.0",
    "vtm": "http://www.ivoa.net/xml/VOSITables/v1.0",
    "vs": "http://www.ivoa.net/xml/VODataService/v1.1",
    "vr": "http://www.ivoa.net/xml/VOResource/v1.0",
    "tr": "http://www.ivoa.net/xml/TAPRegExt/v1.0",
    "cs": "http://www.ivoa.net/xml/ConeSearch/v1.0",
    "vg": "http://www.ivoa.net/xml/VORegistry/v1.0",
    "voe": "http://www.ivoa.net/xml/VOEventRegExt/v2",
    "ri": "http://www.ivoa.net/xml/RegistryInterface/v1.0",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

Element = etree._Element


def root(prefix: str, name: str, *others: str) -> Element:
    """The root element of a document in the namespace `prefix`; `others` are declared too."""
    declared = {key: NAMESPACES[key] for key in (prefix, *others)}
    return etree.Element(f"{{{NAMESPACES[prefix]}}}{name}", nsmap=declared)


def add(parent: Element, name: str, text: object = None, **attributes: str | None) -> Element:
    """Add an element without a namespace (VOResource's schemas ask for that) to `parent`.

    The attribute `type_` is `xsi:type`; those that are None are left out, and `-` is written `_` in their names.
    """
    element = etree.SubElement(parent, name)
    for key, value in attributes.items():
        if value is not None:
            written = f"{{{NAMESPACES['xsi']}}}type" if key == "type_" else key.replace("_", "-")
            element.set(written, legal(value))
    if text is not None:
        element.text = legal(str(text))
    return element


def legal(text: str) -> str:
    """Text without the characters that XML 1.0 cannot write; they become U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def serialise(document: Element) -> bytes:
    """The document in UTF-8."""
    return etree.tostring(document, encoding="utf-8", xml_declaration=True)
