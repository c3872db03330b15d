"""The documents of OAI-PMH 2.0 (section 3.2): their frame, and what stands in it for each verb."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from registry_records.dublin_core import OAI_DC, dublin_core
from registry_records.dublin_core import SCHEMA as DC_SCHEMA
from registry_records.oai_request import DC, IVO_VOR, MANAGED, OaiError
from registry_records.record import Record
from registry_records.voresource import utc, voresource
from vo_service.vosi.documents import NAMESPACES, Element, legal

OAI: Final = "http://www.openarchives.org/OAI/2.0/"
_SCHEMA: Final = "http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd"

# Never as the default namespace: elements of VOResource have none, and would fall into it.
_DECLARED: Final = {"oai": OAI, "xsi": NAMESPACES["xsi"]}

GRANULARITY: Final = "YYYY-MM-DDThh:mm:ssZ"

_FORMATS: Final = (
    (IVO_VOR, "http://www.ivoa.net/xml/RegistryInterface/v1.0", NAMESPACES["ri"]),
    (DC, DC_SCHEMA, OAI_DC),
)
"""Prefix, schema and namespace of the formats in which there is every record."""


def frame(base_url: str, arguments: Mapping[str, str]) -> Element:
    """A document to which the answer is to be appended; it repeats the request."""
    document = etree.Element(f"{{{OAI}}}OAI-PMH", nsmap=_DECLARED)
    document.set(f"{{{NAMESPACES['xsi']}}}schemaLocation", f"{OAI} {_SCHEMA}")
    put(document, "responseDate", utc(datetime.now(UTC)))
    put(document, "request", base_url, **arguments)
    return document


def put(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    """Append an element of OAI-PMH."""
    element = etree.SubElement(parent, f"{{{OAI}}}{name}")
    for key, value in attributes.items():
        element.set(key, legal(value))
    if text is not None:
        element.text = legal(text)
    return element


def error_document(base_url: str, error: OaiError) -> Element:
    """What is wrong with a request."""
    document = frame(base_url, error.arguments)
    put(document, "error", error.message, code=error.code)
    return document


def add_identify(document: Element, *, name: str, base_url: str, email: str, earliest: datetime, own: Record) -> None:
    """What the repository is (section 4.2), with the registry's own record (Registry Interfaces 1.1, section 3.1.1)."""
    answer = put(document, "Identify")
    put(answer, "repositoryName", name)
    put(answer, "baseURL", base_url)
    put(answer, "protocolVersion", "2.0")
    put(answer, "adminEmail", email)
    put(answer, "earliestDatestamp", utc(earliest))
    put(answer, "deletedRecord", "persistent")
    put(answer, "granularity", GRANULARITY)
    put(answer, "description").append(voresource(own))


def add_formats(document: Element) -> None:
    """The formats of records (section 4.4)."""
    answer = put(document, "ListMetadataFormats")
    for prefix, schema, namespace in _FORMATS:
        element = put(answer, "metadataFormat")
        put(element, "metadataPrefix", prefix)
        put(element, "schema", schema)
        put(element, "metadataNamespace", namespace)


def add_sets(document: Element) -> None:
    """The sets (section 4.6)."""
    element = put(put(document, "ListSets"), "set")
    put(element, "setSpec", MANAGED)
    put(element, "setName", "Records that this registry itself publishes")


def detached_record() -> Element:
    """An empty `record` for a place in a list that is written piece by piece."""
    return etree.Element(f"{{{OAI}}}record", nsmap=_DECLARED)


def add_header(parent: Element, identifier: str, datestamp: datetime, *, deleted: bool) -> None:
    """The header of a record (section 2.5)."""
    header = put(parent, "header", **({"status": "deleted"} if deleted else {}))
    put(header, "identifier", identifier)
    put(header, "datestamp", utc(datestamp))
    put(header, "setSpec", MANAGED)


def add_metadata(parent: Element, record: Record, prefix: str) -> None:
    """The record itself in a format."""
    put(parent, "metadata").append(voresource(record) if prefix == IVO_VOR else dublin_core(record))
