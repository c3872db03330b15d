"""The coverage of a table in space, time and energy: plain values, and what one can ask of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from vo_service.coverage.axes import PLANCK_TIMES_LIGHT
from vo_service.sky.cover import Ranges, merge
from vo_service.sky.healpix import ORDER, PIXELS
from vo_service.sky.moc import Moc, moc_of_ranges

TIME_ORDER: Final = 61
"""Deepest order of time: its cells are microseconds of TCB since JD 0 (MOC 2.0, section 3.2)."""

EV_IN_JOULE: Final = 1.602176634e-19
"""An electronvolt (exact since 2019)."""

CellRanges = tuple[tuple[int, int], ...]
"""Half-open ranges of cells of the deepest order, sorted, apart from each other."""


@dataclass(frozen=True, slots=True)
class TimeMoc:
    """A set of cells of time: ranges of microseconds (TCB, from JD 0), and the deepest order of its cells, 0 to 61."""

    ranges: CellRanges
    order: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Ranges of time, and the ranges of cells of the sky in which there is something at these times."""

    time: CellRanges
    space: CellRanges


@dataclass(frozen=True, slots=True)
class SpaceTimeMoc:
    """Slices in the order of time, apart from each other, and the deepest orders of their cells."""

    slices: tuple[Slice, ...]
    time_order: int
    space_order: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one table; parts are None where the table has no such axis, or no values on it.

    Attributes
    ----------
    space
        Every row's position is in one of its cells.
    time
        The same for times. Scales that are not known are taken for UTC.
    space_time
        The same for both together; coarser than the two.
    interval
        First and last time, Modified Julian Dates in the scale of the column.
    time_scale
        UTC, TT, TDB, ... or UNKNOWN.
    energies
        Smallest and largest energy, in eV.
    """

    space: Moc | None = None
    time: TimeMoc | None = None
    space_time: SpaceTimeMoc | None = None
    interval: tuple[float, float] | None = None
    time_scale: str | None = None
    energies: tuple[float, float] | None = None

    @property
    def sky_fraction(self) -> float:
        """How much of the sky the cells cover, from 0 to 1."""
        ranges = self.space.ranges if self.space else ()
        return float(sum(last - first for first, last in ranges) / PIXELS)

    @property
    def wavelengths(self) -> tuple[float, float] | None:
        """The energies as wavelengths of photons, in metres, the shortest first."""
        if self.energies is None:
            return None
        low, high = self.energies
        return PLANCK_TIMES_LIGHT / high, PLANCK_TIMES_LIGHT / low

    @property
    def joules(self) -> tuple[float, float] | None:
        """The energies in joules, as VODataService 1.2 has them."""
        return None if self.energies is None else (self.energies[0] * EV_IN_JOULE, self.energies[1] * EV_IN_JOULE)


def moc_of_cells(cells: Iterable[int], order: int) -> Moc:
    """The MOC of these cells of an order."""
    shift = 2 * (ORDER - order)
    return moc_of_ranges(ranges_of_cells(cells, shift), order)


def ranges_of_cells(cells: Iterable[int], shift: int) -> Ranges:
    """The cells, each of 2**shift cells of the deepest order, as merged ranges of these."""
    numbers = np.asarray(list(cells), np.int64)
    return merge(np.column_stack([numbers << shift, (numbers + 1) << shift]))


def degrade(moc: Moc, order: int) -> Moc:
    """The cells of an order that a MOC touches; the MOC itself if it is no deeper than that."""
    if moc.order <= order:
        return moc
    shift = 2 * (ORDER - order)
    outwards = np.array([0, (1 << shift) - 1])
    return moc_of_ranges(merge(((moc.array + outwards) >> shift) << shift), order)


def as_ranges(ranges: Ranges) -> CellRanges:
    """The ranges as plain numbers."""
    return tuple((first, last) for first, last in ranges.tolist())
