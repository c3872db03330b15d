"""The page of each resource, and the documents about it that the page leads to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urljoin

from vo_service.validation.client import Answer, ask, document
from vo_service.validation.documents import Element, text_of, xml_of
from vo_service.validation.findings import Area, Finding, expected
from vo_service.validation.site import Record, Site

AREA: Final = Area("landing")

_LINK: Final = re.compile(r"<([^>]*)>([^<]*)")


def check_landing(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_pages(site))


def _pages(site: Site) -> Iterator[Finding]:
    pages: dict[str, Record] = {}
    for record in site.records:
        pages.setdefault(text_of(record.resource, "content/referenceURL"), record)
    for record in site.records:
        own = _own_page(site, record)
        if own is None or own in pages:
            continue
        if ask(own, accept="text/html").status == 404:
            yield AREA.skipped(own, f"the service has no page for {record.identifier}")
        else:
            pages[own] = record
    documents: list[tuple[str, Element]] = []
    for url, record in pages.items():
        yield from AREA.guarded(_page(record, url, documents))
    yield AREA.checked(len(pages), "pages for an answer")
    yield from site.judged(AREA, "XML that pages lead to", documents)


def _own_page(site: Site, record: Record) -> str | None:
    """The page that a service of this kind has for a table, wherever else its publisher describes it."""
    schema_and_table = record.identifier.split("/")[3:]
    if len(schema_and_table) != 2:
        return None
    path = re.sub("=([0-9A-F]{2})", r"%\1", quote("/".join(schema_and_table), safe="/=!~*'()+"))
    return f"{site.url}/resource/{path}"


def _page(record: Record, url: str, documents: list[tuple[str, Element]]) -> Iterator[Finding]:
    answer = ask(url, accept="text/html")
    if answer.status >= 400:
        raise expected(record.identifier, f"an answer from the page {url}", f"status {answer.status}")
    described = list(described_by(answer))
    for address, media in described:
        yield from AREA.guarded(_description(address, media, documents))
    if described:
        yield AREA.checked(len(described), f"documents about {record.identifier}")


def described_by(answer: Answer) -> Iterator[tuple[str, str]]:
    """Addresses and media types of documents about a page (RFC 8288; FAIR Signposting)."""
    for value in answer.headers.get_all("Link", []):
        for target, parameters in _LINK.findall(value):
            named = dict(re.findall(r";\s*(\w+)\s*=\s*\"?([^\";,]*)\"?", parameters))
            if "describedby" in named.get("rel", "").split():
                yield _joined(answer.url, target), named.get("type", "")


def _joined(base: str, target: str) -> str:
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise expected(base, "links to URLs", f"{target}: {error}") from None


def _description(address: str, media: str, documents: list[tuple[str, Element]]) -> Iterator[Finding]:
    answer = document(address, accept=media or "*/*")
    if media and answer.media_type != media:
        yield AREA.error(address, f"expected {media} as the page says, found {answer.media_type}")
    if answer.media_type.endswith("json"):
        try:
            json.loads(answer.body)
        except ValueError as error:
            raise expected(address, "JSON", error) from None
    elif answer.media_type.endswith("xml"):
        documents.append((address, xml_of(answer)))
