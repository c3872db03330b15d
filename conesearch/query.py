"""A cone search as SQL: which columns, in which shape of query."""

from __future__ import annotations

from dataclasses import replace

from conesearch.request import ConeRequest
from vo_service.catalog.model import HPX_COLUMN, Column, Position, Table
from vo_service.database.arrow import sql_type
from vo_service.database.statement import FEW_ROWS, Statement
from vo_service.sky.angles import share_of_sky
from vo_service.sky.cover import cone_ranges
from vo_service.sky.predicates import in_ranges, literal, separation_sql

LARGE = 20_000
"""Expected rows from which they come in no order: sorting takes a third of the time, and the first row waits for it."""

_DENSER = 3
"""How many times more rows than expected a cone may well have: where MAXREC may cut, the nearest ones are kept."""

DISTANCE = Column(
    name="_r",
    datatype="double",
    unit="deg",
    ucd="pos.angDistance",
    description="Distance from the centre of the cone",
)


def cone_statement(table: Table, position: Position, request: ConeRequest) -> Statement:
    """The statement that answers a cone search; one row more than MAXREC shows an overflow.

    The nearest rows come first, unless there are very many and MAXREC leaves room for all of them.
    """
    columns = cone_columns(table, position, request.verbosity)
    expected = table.rows * share_of_sky(request.radius)
    build = _prepared if expected <= FEW_ROWS else _literal
    return build(table, position, request, columns, expected)


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
    table: Table, position: Position, request: ConeRequest, columns: tuple[Column, ...], _: float
) -> Statement:
    """For few rows: one plan for all cones, which gets ranges and centre as parameters."""
    ranges = cone_ranges(request.ra, request.dec, request.radius, 2)
    select = _select_list(columns, position, "cone.ra", "cone.dec")
    # OFFSET 0 keeps the planner from joining by anything but the index, whatever it estimates.
    rows = f"SELECT * FROM {_name(table)} WHERE hpx >= g.low AND hpx < g.high OFFSET 0"
    # A per cent sign in a name would be a placeholder to the driver.
    select, rows = (text.replace("%", "%%") for text in (select, rows))
    found = (
        f"SELECT {select} FROM (SELECT %s::float8 AS ra, %s::float8 AS dec) cone,"
        f" unnest(%s::int8[], %s::int8[]) g (low, high) CROSS JOIN LATERAL ({rows}) e"
    )
    # Arrays as text: the driver would look at every number, to find the least type for all.
    low, high = ("{" + ",".join(map(str, bounds)) + "}" for bounds in ranges.T.tolist())
    values = (request.ra, request.dec, low, high, request.radius, _limit(request))
    return Statement(_within(found, columns, "%s::float8", "%s"), columns, values)


def _literal(
    table: Table, position: Position, request: ConeRequest, columns: tuple[Column, ...], expected: float
) -> Statement:
    """For many rows: the ranges stand in the statement, so that its rows can be read by COPY."""
    ranges = cone_ranges(request.ra, request.dec, request.radius, 3 if expected <= LARGE else 4)
    select = _select_list(columns, position, literal(request.ra), literal(request.dec))
    found = f"SELECT {select} FROM {_name(table)} e WHERE {in_ranges('e.hpx', ranges)}"
    ordered = expected <= LARGE or request.maxrec < _DENSER * expected
    return Statement(_within(found, columns, literal(request.radius), str(_limit(request)), ordered=ordered), columns)


def _within(found: str, columns: tuple[Column, ...], radius: str, limit: str, *, ordered: bool = True) -> str:
    """The rows of a query that lie in the cone; OFFSET 0 keeps the distance from being computed at every mention."""
    distance = f"c{len(columns)}"
    order = f" ORDER BY {distance}" if ordered else ""
    return f"SELECT * FROM ({found} OFFSET 0) AS found WHERE {distance} <= {radius}{order} LIMIT {limit}"


def _limit(request: ConeRequest) -> int:
    return 0 if request.radius == 0 else request.maxrec + 1


def _select_list(columns: tuple[Column, ...], position: Position, centre_ra: str, centre_dec: str) -> str:
    """The columns of an answer, the distance last, as `c1`, `c2`, ..."""
    ra, dec = (f"e.{_quoted(name)}" for name in (position.ra, position.dec))
    parts = [f"e.{_quoted(column.name)}::{sql_type(column)}" for column in columns[:-1]]
    parts.append(separation_sql(ra, dec, centre_ra, centre_dec))
    return ", ".join(f"{part} AS c{place}" for place, part in enumerate(parts, start=1))


def _name(table: Table) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
