"""Table descriptions: a YAML file becomes what the catalogue publishes and what the loader has to know.

    description_yaml     text -> tree with line numbers
    description_model    tree -> parts, each key checked
    description_checks   what must hold across parts; what is missing
    description_input    how files are read
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vo_service.catalog.description_checks import find_problems, find_warnings, needs_unit
from vo_service.catalog.description_input import ColumnSource, FileOptions, PositionSource, Rank, TableInput
from vo_service.catalog.description_model import (
    RANK_FORMAT,
    ColumnPart,
    DerivePart,
    DescriptionPart,
    ForeignKeyPart,
    PersonPart,
    ResourcePart,
    TablePart,
    known_keys,
)
from vo_service.catalog.description_yaml import Place, Tree, read_yaml
from vo_service.catalog.model import Column, ForeignKey, Person, Position, Resource, Schema, Table, adql_name
from vo_service.catalog.vocabulary.unit import conversion_factor
from vo_service.errors import ConfigurationError


@dataclass(frozen=True)
class Description:
    """A schema as it is to be published, and how its tables are read from files.

    Attributes
    ----------
    schema
        With tables whose `rows` are not known yet.
    inputs
        By table name.
    keys
        Foreign keys of the tables.
    warnings
        What is missing or could be better, as sentences for the publisher.
    """

    schema: Schema
    inputs: dict[str, TableInput]
    keys: tuple[ForeignKey, ...] = ()
    warnings: tuple[str, ...] = ()


def load_description(path: Path) -> Description:
    """Read a table description.

    Raises ConfigurationError that tells of every problem with its line.
    """
    tree = read_yaml(path)
    try:
        part = DescriptionPart.model_validate(tree.value)
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors(include_url=False)]
    else:
        problems = list(find_problems(part))
        if not problems:
            return _description(part)
    raise ConfigurationError("\n".join(_explain(path, tree, place, message) for place, message in problems))


# Errors --------------------------------------------------------------------------------------------------------------


def _problem(details: ErrorDetails) -> tuple[Place, str]:
    place = details["loc"]
    match details["type"]:
        case "extra_forbidden":
            key = str(place[-1])
            near = get_close_matches(key, known_keys(), n=1)
            return place, "there is no such key here" + (f"; did you mean {near[0]!r}?" if near else "")
        case "missing":
            return place, "is missing"
        case _:
            return place, details["msg"].removeprefix("Value error, ")


def _explain(path: Path, tree: Tree, place: Place, message: str) -> str:
    where = ", ".join(_spoken(tree, place))
    return f"{path}, line {tree.line(place)}: {where}: {message}" if where else f"{path}: {message}"


def _spoken(tree: Tree, place: Place) -> Iterable[str]:
    """A place in words: table main, column mjd, ivoa:unit."""
    value = tree.value
    for key in place:
        try:
            value = value[key]  # type: ignore[index, call-overload]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(key, str):
            word = key
            if key not in ("tables", "columns"):
                yield key
        else:
            name = value.get("name") if isinstance(value, dict) else None
            yield f"{word.removesuffix('s')} {name or key + 1}"


# The description -----------------------------------------------------------------------------------------------------


def _description(part: DescriptionPart) -> Description:
    resource = _resource(part)
    schema = Schema(
        name=part.name,
        tables=tuple(_table(part.name, table, resource) for table in part.tables),
        description=part.description or "",
        utype=part.utype,
        schema_index=part.schema_index,
    )
    inputs = {table.name: _input(table) for table in part.tables}
    unitless = {
        table.name: [
            column.name for column in table.columns if needs_unit(column) and not _says_unit(part_of_table, column.name)
        ]
        for table, part_of_table in zip(schema.tables, part.tables, strict=True)
    }
    return Description(
        schema=schema,
        inputs=inputs,
        keys=tuple(_key(part, table, key) for table in part.tables for key in table.constraints),
        warnings=tuple(find_warnings(schema, inputs, unitless)),
    )


def _says_unit(table: TablePart, name: str) -> bool:
    return all(column.unit is not None for column in table.columns if column.name == name)


def _resource(part: DescriptionPart) -> Resource:
    resource: ResourcePart = part.resource
    return Resource(
        title=resource.title or "",
        description=resource.description or part.description or "",
        creators=tuple(_person(person) for person in resource.creators),
        publisher=resource.publisher,
        contact=_person(resource.contact) if resource.contact else None,
        subjects=tuple(resource.subjects),
        license=resource.license,
        license_url=resource.license_url,
        doi=resource.doi,
        reference_url=resource.reference_url,
        citation=resource.citation,
        date=resource.date,
        version=resource.version,
        waveband=tuple(resource.waveband),
        simulated=resource.simulated,
    )


def _person(part: PersonPart) -> Person:
    return Person(part.name, part.orcid, part.affiliation, part.email)


def _table(schema: str, part: TablePart, resource: Resource) -> Table:
    position = Position(part.position.ra, part.position.dec) if part.position else None
    primary_key = _named(part, part.primary_key[0]) if part.primary_key else None
    indexed = {primary_key, *((position.ra, position.dec) if position else ())}
    ordered = sorted(part.columns, key=lambda column: (column.column_index is None, column.column_index or 0))
    columns = [_column(column, indexed=column.name in indexed) for column in ordered]
    return Table(
        schema=schema,
        name=part.name,
        columns=(*columns, *_position_columns(part, position)),
        description=part.description or "",
        utype=part.utype,
        position=position,
        primary_key=primary_key,
        epoch_column=_named(part, part.epoch) if part.epoch else None,
        table_index=part.table_index,
        resource=resource,
    )


def _named(part: TablePart, reference: str) -> str:
    """The name of the column that is referred to by its name or, as in Felis, its @id."""
    return next(column.name for column in part.columns if reference in (column.name, column.id))


def _column(part: ColumnPart, *, indexed: bool) -> Column:
    datatype, arraysize, xtype = _datatype(part)
    return Column(
        name=part.name,
        datatype=datatype,
        arraysize=arraysize,
        xtype=xtype,
        unit=part.unit or None,
        ucd=part.ucd,
        utype=part.utype,
        description=part.description,
        principal=part.principal,
        indexed=part.indexed or indexed,
        std=part.std,
    )


def _datatype(part: ColumnPart) -> tuple[str, str | None, str | None]:
    """VOTable datatype, arraysize and xtype of a Felis or VOTable datatype."""
    arraysize = part.arraysize
    match part.datatype:
        case "timestamp":
            return "char", arraysize or "*", "timestamp"
        case "char" | "string" | "text" | "unicode" | "unicodeChar":
            fixed = part.datatype in ("char", "unicode", "unicodeChar") and part.length != 1
            length = f"{part.length}{'' if fixed else '*'}" if part.length else "*"
            datatype = "unicodeChar" if part.datatype.startswith("unicode") else "char"
            return datatype, arraysize or length, part.xtype
        case "binary":
            return "unsignedByte", arraysize or "*", part.xtype
        case "byte":
            return "unsignedByte", arraysize, part.xtype
        case datatype:
            return datatype, None if arraysize == "1" else arraysize, part.xtype


def _position_columns(part: TablePart, position: Position | None) -> Iterable[Column]:
    """The columns that `position: source:` makes and the description does not spell out."""
    if position is None:
        return
    declared = {column.name for column in part.columns}
    for name, ucd, words in (
        (position.ra, "pos.eq.ra;meta.main", "Right ascension (ICRS)"),
        (position.dec, "pos.eq.dec;meta.main", "Declination (ICRS)"),
    ):
        if name not in declared:
            yield Column(name, "double", unit="deg", ucd=ucd, description=words, principal=True, indexed=True)


def _key(description: DescriptionPart, table: TablePart, part: ForeignKeyPart) -> ForeignKey:
    targets = [reference.rpartition(".") for reference in part.referenced]
    schema, _, target = targets[0][0].rpartition(".")
    return ForeignKey(
        key_id=f"{description.name}.{table.name}.{'.'.join(part.columns)}",
        from_table=f"{adql_name(description.name)}.{adql_name(table.name)}",
        target_table=f"{adql_name(schema or description.name)}.{adql_name(target)}",
        columns=tuple((adql_name(column), adql_name(to[2])) for column, to in zip(part.columns, targets, strict=True)),
        description=part.description,
        utype=part.utype,
    )


# How to read it ------------------------------------------------------------------------------------------------------


def _input(part: TablePart) -> TableInput:
    position = part.position.source if part.position else None
    computed = {part.position.ra, part.position.dec} if part.position and position else set()
    primary_key = {_named(part, key) for key in part.primary_key}
    return TableInput(
        sources={column.name: _source(column) for column in part.columns if column.name not in computed},
        position=PositionSource(
            longitude=position.longitude,
            latitude=position.latitude,
            frame=position.frame,
            unit=position.unit,
            null=tuple(position.null),
        )
        if position
        else None,
        options=FileOptions(
            format=part.input.format,
            table=tuple(part.input.table),
            header=part.input.header,
            delimiter=part.input.delimiter,
            comment=part.input.comment,
            skip=part.input.skip,
            encoding=part.input.encoding,
            element=part.input.element,
        ),
        files=tuple(part.input.files),
        required=frozenset(column.name for column in part.columns if not column.nullable) | primary_key,
        bad_rows=part.reject,
    )


def _source(part: ColumnPart) -> ColumnSource | Rank:
    if part.derive is not None:
        return _rank(part.derive)
    if part.source is None:
        return ColumnSource(part.name)
    unit = part.source.unit
    return ColumnSource(
        name=part.source.name or part.name,
        null=tuple(part.source.null),
        unit=unit,
        factor=1.0 if unit is None else conversion_factor(unit, part.unit or ""),
    )


def _rank(part: DerivePart) -> Rank:
    written = RANK_FORMAT.fullmatch(part.format or "{}")
    if written is None:
        raise ConfigurationError(f"rank format {part.format!r} cannot be understood")
    prefix, digits, suffix = written.groups()
    return Rank(by=part.rank, prefix=prefix, digits=int(digits or 1), suffix=suffix)
