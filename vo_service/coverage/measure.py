"""Measuring the coverage of a table that is there already, by SQL: tables that grow while the service runs, and those
that were loaded before coverage was gathered (`gather`). Memory and answers stay small whatever the number of rows.

Cells of the sky are found by jumping along the index of the HEALPix column from one occupied cell to the next: the work
grows with the number of cells, not of rows. Times and energies have no index that one could count on: they cost two
readings of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
from psycopg import sql

from vo_service.catalog.model import HPX_COLUMN, Column, Table
from vo_service.coverage.axes import MJD_RANGE, EnergyAxis, TimeAxis, axes_of
from vo_service.coverage.cells import SPACE_BITS, cells_by_order
from vo_service.coverage.gather import (
    CELLS,
    DEEPEST_TIME,
    OCCUPIED,
    SLICE_SPACE_ORDER,
    SLICES,
    SPACE_ORDERS,
    TIME_CELLS,
    smallest_shift,
)
from vo_service.coverage.model import (
    TIME_ORDER,
    Coverage,
    Slice,
    SpaceTimeMoc,
    TimeMoc,
    as_ranges,
    moc_of_cells,
    ranges_of_cells,
)
from vo_service.coverage.times import Days, from_microseconds, to_microseconds
from vo_service.sky.healpix import ORDER
from vo_service.sky.moc import Moc

Connection = psycopg.Connection[Any]


def measure(connection: Connection, table: Table) -> Coverage:
    """What the rows of a table cover at this moment, seen by this transaction."""
    name = sql.Identifier(*table.sql_name)
    axes = axes_of(table)
    mjd = _mjd(table, axes.time) if axes.time else None
    interval, energies = _extents(connection, name, mjd, _energy(table, axes.energy) if axes.energy else None)
    space = _space(connection, name, table)
    if axes.time is None or mjd is None:
        return Coverage(space=space, energies=energies)
    if interval is None:
        return Coverage(space, TimeMoc((), 0), SpaceTimeMoc((), 0, 0) if space else None, None, None, energies)
    time, space_time = _times(connection, name, mjd, _bins(interval, axes.time.scale), space)
    return Coverage(space, time, space_time, interval, axes.time.scale, energies)


def _space(connection: Connection, name: sql.Identifier, table: Table) -> Moc | None:
    if table.position is None:
        return None
    best = moc_of_cells((), 0)
    for order in SPACE_ORDERS:
        cells = _occupied(connection, name, order)
        if not cells or len(cells) > OCCUPIED:
            break
        moc = moc_of_cells(cells, order)
        if sum(map(len, cells_by_order(moc.ranges, ORDER, SPACE_BITS, order).values())) > CELLS:
            break
        best = moc
    return best


_JUMPS: Final = """
    WITH RECURSIVE occupied (cell) AS (
        (SELECT {hpx} >> {shift} FROM {table} WHERE {hpx} IS NOT NULL ORDER BY {hpx} LIMIT 1)
        UNION ALL
        SELECT (SELECT {hpx} >> {shift} FROM {table} WHERE {hpx} >= (cell + 1) << {shift} ORDER BY {hpx} LIMIT 1)
        FROM occupied WHERE cell IS NOT NULL
    )
    SELECT cell FROM occupied WHERE cell IS NOT NULL LIMIT {limit}
"""


def _occupied(connection: Connection, name: sql.Identifier, order: int) -> list[int]:
    """The cells of an order with rows in them, sorted; one more than OCCUPIED if there are too many."""
    rows = connection.execute(
        sql.SQL(_JUMPS).format(
            hpx=sql.Identifier(HPX_COLUMN), table=name, shift=sql.Literal(2 * (ORDER - order)), limit=OCCUPIED + 1
        )
    )
    return [cell for (cell,) in rows]


def _mjd(table: Table, axis: TimeAxis) -> sql.Composed:
    """The Modified Julian Date of a row in SQL; NULL for times that are none."""
    mjd = "{time}::double precision" if axis.is_mjd else "extract(epoch FROM {time})::double precision / 86400 + 40587"
    known = sql.SQL("CASE WHEN " + mjd + " BETWEEN {first} AND {last} THEN " + mjd + " END")
    first, last = map(sql.Literal, MJD_RANGE)
    return known.format(time=_sql_column(table, axis.column), first=first, last=last)


def _sql_column(table: Table, column: Column) -> sql.Identifier:
    return sql.Identifier(table.sql_columns[table.columns.index(column)])


Extent = tuple[float, float] | None


def _extents(connection: Connection, name: sql.Identifier, *values: sql.Composed | None) -> tuple[Extent, ...]:
    """The smallest and the largest of each of these values; None where there is none."""
    asked = [value for value in values if value is not None]
    if not asked:
        return (None,) * len(values)
    extremes = sql.SQL(", ").join(sql.SQL("min({0}), max({0})").format(value) for value in asked)
    found = iter(connection.execute(sql.SQL("SELECT {} FROM {}").format(extremes, name)).fetchone() or ())
    return tuple(None if value is None else _extent(next(found), next(found)) for value in values)


def _extent(low: float | None, high: float | None) -> Extent:
    return None if low is None or high is None else (float(low), float(high))


@dataclass(frozen=True, slots=True)
class _Bins:
    """Cells of time of one order that hold an interval: the number of the first, and the edges of all as MJD.

    `slice_shift` is by how many orders the cells of time in space-time MOCs are larger.
    """

    order: int
    first: int
    edges: Days
    slice_shift: int

    @property
    def shift(self) -> int:
        return TIME_ORDER - self.order

    def number(self, mjd: sql.Composed) -> sql.Composed:
        """The place of a time's cell among them in SQL, from 1. Rounding at the ends leads to no cell beyond."""
        bucket = "least(greatest(width_bucket({}, {}::double precision[]), 1), {})"
        return sql.SQL(bucket).format(mjd, sql.Literal(self.edges.tolist()), sql.Literal(len(self.edges) - 1))


def _bins(interval: tuple[float, float], scale: str) -> _Bins:
    first, last = to_microseconds(np.array(interval), scale).tolist()
    shift = smallest_shift(first, last, TIME_CELLS, TIME_ORDER - DEEPEST_TIME)
    numbers = np.arange(first >> shift, (last >> shift) + 2, dtype=np.int64)
    slice_shift = smallest_shift(first, last, SLICES, shift) - shift
    return _Bins(TIME_ORDER - shift, first >> shift, from_microseconds(numbers << shift, scale), slice_shift)


_OCCUPIED_TIMES: Final = """
    SELECT time, slice, cell
    FROM (SELECT number AS time, number >> {shift} AS slice, cell
          FROM (SELECT {first} + {bin} - 1 AS number, {cell} AS cell FROM {table} WHERE {mjd} IS NOT NULL) t) t
    GROUP BY GROUPING SETS ((time), (slice, cell))
"""


def _times(
    connection: Connection, name: sql.Identifier, mjd: sql.Composed, bins: _Bins, space: Moc | None
) -> tuple[TimeMoc, SpaceTimeMoc | None]:
    """The MOC of time, and that of both: by one reading, as the cells of time of the one are parts of the other's."""
    order = min(space.order, SLICE_SPACE_ORDER) if space else 0
    cell = sql.SQL("{} >> {}").format(sql.Identifier(HPX_COLUMN), sql.Literal(2 * (ORDER - order)))
    rows = connection.execute(
        sql.SQL(_OCCUPIED_TIMES).format(
            shift=sql.Literal(bins.slice_shift),
            first=sql.Literal(bins.first),
            bin=bins.number(mjd),
            cell=cell if space else sql.SQL("NULL::bigint"),
            table=name,
            mjd=mjd,
        )
    )
    times: list[int] = []
    slices: dict[int, list[int]] = {}
    for time, number, place in rows:
        if time is not None:
            times.append(time)
        elif place is not None:
            slices.setdefault(number, []).append(place)
    moc = TimeMoc(as_ranges(ranges_of_cells(times, bins.shift)), bins.order)
    return moc, _space_time(slices, bins, order) if space else None


def _space_time(slices: dict[int, list[int]], bins: _Bins, order: int) -> SpaceTimeMoc:
    shift = bins.shift + bins.slice_shift
    found = (
        Slice(as_ranges(ranges_of_cells([number], shift)), moc_of_cells(cells, order).ranges)
        for number, cells in sorted(slices.items())
    )
    return SpaceTimeMoc(tuple(found), TIME_ORDER - shift, order)


def _energy(table: Table, axis: EnergyAxis) -> sql.Composed:
    """The energy of a row in eV, in SQL; NULL where there is none above 0."""
    value = sql.SQL("{}::double precision").format(_sql_column(table, axis.column))
    positive = "CASE WHEN {0} > 0 AND {0} < 'infinity' THEN {0} * {1} END"
    return sql.SQL(positive).format(value, sql.Literal(axis.ev))
