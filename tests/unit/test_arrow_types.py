"""The types of columns between VOTable, Arrow and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest

from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_schema, arrow_type, batch_of_rows, conform, sql_type
from vo_service.errors import ConfigurationError, QueryError


@pytest.mark.parametrize(
    ("column", "arrow", "sql"),
    [
        (Column("c", "boolean"), pa.bool_(), "boolean"),
        (Column("c", "unsignedByte"), pa.uint8(), "smallint"),
        (Column("c", "short"), pa.int16(), "smallint"),
        (Column("c", "int"), pa.int32(), "integer"),
        (Column("c", "long"), pa.int64(), "bigint"),
        (Column("c", "float"), pa.float32(), "real"),
        (Column("c", "double"), pa.float64(), "double precision"),
        (Column("c", "char"), pa.string(), "text"),
        (Column("c", "char", "*"), pa.string(), "text"),
        (Column("c", "unicodeChar", "16*"), pa.string(), "text"),
        (Column("c", "char", "*", xtype="timestamp"), pa.timestamp("us"), "timestamp"),
        (Column("c", "char", "*", xtype="uri"), pa.string(), "text"),
        (Column("c", "double", "2", xtype="point"), pa.list_(pa.float64()), "double precision[]"),
        (Column("c", "float", "2x3"), pa.list_(pa.float32()), "real[]"),
        (Column("c", "boolean", "*"), pa.list_(pa.bool_()), "boolean[]"),
        (Column("c", "short", "4*"), pa.list_(pa.int16()), "smallint[]"),
        (Column("c", "unsignedByte", "*"), pa.binary(), "bytea"),
    ],
)
def test_types_of_a_column(column: Column, arrow: pa.DataType, sql: str) -> None:
    assert (arrow_type(column), sql_type(column)) == (arrow, sql)


@pytest.mark.parametrize("datatype", ["doubleComplex", "bit", "string", "Double"])
def test_other_datatypes_are_refused_by_name(datatype: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'energy'.*'{datatype}'.*double"):
        arrow_type(Column("energy", datatype))


def batch(array: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([array], names=["database_name"])


def schema(datatype: str, arraysize: str | None = None, xtype: str | None = None) -> pa.Schema:
    return arrow_schema((Column("c", datatype, arraysize, xtype),))


@pytest.mark.parametrize(
    ("array", "wanted", "values"),
    [
        (pa.array([1, None], pa.int32()), schema("long"), [1, None]),
        (pa.array([1, None], pa.int32()), schema("double"), [1.0, None]),
        (pa.array([2**60 + 1], pa.int64()), schema("double"), [float(2**60)]),
        (pa.array([0.1], pa.float64()), schema("float"), [float(np.float32(0.1))]),
        (pa.array([255], pa.int16()), schema("unsignedByte"), [255]),
        (pa.array(["1.50", None]), schema("double"), [1.5, None]),
        (pa.array(["12"]), schema("long"), [12]),
        (pa.array([7], pa.int64()), schema("char", arraysize="*"), ["7"]),
        (pa.array([[1, None], None], pa.list_(pa.int32())), schema("double", arraysize="*"), [[1.0, None], None]),
        (
            pa.array([dt.datetime(2017, 9, 22, 20, 54, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
            schema("char", arraysize="*", xtype="timestamp"),
            [dt.datetime(2017, 9, 22, 20, 54)],
        ),
        (
            pa.array([dt.date(2017, 9, 22)]),
            schema("char", arraysize="*", xtype="timestamp"),
            [dt.datetime(2017, 9, 22)],
        ),
    ],
)
def test_batches_are_brought_to_the_types_of_the_columns(
    array: pa.Array, wanted: pa.Schema, values: list[object]
) -> None:
    conformed = conform(batch(array), wanted)
    assert conformed.schema == wanted
    assert conformed.column(0).to_pylist() == values


def test_nan_is_not_null() -> None:
    for array in (pa.array([math.nan, None], pa.float32()), pa.array(["NaN", None])):
        result = conform(batch(array), schema("double")).column(0)
        assert result.is_null().to_pylist() == [False, True]
        assert math.isnan(result[0].as_py())


def test_right_types_are_not_copied() -> None:
    array = pa.array([1.0, 2.0])
    result = conform(batch(array), schema("double")).column(0)
    assert result.buffers()[1].address == array.buffers()[1].address


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (pa.array([256], pa.int16()), schema("unsignedByte")),
        (pa.array([-1], pa.int16()), schema("unsignedByte")),
        (pa.array([2**40], pa.int64()), schema("int")),
        (pa.array([1.5], pa.float64()), schema("int")),
        (pa.array(["north"]), schema("double")),
        (pa.array([[1.0]]), schema("double")),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_column(array: pa.Array, wanted: pa.Schema) -> None:
    with pytest.raises(QueryError, match="Column 'c'"):
        conform(batch(array), wanted)


def test_number_of_columns_must_agree() -> None:
    with pytest.raises(QueryError, match=r"return 2 columns.* returned 1"):
        conform(batch(pa.array([1])), arrow_schema((Column("a", "int"), Column("b", "int"))))


def test_rows_of_python_values_become_a_batch() -> None:
    columns = (
        Column("n", "long"),
        Column("x", "float"),
        Column("s", "char", "*"),
        Column("t", "char", "*", xtype="timestamp"),
        Column("a", "double", "*"),
        Column("id", "char", "*"),
    )
    moment = dt.datetime(2020, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    result = batch_of_rows([(1, math.nan, "é", moment, [1.0, None], 5), (None,) * 6], arrow_schema(columns))
    assert result.schema == arrow_schema(columns)
    assert result.slice(1).to_pylist() == [dict.fromkeys(result.schema.names)]
    first = result.slice(0, 1).to_pylist()[0]
    assert math.isnan(first.pop("x"))
    assert first == {"n": 1, "s": "é", "t": dt.datetime(2020, 1, 1, 10), "a": [1.0, None], "id": "5"}


def test_rows_that_do_not_fit_are_an_error_that_names_the_column() -> None:
    with pytest.raises(QueryError, match=r"Column 'c'.*uint8"):
        batch_of_rows([(300,)], schema("unsignedByte"))
    with pytest.raises(QueryError, match=r"Column 'c'.*int32"):
        batch_of_rows([(12.5,)], schema("int"))
