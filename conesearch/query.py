"""A cone search as SQL: which columns, in which shape of query.

PostgreSQL computes the distances of few rows, and picks the nearest where MAXREC may cut. All others are computed as
the rows come (`conesearch/nearest.py`), which takes a quarter of the time.
"""

from __future__ import annotations

from dataclasses import replace

from conesearch.request import ConeRequest
from vo_service.catalog.model import HPX_COLUMN, Column, Position, Table
from vo_service.database.arrow import sql_type
from vo_service.database.statement import FEW_ROWS, Statement
from vo_service.sky.angles import share_of_sky
from vo_service.sky.cover import Ranges, cone_ranges
from vo_service.sky.predicates import in_ranges, separation_sql

AT_ONCE = 500_000
"""Bytes of expected rows up to which all of them are read at once, within the event loop."""

_COARSE = 20_000
"""Expected rows from which finer cells are worth their number: rows beside the cone cost more than ranges of cells."""

_DENSER = 3
"""How many times more rows than expected a cone may well have."""

DISTANCE = Column(
    name="_r",
    datatype="double",
    unit="deg",
    ucd="pos.angDistance",
    description="Distance from the centre of the cone",
)

POSITION = (1, 2)
"""The places of right ascension and declination among the columns of an answer."""


def cone_statement(table: Table, position: Position, request: ConeRequest) -> Statement:
    """The statement for a cone search.

    Where few rows are expected, or MAXREC may leave out some, it gives the answer: its rows, the nearest first, and
    one more than MAXREC if there are more. Otherwise it gives all rows of the cells that cover the cone, without
    `DISTANCE`, and the identifier may be a number.
    """
    columns = cone_columns(table, position, request.verbosity)
    expected = expected_rows(table, request)
    if expected <= FEW_ROWS:
        return _answer(table, position, request, columns, 2)
    if request.maxrec < _DENSER * expected:
        return _answer(table, position, request, columns, 3).at_length()
    # Numbers become text as they come: rows of one length are read in half the time.
    identifier = _identifier(table)
    is_number = identifier.datatype in ("int", "long") and identifier.arraysize is None
    return _cells(table, request, (identifier if is_number else columns[0], *columns[1:-1]))


def expected_rows(table: Table, request: ConeRequest) -> float:
    """How many rows the cone has if the table's are uniform on the sky."""
    return table.rows * share_of_sky(request.radius)


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


def _answer(
    table: Table, position: Position, request: ConeRequest, columns: tuple[Column, ...], halvings: int
) -> Statement:
    """The nearest rows in order: one plan for all cones, which gets ranges and centre as parameters."""
    ranges = cone_ranges(request.ra, request.dec, request.radius, halvings)
    ra, dec = (f"e.{_quoted(name)}" for name in (position.ra, position.dec))
    distance = f"c{len(columns)}"
    select = f"{_select_list(columns[:-1])}, {separation_sql(ra, dec, 'cone.ra', 'cone.dec')} AS {distance}"
    found = (
        f"SELECT {_without_placeholders(select)}"
        f" FROM (SELECT %s::float8 AS ra, %s::float8 AS dec) cone, {_rows_in_ranges(table)}"
    )
    low, high = _bounds(ranges)
    limit = 0 if request.radius == 0 else request.maxrec + 1
    # OFFSET 0 keeps the distance from being computed at every mention.
    nearest = f"SELECT * FROM ({found} OFFSET 0) AS found WHERE {distance} <= %s::float8 ORDER BY {distance} LIMIT %s"
    parameters = (request.ra, request.dec, low, high, request.radius, limit)
    return Statement(nearest, columns, parameters, small=True)


def _cells(table: Table, request: ConeRequest, columns: tuple[Column, ...]) -> Statement:
    """All rows: many as they arrive, very many by COPY."""
    expected = expected_rows(table, request)
    ranges = cone_ranges(request.ra, request.dec, request.radius, 3 if expected <= _COARSE else 4)
    # A field is at most 12 bytes as it comes, if it is no text; a third of the rows of the cells are not in the cone.
    if expected * (7 + 12 * len(columns)) * 1.5 > AT_ONCE:
        rows = f"SELECT {_select_list(columns)} FROM {_name(table)} e WHERE {in_ranges('e.hpx', ranges)}"
        return Statement(rows, columns)
    rows = f"SELECT {_without_placeholders(_select_list(columns))} FROM {_rows_in_ranges(table)}"
    return Statement(rows, columns, _bounds(ranges), small=True, many=True)


def _rows_in_ranges(table: Table) -> str:
    """The rows `e` in ranges of the index, whose lower and upper bounds are two parameters."""
    # OFFSET 0 keeps the planner from joining by anything but the index, whatever it estimates.
    rows = f"SELECT * FROM {_name(table)} WHERE hpx >= g.low AND hpx < g.high OFFSET 0"
    return f"unnest(%s::int8[], %s::int8[]) g (low, high) CROSS JOIN LATERAL ({_without_placeholders(rows)}) e"


def _bounds(ranges: Ranges) -> tuple[str, str]:
    """Lower and upper bounds as arrays, in text: the driver would look at every number for the least type of all."""
    low, high = ("{" + ",".join(map(str, bounds)) + "}" for bounds in ranges.T.tolist())
    return low, high


def _without_placeholders(sql: str) -> str:
    """A per cent sign in a name would be one to the driver."""
    return sql.replace("%", "%%")


def _select_list(columns: tuple[Column, ...]) -> str:
    """Columns of the table `e`, as `c1`, `c2`, ..."""
    parts = (f"e.{_quoted(column.name)}::{sql_type(column)}" for column in columns)
    return ", ".join(f"{part} AS c{place}" for place, part in enumerate(parts, start=1))


def _name(table: Table) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
