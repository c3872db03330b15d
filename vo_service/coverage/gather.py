"""Gathering what rows cover as they go by on their way into the database, in any order and number.

Cells are marked in tables of bits of a fixed size. Those of time become larger as the interval of the times grows; as
large cells consist of whole small ones, what comes out does not depend on the order in which the rows came.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vo_service.catalog.model import Table
from vo_service.coverage.axes import MJD_RANGE, Axes, axes_of
from vo_service.coverage.cells import SPACE_BITS, cells_by_order
from vo_service.coverage.model import (
    TIME_ORDER,
    CellRanges,
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

CELLS: Final = 6000
"""Cells of the sky that a MOC has at most, large ones counted as one: its order is the deepest that keeps to it."""

OCCUPIED: Final = 50_000
"""Occupied cells of one order, at most: deeper ones tell little where nearly all of the sky is covered."""

SPACE_ORDERS: Final = range(3, 11)
"""Orders that MOCs of space may have: cells of 7.3 degrees to 3.4 minutes of arc."""

TIME_CELLS: Final = 2048
SLICES: Final = 32
"""Cells of equal length that a time MOC, and the times of a space-time MOC, have at most."""

DEEPEST_TIME: Final = 41
"""Order of time with cells of about a second: no MOC is finer."""

SLICE_SPACE_ORDER: Final = 4
"""Deepest order of space in space-time MOCs: cells of 3.7 degrees."""

_SLICE_CELLS: Final = 12 * 4**SLICE_SPACE_ORDER

Places = NDArray[np.int64]
Cells = NDArray[np.int64]
Extent = tuple[float, float]


class Gathering:
    """The coverage of the rows that have been added, and of those of which `known` is the coverage: its cells count as
    full, so that they stay as large as they are where new ones may be smaller.
    """

    def __init__(self, table: Table, known: Coverage | None = None) -> None:
        known = known or Coverage()
        self._axes: Axes = axes_of(table)
        self._space = _Space(known.space) if self._axes.position else None
        self._times = _Times(self._axes.time.scale, known) if self._axes.time else None
        self._energies = known.energies

    def add(self, places: Places, mjd: Days, energies: NDArray[np.float64]) -> None:
        """Take rows into account.

        Parameters
        ----------
        places
            HEALPix indexes; negative where a row has no position.
        mjd
            Times; NaN, or out of the range of the calendar, where there is none.
        energies
            In the unit of the column. NaN, infinite and not above 0 where there is none.

        Each has as many values as there are rows. Those of an axis that the table has not are not looked at.
        """
        if self._space is not None:
            self._space.add(places)
        if self._times is not None:
            self._times.add(mjd, places if self._space else None)
        if self._axes.energy is not None:
            self._energies = _wider(self._energies, _extent(_within(energies, 0, np.inf), self._axes.energy.ev))

    def coverage(self) -> Coverage:
        """What the rows cover so far."""
        space = self._space.moc() if self._space else None
        if self._times is None or self._axes.time is None:
            return Coverage(space=space, energies=self._energies)
        interval = self._times.interval
        if interval is None:
            return Coverage(space, TimeMoc((), 0), SpaceTimeMoc((), 0, 0) if space else None, energies=self._energies)
        both = self._times.space_time_moc(space.order) if space else None
        return Coverage(space, self._times.moc(), both, interval, self._axes.time.scale, self._energies)


class _Space:
    """Cells of the sky with something in them."""

    _shift: Final = 2 * (ORDER - SPACE_ORDERS[-1])

    def __init__(self, known: Moc | None) -> None:
        self._seen = np.zeros(12 * 4 ** SPACE_ORDERS[-1], bool)
        if known is not None:
            self._seen[_cells(known.ranges, self._shift)] = True

    def add(self, places: Places) -> None:
        if len(places) and places.min() < 0:
            places = places[places >= 0]
        self._seen[places >> self._shift] = True

    def moc(self) -> Moc:
        best = moc_of_cells((), 0)
        for order in SPACE_ORDERS:
            cells = np.flatnonzero(self._seen.reshape(12 * 4**order, -1).any(axis=1))
            if not 0 < len(cells) <= OCCUPIED:
                break
            moc = moc_of_cells(cells, order)
            if sum(map(len, cells_by_order(moc.ranges, ORDER, SPACE_BITS, order).values())) > CELLS:
                break
            best = moc
        return best


class _Times:
    """Cells of time with something in them, and for larger ones ("slices") the cells of the sky in which it is.

    Cells and slices are as small as their greatest number allows for the interval so far. The tables reach beyond the
    interval, so that they are seldom made anew while it grows.
    """

    def __init__(self, scale: str, known: Coverage) -> None:
        self.interval: Extent | None = None
        self._scale = scale
        self._shift = self._slice_shift = TIME_ORDER - DEEPEST_TIME
        self._limits = to_microseconds(np.array(MJD_RANGE), scale).tolist()
        self._first = 0
        self._edges: Days = np.empty(0)
        self._seen = np.zeros(0, bool)
        self._sky = np.zeros((0, _SLICE_CELLS), bool)
        if known.interval is not None and known.time is not None:
            self._remember(known.interval, known.time, known.space_time)

    def _remember(self, interval: Extent, time: TimeMoc, both: SpaceTimeMoc | None) -> None:
        self._shift = self._slice_shift = TIME_ORDER - time.order
        if both is not None:
            self._slice_shift = TIME_ORDER - both.time_order
        self._reach(interval)
        self._seen[_cells(time.ranges, self._shift) - self._first] = True
        for part in both.slices if both is not None else ():
            slices = _cells(part.time, self._slice_shift) - self._first_slice
            self._sky[np.ix_(slices, _cells(part.space, 2 * (ORDER - SLICE_SPACE_ORDER)))] = True

    def add(self, mjd: Days, places: Places | None) -> None:
        if len(mjd) and not (MJD_RANGE[0] <= mjd.min() and mjd.max() <= MJD_RANGE[1]):
            known = (mjd >= MJD_RANGE[0]) & (mjd <= MJD_RANGE[1])
            mjd, places = mjd[known], None if places is None else places[known]
        interval = _wider(self.interval, _extent(mjd))
        if interval is None:
            return
        if interval != self.interval:
            self._reach(interval)
        numbers = self._number(mjd)
        self._seen[numbers] = True
        if places is not None:
            slices = ((numbers + self._first) >> (self._slice_shift - self._shift)) - self._first_slice
            if places.min() < 0:
                slices, places = slices[places >= 0], places[places >= 0]
            self._sky.reshape(-1)[slices * _SLICE_CELLS + (places >> 2 * (ORDER - SLICE_SPACE_ORDER))] = True

    def moc(self) -> TimeMoc:
        cells = np.flatnonzero(self._seen) + self._first
        return TimeMoc(as_ranges(ranges_of_cells(cells, self._shift)), TIME_ORDER - self._shift)

    def space_time_moc(self, order: int) -> SpaceTimeMoc:
        """The space is of this order, if that is not too deep."""
        order = min(order, SLICE_SPACE_ORDER)
        sky: NDArray[np.bool_] = np.any(self._sky.reshape(len(self._sky), 12 * 4**order, -1), axis=2)
        slices = tuple(
            Slice(
                as_ranges(ranges_of_cells([number + self._first_slice], self._slice_shift)),
                moc_of_cells(np.flatnonzero(sky[number]), order).ranges,
            )
            for number in np.flatnonzero(np.any(sky, axis=1)).tolist()
        )
        return SpaceTimeMoc(slices, TIME_ORDER - self._slice_shift, order)

    @property
    def _first_slice(self) -> int:
        return self._first >> (self._slice_shift - self._shift)

    def _number(self, mjd: Days) -> Cells:
        """The places of the cells of times. Rounding at the ends leads to no cell beyond."""
        first, last, cells = self._edges[0], self._edges[-1], len(self._seen)
        # Cells are equally long but for leap seconds, which move an edge by less than a cell.
        numbers: Cells = np.clip((mjd - first) * (cells / (last - first)), 0, cells - 1).astype(np.int64)
        numbers -= mjd < self._edges[numbers]
        numbers += mjd >= self._edges[numbers + 1]
        return np.clip(numbers, 0, cells - 1, out=numbers)

    def _reach(self, interval: Extent) -> None:
        """Make room for an interval that contains the one so far."""
        self.interval = interval
        if len(self._edges) and self._edges[0] <= interval[0] and interval[1] < self._edges[-1]:
            first, last = (self._number(np.array(interval)) + self._first << self._shift).tolist()
        else:
            first, last = to_microseconds(np.array(interval), self._scale).tolist()
        shift = smallest_shift(first, last, TIME_CELLS, self._shift)
        slice_shift = smallest_shift(first, last, SLICES, max(shift, self._slice_shift))
        covered = self._first << self._shift, (self._first + len(self._seen)) << self._shift
        if (shift, slice_shift) == (self._shift, self._slice_shift) and covered[0] <= first and last < covered[1]:
            return
        cells, sky = np.flatnonzero(self._seen) + self._first, np.nonzero(self._sky)
        slices = sky[0] + self._first_slice
        grown, slices_grown = shift - self._shift, slice_shift - self._slice_shift
        self._shift, self._slice_shift = shift, slice_shift
        self._first = max((first >> shift) - TIME_CELLS, self._limits[0] >> shift)
        end = min((last >> shift) + TIME_CELLS, self._limits[1] >> shift) + 1
        self._edges = from_microseconds(np.arange(self._first, end + 1, dtype=np.int64) << shift, self._scale)
        self._seen = np.zeros(end - self._first, bool)
        self._seen[(cells >> grown) - self._first] = True
        self._sky = np.zeros((((end - 1) >> (slice_shift - shift)) - self._first_slice + 1, _SLICE_CELLS), bool)
        self._sky[(slices >> slices_grown) - self._first_slice, sky[1]] = True


def _cells(ranges: CellRanges, shift: int) -> Cells:
    """The cells of 2**shift cells of the deepest order that ranges of these touch."""
    parts = [np.arange(first >> shift, ((last - 1) >> shift) + 1, dtype=np.int64) for first, last in ranges]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def smallest_shift(first: int, last: int, cells: int, least: int) -> int:
    """The smallest shift, from `least` on, by which at most so many cells hold an interval."""
    shift = least
    while (last >> shift) - (first >> shift) >= cells:
        shift += 1
    return shift


def _within(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Those that lie between the two; all of them, as they mostly are, are not copied."""
    if len(values) and low < values.min() and values.max() < high:
        return values
    return values[(values > low) & (values < high)]


def _extent(values: NDArray[np.float64], factor: float = 1.0) -> Extent | None:
    return (float(values.min()) * factor, float(values.max()) * factor) if len(values) else None


def _wider(old: Extent | None, new: Extent | None) -> Extent | None:
    """What holds both."""
    if old is None or new is None:
        return old or new
    return min(old[0], new[0]), max(old[1], new[1])
