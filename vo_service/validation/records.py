"""Records by themselves (VOResource 1.2): valid, dated, related to what is there, and their addresses answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from vo_service.validation.client import ask, expect_listening, parts_of
from vo_service.validation.documents import is_ivoid, text_of, xsi_type
from vo_service.validation.findings import Area, BrokenError, Finding, expected
from vo_service.validation.site import TAP, Interface, Record, Site

AREA: Final = Area("records")

_LOCAL: Final = re.compile(r"\w+://(localhost|127\.[\d.]+|\[::1\])(?![\w.-])", re.IGNORECASE)


def check_records(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_records(site))


def _records(site: Site) -> Iterator[Finding]:
    records = site.records
    yield from site.judged(AREA, "records", [(record.identifier, record.resource) for record in records])
    yield from _authorities(records)
    for record in records:
        yield from _dates(record)
        yield from _relations(record, records)
    yield AREA.checked(len(records), "records for identifiers, status, dates and relations")
    addresses = {interface.url: (record, interface) for record in records for interface in record.interfaces()}
    for record, interface in addresses.values():
        yield from AREA.guarded(_answers(record, interface))
    yield AREA.checked(len(addresses), "access URLs for an answer")
    if local := sorted(url for url in addresses if _LOCAL.match(url)):
        yield AREA.warning(
            local[0], f"expected addresses that others can reach, found {len(local)} of this machine alone"
        )


def _authorities(records: list[Record]) -> Iterator[Finding]:
    """Identifiers are those of the header, well-formed, and of authorities that the registry manages."""
    managed = {
        f"ivo://{(authority.text or '').strip()}".lower()
        for record in records
        for authority in record.resource.iterfind("managedAuthority")
    }
    if not managed:
        yield AREA.error("vg:Registry", "expected the record of the registry with a managedAuthority, found none")
    for record in records:
        own = text_of(record.resource, "identifier")
        if own != record.identifier:
            yield AREA.error(record.identifier, f"expected the identifier of the header in the record, found {own}")
        if not is_ivoid(record.identifier):
            yield AREA.error(record.identifier, "expected an IVOA identifier, found this")
        if managed and authority_of(record.identifier) not in managed:
            yield AREA.error(record.identifier, f"expected one of the managed authorities {sorted(managed)}")
        if record.resource.get("status") != "active":
            yield AREA.error(record.identifier, f"expected status active, found {record.resource.get('status')}")
    there = {record.identifier.lower() for record in records if xsi_type(record.resource) == "Authority"}
    for missing in sorted(managed - there):
        yield AREA.error(missing, "expected a vg:Authority record of the managed authority, found none")


def authority_of(identifier: str) -> str:
    """`ivo://` and the authority, in lower case."""
    return "/".join(identifier.partition("?")[0].split("/")[:3]).lower()


def _dates(record: Record) -> Iterator[Finding]:
    """Created, updated and the header's datestamp follow each other and are not in the future."""
    names = ("created", "updated")
    texts = [record.resource.get(name, "") for name in names] + [record.datestamp]
    try:
        created, updated, stamp = (_moment(text) for text in texts)
    except ValueError:
        yield AREA.error(record.identifier, f"expected dates in UTC for created, updated and datestamp, found {texts}")
        return
    if not created <= updated <= stamp:
        yield AREA.error(record.identifier, f"expected created before updated before datestamp, found {texts}")
    if stamp > datetime.now(UTC) + timedelta(minutes=5):
        yield AREA.error(record.identifier, f"expected a datestamp that is not in the future, found {record.datestamp}")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _relations(record: Record, records: list[Record]) -> Iterator[Finding]:
    """What a record names under the own authority is there; an auxiliary TAP is that of a record that serves it."""
    there = {other.identifier.lower(): other for other in records}
    served_by = []
    for relation in record.resource.iterfind("content/relationship"):
        for related in relation.iterfind("relatedResource"):
            name = related.get("ivo-id", "").lower()
            if name in there and text_of(relation, "relationshipType").lower() in ("isservedby", "served-by"):
                served_by.append(there[name])
            if name not in there and authority_of(name) == authority_of(record.identifier):
                yield AREA.error(record.identifier, f"expected the related resource {name} here, found no such record")
    for interface in record.interfaces():
        if interface.standard != f"{TAP}#aux".lower():
            continue
        urls = {full.url for other in served_by for full in other.interfaces() if full.standard == TAP.lower()}
        if interface.url not in urls:
            yield AREA.error(
                record.identifier, f"expected a TAP service at {interface.url} that it IsServedBy, found {sorted(urls)}"
            )


def _answers(record: Record, interface: Interface) -> Iterator[Finding]:
    """An address answers; that to which parameters are to be added may ask for them."""
    place = parts_of(interface.url)
    if place.scheme not in ("http", "https"):
        if place.hostname and place.port:
            expect_listening(interface.url)
        else:
            yield AREA.skipped(record.identifier, f"{interface.url} not asked: neither http nor a host and port")
        return
    # TAP's address is the root of its resources, not one itself.
    is_tap = interface.standard in (TAP.lower(), f"{TAP}#aux".lower())
    url = f"{interface.url.rstrip('/')}/capabilities" if is_tap else interface.url
    accept = "text/html" if interface.kind == "WebBrowser" else "*/*"
    try:
        status = ask(url, accept=accept, largest=1).status
    except BrokenError as error:
        raise BrokenError(record.identifier, f"{error.message} at {url}") from None
    bad = status in (404, 410) or status >= 500 if interface.use == "base" else status >= 400
    if bad:
        raise expected(record.identifier, f"an answer from {url}", f"status {status}")
