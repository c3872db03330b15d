"""ROOT: as uproot reads it, which wrote it: there is no other reader in Python without ROOT itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import uproot
from astropy.io.votable import parse_single_table

from tests.support.columns import SAMPLES, Values, array_of, batch_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats import root
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

TABLE = ResultTable(
    (
        Column("id", "long", ucd="meta.id;meta.main"),
        Column("2nd ra", "double", unit="deg", description="Länge"),
        Column("name", "unicodeChar", "*"),
    ),
    description="All events",
    infos=(Info("publisher", "Å & B", "who"),),
)
ROWS = pa.RecordBatch.from_arrays(
    [pa.array([1, None]), pa.array([0.5, None]), pa.array(["ν", None])], names=["id", "2nd ra", "name"]
)


@contextmanager
def opened(data: bytes) -> Iterator[Any]:
    with uproot.open(io.BytesIO(data)) as file:
        yield file


def document(columns: dict[Column, Values]) -> bytes:
    arrays = [array_of(column, values) for column, values in columns.items()]
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])
    return written(find_format("root").writer(ResultTable(tuple(columns))), batch)


def test_branches_and_null() -> None:
    with opened(written(find_format("root").writer(TABLE), ROWS)) as file:
        tree = file["result"]
        assert tree.title == "All events"
        arrays = {name: tree[name].array(library="np").tolist() for name in tree.keys()}  # noqa: SIM118
    assert np.isnan(arrays.pop("_2nd_ra")).tolist() == [False, True]
    assert arrays == {
        "id": [1, 0],
        "id_is_null": [False, True],
        "name": ["ν", ""],
        "name_is_null": [False, True],
    }


def test_what_is_known_of_columns_and_table() -> None:
    with opened(written(find_format("root").writer(TABLE), ROWS)) as file:
        columns = file["columns"].arrays(library="np")
        infos = file["infos"].arrays(library="np")
        votable = parse_single_table(io.BytesIO(str(file["votable"]).encode()))
    assert columns["name"].tolist() == ["id", "2nd ra", "name"]
    assert columns["branch"].tolist() == ["id", "_2nd_ra", "name"]
    assert columns["unit"].tolist() == ["", "deg", ""]
    assert (columns["ucd"][0], columns["description"][1]) == ("meta.id;meta.main", "Länge")
    assert infos["name"].tolist() == ["publisher", "QUERY_STATUS"]
    assert infos["value"].tolist() == ["Å & B", "OK"]
    assert [field.name for field in votable.fields] == ["id", "2nd ra", "name"]


def test_types_and_shapes() -> None:
    with opened(document({column: values[:2] for column, values in SAMPLES.items()})) as file:
        kinds = {branch.name: branch.typename for branch in file["result"].branches}
    assert kinds["truth"] == "bool"
    assert (kinds["byte"], kinds["short"], kinds["long"]) == ("uint8_t", "int16_t", "int64_t")
    assert (kinds["float"], kinds["double"], kinds["text"]) == ("float", "double", "char*")
    assert (kinds["matrix"], kinds["longs"], kinds["nlongs"]) == ("int32_t[3][2]", "int64_t[]", "int32_t")


def test_names_of_branches_are_free() -> None:
    columns: dict[Column, Values] = {
        Column("a", "int", "*"): [[1, 2], None],
        Column("na", "int"): [3, 4],
        Column("a_is_null", "int"): [5, 6],
        Column("a.b", "int"): [7, 8],
        Column("a b", "int"): [9, 10],
    }
    with opened(document(columns)) as file:
        tree = file["result"]
        branches = file["columns"]["branch"].array(library="np")
        found = [tree[name].array(library="np") for name in branches]
    assert len(set(branches)) == 5
    assert [value.tolist() for value in found[0]] == [[1, 2], []]
    assert [values.tolist() for values in found[1:]] == [[3, 4], [5, 6], [7, 8], [9, 10]]


def test_an_overflow_is_told() -> None:
    with opened(written(find_format("root").writer(TABLE), ROWS, ending="overflow", told=2)) as file:
        infos = file["infos"].arrays(library="np")
    assert (infos["value"][-1], infos["text"][-1]) == ("OVERFLOW", "There are more rows than the 2 given here")


def test_many_rows_in_many_baskets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "BLOCK_BYTES", 100_000)
    whole = batch_of(SAMPLES, 5000)
    data = written(
        find_format("root").writer(ResultTable(tuple(SAMPLES))), *[whole.slice(i, 97) for i in range(0, 5000, 97)]
    )
    with opened(data) as file:
        tree = file["result"]
        assert tree.num_entries == 5000
        assert tree["int"].num_baskets > 10
        longs = [value.tolist() for value in tree["longs"].array(library="np")]
        names = tree["name"].array(library="np").tolist()
    for name, found, nothing in (("longs", longs, []), ("name", names, "")):
        (values,) = (values for column, values in SAMPLES.items() if column.name == name)
        assert found == [values[i % len(values)] or nothing for i in range(5000)]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (Column("pair", "double", "2"), [[1.0, 2.0, 3.0]], "'pair' is said to hold arrays of 2 elements"),
        (Column("numbers", "int", "*"), [[1, None]], "'numbers' has NULL within an array"),
    ],
)
def test_what_it_cannot_hold(column: Column, values: Values, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        document({column: values})


def test_a_failure_is_raised() -> None:
    with pytest.raises(QueryError, match="it broke"):
        written(find_format("root").writer(TABLE), ROWS, ending="failure")
