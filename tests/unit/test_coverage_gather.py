"""Coverage gathered from rows as they go by."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vo_service.catalog.model import Column, Position, Table
from vo_service.coverage import gather
from vo_service.coverage.axes import MJD_RANGE
from vo_service.coverage.gather import Gathering
from vo_service.coverage.model import TIME_ORDER, Coverage, as_ranges, ranges_of_cells
from vo_service.coverage.times import to_microseconds
from vo_service.sky.healpix import hpx

Rows = NDArray[np.int64]

TABLE = Table(
    schema="sky",
    name="events",
    columns=(
        Column("ra", "double", unit="deg"),
        Column("dec", "double", unit="deg"),
        Column("mjd", "double", unit="d", ucd="time.epoch", description="MJD, UTC"),
        Column("energy", "double", unit="TeV", ucd="phys.energy"),
    ),
    position=Position("ra", "dec"),
    epoch_column="mjd",
)
RNG = np.random.default_rng(7)
PLACES = hpx(RNG.uniform(20, 60, 4000), RNG.uniform(-10, 30, 4000))
MJD = np.sort(RNG.uniform(54_000, 58_000, 4000))
ENERGIES = RNG.lognormal(0, 1, 4000)


def gathered(order: Rows, size: int, known: Coverage | None = None) -> Coverage:
    gathering = Gathering(TABLE, known)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        gathering.add(PLACES[rows], MJD[rows], ENERGIES[rows])
    return gathering.coverage()


@pytest.mark.parametrize("size", [1, 77, 4000])
def test_rows_may_come_in_any_order(size: int) -> None:
    inwards = np.arange(4000)
    expected = gathered(inwards, 500)
    assert expected.interval == (MJD[0], MJD[-1])
    assert expected.energies == pytest.approx((ENERGIES.min() * 1e12, ENERGIES.max() * 1e12))
    assert gathered(RNG.permutation(4000), size) == expected
    assert gathered(inwards[::-1], size) == expected


def test_what_is_known_stays_covered() -> None:
    rows = np.arange(4000)
    first, whole = gathered(rows[:3000], 500), gathered(rows, 500)
    both = gathered(rows[3000:], 500, first)
    assert (both.time, both.interval, both.energies) == (whole.time, whole.interval, whole.energies)
    assert both.space is not None
    assert both.space_time is not None
    assert inside(both.space.ranges, PLACES).all()
    times = to_microseconds(MJD, "UTC")
    found = np.zeros(4000, bool)
    for part in both.space_time.slices:
        found |= inside(part.time, times) & inside(part.space, PLACES)
    assert found.all()


@pytest.mark.parametrize("extent", [(57_753.98, 57_754.02), (57_753, 57_755), (41_000, 62_000)])
def test_cells_of_time_with_leap_seconds_between_them(extent: tuple[float, float]) -> None:
    mjd = RNG.uniform(*extent, 1000)
    gathering = Gathering(TABLE)
    gathering.add(PLACES[:1000], mjd, ENERGIES[:1000])
    moc = gathering.coverage().time
    assert moc is not None
    shift = TIME_ORDER - moc.order
    assert moc.ranges == as_ranges(ranges_of_cells(np.unique(to_microseconds(mjd, "UTC") >> shift), shift))


def inside(ranges: tuple[tuple[int, int], ...], numbers: Rows) -> NDArray[np.bool_]:
    edges = np.array(ranges).reshape(-1)
    return np.asarray(np.searchsorted(edges, numbers, side="right") % 2 == 1)


def test_rows_without_values() -> None:
    gathering = Gathering(TABLE)
    assert gathering.coverage().interval is None
    gathering.add(np.array([-1, -1]), np.array([np.nan, 1e12]), np.array([np.nan, -1.0]))
    assert gathering.coverage() == Gathering(TABLE).coverage()
    gathering.add(np.array([-1, 5]), np.array([58_000.0, np.inf]), np.array([np.inf, 2.0]))
    coverage = gathering.coverage()
    assert (coverage.interval, coverage.energies) == ((58_000, 58_000), (2e12, 2e12))
    assert coverage.space is not None
    assert coverage.space.ranges == ((0, 1 << 2 * (29 - gather.SPACE_ORDERS[-1])),)


def test_the_ends_of_the_calendar() -> None:
    gathering = Gathering(TABLE)
    for mjd in MJD_RANGE:
        gathering.add(np.array([5]), np.array([mjd]), np.array([1.0]))
    assert gathering.coverage().interval == MJD_RANGE
