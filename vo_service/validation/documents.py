"""Documents from outside: XML without entities and without fetching anything, and VOTables."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.io.votable import parse as parse_votable
from astropy.table import Table
from lxml import etree

from vo_service.validation.client import Answer
from vo_service.validation.findings import BrokenError

Element = etree._Element

NS: Final = {
    "oai": "http://www.openarchives.org/OAI/2.0/",
    "dc": "http://www.openarchives.org/OAI/2.0/oai_dc/",
    "ri": "http://www.ivoa.net/xml/RegistryInterface/v1.0",
    "avail": "http://www.ivoa.net/xml/VOSIAvailability/v1.0",
    "cap": "http://www.ivoa.net/xml/VOSICapabilities/v1.0",
}

XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
XSI_TYPE: Final = f"{{{XSI}}}type"


def read_xml(address: str, content: bytes) -> Element:
    """The root of a document. Raises BrokenError if it is not well-formed, or has a document type declaration."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise BrokenError(address, f"expected XML, found what is not well-formed: {error}") from None
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise BrokenError(address, "expected no document type declaration, found one")
    return root


def xml_of(answer: Answer) -> Element:
    """The document of an answer. Raises BrokenError."""
    return read_xml(answer.url, answer.body)


def xsi_type(element: Element) -> str:
    """The `xsi:type` without its prefix, or an empty text."""
    return element.get(XSI_TYPE, "").rpartition(":")[2]


def text_of(element: Element, path: str) -> str:
    """The text of the first element at a path, without white space around it; empty if there is none."""
    return (element.findtext(path, "", NS) or "").strip()


def named(element: Element, name: str) -> Iterator[Element]:
    """Descendants by local name: VOTable has a namespace for each version, and old documents have none."""
    return (found for found in element.iter("{*}" + name))


@dataclass(frozen=True, slots=True)
class Result:
    """A VOTable: its address, the document, and its first table as astropy reads it."""

    url: str
    root: Element
    table: Table

    def rows(self) -> Iterator[dict[str, object]]:
        """The rows by the names of columns; None for what is missing."""
        for row in self.table:
            yield {name: _plain(row[name]) for name in self.table.colnames}


def votable_of(answer: Answer) -> Result:
    """The VOTable of an answer. Raises BrokenError if it is none, or tells of an error, or is not read by astropy."""
    root = xml_of(answer)
    if etree.QName(root).localname != "VOTABLE":
        raise BrokenError(answer.url, f"expected a VOTable, found {etree.QName(root).localname}")
    if told := error_told(root):
        raise BrokenError(answer.url, f"expected a result, found the error {told}")
    if answer.status != 200:
        raise BrokenError(answer.url, f"expected status 200, found {answer.status}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = parse_votable(io.BytesIO(answer.body), verify="ignore").get_first_table()
            rows = table.to_table(use_names_over_ids=True)
    # astropy raises many kinds, IndexError among them where there is no table.
    except Exception as error:
        raise BrokenError(answer.url, f"expected a VOTable that astropy reads, found {error!r}") from None
    return Result(answer.url, root, rows)


def error_told(root: Element) -> str | None:
    """The message of a VOTable that tells of an error (DALI 1.1, section 4.4; Simple Cone Search 1.03, section 2.3)."""
    for element in (*named(root, "INFO"), *named(root, "PARAM")):
        name, value = element.get("name", ""), element.get("value", "")
        if name == "QUERY_STATUS" and value == "ERROR":
            return (element.text or "").strip() or "without a message"
        if name.lower() == "error" and element.get("ID", "").lower() in ("", "error"):
            return value or "without a message"
    return None


def _plain(value: object) -> object:
    if value is None or np.ma.is_masked(value):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value) or None
    return value.item() if isinstance(value, np.generic) else value


_IVOID = re.compile(r"ivo://[A-Za-z0-9][A-Za-z0-9._!~*'()+=-]{2,}(/[A-Za-z0-9._!~*'()+=-]+)*/?")


def is_ivoid(name: str) -> bool:
    """Whether a name is a registry part of an IVOA identifier (IVOA Identifiers 2.0, section 2.3)."""
    return _IVOID.fullmatch(name) is not None
