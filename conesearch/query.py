"""A cone search as SQL: which columns, in which shape of query."""

from __future__ import annotations

import math
from dataclasses import replace

from psycopg import sql

from conesearch.request import ConeRequest
from vo_service.catalog.model import HPX_COLUMN, Column, Position, Table
from vo_service.database.arrow import sql_type
from vo_service.database.statement import Statement
from vo_service.sky.cover import cone_cover
from vo_service.sky.predicates import literal, separation_sql, within_cone

SMALL = 300
"""Expected rows up to which a prepared statement is faster than one with literals whose rows are read by COPY."""

DISTANCE = Column(
    name="_r",
    datatype="double",
    unit="deg",
    ucd="pos.angDistance",
    description="Distance from the centre of the cone",
)


def cone_statement(table: Table, position: Position, request: ConeRequest) -> Statement:
    """The statement that answers a cone search, the nearest rows first; one row more than MAXREC shows an overflow."""
    columns = cone_columns(table, position, request.verbosity)
    limit = 0 if request.radius == 0 else request.maxrec + 1
    expected = table.rows * (1 - math.cos(math.radians(request.radius))) / 2
    build = _prepared if expected <= SMALL else _literal
    return build(table, position, request, columns, limit)


def cone_columns(table: Table, position: Position, verbosity: int) -> tuple[Column, ...]:
    """The columns of an answer: identifier and position with the UCDs of SCS 1.03 (section 2.2), then the others.

    Without a primary key the column with the UCD meta.id identifies a row, and without that its HEALPix index.
    """
    identifier = _identifier(table)
    main = (
        replace(identifier, datatype="char", arraysize="*", xtype=None, unit=None, ucd="ID_MAIN"),
        replace(table.column(position.ra), datatype="double", ucd="POS_EQ_RA_MAIN"),
        replace(table.column(position.dec), datatype="double", ucd="POS_EQ_DEC_MAIN"),
    )
    names = {column.name for column in main}
    others = [column for column in table.columns if column.name not in names]
    if verbosity == 1:
        others = []
    elif verbosity == 2 and any(column.principal for column in table.columns):
        others = [column for column in others if column.principal]
    return (*main, *others, DISTANCE)


def _identifier(table: Table) -> Column:
    if table.primary_key is not None:
        return table.column(table.primary_key)
    for column in table.columns:
        if column.ucd and column.ucd.split(";")[0] == "meta.id":
            return column
    return Column(HPX_COLUMN, "long", description="HEALPix index of the position (nested, order 29)")


def _prepared(
    table: Table, position: Position, request: ConeRequest, columns: tuple[Column, ...], limit: int
) -> Statement:
    """For few rows: one plan for all cones, which gets ranges and centre as parameters."""
    ranges = cone_cover(request.ra, request.dec, request.radius).all_ranges()
    ra, dec = (f"e.{_quoted(name)}" for name in (position.ra, position.dec))
    distance = separation_sql(ra, dec, "cone.ra", "cone.dec")
    # OFFSET 0 keeps the planner from joining by anything but the index, whatever it estimates.
    rows = f"SELECT * FROM {_name(table)} WHERE hpx >= g.low AND hpx < g.high OFFSET 0"
    select, rows, distance = (
        # A per cent sign in a name would be a placeholder to the driver.
        text.replace("%", "%%")
        for text in (_select_list(columns, "e", distance), rows, distance)
    )
    text = (
        f"SELECT {select} FROM (SELECT %s::float8 AS ra, %s::float8 AS dec, %s::float8 AS radius) cone,"
        f" unnest(%s::int8[], %s::int8[]) g (low, high) CROSS JOIN LATERAL ({rows}) e"
        f" WHERE {distance} <= cone.radius ORDER BY {len(columns)} LIMIT %s"
    )
    values = (request.ra, request.dec, request.radius, ranges[:, 0].tolist(), ranges[:, 1].tolist(), limit)
    return Statement(text, columns, values)


def _literal(
    table: Table, position: Position, request: ConeRequest, columns: tuple[Column, ...], limit: int
) -> Statement:
    """For many rows: the ranges stand in the statement, so that its rows can be read by COPY."""
    ra, dec = (f"e.{_quoted(name)}" for name in (position.ra, position.dec))
    distance = separation_sql(ra, dec, literal(request.ra), literal(request.dec))
    inside = within_cone("e.hpx", ra, dec, request.ra, request.dec, request.radius)
    text = (
        f"SELECT {_select_list(columns, 'e', distance)} FROM {_name(table)} e WHERE {inside}"
        f" ORDER BY {len(columns)} LIMIT {limit}"
    )
    return Statement(text, columns)


def _select_list(columns: tuple[Column, ...], alias: str, distance: str) -> str:
    parts = [f"{alias}.{_quoted(column.name)}::{sql_type(column)}" for column in columns[:-1]]
    return ", ".join([*parts, distance])


def _name(table: Table) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
