"""A record as Dublin Core (`oai_dc`), which OAI-PMH asks of every repository (OAI-PMH 2.0, section 2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from registry_records.record import Record
from registry_records.terms import doi_uri, full_date, licence_uri
from registry_records.voresource import utc
from vo_service.vosi.documents import NAMESPACES, Element, legal

OAI_DC: Final = "http://www.openarchives.org/OAI/2.0/oai_dc/"
SCHEMA: Final = "http://www.openarchives.org/OAI/2.0/oai_dc.xsd"
_DC: Final = "http://purl.org/dc/elements/1.1/"


def dublin_core(record: Record) -> Element:
    """The record as an `oai_dc:dc`."""
    document = etree.Element(f"{{{OAI_DC}}}dc", nsmap={"oai_dc": OAI_DC, "dc": _DC, "xsi": NAMESPACES["xsi"]})
    document.set(f"{{{NAMESPACES['xsi']}}}schemaLocation", f"{OAI_DC} {SCHEMA}")
    for name, text in _elements(record):
        if text and not text.isspace():
            etree.SubElement(document, f"{{{_DC}}}{name}").text = legal(text)
    return document


def _elements(record: Record) -> Iterator[tuple[str, str | None]]:
    about = record.about
    yield "title", record.title
    yield from (("creator", person.name) for person in about.creators)
    yield from (("subject", subject) for subject in about.subjects)
    yield "description", record.description
    yield "publisher", about.publisher
    yield "date", about.date if full_date(about.date) else utc(record.dates.updated)
    yield "type", "Service" if record.kind == "vg:Registry" else record.content_type
    yield "identifier", record.ivoid
    yield "identifier", doi_uri(about.doi) if about.doi else None
    yield "identifier", record.page
    yield from (("relation", relation.ivoid) for relation in record.relations)
    if record.has_rights:
        yield "rights", about.license
        yield "rights", licence_uri(about)
