"""Records against the services that they describe: capabilities, tables, test queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vo_service.validation.client import document, with_parameters
from vo_service.validation.documents import Element, named, text_of, votable_of, xml_of, xsi_type
from vo_service.validation.findings import Area, Finding
from vo_service.validation.site import TAP, VOSI, Record, Site, interfaces_of

AREA: Final = Area("services")


def check_services(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_services(site))


def _services(site: Site) -> Iterator[Finding]:
    for check, what in (
        (_capabilities, "records against live capabilities"),
        (_tables, "records against live tables"),
        (_test_query, "test queries of cone searches"),
    ):
        number = 0
        for record in site.records:
            findings = list(AREA.guarded(check(site, record)))
            number += sum(finding.number for finding in findings)
            yield from (finding for finding in findings if finding.kind != "CHECKED")
        yield AREA.checked(number, what)


def _capabilities(site: Site, record: Record) -> Iterator[Finding]:
    """The record has what is live, and nothing below the service's address that is not."""
    address = record.address_of(f"{VOSI}capabilities")
    if address is None:
        return
    live = {(found.standard, found.url) for found in interfaces_of(xml_of(document(address))) if found.standard}
    recorded = {(found.standard, found.url) for found in record.interfaces() if found.standard}
    service = address.rstrip("/").removesuffix("/capabilities")
    yield AREA.checked(1, "record")
    for standard, url in sorted(live - recorded):
        yield AREA.error(record.identifier, f"expected the live {standard} at {url}, found none in the record")
    for standard, url in sorted(recorded - live):
        # What other services do for this resource they say themselves.
        if url.rstrip("?&/") == service or url.startswith(f"{service}/"):
            yield AREA.error(record.identifier, f"expected {standard} at {url} live in {address}, found none")


def _tables(site: Site, record: Record) -> Iterator[Finding]:
    """Tables of the record are live with the same columns; tables of the service are in the record."""
    recorded = _columns(record.resource.find("tableset"))
    address = record.address_of(f"{VOSI}tables")
    if address is None or not recorded:
        return
    own = _columns(xml_of(document(address, {"detail": "max"})))
    auxiliary = record.address_of(f"{TAP}#aux")
    live = own
    if auxiliary is not None and not recorded.keys() <= own.keys():
        live = _columns(xml_of(document(f"{auxiliary.rstrip('/')}/tables", {"detail": "max"}))) | own
    yield AREA.checked(1, "record")
    for table in sorted(own.keys() - recorded.keys()):
        yield AREA.error(record.identifier, f"expected the live table {table}, found none in the record")
    for table, columns in recorded.items():
        if table not in live:
            yield AREA.error(record.identifier, f"expected the table {table} live in {address}, found none")
        elif columns != live[table]:
            yield from _differences(record, table, columns, live[table])


def _columns(tableset: Element | None) -> dict[str, dict[str, str]]:
    """The types of columns, by their names and those of tables."""
    if tableset is None:
        return {}
    return {
        text_of(table, "name"): {text_of(column, "name"): _type(column) for column in table.iterfind("column")}
        for table in named(tableset, "table")
    }


def _type(column: Element) -> str:
    kind = column.find("dataType")
    if kind is None:
        return "without type"
    shape = (kind.get("arraysize", ""), kind.get("extendedType", ""))
    return " ".join(word for word in ((kind.text or "").strip(), *shape) if word)


def _differences(record: Record, table: str, recorded: dict[str, str], live: dict[str, str]) -> Iterator[Finding]:
    for column in sorted(recorded.keys() | live.keys()):
        there, here = live.get(column, "no such column"), recorded.get(column, "no such column")
        if there != here:
            yield AREA.error(record.identifier, f"expected {table}.{column} as it is live, {there}, found {here}")


def _test_query(site: Site, record: Record) -> Iterator[Finding]:
    """A cone search's test query finds something (Simple Cone Search 1.03, section 3)."""
    for url in _queries(record):
        yield AREA.checked(1, "query")
        if url is None:
            # The schema allows that: of an empty table no query finds anything.
            yield AREA.warning(record.identifier, "expected a test query for its cone search, found none")
        elif len(votable_of(document(url)).table) == 0:
            yield AREA.error(record.identifier, f"expected at least one row from the test query {url}, found none")


def test_queries(site: Site) -> list[str]:
    """Addresses of the test queries of all cone searches. Raises BrokenError."""
    return [url for record in site.records for url in _queries(record) if url is not None]


def _queries(record: Record) -> Iterator[str | None]:
    """The test query of each cone search of a record; None if it has none."""
    for capability in record.resource.iterfind("capability"):
        if xsi_type(capability) != "ConeSearch":
            continue
        query = capability.find("testQuery")
        if query is None:
            yield None
            continue
        parameters = {name.upper(): text_of(query, name) for name in ("ra", "dec", "sr", "verb")}
        given = {name: value for name, value in parameters.items() if value}
        extras = text_of(query, "extras")
        url = with_parameters(text_of(capability, "interface/accessURL"), given)
        yield f"{url}&{extras}" if extras else url
