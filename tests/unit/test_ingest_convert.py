"""From the values of a file to those that are stored, and what is refused on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from vo_service.catalog.description_input import ColumnSource, PositionSource, Rank
from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_type
from vo_service.errors import IngestError
from vo_service.ingest.convert import convert
from vo_service.ingest.flaws import Flaws
from vo_service.ingest.position import check_position, to_icrs
from vo_service.ingest.rank import rank_column, rank_rows


def stored(
    values: pa.Array, column: Column, *, null: tuple[str, ...] = (), factor: float = 1, element: int | None = None
) -> tuple[list[Any], list[tuple[int, str]]]:
    """What is stored, and the flaws."""
    flaws = Flaws(len(values))
    found = convert(values, column, ColumnSource("x", null, factor=factor), element, flaws)
    assert found.type == arrow_type(column)
    return found.to_pylist(), list(flaws.first(100))


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        ("int", ["1", None, "-7"], [1, None, -7]),
        ("int", [" 1", "+2 ", "3.0", "4e2", "nan", "  "], [1, 2, 3, 400, None, None]),
        ("long", ["9223372036854775807", "-9223372036854775808", "5.0"], [2**63 - 1, -(2**63), 5]),
        ("short", ["-32768", "32767"], [-32768, 32767]),
        ("unsignedByte", ["0", "255"], [0, 255]),
        ("double", ["1.5", ".5", "5.", "-1e-3", "NaN", "+7", " 8"], [1.5, 0.5, 5.0, -1e-3, None, 7.0, 8.0]),
        ("double", ["inf", "-Infinity"], [np.inf, -np.inf]),
        ("float", ["0.1", "1e-60"], [np.float32(0.1), 0.0]),
        ("boolean", ["TRUE", "f", "no", "1", None, " Yes"], [True, False, False, True, None, True]),
    ],
)
def test_texts_that_spell_values(datatype: str, values: list[str | None], expected: list[Any]) -> None:
    assert stored(texts(*values), Column("x", datatype)) == (expected, [])


@pytest.mark.parametrize(
    ("datatype", "bad", "reason"),
    [
        ("int", "1.5", "x: 1.5 does not fit int"),
        ("int", "abc", "x: 'abc' is not a number; if it stands for a missing value, say so (source: null:)"),
        ("int", "", "x: '' is not a number"),
        ("int", "1_000", "x: '1_000' is not a number"),
        ("int", "٣", "x: '٣' is not a number"),
        ("int", "2147483648", "x: 2147483648 does not fit int"),
        ("unsignedByte", "-1", "x: -1 does not fit unsignedByte"),
        ("unsignedByte", "256", "x: 256 does not fit unsignedByte"),
        ("short", "1e9", "x: 1000000000 does not fit short"),
        ("long", "9223372036854775808", "x: 9223372036854775808 does not fit long"),
        ("long", "1e400", "x: 1e400 does not fit long"),
        ("double", "1e400", "x: 1e400 is beyond the largest double"),
        ("double", "12:30:00", "x: '12:30:00' is not a number"),
        ("float", "1e39", "x: 1e+39 does not fit float"),
        ("boolean", "maybe", "x: 'maybe' is neither true nor false"),
    ],
)
def test_texts_that_do_not(datatype: str, bad: str, reason: str) -> None:
    good = "1"
    values, flaws = stored(texts(good, bad, good), Column("x", datatype))
    if bad == "":
        # Readers of text give None for an empty field; a quoted one is nothing either, once blanks are taken off.
        assert (values[1], flaws) == (None, [])
        return
    assert [place for place, _ in flaws] == [1]
    assert flaws[0][1].startswith(reason)
    assert values == [1, None, 1]


@pytest.mark.parametrize(
    ("datatype", "values", "expected", "flawed"),
    [
        ("int", pa.array([1.0, 1.5, None, np.nan]), [1, None, None, None], [1]),
        ("short", pa.array([1, 40_000, -40_000]), [1, None, None], [1, 2]),
        ("long", pa.array([0, 2**63, 2**64 - 1], pa.uint64()), [0, None, None], [1, 2]),
        ("long", pa.array([2.0**62, 2.0**63, -(2.0**63)]), [2**62, None, -(2**63)], [1]),
        ("double", pa.array([2**53, None]), [2.0**53, None], []),
        ("float", pa.array([1e300, np.inf, 0.1, np.nan]), [None, np.inf, np.float32(0.1), None], [0]),
        ("double", pa.array(["1.5"]).dictionary_encode(), [1.5], []),
        ("double", pa.array([True, False]), [1.0, 0.0], []),
        ("boolean", pa.array([True, None]), [True, None], []),
        ("boolean", pa.array([0, 1, 2]), [False, True, None], [2]),
        ("unsignedByte", pa.array([-1, 0, 255, 256], pa.int16()), [None, 0, 255, None], [0, 3]),
    ],
)
def test_numbers(datatype: str, values: pa.Array, expected: list[Any], flawed: list[int]) -> None:
    found, flaws = stored(values, Column("x", datatype))
    assert [place for place, _ in flaws] == flawed
    assert [None if row in flawed else value for row, value in enumerate(found)] == expected


def test_missing_values_have_to_be_declared() -> None:
    column = Column("x", "double")
    assert stored(texts("-999", "-999.0", "NA", "1"), column, null=("-999", "NA"))[0] == [None, None, None, 1.0]
    assert stored(pa.array([-999.1, 1], pa.float32()), column, null=("-999.1",))[0] == [None, 1.0]
    assert stored(pa.array([-999, 1]), Column("x", "int"), null=("-999", ""))[0] == [None, 1]
    assert stored(texts("None", "-999"), Column("x", "char", "*"), null=("None",))[0] == [None, "-999"]
    assert stored(texts("x", "T"), Column("x", "boolean"), null=("x",)) == ([None, True], [])
    values, flaws = stored(texts("-999"), column)
    assert (values, flaws) == ([-999.0], [])


def test_missing_values_are_compared_before_units() -> None:
    found, _ = stored(pa.array([-999.0, np.pi]), Column("x", "double"), null=("-999",), factor=180 / np.pi)
    assert found == [None, pytest.approx(180)]


@given(
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), max_size=30),
    st.sampled_from(["short", "int", "long"]),
)
def test_integers_are_the_same_or_a_flaw(values: list[int | None], datatype: str) -> None:
    limit = {"short": 2**15, "int": 2**31, "long": 2**63}[datatype]
    for array in (pa.array(values, pa.int64()), pa.array([None if v is None else str(v) for v in values], pa.string())):
        found, flaws = stored(array, Column("x", datatype))
        flawed = {place for place, _ in flaws}
        for row, (before, after) in enumerate(zip(values, found, strict=True)):
            fits = before is None or -limit <= before < limit
            assert (row in flawed) != fits
            assert after == (before if fits else None) or row in flawed


@given(st.lists(st.floats(width=64), max_size=30))
def test_doubles_survive_as_text(values: list[float]) -> None:
    found, flaws = stored(pa.array([repr(value) for value in values], pa.string()), Column("x", "double"))
    assert flaws == []
    assert found == [None if np.isnan(value) else value for value in values]


@pytest.mark.parametrize(
    ("column", "good", "bad", "reason"),
    [
        (Column("x", "char", "*"), "abc", "Größe", "x: 'Größe' is not ASCII, as char is; declare datatype: unicode"),
        (Column("x", "char", "*"), "abc", "a\0b", "x: 'a\\x00b' contains NUL"),
        (Column("x", "char", "3"), "abc", "abcd", "x: 'abcd' is longer than 3 characters"),
        (Column("x", "unicodeChar", "3*"), "äöü", "äöüß", "x: 'äöüß' is longer than 3 characters"),
        (Column("x", "char", "*", "timestamp"), "2026-11-21", "21.11.2026", "x: '21.11.2026' is no time such as"),
        (Column("x", "char", "*", "timestamp"), "2026-11-21T01:02:03Z", "2026-13-01", "x: '2026-13-01' is no time"),
    ],
)
def test_strings_and_times(column: Column, good: str, bad: str, reason: str) -> None:
    values, flaws = stored(texts(good, bad, None), column)
    assert values[0] is not None
    assert values[2] is None
    assert [place for place, _ in flaws] == [1]
    assert flaws[0][1].startswith(reason)


def test_integers_as_strings() -> None:
    assert stored(pa.array([12, None]), Column("x", "char", "*")) == (["12", None], [])
    with pytest.raises(IngestError, match=r"Column 'x' \(char\): the file has double values"):
        stored(pa.array([1.5]), Column("x", "char", "*"))


def test_times_in_many_spellings() -> None:
    column = Column("x", "char", "*", "timestamp")
    moment = datetime(2026, 11, 21, 1, 2, 3, 456789)
    spellings = ["2026-11-21T01:02:03.456789", "2026-11-21 01:02:03.456789Z", " 2026-11-21T01:02:03.456789123 "]
    assert stored(texts(*spellings, None, ""), column) == ([moment] * 3 + [None, None], [])
    assert stored(texts("2026-11-21"), column)[0] == [datetime(2026, 11, 21)]
    aware = pa.array([moment.replace(tzinfo=UTC)], pa.timestamp("ns", "Europe/Paris"))
    assert stored(aware, column) == ([moment], [])
    with pytest.raises(IngestError, match="the file has int64 values where times in ISO 8601 are expected"):
        stored(pa.array([5]), column)


def test_lists() -> None:
    values = pa.array([[1.0, 2.0], None, [3.0, np.nan]])
    found, flaws = stored(values, Column("x", "float", "2"))
    assert (found[:2], flaws) == ([[1.0, 2.0], None], [])
    assert np.isnan(found[2][1])
    assert stored(pa.array([[1, 2], [300]]), Column("x", "unsignedByte", "*")) == (
        [b"\x01\x02", b"\x2c"], [(1, "x: a value does not fit unsignedByte")],
    )  # fmt: skip
    assert stored(pa.array([[True, False]]), Column("x", "boolean", "2")) == ([[True, False]], [])
    fixed = pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2))
    assert stored(fixed.slice(1), Column("x", "short", "2"), factor=1) == ([[3, 4]], [])


@pytest.mark.parametrize(
    ("arraysize", "lengths"),
    [("2", [2]), ("2*", [0, 1, 2]), ("*", [0, 1, 2, 3, 4]), ("2x2", [4]), ("2x*", [0, 2, 4])],
)
def test_lengths_of_lists(arraysize: str, lengths: list[int]) -> None:
    _, flaws = stored(pa.array([[1] * length for length in range(5)]), Column("x", "int", arraysize))
    assert sorted(set(range(5)) - {place for place, _ in flaws}) == lengths


def test_one_of_several_values() -> None:
    values = pa.array([[1.0, 2.0], [], None, [3.0]])
    column = Column("x", "double")
    with pytest.raises(IngestError, match="several values per row; say which one is meant"):
        stored(values, column)
    assert stored(values, column, element=0)[0] == [1.0, None, None, 3.0]
    assert stored(values, column, element=1)[0] == [2.0, None, None, None]
    assert stored(values.slice(3), column, element=0)[0] == [3.0]


# Positions -----------------------------------------------------------------------------------------------------------


def test_positions_in_range() -> None:
    ra = np.array([0.0, 360.0, 359.999, -1e-10, 360 + 1e-10, -0.1, 360.1, 10, 10, np.inf, 5])
    dec = np.array([0.0, 0.0, 90.0, -90.0, 90 + 1e-10, 0, 0, 90.1, -91, 0, 0])
    missing = np.array([False] * 10 + [True])
    flaws = Flaws(len(ra))
    found_ra, found_dec = check_position(ra, dec, missing, flaws)
    assert flaws.bad.tolist() == [False] * 5 + [True] * 6
    assert found_ra[:5].tolist() == [0.0, 0.0, 359.999, 0.0, 0.0]
    assert found_dec[:5].tolist() == [0.0, 0.0, 90.0, -90.0, 90.0]
    assert next(flaws.first(1)) == (5, "RA -0.1, Dec 0.0 is out of range (0 to 360, -90 to 90 degrees)")
    assert list(flaws.first(20))[-1] == (10, "it has no position")


@pytest.mark.parametrize("frame", ["icrs", "fk5", "galactic"])
@pytest.mark.parametrize("unit", ["deg", "rad", "hourangle"])
def test_other_frames_and_units(frame: Any, unit: Any) -> None:  # noqa: ANN401
    random = np.random.default_rng(1)
    places = SkyCoord(random.uniform(0, 360, 200), random.uniform(-90, 90, 200), unit="deg").transform_to(frame)
    longitude, latitude = places.spherical.lon, places.spherical.lat
    if frame == "galactic":
        longitude = longitude.wrap_at(180 * u.deg)
    lon = longitude.to_value(unit)
    lat = latitude.to_value("deg" if unit == "hourangle" else unit)
    flaws = Flaws(200)
    source = PositionSource("l", "b", frame, unit)
    ra, dec = check_position(*to_icrs(lon, lat, np.zeros(200, bool), source, flaws), np.zeros(200, bool), flaws)
    assert not flaws.bad.any()
    assert places.separation(SkyCoord(ra, dec, unit="deg")).mas.max() < 0.01


def test_other_coordinates_out_of_range() -> None:
    flaws = Flaws(4)
    lon, lat = np.array([7.0, 1.0, -3.2, np.nan]), np.array([0.0, 1.6, 0.0, 0.0])
    to_icrs(lon, lat, np.array([False, False, False, True]), PositionSource("l", "b", unit="rad"), flaws)
    assert [reason for _, reason in flaws.first(5)] == [
        "l, b: 7.0, 0.0 rad is no place on the sky", "l, b: 1.0, 1.6 rad is no place on the sky",
        "l, b: -3.2, 0.0 rad is no place on the sky",
    ]  # fmt: skip


# Ranks ---------------------------------------------------------------------------------------------------------------


def test_ranks() -> None:
    ranks = rank_rows([pa.array([5.0, 1.0, np.nan]), pa.array([None, 1.0, 3.0])])
    assert ranks.tolist() == [4, 1, 0, 0, 2, 3]
    assert rank_rows([texts("10", " 9 ", None)]).tolist() == [2, 1, 0]
    assert rank_column(ranks, Rank("x", "A", 3, "z"), pa.string()).to_pylist() == [
        "A004z", "A001z", None, None, "A002z", "A003z",
    ]  # fmt: skip
    assert rank_column(ranks, Rank("x"), pa.int32()).to_pylist() == [4, 1, None, None, 2, 3]
    assert rank_column(np.array([12345]), Rank("x", "A", 3), pa.string()).to_pylist() == ["A12345"]
