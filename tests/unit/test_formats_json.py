"""JSON: strict parsers read it, and it says what a VOTable says."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.columns import array_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format


def read(table: ResultTable, *batches: pa.RecordBatch, ending: str = "end", told: int | str = 1) -> dict[str, Any]:
    document = written(find_format("json").writer(table), *batches, ending=ending, told=told)
    found: dict[str, Any] = json.loads(document, parse_constant=pytest.fail)
    return found


def test_head() -> None:
    table = ResultTable(
        (
            Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", utype="a:b", description='"Right" ascension'),
            Column("t", "double", unit="d", ucd="time.epoch", description="MJD (TT)"),
            Column("at", "char", "*", xtype="timestamp"),
        ),
        name="events",
        description="Straße",
        infos=(Info("publisher", "A & B", "who"),),
    )
    found = read(table)
    assert found["table"] == {"name": "events", "description": "Straße"}
    assert found["info"] == [{"name": "publisher", "value": "A & B", "text": "who"}]
    assert found["metadata"] == [
        {
            "name": "ra",
            "datatype": "double",
            "unit": "deg",
            "ucd": "pos.eq.ra;meta.main",
            "utype": "a:b",
            "description": '"Right" ascension',
            "frame": "ICRS",
        },
        {
            "name": "t",
            "datatype": "double",
            "unit": "d",
            "ucd": "time.epoch",
            "description": "MJD (TT)",
            "timesys": {"timescale": "TT", "timeorigin": "MJD-origin"},
        },
        {
            "name": "at",
            "datatype": "char",
            "arraysize": "*",
            "xtype": "timestamp",
            "timesys": {"timescale": "UTC"},
        },
    ]
    assert (found["data"], found["query_status"]) == ([], "OK")


@pytest.mark.parametrize(
    ("ending", "told", "status", "message"),
    [("overflow", 2, "OVERFLOW", "more rows than the 2"), ("failure", 'it "broke"', "ERROR", 'it "broke"')],
)
@pytest.mark.parametrize("rows", [0, 2])
def test_endings(ending: str, told: int | str, status: str, message: str, rows: int) -> None:
    batch = pa.RecordBatch.from_pydict({"a": pa.array(range(rows), pa.int32())})
    found = read(ResultTable((Column("a", "int"),)), batch, ending=ending, told=told)
    assert found["data"] == [[row] for row in range(rows)]
    assert found["query_status"] == status
    assert message in found["message"]


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_any_text_comes_back(texts: list[str | None]) -> None:
    batch = pa.RecordBatch.from_pydict({"a": pa.array(texts, pa.string())})
    assert read(ResultTable((Column("a", "unicodeChar", "*"),)), batch)["data"] == [[text] for text in texts]


def test_every_control_character_is_escaped() -> None:
    texts = [chr(code) + '\\"' for code in range(0x20)]
    batch = pa.RecordBatch.from_pydict({"a": texts})
    assert read(ResultTable((Column("a", "char", "*"),)), batch)["data"] == [[text] for text in texts]


def test_null_within_arrays() -> None:
    columns = (Column("a", "boolean", "*"), Column("b", "int", "2"))
    batch = pa.RecordBatch.from_arrays(
        [array_of(columns[0], [[True, None], None]), array_of(columns[1], [None, [None, 2]])], names=["a", "b"]
    )
    assert read(ResultTable(columns), batch)["data"] == [[[True, None], None], [None, [None, 2]]]
