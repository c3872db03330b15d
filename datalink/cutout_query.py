"""A cut-out as SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from psycopg import sql

from datalink.cutout_request import CutoutRequest, Interval
from datalink.identifiers import Target
from vo_service.catalog.model import HPX_COLUMN
from vo_service.coverage.axes import MJD_RANGE, axes_of
from vo_service.coverage.times import from_utc
from vo_service.database.arrow import sql_type
from vo_service.database.statement import Statement
from vo_service.sky.predicates import array, literal, within_cone, within_shape
from vo_service.sky.shapes import Polygon, Shape

_MJD_BEGIN = datetime(1858, 11, 17)


def cutout_statement(target: Target, request: CutoutRequest) -> Statement:
    """The statement that answers a request; one row more than MAXREC shows an overflow."""
    table = target.table
    columns = ", ".join(f"e.{_quoted(column.name)}::{sql_type(column)}" for column in table.columns)
    where = " AND ".join(_conditions(target, request)) or "TRUE"
    name = sql.Identifier(table.schema, table.name).as_string(None)
    text = f"SELECT {columns} FROM {name} e WHERE {where} LIMIT {request.maxrec + 1}"
    return Statement(text, table.columns, sources=(table,))


def _conditions(target: Target, request: CutoutRequest) -> Iterator[str]:
    table = target.table
    axes = axes_of(table)
    if target.key is not None and table.primary_key is not None:
        column = table.column(table.primary_key)
        yield f"e.{_quoted(column.name)} = {_text(target.key)}::{sql_type(column)}"
    if request.shape is not None and axes.position is not None:
        yield _within(request.shape, f"e.{_quoted(axes.position.ra)}", f"e.{_quoted(axes.position.dec)}")
    if request.time is not None and axes.time is not None:
        bound = literal if axes.time.is_mjd else _timestamp
        low, high = (from_utc(mjd, axes.time.scale) for mjd in request.time)
        yield from _between(f"e.{_quoted(axes.time.column.name)}", (low, high), bound)
    if request.energy is not None and axes.energy is not None:
        yield from _between(f"e.{_quoted(axes.energy.column.name)}", request.energy, literal)


def _within(shape: Shape, ra: str, dec: str) -> str:
    hpx = f"e.{HPX_COLUMN}"
    if isinstance(shape, Polygon):
        # The plane of a constant polygon is computed once, when the query is planned.
        exact = f"adql.in_plane({ra}, {dec}, adql.polygon_plane({array(shape.numbers)}))"
        return within_shape(hpx, exact, shape)
    return within_cone(hpx, ra, dec, shape.ra, shape.dec, shape.radius)


def _between(value: str, interval: Interval, bound: Callable[[float], str]) -> Iterator[str]:
    """Conditions for both ends of an interval, open ones too: PostgreSQL takes NaN for the largest of all numbers."""
    low, high = interval
    yield f"{value} >= {bound(low)}"
    yield f"{value} <= {bound(high)}"


def _timestamp(mjd: float) -> str:
    """The time of a Modified Julian Date as a literal."""
    low, high = MJD_RANGE
    return _text((_MJD_BEGIN + timedelta(days=min(max(mjd, low), high))).isoformat()) + "::timestamp"


def _text(value: str) -> str:
    return sql.Literal(value).as_string(None)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
