"""From the checked parts of a description to the values that the catalogue and the loader work with."""

from __future__ import annotations

from collections.abc import Iterable

from vo_service.catalog.description_input import ColumnSource, FileOptions, PositionSource, Rank, TableInput
from vo_service.catalog.description_model import (
    RANK_FORMAT,
    ColumnPart,
    DerivePart,
    DescriptionPart,
    ForeignKeyPart,
    InputPart,
    PersonPart,
    PositionPart,
    ResourcePart,
    TablePart,
)
from vo_service.catalog.model import (
    Column,
    Example,
    ForeignKey,
    Observation,
    Person,
    Position,
    Resource,
    Schema,
    Table,
    adql_name,
)
from vo_service.catalog.vocabulary.unit import conversion_factor


def build_schema(part: DescriptionPart) -> Schema:
    """The schema as it is published, its tables without the number of their rows."""
    resource = _resource(part)
    return Schema(
        name=part.name,
        tables=tuple(_table(part.name, table, resource) for table in part.tables),
        description=part.description or "",
        utype=part.utype,
        schema_index=part.schema_index,
    )


def build_inputs(part: DescriptionPart) -> dict[str, TableInput]:
    """By table name, how its rows are found."""
    return {table.name: _input(table) for table in part.tables}


def build_keys(part: DescriptionPart) -> tuple[ForeignKey, ...]:
    """The foreign keys of all tables."""
    return tuple(_key(part, table, key) for table in part.tables for key in table.constraints)


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
        obscore=Observation(**resource.obscore.model_dump()),
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
        event_list=part.event_list,
        table_index=part.table_index,
        resource=resource,
        examples=tuple(Example(e.name, e.query.strip(), e.description or "") for e in part.examples),
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


def _input(part: TablePart) -> TableInput:
    position = _position_source(part.position)
    computed = {part.position.ra, part.position.dec} if part.position and position else set()
    primary_key = {_named(part, key) for key in part.primary_key}
    return TableInput(
        sources={column.name: _source(column) for column in part.columns if column.name not in computed},
        position=position,
        options=_options(part.input),
        files=tuple(part.input.files),
        required=frozenset(column.name for column in part.columns if not column.nullable) | primary_key,
        indexed=tuple(column.name for column in part.columns if column.indexed and column.name not in primary_key),
        bad_rows=part.reject,
    )


def _position_source(part: PositionPart | None) -> PositionSource | None:
    if part is None or part.source is None:
        return None
    source = part.source
    return PositionSource(source.longitude, source.latitude, source.frame, source.unit, tuple(source.null))


def _options(part: InputPart) -> FileOptions:
    return FileOptions(
        format=part.format,
        table=tuple(part.table),
        header=part.header,
        delimiter=part.delimiter,
        comment=part.comment,
        skip=part.skip,
        encoding=part.encoding,
        element=part.element,
    )


def _source(part: ColumnPart) -> ColumnSource | Rank:
    if part.derive is not None:
        return _rank(part.derive)
    if part.source is None:
        return ColumnSource(part.name)
    unit = part.source.unit
    return ColumnSource(
        name=part.name if part.source.name is None else part.source.name,
        null=tuple(part.source.null),
        unit=unit,
        factor=1.0 if unit is None else conversion_factor(unit, part.unit or ""),
    )


def _rank(part: DerivePart) -> Rank:
    prefix, digits, suffix = RANK_FORMAT.findall(part.format or "{}")[0]
    return Rank(by=part.rank, prefix=prefix, digits=int(digits or 1), suffix=suffix)
