"""Columns of every type that a result can have, with awkward values: what every format must be able to write."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

import pyarrow as pa

from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_type

Values = list[Any]

FAR: Final = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]

SAMPLES: Final[dict[Column, Values]] = {
    Column("truth", "boolean"): [True, False, None, True],
    Column("byte", "unsignedByte"): [0, 255, None, 7],
    Column("short", "short"): [-(2**15), 2**15 - 1, None, 7],
    Column("int", "int"): [-(2**31), 2**31 - 1, None, 7],
    Column("long", "long"): [-(2**63), 2**63 - 1, None, 2**53 + 1],
    Column("float", "float"): [0.1, -1e30, None, math.nan, math.inf, -math.inf, 1.1754944e-38, 16777216.0],
    Column("double", "double"): [0.1, 1 / 3, None, math.nan, math.inf, -math.inf, 5e-324, -1.7976931348623157e308],
    Column("text", "char", "*"): ["", 'a "quoted", <b>&amp;</b>\nline', None, "# no comment", "tab\there", " both "],
    Column("limited", "char", "16*"): ["short", "exactly sixteen.", None, "x"],
    Column("code", "char", "4"): ["ab", "abcd", None, "x"],
    Column("letter", "char"): ["a", "b", None, "&"],
    Column("name", "unicodeChar", "*"): ["Ångström", "ν_μ → τ", None, "x", "", "\uffe6"],
    Column("short_name", "unicodeChar", "5"): ["große", "ν", None, "x"],
    Column("time", "char", "*", xtype="timestamp"): [
        dt.datetime(2017, 9, 22, 20, 54, 30, 430000),
        dt.datetime(2000, 1, 1),
        None,
        *FAR,
    ],
    Column("truths", "boolean", "*"): [[True, False], [], None, [True]],
    Column("shorts", "short", "*"): [[-1, 2, 3], [], None, [2**15 - 1]],
    Column("longs", "long", "*"): [[2**63 - 1, -(2**63)], [1], None, [0]],
    Column("doubles", "double", "*"): [[1.5, 1 / 3, math.nan], [], None, [7.0]],
    Column("floats", "float", "8*"): [[0.1, 0.2], [1.0], None, [7.0]],
    Column("pair", "float", "2"): [[1.0, 2.5], [3.0, 4.0], None, [math.nan, 6.0]],
    Column("matrix", "int", "2x3"): [[1, 2, 3, 4, 5, 6], [0] * 6, None, [-1] * 6],
    Column("truth_pair", "boolean", "2"): [[True, False], [False, False], None, [True, True]],
    Column("point", "double", "2", xtype="point"): [[0.0, -90.0], [359.5, 1 / 3], None, [1.0, 2.0]],
    Column("circle", "double", "3", xtype="circle"): [[10.0, -5.5, 0.1], [0.0, 90.0, 180.0], None, [1.0, 2.0, 3.0]],
    Column("polygon", "double", "*", xtype="polygon"): [[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], [0.5] * 8, None, [0.0] * 6],
    Column("interval", "double", "2", xtype="interval"): [[-1.0, 1.0], [0.0, math.inf], None, [2.0, 2.5]],
    Column("moc", "char", "*", xtype="moc"): ["3/1-4 5/1500", "0/0-11", None, "29/7"],
    Column("bytes", "unsignedByte", "*"): [b"\x00\xff", b"", None, b"x"],
    Column("three_bytes", "unsignedByte", "3"): [b"\x00\xff\x01", b"abc", None, b"\x00\x00\x00"],
}
"""Every sample has one NULL, at index 2."""


def array_of(column: Column, values: Values) -> pa.Array:
    """The values in the type in which they come from the database."""
    return pa.array(values, arrow_type(column))


def batch_of(samples: dict[Column, Values], rows: int) -> pa.RecordBatch:
    """A batch of so many rows; samples that are shorter begin again."""
    arrays = [array_of(column, [values[i % len(values)] for i in range(rows)]) for column, values in samples.items()]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in samples])
