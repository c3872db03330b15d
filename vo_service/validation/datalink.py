"""Links of table rows (DataLink 1.1): found as clients find them, by the descriptor in a result of TAP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from vo_service.files.semantics import CORE
from vo_service.validation.client import ask, document, with_parameters
from vo_service.validation.documents import Element, Result, named, votable_of
from vo_service.validation.findings import Area, BrokenError, Finding, expected
from vo_service.validation.site import Site

AREA: Final = Area("datalink")

DATALINK: Final = "ivo://ivoa.net/std/DataLink#links"

COLUMNS: Final = "ID access_url service_def error_message description semantics content_type content_length".split()
"""That each answer must have (section 3.2)."""

_UNKNOWN: Final = "ivo://nobody.invalid/nothing?0"


def check_datalink(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_datalink(site))


def linked_tables(site: Site) -> list[str]:
    """Tables of the records that have a capability of DataLink."""
    return [table for record in site.records if record.address_of(DATALINK) for table in record.tables()]


def _datalink(site: Site) -> Iterator[Finding]:
    tables = linked_tables(site)
    for table in tables:
        yield from AREA.guarded(_table(site, table))
    if not tables:
        yield AREA.skipped(site.url, "no record has a capability of DataLink")


def _table(site: Site, table: str) -> Iterator[Finding]:
    found = row_links(site, table)
    if found is None:
        yield AREA.skipped(table, "no links to look at: the table has no rows")
        return
    address, parameter, identifier = found
    links = votable_of(document(address, {parameter: identifier}))
    rows = list(links.rows())
    if missing := [name for name in COLUMNS if name not in links.table.colnames]:
        raise expected(links.url, f"the columns {' '.join(COLUMNS)}", f"none named {' '.join(missing)}")
    if not rows:
        yield AREA.error(links.url, "expected links of a row that is there, found none")
    for row in rows:
        yield from _link(links, row, identifier)
    yield AREA.checked(len(rows), f"links of a row of {table}")
    yield from _unknown(address, parameter)


def row_links(site: Site, table: str) -> tuple[str, str, str] | None:
    """Address, parameter and value that give the links of the first row of a table; None if it has no rows.

    Raises BrokenError if a result does not say.
    """
    result = site.sample(table)
    row = next(result.rows(), None)
    if row is None:
        return None
    for resource in named(result.root, "RESOURCE"):
        parameters = {one.get("name", "").lower(): one for one in resource.iterfind("{*}PARAM")}
        if _value(parameters, "standardid").lower().startswith(DATALINK.lower()):
            name, reference = _input(result, resource)
            return _value(parameters, "accessurl"), name, str(list(row.values())[reference])
    raise expected(result.url, f"a service descriptor of DataLink in a result of {table}", "none")


def _value(parameters: dict[str, Element], name: str) -> str:
    return parameters[name].get("value", "") if name in parameters else ""


def _input(result: Result, resource: Element) -> tuple[str, int]:
    """The name of the input parameter, and the number of the column that it is taken from."""
    fields = [field.get("ID") for table in list(named(result.root, "TABLE"))[:1] for field in named(table, "FIELD")]
    for parameter in resource.iterfind("{*}GROUP[@name='inputParams']/{*}PARAM"):
        if parameter.get("ref") in fields:
            return parameter.get("name", ""), fields.index(parameter.get("ref"))
    raise expected(result.url, "a parameter of the service descriptor that refers to a column", "none")


def _link(links: Result, row: dict[str, object], identifier: str) -> Iterator[Finding]:
    given = [name for name in ("access_url", "service_def", "error_message") if row[name]]
    if len(given) != 1:
        yield AREA.error(links.url, f"expected one of access_url, service_def, error_message, found {given}")
    if row["error_message"]:
        yield AREA.error(links.url, f"expected links of a row that is there, found {row['error_message']}")
    if row["ID"] != identifier:
        yield AREA.error(links.url, f"expected the ID that was asked for, {identifier}, found {row['ID']}")
    semantics = str(row["semantics"] or "")
    if not (semantics.removeprefix("#") in CORE and semantics.startswith("#")) and not re.match(r"\w+:.", semantics):
        yield AREA.error(links.url, f"expected a term of the DataLink vocabulary or a URI, found {semantics!r}")
    if url := row["access_url"]:
        yield from AREA.guarded(_reachable(str(url), semantics, str(row["content_type"] or "")))


def _reachable(url: str, semantics: str, content_type: str) -> Iterator[Finding]:
    answer = ask(url, largest=1)
    if answer.status >= 400:
        raise expected(url, f"an answer from the link {semantics}", f"status {answer.status}")
    wanted = content_type.partition(";")[0].strip().lower()
    if wanted and answer.media_type != wanted:
        yield AREA.warning(url, f"expected {wanted} as the link says, found {answer.media_type or 'no media type'}")


def _unknown(address: str, parameter: str) -> Iterator[Finding]:
    """An identifier that is not there gets a row with an error message (section 3.4)."""
    rows = list(votable_of(document(address, {parameter: _UNKNOWN})).rows())
    yield AREA.checked(1, "unknown identifier")
    if not rows or not all(row.get("error_message") for row in rows):
        raise BrokenError(
            with_parameters(address, {parameter: _UNKNOWN}), f"expected a row with an error_message, found {rows}"
        )
