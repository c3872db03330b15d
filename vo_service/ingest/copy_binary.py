"""Rows in the binary format of PostgreSQL's COPY (manual, COPY, "Binary Format"), a batch at a time.

A row is a count of fields, and for each field its length (-1 for NULL) and its value, all big-endian. Fields side by
side that have one length throughout become a structured array; others become an Arrow array of byte strings each, and
Arrow, which works in C, joins them row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Values = NDArray[Any]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts, in microseconds after 1970-01-01, from which Arrow counts."""

_NUMBERS = {
    pa.bool_(): "u1",
    pa.uint8(): ">i2",
    pa.int16(): ">i2",
    pa.int32(): ">i4",
    pa.int64(): ">i8",
    pa.float32(): ">f4",
    pa.float64(): ">f8",
    pa.timestamp("us"): ">i8",
}

# Object identifiers of the types that arrays hold (PostgreSQL, src/include/catalog/pg_type.dat).
_ELEMENT_OIDS = {
    pa.bool_(): 16,
    pa.int16(): 21,
    pa.int32(): 23,
    pa.int64(): 20,
    pa.float32(): 700,
    pa.float64(): 701,
}


def encode_rows(columns: Sequence[pa.Array]) -> pa.BinaryArray:
    """The rows of these columns, each as the bytes that COPY reads.

    The columns have the types of `vo_service.database.arrow`, and those in the table the PostgreSQL types given there.
    """
    rows = len(columns[0])
    cells: list[pa.BinaryArray] = []
    side_by_side: list[Values] = [np.array(len(columns), ">i2")]
    for column in columns:
        dtype = _NUMBERS.get(column.type)
        if dtype is not None and column.null_count == 0:
            side_by_side += [_length(dtype), _numbers(column, dtype)]
            continue
        if side_by_side:
            cells.append(_cells_of_one_length(side_by_side, rows))
            side_by_side = []
        cells.append(_cells(column))
    if side_by_side:
        cells.append(_cells_of_one_length(side_by_side, rows))
    return cells[0] if len(cells) == 1 else _join(*cells)


def row_bytes(rows: pa.BinaryArray) -> memoryview:
    """The rows, one after the other."""
    first, last = np.frombuffer(rows.buffers()[1], np.int32)[[rows.offset, rows.offset + len(rows)]]
    return memoryview(rows.buffers()[2])[first:last]


def _cells(column: pa.Array) -> pa.BinaryArray:
    """Length and value of one field in each row."""
    if column.type in _NUMBERS:
        return _number_cells(column, _NUMBERS[column.type])
    if pa.types.is_list(column.type):
        return _array_cells(column)
    lengths = pc.binary_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    return _join(_cells_of_one_length([lengths.astype(">i4")], len(column)), column.cast(pa.binary()))


def _number_cells(column: pa.Array, dtype: str) -> pa.BinaryArray:
    null = column.is_null().to_numpy(zero_copy_only=False)
    width = np.dtype(dtype).itemsize
    cell = np.empty(len(column), dtype=[("length", ">i4"), ("value", dtype)])
    cell["length"] = np.where(null, -1, width)
    cell["value"] = _numbers(column.fill_null(False if dtype == "u1" else 0), dtype)
    return _cut(cell, np.where(null, 4, 4 + width))


def _array_cells(column: pa.Array) -> pa.BinaryArray:
    """One-dimensional arrays (PostgreSQL, array_recv): dimensions, flags, type; length and first index; elements."""
    dtype = _NUMBERS[column.type.value_type]
    width = 4 + np.dtype(dtype).itemsize
    null = column.is_null().to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    count = np.diff(offsets)
    head = np.empty(len(column), dtype=[(name, ">i4") for name in ("length", "ndim", "flags", "oid", "dim", "lower")])
    head_bytes = np.where(null, 4, np.where(count == 0, 16, 24))
    head["length"] = np.where(null, -1, head_bytes - 4 + count * width)
    head["ndim"] = count > 0
    head["flags"] = 0
    head["oid"] = _ELEMENT_OIDS[column.type.value_type]
    head["dim"] = count
    head["lower"] = 1
    elements = np.empty(int(offsets[-1]), dtype=[("length", ">i4"), ("value", dtype)])
    elements["length"] = width - 4
    elements["value"] = _numbers(column.values[: int(offsets[-1])], dtype)
    return _join(_cut(head, head_bytes), _binary(elements, offsets * width))


def _numbers(column: pa.Array, dtype: str) -> Values:
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.int64()).to_numpy() - _POSTGRES_EPOCH, dtype)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype)


def _length(dtype: str) -> Values:
    return np.array(np.dtype(dtype).itemsize, ">i4")


def _cells_of_one_length(fields: Sequence[Values], rows: int) -> pa.BinaryArray:
    """The fields side by side. Those without dimension are the same in all rows."""
    block = np.empty(rows, dtype=[(f"f{place}", field.dtype) for place, field in enumerate(fields)])
    for place, field in enumerate(fields):
        block[f"f{place}"] = field
    return _binary(block, np.arange(rows + 1) * block.dtype.itemsize)


def _cut(cells: NDArray[np.void], lengths: NDArray[np.int64]) -> pa.BinaryArray:
    """The first so many bytes of each cell."""
    width = cells.dtype.itemsize
    kept = cells.view("u1").reshape(-1, width)[np.arange(width) < lengths[:, None]]
    return _binary(kept, np.concatenate(([0], np.cumsum(lengths))))


def _binary(data: NDArray[Any], offsets: NDArray[np.int64]) -> pa.BinaryArray:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def _join(*cells: pa.BinaryArray) -> pa.BinaryArray:
    return pc.binary_join_element_wise(*cells, b"", null_handling="replace", null_replacement=b"")
