"""HDF5: as h5py, PyTables, pandas and astropy read it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tables  # type: ignore[import-untyped]
from astropy import units
from astropy.io.votable import parse_single_table
from astropy.table import Table

from tests.support.columns import SAMPLES, Values, array_of, batch_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats import hdf5, made_file
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

TABLE = ResultTable(
    (
        Column("id", "long", ucd="meta.id;meta.main"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", utype="a:b.c", description="Länge"),
        Column("flux", "float", unit="10**-12.erg.cm**-2.s**-1"),
        Column("good", "boolean"),
        Column("time", "char", "*", xtype="timestamp"),
    ),
    name="events",
    description="All events",
    infos=(Info("publisher", "Å & B"), Info("citation", "doi:1"), Info("citation", "doi:2")),
)
ROWS = pa.RecordBatch.from_arrays(
    [
        pa.array([1, None, 3]),
        pa.array([0.5, None, 2.5]),
        pa.array([1.0, 2.0, None], pa.float32()),
        pa.array([True, False, None]),
        pa.array([0, 1, None], pa.timestamp("us")),
    ],
    names=["id", "ra", "flux", "good", "time"],
)


def document(column: Column, values: Values) -> bytes:
    batch = pa.RecordBatch.from_arrays([array_of(column, values)], names=[column.name])
    return written(find_format("hdf5").writer(ResultTable((column,))), batch)


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    with h5py.File(io.BytesIO(data)) as file:
        yield file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "result.h5"
    where.write_bytes(written(find_format("hdf5").writer(TABLE), ROWS))
    return where


def test_rows_are_a_structured_array() -> None:
    with opened(written(find_format("hdf5").writer(TABLE), ROWS)) as file:
        rows = file["result"][:]
    assert rows.dtype.names == ("id", "id_mask", "ra", "flux", "good", "good_mask", "time", "time_mask")
    assert rows["id"].tolist() == [1, 0, 3]
    assert rows["id_mask"].tolist() == [False, True, False]
    assert np.isnan(rows["ra"]).tolist() == [False, True, False]
    assert rows["time"].tolist() == [b"1970-01-01T00:00:00", b"1970-01-01T00:00:00.000001", b""]


def test_attributes_and_the_votable() -> None:
    with opened(written(find_format("hdf5").writer(TABLE), ROWS)) as file:
        told = dict(file["result"].attrs)
        votable = parse_single_table(io.BytesIO(file["votable"][()]))
    assert told["names"].tolist() == ["id", "ra", "flux", "good", "time"]
    assert told["units"].tolist() == ["", "deg", "10**-12.erg.cm**-2.s**-1", "", ""]
    assert told["ucds"].tolist() == ["meta.id;meta.main", "pos.eq.ra;meta.main", "", "", ""]
    assert (told["utypes"][1], told["xtypes"][4], told["descriptions"][1]) == ("a:b.c", "timestamp", "Länge")
    assert (told["title"], told["publisher"], told["QUERY_STATUS"]) == ("All events", "Å & B", "OK")
    assert told["citation"].tolist() == ["doi:1", "doi:2"]
    assert [field.name for field in votable.fields] == ["id", "ra", "flux", "good", "time"]


def test_astropy_has_units_descriptions_and_masks(path: Path) -> None:
    table = Table.read(path, format="hdf5", path="result")
    assert table.colnames == ["id", "ra", "flux", "good", "time"]
    assert table["id"].mask.tolist() == [False, True, False]
    assert table["good"].tolist() == [True, False, None]
    assert (table["ra"].unit, table["ra"].description) == (units.deg, "Länge")
    assert table["flux"].unit == 1e-12 * units.erg / units.cm**2 / units.s
    assert table["ra"].meta == {"ucd": "pos.eq.ra;meta.main", "datatype": "double", "utype": "a:b.c"}
    assert table.meta["citation"] == ["doi:1", "doi:2"]


def test_units_that_astropy_does_not_know_stay_as_they_are() -> None:
    with opened(document(Column("n", "int", unit="furlong_per_fortnight"), [1])) as file:
        table = Table.read(file, format="hdf5", path="result")
    assert str(table["n"].unit) == "furlong_per_fortnight"


def test_pandas_reads_it(path: Path) -> None:
    frame = pd.read_hdf(path, "result")
    assert list(frame["id"]) == [1, 0, 3]
    assert list(frame["time"]) == ["1970-01-01T00:00:00", "1970-01-01T00:00:00.000001", ""]


def test_pytables_reads_it_also_without_rows(tmp_path: Path) -> None:
    where = tmp_path / "nothing.h5"
    where.write_bytes(written(find_format("hdf5").writer(TABLE)))
    with tables.open_file(where) as file:
        assert (file.root.result.nrows, file.root.result.colnames) == (0, ["id", "ra", "flux", "good", "time"])


def test_names_of_masks_are_free() -> None:
    columns = (Column("n", "int"), Column("n_mask", "double"))
    batch = pa.RecordBatch.from_arrays([pa.array([1, None], pa.int32()), pa.array([0.5, 1.5])], names=["n", "n_mask"])
    with opened(written(find_format("hdf5").writer(ResultTable(columns)), batch)) as file:
        table = Table.read(file, format="hdf5", path="result")
    assert {name: table[name].tolist() for name in table.colnames} == {"n": [1, None], "n_mask": [0.5, 1.5]}


def test_strings_are_fixed_unless_one_is_long() -> None:
    for longest, kind in ((255, "S255"), (256, "O")):
        with opened(document(Column("s", "char", "*"), ["x" * longest, "", "ν"])) as file:
            rows = file["result"]["s"]
        assert rows.dtype == np.dtype(kind)
        assert rows.tolist() == [b"x" * longest, b"", "ν".encode()]


def test_arrays_have_the_axes_of_numpy() -> None:
    with opened(document(Column("m", "int", "2x3"), [[1, 2, 3, 4, 5, 6]])) as file:
        assert file["result"]["m"].tolist() == [[[1, 2], [3, 4], [5, 6]]]


def test_an_overflow_is_told() -> None:
    with opened(written(find_format("hdf5").writer(TABLE), ROWS, ending="overflow", told=3)) as file:
        assert file["result"].attrs["QUERY_STATUS"] == "OVERFLOW"
        assert b"more rows than the 3 given here" in file["votable"][()]


def test_many_rows_in_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "CHUNK", 50_000)
    monkeypatch.setattr(made_file, "PIECE", 1000)
    whole = batch_of(SAMPLES, 5000)
    data = written(
        find_format("hdf5").writer(ResultTable(tuple(SAMPLES))), *[whole.slice(i, 97) for i in range(0, 5000, 97)]
    )
    with opened(data) as file:
        rows = file["result"][:]
        assert 1 < file["result"].chunks[0] < 200
    assert len(rows) == 5000
    for name in ("int", "longs", "code"):
        (values,) = (values for column, values in SAMPLES.items() if column.name == name)
        wanted = [0 if v is None and name == "int" else [] if v is None and name == "longs" else v for v in values]
        found = [value.tolist() if name == "longs" else value for value in rows[name]]
        if name == "code":
            wanted = [(value or "").encode() for value in values]
        assert found == [wanted[i % len(wanted)] for i in range(5000)], name


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (Column("pair", "double", "2"), [[1.0, 2.0, 3.0]], "'pair' is said to hold arrays of 2 elements"),
        (Column("numbers", "int", "*"), [[1, None]], "'numbers' has NULL within an array"),
        (Column("truths", "boolean", "2"), [[True, None]], "'truths' has NULL within an array"),
    ],
)
def test_what_it_cannot_hold(column: Column, values: Values, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        document(column, values)


def test_too_many_columns() -> None:
    columns = tuple(Column(f"column_{i}", "int") for i in range(6000))
    with pytest.raises(QueryError, match="6000 columns, which is more than HDF5 has room for"):
        written(find_format("hdf5").writer(ResultTable(columns)))


def test_a_failure_is_raised() -> None:
    with pytest.raises(QueryError, match="it broke"):
        written(find_format("hdf5").writer(TABLE), ROWS, ending="failure")
