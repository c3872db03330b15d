"""Values of PostgreSQL's types, as binary COPY writes them, as Arrow arrays.

How a value is written the manual does not tell: it is what the type's `send` function does, as in psycopg's loaders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg.postgres import types as postgres_types
from psycopg.types.numeric import NumericBinaryLoader

from vo_service.database.copy_messages import Bytes, Positions, gather
from vo_service.database.copy_rows import Scattered, Values, fields
from vo_service.errors import QueryError

_EPOCH_DAYS = 10_957
"""Days from 1970-01-01 to 2000-01-01, where PostgreSQL's times begin."""

_EPOCH = _EPOCH_DAYS * 86_400_000_000
"""The same in microseconds."""

LONG_ARRAY = 500
"""Elements of an array from which they are not looked for one after the other, if they differ in length."""

LEAP = 64
"""Elements that are then found at once: twice as many take one more look at every byte."""

_UNEXPECTED = "The rows are not of the types that the database said they are"


@dataclass(frozen=True, slots=True)
class Loader:
    """How values of one type become an Arrow array; `width` is their length in bytes where it is always the same."""

    load: Callable[[Values], pa.Array]
    width: int | None = None

    def __call__(self, values: Values) -> pa.Array:
        """The array. Raises psycopg.DataError, QueryError."""
        if self.width is not None and not values.are_of(self.width):
            raise psycopg.DataError(_UNEXPECTED)
        return self.load(values)


def loader(column: str, oid: int) -> Loader:
    """The loader for a type of the database, by its OID. Raises QueryError if there is none; it names the column."""
    found = _LOADERS.get(oid)
    if found is None:
        kind = postgres_types.get(oid)
        raise QueryError(
            f"Column {column!r} of the result is of the database's type {kind.name if kind else oid}, which cannot be"
            " written in a table; cast it to another"
        )
    return found


def arrays(data: Bytes, rows: Positions, loaders: Sequence[Loader]) -> list[pa.Array]:
    """The columns of rows that begin at these positions, at least one.

    Raises psycopg.DataError if the rows are not of such columns, QueryError if a value cannot be had in Arrow.
    """
    return [load(values) for load, values in zip(loaders, fields(data, rows, len(loaders)), strict=True)]


def _array(kind: pa.DataType, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [_bits(valid), pa.py_buffer(values)])


def _bits(values: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if values is None else pa.py_buffer(np.packbits(values, bitorder="little"))


def _numbers(kind: pa.DataType, code: str, values: Values) -> pa.Array:
    return _array(kind, values.numbers(code), values.valid)


def _booleans(values: Values) -> pa.Array:
    numbers = values.numbers("u1")
    return pa.Array.from_buffers(pa.bool_(), len(numbers), [_bits(values.valid), _bits(numbers != 0)])


def _dates(values: Values) -> pa.Array:
    return _array(pa.date32(), _since_1970(values.numbers("i4"), _EPOCH_DAYS), values.valid)


def _times(values: Values) -> pa.Array:
    return _array(pa.timestamp("us"), _since_1970(values.numbers("i8"), _EPOCH), values.valid)


def _since_1970(times: npt.NDArray[Any], epoch: int) -> npt.NDArray[Any]:
    """Times that are counted from 2000. Infinity is the greatest number of the type, -infinity the least."""
    limits = np.iinfo(times.dtype)
    if len(times) and (times.max() > limits.max - epoch or times.min() == limits.min):
        raise QueryError("The result has a time that is infinite, or later than can be told")
    times += epoch
    return times


def _bytes(kind: pa.DataType, values: Values) -> pa.Array:
    """Arrow copies the values: to it, all bytes are one array, of which every second element is a value."""
    count = len(values.at)
    if count == 0:
        return pa.array([], kind)
    offsets = np.empty(2 * count, np.int32)
    offsets[0::2], offsets[1::2] = values.at, values.ends
    pieces = pa.Array.from_buffers(kind, 2 * count - 1, [None, pa.py_buffer(offsets), pa.py_buffer(values.data)])
    taken = pieces.take(pa.array(np.arange(0, 2 * count, 2)))
    return pa.Array.from_buffers(kind, count, [_bits(values.valid), *taken.buffers()[1:]])


def _numerics(values: Values) -> pa.Array:
    """As text, which loses nothing. They are rare: psycopg loads one after the other."""
    load = NumericBinaryLoader(postgres_types["numeric"].oid).load
    pieces = _bytes(pa.binary(), values).to_pylist()
    return pa.array([None if piece is None else str(load(piece)) for piece in pieces], pa.string())


def _lists(element: Loader, values: Values) -> pa.Array:
    """Arrays: dimensions (int32), flags, type, and for each dimension size and lower bound; then fields as of a row."""
    counts, begins = _elements(values)
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    bounds = (begins, counts, offsets[:-1].astype(np.int64))
    if element.width is not None and (values.ends - begins)[counts > 0].sum() == counts.sum() * (4 + element.width):
        fields = _elements_of(values.data, *bounds, element.width)
    elif counts.max() < LONG_ARRAY:
        fields = _elements_one_by_one(values.data, *bounds)
    else:
        fields = _elements_by_leaps(values.data, *bounds)
    items = element(fields)
    return pa.Array.from_buffers(
        pa.list_(items.type), len(counts), [_bits(values.valid), pa.py_buffer(offsets)], children=[items]
    )


def _elements(values: Values) -> tuple[Positions, Positions]:
    """How many elements each array has, of whatever dimensions, and where they begin."""
    dimensions = values.numbers("i4").astype(np.int64)
    counts = (dimensions > 0).astype(np.int64)
    for i in range(int(dimensions.max(initial=0))):
        has = np.flatnonzero(dimensions > i)
        counts[has] *= gather(values.data, values.at[has] + 12 + 8 * i, "i4")
    return counts, values.at + 12 + 8 * dimensions


def _elements_of(data: Bytes, begins: Positions, counts: Positions, offsets: Positions, width: int) -> Scattered:
    """The elements of arrays without NULLs: all have this length."""
    ranks = np.arange(counts.sum()) - np.repeat(offsets, counts)
    at = np.repeat(begins, counts) + ranks * (4 + width) + 4
    return Scattered(data, at, np.full(len(at), width, np.int32))


def _elements_one_by_one(data: Bytes, begins: Positions, counts: Positions, offsets: Positions) -> Scattered:
    """The elements of arrays: the first of all arrays, the second of all, and so on."""
    at, lengths = np.empty(counts.sum(), np.int64), np.empty(counts.sum(), np.int32)
    next_at = begins.copy()
    for rank in range(int(counts.max(initial=0))):
        has = np.flatnonzero(counts > rank)
        found = Scattered(data, next_at[has] + 4, gather(data, next_at[has], "i4"))
        at[offsets[has] + rank], lengths[offsets[has] + rank] = found.at, found.lengths
        next_at[has] = found.ends
    return Scattered(data, at, lengths)


def _elements_by_leaps(data: Bytes, begins: Positions, counts: Positions, offsets: Positions) -> Scattered:
    """The same for long arrays: of each byte, where the next element begins if one begins there, then the second next,
    the fourth next, and so on, up to `LEAP`."""
    end = len(data)
    next_at = np.full(end + 1, end, np.int32)
    next_at[: end - 3] = np.minimum(np.arange(4, end + 1) + np.maximum(gather(data, np.arange(end - 3), "i4"), 0), end)
    at = np.empty(counts.sum(), np.int64)
    at[offsets[counts > 0]] = begins[counts > 0]
    known = step = 1
    while known < counts.max():
        has = np.flatnonzero(counts > known)
        more = np.minimum(step, counts[has] - known)
        ranks = np.arange(more.sum()) - np.repeat(np.cumsum(more) - more, more)
        places = np.repeat(offsets[has], more) + ranks + known
        at[places] = next_at[at[places - step]]
        known += step
        if step < LEAP:
            next_at = next_at[next_at]
            step *= 2
    return Scattered(data, at + 4, gather(data, at, "i4"))


def _fixed(kind: pa.DataType, code: str) -> Loader:
    return Loader(partial(_numbers, kind, code), np.dtype(code).itemsize)


_TEXT = Loader(partial(_bytes, pa.string()))

_BY_NAME = {
    "bool": Loader(_booleans, 1),
    "int2": _fixed(pa.int16(), "i2"),
    "int4": _fixed(pa.int32(), "i4"),
    "int8": _fixed(pa.int64(), "i8"),
    "oid": _fixed(pa.uint32(), "u4"),
    "float4": _fixed(pa.float32(), "f4"),
    "float8": _fixed(pa.float64(), "f8"),
    "numeric": Loader(_numerics),
    "date": Loader(_dates, 4),
    "timestamp": Loader(_times, 8),
    "timestamptz": Loader(_times, 8),
    "bytea": Loader(partial(_bytes, pa.binary())),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "json", "xml"), _TEXT),
}

_LOADERS = {postgres_types[name].oid: loader for name, loader in _BY_NAME.items()} | {
    postgres_types[name].array_oid: Loader(partial(_lists, loader)) for name, loader in _BY_NAME.items()
}
