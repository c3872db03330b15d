"""FITS: what headers say, what stands for NULL, how strings and arrays are laid out; as astropy reads it."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Table

from tests.support.columns import SAMPLES, Values, array_of, batch_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats import fits_fields
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format


def document(column: Column, values: Values) -> bytes:
    batch = pa.RecordBatch.from_arrays([array_of(column, values)], names=[column.name])
    return written(find_format("fits").writer(ResultTable((column,))), batch)


def header_of(data: bytes) -> fits.Header:
    with fits.open(io.BytesIO(data)) as hdus:
        hdus.verify("exception")
        return hdus[1].header


def values_of(data: bytes) -> list[Any]:
    (column,) = Table.read(io.BytesIO(data)).itercols()
    return column.tolist()  # type: ignore[no-any-return]


TABLE = ResultTable(
    (
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", utype="a:b.c", description="Länge " * 30),
        Column("time", "char", "*", xtype="timestamp", description="UTC"),
        Column("matrix", "int", "2x3"),
    ),
    name="events",
    description="Neutrinos,\nall of them",
    infos=(Info("publisher", "Å & B"), Info("citation", "doi:10.1/x", "please"), Info("query", "SELECT " * 50)),
)


def test_header() -> None:
    rows = batch_of({column: [None] for column in TABLE.columns}, 1)
    header = header_of(written(find_format("fits").writer(TABLE), rows))
    assert (header["EXTNAME"], header["NAXIS2"], header["RADESYS"], header["TIMESYS"]) == ("events", 1, "ICRS", "UTC")
    assert (header["TTYPE1"], header["TFORM1"], header["TUNIT1"]) == ("ra", "D", "deg")
    assert (header["TUCD1"], header["TUTYP1"], header["TXTYP2"]) == ("pos.eq.ra;meta.main", "a:b.c", "timestamp")
    assert header["TCOMM1"] == ("L?nge " * 30).rstrip()
    assert (header["TFORM3"], header["TDIM3"]) == ("6J", "(2,3)")
    assert (header["ORIGIN"], header["REFERENC"]) == ("? & B", "doi:10.1/x")
    comments = list(header["COMMENT"])
    assert comments[:3] == ["Neutrinos, all of them", "publisher = ? & B", "citation = doi:10.1/x please"]
    assert " ".join(comments[3:]) == "query = " + ("SELECT " * 50).rstrip()
    assert "QSTATUS" not in header


def test_the_primary_hdu_holds_the_head_of_a_votable() -> None:
    with fits.open(io.BytesIO(written(find_format("fits").writer(TABLE), ending="overflow", told=0))) as hdus:
        assert hdus[0].header["VOTMETA"]
        votable = parse_single_table(io.BytesIO(hdus[0].data.tobytes()))
        assert hdus[1].header["QSTATUS"] == "OVERFLOW"
        assert "more rows than the 0" in " ".join(hdus[1].header["COMMENT"])
    assert [(field.name, field.ucd, field.xtype, field.ref) for field in votable.fields][:2] == [
        ("ra", "pos.eq.ra;meta.main", None, "system"),
        ("time", None, "timestamp", "time_UTC"),
    ]
    assert votable.fields[0].description == ("Länge " * 30).strip()


def test_times_of_several_scales_have_no_timesys() -> None:
    times = tuple(
        Column(f"t_{scale}", "double", unit="d", ucd="time.epoch", description=f"MJD, {scale}")
        for scale in ("UTC", "TT")
    )
    assert "TIMESYS" not in header_of(written(find_format("fits").writer(ResultTable(times))))


def test_without_null_there_is_no_number_for_it() -> None:
    assert "TNULL1" not in header_of(document(Column("n", "short"), [1, 2]))


@pytest.mark.parametrize(("datatype", "null"), [("unsignedByte", 255), ("short", -(2**15)), ("long", -(2**63))])
def test_what_stands_for_null(datatype: str, null: int) -> None:
    column = Column("n", datatype)
    assert header_of(document(column, [1, None]))["TNULL1"] == null
    used = document(column, [null, 1, None])
    assert header_of(used)["TNULL1"] not in (null, 1)
    assert values_of(used) == [null, 1, None]


def test_bytes_that_leave_no_number_for_null_are_short() -> None:
    values = [*range(256), None]
    data = document(Column("n", "unsignedByte"), values)
    assert header_of(data)["TFORM1"] == "I"
    assert values_of(data) == values
    assert header_of(document(Column("n", "unsignedByte"), values[:-1]))["TFORM1"] == "B"
    assert header_of(document(Column("n", "unsignedByte", "*"), [bytes(range(256)), None]))["TFORM1"] == "1PB(256)"


def test_null_among_arrays_of_one_size() -> None:
    data = document(Column("n", "short", "2"), [[1, -(2**15)], None])
    assert values_of(data) == [[1, -(2**15)], [None, None]]


def test_strings_are_as_wide_as_the_longest_or_as_declared() -> None:
    assert header_of(document(Column("s", "char", "*"), ["abc", None, ""]))["TFORM1"] == "3A"
    assert header_of(document(Column("s", "char", "8"), ["abc", None]))["TFORM1"] == "8A"
    assert header_of(document(Column("s", "char", "*"), []))["TFORM1"] == "1A"


def test_characters_beyond_ascii() -> None:
    assert values_of(document(Column("s", "unicodeChar", "*"), ["Ångström", "ν"])) == ["Ångström", "ν"]
    assert values_of(document(Column("s", "char", "*"), ["Ångström", "a"])) == ["?ngstr?m", "a"]


def test_a_long_string_among_many_short_ones_is_in_the_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_fields, "_WASTE_BYTES", 500_000)
    values = ["x" * 3000, *(["ab", "", None] * 100)]
    data = document(Column("s", "char", "*"), values)
    assert header_of(data)["TFORM1"] == "1PA(3000)"
    assert len(data) < 20_000
    with fits.open(io.BytesIO(data)) as hdus:
        assert ["".join(value) for value in hdus[1].data["s"]] == [value or "" for value in values]
    assert header_of(document(Column("s", "char", "*"), values[:100]))["TFORM1"] == "3000A"


def test_places_in_large_heaps_have_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[1.5, 2.5], [], [3.5]]
    monkeypatch.setattr(fits_fields, "_LARGEST_P", 24)
    data = document(Column("a", "double", "*"), values)
    assert header_of(data)["TFORM1"] == "1QD(2)"
    assert [np.asarray(value).tolist() for value in values_of(data)] == values
    monkeypatch.setattr(fits_fields, "_LARGEST_P", 25)
    assert header_of(document(Column("a", "double", "*"), values))["TFORM1"] == "1PD(2)"


def test_rows_from_a_file_on_disk_are_those_from_memory() -> None:
    """Spools of more than a megabyte."""
    count = 5000
    whole = batch_of(SAMPLES, count)
    assert whole.nbytes > 1_000_000
    data = written(
        find_format("fits").writer(ResultTable(tuple(SAMPLES))), *[whole.slice(i, 97) for i in range(0, count, 97)]
    )
    assert len(data) % 2880 == 0
    with fits.open(io.BytesIO(data)) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NULL among truth values
        rows = hdus[1].data
        longs = [value.tolist() for value in rows["longs"]]
        assert rows["time"][:3].tolist() == ["2017-09-22T20:54:30.43", "2000-01-01T00:00:00", ""]
    samples = SAMPLES[next(column for column in SAMPLES if column.name == "longs")]
    assert longs == [samples[i % len(samples)] or [] for i in range(count)]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (Column("pair", "double", "2"), [[1.0, 2.0, 3.0]], "'pair' is said to hold arrays of 2 elements"),
        (Column("pair", "double", "2"), [[]], "'pair' is said to hold arrays of 2 elements"),
        (Column("numbers", "int", "*"), [[1, None]], "integers with NULL"),
    ],
)
def test_what_fits_cannot_hold(column: Column, values: Values, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        document(column, values)


def test_too_many_columns() -> None:
    columns = tuple(Column(f"c{i}", "int") for i in range(1000))
    with pytest.raises(QueryError, match="1000 columns; FITS tables have at most 999"):
        find_format("fits").writer(ResultTable(columns))


def test_a_failure_is_raised() -> None:
    with pytest.raises(QueryError, match="it broke"):
        written(find_format("fits").writer(TABLE), ending="failure")
