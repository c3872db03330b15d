"""The documents of VOSI 1.1, of every service that a record names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vo_service.validation.client import document
from vo_service.validation.documents import NS, Element, text_of, xml_of
from vo_service.validation.findings import Area, BrokenError, Finding
from vo_service.validation.site import VOSI, Site

AREA: Final = Area("vosi")


def check_vosi(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_documents(site))


def _documents(site: Site) -> Iterator[Finding]:
    addresses = {
        interface.url: interface.standard.removeprefix(VOSI.lower()).partition("-")[0]
        for record in site.records
        for interface in record.interfaces()
        if interface.standard.startswith(VOSI.lower())
    }
    if not addresses:
        raise BrokenError(site.url, "expected records with capabilities of VOSI, found none")
    read: dict[str, list[tuple[str, Element]]] = {}
    for url, kind in addresses.items():
        yield from AREA.guarded(_read(url, kind, read.setdefault(kind, [])))
    for kind, documents in read.items():
        yield from site.judged(AREA, f"documents of {kind}", documents)
        if kind == "availability":
            yield AREA.checked(len(documents), "services for being available")


def _read(url: str, kind: str, documents: list[tuple[str, Element]]) -> Iterator[Finding]:
    root = xml_of(document(url))
    documents.append((url, root))
    if kind == "availability":
        available = text_of(root, "avail:available")
        if available not in ("true", "1"):
            notes = "; ".join(note.text or "" for note in root.iterfind("avail:note", NS))
            yield AREA.error(url, f"expected available true, found {available or 'nothing'}; {notes}")
