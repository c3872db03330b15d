"""MOC files, judged by mocpy: what it reads is what was written."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from erfa import ErfaWarning
from hypothesis import given
from hypothesis import strategies as st
from mocpy import MOC, STMOC, TimeMOC

from vo_service.coverage.cells import SPACE_BITS, TIME_BITS, cells_by_order
from vo_service.coverage.documents import moc_ascii, moc_fits, moc_json
from vo_service.coverage.model import (
    TIME_ORDER,
    Coverage,
    Slice,
    SpaceTimeMoc,
    TimeMoc,
    as_ranges,
    degrade,
    moc_of_cells,
    ranges_of_cells,
)
from vo_service.coverage.times import from_microseconds, from_utc, to_microseconds
from vo_service.sky.moc import Moc, moc_text, parse_moc

CELLS = st.sets(st.integers(0, 12 * 4**6 - 1), min_size=1, max_size=200)
TIMES = st.sets(st.integers(3000, 4000), min_size=1, max_size=60)


def time_moc(cells: set[int], order: int) -> TimeMoc:
    return TimeMoc(as_ranges(ranges_of_cells(cells, TIME_ORDER - order)), order)


@given(CELLS)
def test_mocpy_reads_a_moc_of_space_in_every_form(cells: set[int]) -> None:
    moc = moc_of_cells(cells, 6)
    expected = MOC.from_healpix_cells(np.array(sorted(cells), np.uint64), np.full(len(cells), 6, np.uint8), 6)
    read = MOC.from_fits(io.BytesIO(moc_fits(moc)))
    assert read == expected
    assert read.max_order == 6
    assert MOC.from_string(moc_json(moc), "json") == expected
    assert MOC.from_string(moc_ascii(moc), "ascii") == expected
    assert parse_moc(moc_ascii(moc)) == moc == parse_moc(moc_text(moc))


@given(TIMES)
def test_mocpy_reads_a_moc_of_time_in_every_form(cells: set[int]) -> None:
    moc = time_moc(cells, 25)
    expected = TimeMOC.from_string("25/" + " ".join(map(str, sorted(cells))), "ascii")
    assert TimeMOC.from_fits(io.BytesIO(moc_fits(moc))) == expected
    assert TimeMOC.from_string(moc_json(moc), "json") == expected
    assert TimeMOC.from_string(moc_ascii(moc), "ascii") == expected


def test_mocpy_reads_a_moc_of_space_and_time_in_every_form(tmp_path: Path) -> None:
    slices = tuple(
        Slice(time_moc({time}, 20).ranges, moc_of_cells(cells, 4).ranges)
        for time, cells in ((100, {1, 2, 3, 4}), (102, {1000}), (103, {4, 5, 6, 7}))
    )
    moc = SpaceTimeMoc(slices, 20, 4)
    expected = STMOC.from_string("t20/100 s4/1-4 t20/102 s4/1000 t20/103 s4/4-7", "ascii")
    (tmp_path / "moc.fits").write_bytes(moc_fits(moc))
    assert STMOC.from_fits(tmp_path / "moc.fits") == expected
    assert STMOC.from_string(moc_json(moc), "json") == expected
    assert STMOC.from_string(moc_ascii(moc), "ascii") == expected


def test_mocs_of_nothing_are_read_too(tmp_path: Path) -> None:
    nowhere, never = moc_of_cells((), 3), time_moc(set(), 30)
    assert MOC.from_fits(io.BytesIO(moc_fits(nowhere))).empty()
    assert MOC.from_string(moc_ascii(nowhere), "ascii").empty()
    assert TimeMOC.from_fits(io.BytesIO(moc_fits(never))).empty()
    (tmp_path / "moc.fits").write_bytes(moc_fits(SpaceTimeMoc((), 20, 4)))
    assert STMOC.from_fits(tmp_path / "moc.fits").is_empty()


def test_the_whole_sky_is_twelve_cells() -> None:
    moc = moc_of_cells(range(12 * 4**5), 5)
    assert moc_ascii(moc) == "0/0-11 5/"
    assert Coverage(space=moc).sky_fraction == 1


@given(CELLS)
def test_a_degraded_moc_is_that_of_mocpy(cells: set[int]) -> None:
    moc = moc_of_cells(cells, 6)
    expected = MOC.from_fits(io.BytesIO(moc_fits(moc))).degrade_to_order(3)
    assert MOC.from_fits(io.BytesIO(moc_fits(degrade(moc, 3)))) == expected
    assert degrade(moc, 6) == moc


@given(st.lists(st.integers(0, 2**61), min_size=2, max_size=20, unique=True).filter(lambda edges: len(edges) % 2 == 0))
def test_cells_hold_what_their_ranges_hold(edges: list[int]) -> None:
    ranges = list(zip(*[iter(sorted(edges))] * 2, strict=True))
    cells = cells_by_order(ranges, TIME_ORDER, TIME_BITS, 0)
    held = sum(len(numbers) << (TIME_ORDER - order) for order, numbers in cells.items())
    assert held == sum(last - first for first, last in ranges)
    assert all(numbers == sorted(numbers) for numbers in cells.values())


def test_cells_are_as_large_as_can_be() -> None:
    assert cells_by_order([(0, 4**29)], 29, SPACE_BITS, 7) == {0: [0], 7: []}
    assert cells_by_order([(4, 8), (8, 9)], 29, SPACE_BITS, 29) == {28: [1], 29: [8]}


@pytest.mark.parametrize("scale", ["UTC", "TAI", "TT", "TDB", "TCB", "TCG"])
def test_times_are_those_of_astropy(scale: str) -> None:
    mjd = np.array([41317.0, 55555.123456, 58849.0, 60676.5])
    expected = Time(mjd, format="mjd", scale=scale.lower()).tcb
    found = to_microseconds(mjd, scale)
    days = found / 86_400_000_000
    assert np.abs(days - expected.jd).max() < 1e-9
    assert np.abs(from_microseconds(found, scale) - mjd).max() * 86400 < 5e-6


@pytest.mark.parametrize("days", [0.1, 300, 100_000])
@pytest.mark.parametrize("scale", ["UTC", "TT", "TDB"])
def test_many_times_at_once_are_those_of_astropy(scale: str, days: float) -> None:
    instants = to_microseconds(np.array([57_753.95]), "UTC") + np.linspace(0, days * 86_400e6, 1000).astype(np.int64)
    whole, part = instants // 86_400_000_000, instants % 86_400_000_000 / 86_400e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErfaWarning)
        expected = getattr(Time(whole.astype(float), part, format="jd", scale="tcb"), scale.lower()).mjd
    assert np.abs(from_microseconds(instants, scale) - expected).max() * 86_400 < 2e-5


def test_times_of_gps_and_of_no_known_scale() -> None:
    mjd = np.array([58849.0])
    assert to_microseconds(mjd, "UNKNOWN") == to_microseconds(mjd, "UTC")
    # GPS was 18 s ahead of UTC in 2020.
    assert abs(to_microseconds(mjd, "UTC") - to_microseconds(mjd, "GPS") - 18_000_000) <= 2
    assert abs(from_microseconds(to_microseconds(mjd, "GPS"), "GPS") - mjd)[0] * 86400 < 5e-6


def test_times_beyond_the_tables_of_leap_seconds_make_no_noise() -> None:
    mjd = np.array([30000.0, 90000.0])
    assert np.abs(from_microseconds(to_microseconds(mjd, "UTC"), "UTC") - mjd).max() * 86400 < 5e-6


def test_energies_as_wavelengths_and_joules() -> None:
    coverage = Coverage(energies=(1e9, 1e15))
    low, high = (1e9 * u.eV, 1e15 * u.eV)
    assert coverage.wavelengths is not None
    assert coverage.joules is not None
    assert coverage.wavelengths == pytest.approx([e.to_value(u.m, u.spectral()) for e in (high, low)], rel=1e-9)
    assert coverage.joules == pytest.approx([low.to_value(u.J), high.to_value(u.J)], rel=1e-12)
    assert Coverage().wavelengths is None


def test_a_moc_deeper_than_its_cells_keeps_its_order() -> None:
    moc = Moc(moc_of_cells([0, 1, 2, 3], 5).ranges, 8)
    assert moc_ascii(moc) == "4/0 8/"
    assert moc_json(moc) == '{"4":[0],"8":[]}'


def test_utc_in_other_scales() -> None:
    assert from_utc(57000.0, "TT") == pytest.approx(Time(57000.0, format="mjd", scale="utc").tt.mjd, abs=1e-9)
    assert from_utc(57000.0, "UTC") == 57000.0
    assert from_utc(np.inf, "TDB") == np.inf
