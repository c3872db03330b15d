"""What must hold across a description: names and references between its parts; and what it had better say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vo_service.catalog.description_model import STRINGS, ColumnPart, DescriptionPart, ResourcePart, TablePart
from vo_service.catalog.description_yaml import Place
from vo_service.catalog.model import HPX_COLUMN
from vo_service.catalog.vocabulary.licence import spdx_licence
from vo_service.catalog.vocabulary.unit import unit_warning

RESERVED_SCHEMAS = frozenset(
    {"public", "information_schema", "tap_schema", "vo_service", "tap_upload", "vo_upload", "adql", "alerts", "ivoa"}
)

_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Columns that every PostgreSQL table has (manual, section 5.6); spelt so and not otherwise."""

_NO_CONCEPT = re.compile(r"[^\w \-'\u2019()/,.&+]")
"""Characters that no concept of the Unified Astronomy Thesaurus has in its name."""

Problem = tuple[Place, str]


def is_reserved_schema(name: str) -> bool:
    """Whether a schema cannot have this name, as it is PostgreSQL's or the service's own."""
    return name.lower() in RESERVED_SCHEMAS or name.lower().startswith("pg_")


def is_reserved_column(name: str) -> bool:
    """Whether a column cannot have this name, as each table has one of it already."""
    return name.lower() == HPX_COLUMN or name in _SYSTEM_COLUMNS


def find_problems(description: DescriptionPart) -> Iterator[Problem]:
    """Everything that cannot work, each with its place in the file."""
    if is_reserved_schema(description.name):
        yield ("name",), f"a schema cannot be called {description.name!r}: the name is reserved"
    yield from _repeated([table.name for table in description.tables], ("tables",))
    for index, table in enumerate(description.tables):
        place = ("tables", index)
        for inner, message in _table_problems(table):
            yield (*place, *inner), message


def _table_problems(table: TablePart) -> Iterator[Problem]:
    yield from _repeated([column.name for column in table.columns], ("columns",))
    columns = {column.name: column for column in table.columns}
    for index, column in enumerate(table.columns):
        if is_reserved_column(column.name):
            yield ("columns", index, "name"), f"a column cannot be called {column.name!r}: the name is reserved"
        for message in _column_problems(column):
            yield ("columns", index), message
    references = [("primaryKey", name) for name in table.primary_key] + [("epoch", table.epoch)]
    known = columns.keys() | {column.id for column in table.columns if column.id}
    for key, name in references:
        if name is not None and name not in known:
            yield (key,), f"there is no column {name!r}"
    yield from _position_problems(table, columns)
    yield from _key_problems(table, columns)


def _position_problems(table: TablePart, columns: dict[str, ColumnPart]) -> Iterator[Problem]:
    position = table.position
    if position is None:
        return
    if position.ra == position.dec:
        yield ("position",), "right ascension and declination are the same column"
    for key, name in (("ra", position.ra), ("dec", position.dec)):
        column = columns.get(name)
        if column is None:
            if position.source is None:
                yield ("position", key), f"there is no column {name!r}"
        elif column.datatype not in ("float", "double") or column.arraysize or column.length:
            yield ("position", key), f"column {name!r} must be a double or float"
        elif column.unit not in ("deg", None):
            yield ("position", key), f"column {name!r} must be in deg; say source: unit: if the file has another unit"
        elif position.source is not None and (column.source or column.derive):
            yield ("position", key), f"column {name!r} has a source of its own beside position: source"


def _key_problems(table: TablePart, columns: dict[str, ColumnPart]) -> Iterator[Problem]:
    """What is wrong with foreign keys. Of the tables that they lead to the loader knows."""
    seen = set()
    for index, key in enumerate(table.constraints):
        place = ("constraints", index)
        for name in key.columns:
            if name not in columns:
                yield (*place, "columns"), f"there is no column {name!r}"
        if tuple(key.columns) in seen:
            yield (*place, "columns"), "there is a foreign key of these columns already"
        seen.add(tuple(key.columns))
        targets = {name.rpartition(".")[0] for name in key.referenced}
        if len(targets) > 1 or "" in targets:
            yield (*place, "referencedColumns"), "columns of one table are expected, each written table.column"


def _column_problems(column: ColumnPart) -> Iterator[str]:
    textual = column.datatype in STRINGS
    if column.xtype == "timestamp" and not textual:
        yield "xtype timestamp goes with datatype char"
    if column.derive is not None:
        if column.derive.format and not textual:
            yield "a format makes strings: datatype char is expected"
        if not column.derive.format and column.datatype not in ("int", "long"):
            yield "a rank is an int or long, or a string if a format is given"


def _repeated(names: list[str], place: Place) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if name.lower() in seen:
            first = seen[name.lower()]
            what = "stands there twice" if first == name else f"differs from {first!r} by letter case only"
            yield (*place, index, "name"), f"{name!r} {what}"
        seen[name.lower()] = name


def find_warnings(description: DescriptionPart) -> Iterator[str]:
    """What is missing, or could be better, as sentences; nothing is invented in its place."""
    if not description.description:
        yield f"{description.name}: no description"
    yield from _resource_warnings(description.resource)
    for table in description.tables:
        yield from _table_warnings(table)


def _resource_warnings(resource: ResourcePart) -> Iterator[str]:
    wanted = {
        "title": resource.title,
        "creators": resource.creators,
        "license": resource.license or resource.license_url,
        "citation or doi": resource.citation or resource.doi,
        "subjects": resource.subjects,
    }
    missing = [key for key, value in wanted.items() if not value]
    if missing:
        yield f"resource: no {', '.join(missing)}"
    if resource.license and not resource.license_url and spdx_licence(resource.license) is None:
        yield (
            f"resource: license {resource.license!r} is no SPDX identifier that is known here (such as CC-BY-4.0), and"
            " there is no license_url: records have no address of the licence (rightsURI)"
        )
    for subject in resource.subjects:
        if strange := "".join(sorted(set(_NO_CONCEPT.findall(subject)))):
            yield (
                f"resource: subject {subject!r} is no concept of the Unified Astronomy Thesaurus: none has {strange!r};"
                " expected one such as 'Neutrino astronomy'"
            )


def _table_warnings(table: TablePart) -> Iterator[str]:
    if not table.description:
        yield f"{table.name}: no description"
    if not table.primary_key:
        yield f"{table.name}: no primaryKey: no column identifies a row"
    missing = {
        "description": [column.name for column in table.columns if not column.description],
        "ivoa:ucd": [column.name for column in table.columns if column.ucd is None],
        'ivoa:unit (say "" if there is none)': [column.name for column in table.columns if _lacks_unit(column)],
    }
    for key, names in missing.items():
        if names:
            yield f"{table.name}: no {key}: {', '.join(names)}"
    for column in table.columns:
        if column.unit and (reason := unit_warning(column.unit)):
            yield f"{table.name}, {column.name}: {reason}"


def _lacks_unit(column: ColumnPart) -> bool:
    numeric = column.datatype not in (*STRINGS, "boolean", "timestamp", "binary")
    return numeric and column.unit is None
