"""What must hold across a description: names, references between its parts; and what it had better say, but does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vo_service.catalog.description_input import Rank, TableInput
from vo_service.catalog.description_model import ColumnPart, DescriptionPart, TablePart
from vo_service.catalog.model import HPX_COLUMN, Column, Resource, Schema, Table
from vo_service.catalog.vocabulary.unit import unit_warning

RESERVED_SCHEMAS = frozenset({"public", "information_schema", "tap_schema", "vo_service", "tap_upload"})

_RESERVED_COLUMNS = frozenset({HPX_COLUMN})
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Columns that every PostgreSQL table has (manual, section 5.6); spelt so and not otherwise."""

Place = tuple[str | int, ...]
Problem = tuple[Place, str]


def find_problems(description: DescriptionPart) -> Iterator[Problem]:
    """Everything that cannot work, each with its place in the file."""
    schema = description.name.lower()
    if schema in RESERVED_SCHEMAS or schema.startswith("pg_"):
        yield ("name",), f"a schema cannot be called {description.name!r}: the name is reserved"
    yield from _repeated([table.name for table in description.tables], ("tables",))
    for index, table in enumerate(description.tables):
        place = ("tables", index)
        for inner, message in _table_problems(table):
            yield (*place, *inner), message
        if len(description.tables) > 1 and not table.input.files and len({*_inputs(description)}) > 1:
            yield (*place, "input"), "input: files: is needed here, as the tables of this description have different ones"


def _inputs(description: DescriptionPart) -> Iterator[tuple[str, ...]]:
    return (tuple(table.input.files) for table in description.tables)


def _table_problems(table: TablePart) -> Iterator[Problem]:
    yield from _repeated([column.name for column in table.columns], ("columns",))
    columns = {column.name: column for column in table.columns}
    for index, column in enumerate(table.columns):
        if column.name.lower() in _RESERVED_COLUMNS or column.name in _SYSTEM_COLUMNS:
            yield ("columns", index, "name"), f"a column cannot be called {column.name!r}: the name is reserved"
        for message in _column_problems(column):
            yield ("columns", index), message
    references = [("primaryKey", name) for name in table.primary_key] + [("epoch", table.epoch)]
    known = columns.keys() | {column.id for column in table.columns if column.id}
    for key, name in references:
        if name is not None and name not in known:
            yield (key,), f"there is no column {name!r}"
    yield from _position_problems(table, columns)


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


def _column_problems(column: ColumnPart) -> Iterator[str]:
    textual = column.datatype in ("char", "string", "text", "unicode", "unicodeChar")
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


def find_warnings(schema: Schema, inputs: dict[str, TableInput], unitless: dict[str, list[str]]) -> Iterator[str]:
    """What is missing, or could be better, as sentences; nothing is invented in its place.

    `unitless` names the columns of each table that were said nothing about a unit.
    """
    resource = schema.tables[0].resource
    if resource is not None:
        yield from _resource_warnings(resource)
    for table in schema.tables:
        yield from _table_warnings(table, unitless[table.name])
        derived = {name for name, source in inputs[table.name].sources.items() if isinstance(source, Rank)}
        if table.primary_key is None:
            yield f"{table.name}: no primaryKey: rows cannot be told apart by an identifier"
        elif derived & {table.primary_key}:
            yield f"{table.name}: rows cannot be appended, as {table.primary_key} is the rank among all of them"


def _resource_warnings(resource: Resource) -> Iterator[str]:
    wanted = {
        "title": resource.title,
        "creators": resource.creators,
        "license": resource.license or resource.license_url,
        "citation or doi": resource.citation or resource.doi,
        "subjects": resource.subjects,
    }
    missing = [key for key, value in wanted.items() if not value]
    if missing:
        yield f"resource: no {_listed(missing)}"


def _table_warnings(table: Table, unitless: list[str]) -> Iterator[str]:
    if not table.description:
        yield f"{table.name}: no description"
    missing = {
        "description": [column.name for column in table.columns if not column.description],
        "ivoa:ucd": [column.name for column in table.columns if column.ucd is None],
        'ivoa:unit ("" if there is none)': unitless,
    }
    for key, names in missing.items():
        if names:
            yield f"{table.name}: no {key} of {_listed(names)}"
    for column in table.columns:
        reason = unit_warning(column.unit) if column.unit else None
        if reason:
            yield f"{table.name}: {column.name}: {reason}"


def needs_unit(column: Column) -> bool:
    """Whether a unit, or that there is none, should be said of the column."""
    return not column.is_string and column.datatype != "boolean"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
