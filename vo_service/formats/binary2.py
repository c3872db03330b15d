"""Rows in the BINARY2 serialization (VOTable 1.4, section 5.4): record batches to bytes, whole columns at once.

A row is one bit per column (set for NULL, padded to bytes), then the fields in order, big-endian. Fields of fixed width
that follow each other are laid out as one block; strings and arrays of variable length carry their number of elements
before them. Rows are placed by their offsets, which numpy computes from the lengths of the variable fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.values import timestamps_as_text

Bytes = NDArray[np.uint8]

_NUMBERS = {"unsignedByte": "u1", "short": ">i2", "int": ">i4", "long": ">i8", "float": ">f4", "double": ">f8"}


@dataclass(frozen=True, slots=True)
class _Block:
    """Fields of fixed width: `cells` has the shape (rows, width)."""

    cells: Bytes


@dataclass(frozen=True, slots=True)
class _Variable:
    """A field of variable length: row i is a count and `data[starts[i] : starts[i] + lengths[i]]`."""

    data: Bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    counts: Bytes
    """The counts as they are written, of shape (rows, 4)."""


def encode_rows(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> bytes:
    """The rows of a batch, in order."""
    parts: list[_Block | _Variable] = [_Block(_null_flags(batch))]
    parts += [_field(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    blocks = _joined(parts)
    if len(blocks) == 1 and isinstance(blocks[0], _Block):
        return blocks[0].cells.tobytes()
    return _placed(blocks, batch.num_rows).tobytes()


def _null_flags(batch: pa.RecordBatch) -> Bytes:
    flags = np.zeros((batch.num_rows, batch.num_columns), np.bool_)
    for index, array in enumerate(batch.columns):
        if array.null_count:
            flags[:, index] = array.is_null().to_numpy(zero_copy_only=False)
    return np.packbits(flags, axis=1)


def _field(array: pa.Array, column: Column) -> _Block | _Variable:
    if column.is_string:
        if pa.types.is_timestamp(array.type):
            array = timestamps_as_text(array)
        return _string(array, column)
    if pa.types.is_binary(array.type):
        return _variable(_view(array), _offsets(array), 1, array)
    if pa.types.is_list(array.type):
        return _list(array, column)
    if column.datatype == "boolean":
        return _Block(_booleans(array)[:, None])
    return _Block(_numbers(array, column))


def _numbers(array: pa.Array, column: Column) -> Bytes:
    """Numbers as bytes of shape (rows, width); NULL as NaN or 0, which the flags say is none."""
    if array.null_count:
        array = array.fill_null(np.nan if pa.types.is_floating(array.type) else 0)
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False).astype(_NUMBERS[column.datatype])
    return values.view(np.uint8).reshape(len(values), values.dtype.itemsize)


def _booleans(array: pa.Array) -> Bytes:
    """T, F, or ? for NULL."""
    known = array.fill_null(False).to_numpy(zero_copy_only=False)
    letters = np.where(known, np.uint8(ord("T")), np.uint8(ord("F")))
    if array.null_count:
        letters[array.is_null().to_numpy(zero_copy_only=False)] = ord("?")
    return letters


def _string(array: pa.StringArray, column: Column) -> _Block | _Variable:
    """Strings of `char` in ASCII, of `unicodeChar` in UCS-2 (VOTable 1.4, section 2.1).

    What the datatype cannot hold becomes ? or U+FFFD: readers stop at other bytes, and the whole table would be lost.
    Tables with such strings are to declare them `unicodeChar`; `ingest` sees to that.
    """
    width = 1
    if column.datatype == "unicodeChar":
        array, width = _ucs2(array), 2
    else:
        array = _ascii(array).cast(pa.binary())
    if column.arraysize and column.arraysize.isdigit():
        return _Block(_padded(array, int(column.arraysize) * width))
    return _variable(_view(array), _offsets(array), width, array)


def _ascii(array: pa.StringArray) -> pa.StringArray:
    if pc.all(pc.string_is_ascii(array)).as_py() in (True, None):
        return array
    return pc.replace_substring_regex(array, pattern=r"[^\x00-\x7F]", replacement="?")


def _ucs2(array: pa.StringArray) -> pa.BinaryArray:
    array = pc.replace_substring_regex(array.fill_null(""), pattern=r"[\x{10000}-\x{10FFFF}]", replacement="\ufffd")
    ends = pc.cumulative_sum(pc.multiply(pc.utf8_length(array), 2))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
    text = _view(array.cast(pa.binary())).tobytes().decode()
    data = text.encode("utf-16-be")
    return pa.Array.from_buffers(pa.binary(), len(array), [None, offsets.buffers()[1], pa.py_buffer(data)])


def _padded(array: pa.BinaryArray, width: int) -> Bytes:
    """Values of one width: cut, or filled with NUL."""
    values = array.fill_null(b"").to_numpy(zero_copy_only=False)
    return np.array(values, f"S{width}").view(np.uint8).reshape(len(array), width)


def _list(array: pa.ListArray, column: Column) -> _Block | _Variable:
    elements = array.flatten()
    if elements.null_count and not pa.types.is_floating(elements.type):
        raise QueryError(f"Column {column.name!r} has array elements that are NULL, which VOTable cannot express")
    cells = _booleans(elements)[:, None] if column.datatype == "boolean" else _numbers(elements, column)
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = cells.shape[1]
    if column.arraysize and "*" not in column.arraysize:
        return _Block(_fixed_arrays(cells, lengths, column))
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * width
    return _variable(cells.reshape(-1), offsets, width, array)


def _fixed_arrays(cells: Bytes, lengths: NDArray[np.int64], column: Column) -> Bytes:
    """Arrays of one size; those that are NULL are filled with zeros."""
    size = int(np.prod([int(part) for part in (column.arraysize or "").split("x")]))
    if not np.isin(lengths, (0, size)).all():
        raise QueryError(f"Column {column.name!r} is said to hold arrays of {size} elements, but has others")
    rows = np.zeros((len(lengths), size * cells.shape[1]), np.uint8)
    rows[lengths == size] = cells.reshape(-1, size * cells.shape[1])
    return rows


def _view(array: pa.Array) -> Bytes:
    """The bytes of a binary array's values, from the first offset on."""
    buffer = array.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
    raw = _raw_offsets(array)
    return data[raw[0] : raw[-1]]


def _offsets(array: pa.Array) -> NDArray[np.int64]:
    raw = _raw_offsets(array).astype(np.int64)
    offsets: NDArray[np.int64] = raw - raw[0]
    return offsets


def _raw_offsets(array: pa.Array) -> NDArray[np.int32]:
    return np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]


def _variable(data: Bytes, offsets: NDArray[np.int64], width: int, array: pa.Array) -> _Variable:
    """A field whose elements are so many bytes wide."""
    lengths = np.diff(offsets)
    if array.null_count:
        lengths = np.where(array.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    counts = (lengths // width).astype(">i4").view(np.uint8).reshape(len(lengths), 4)
    return _Variable(data, offsets[:-1], lengths, counts)


def _joined(parts: list[_Block | _Variable]) -> list[_Block | _Variable]:
    """The parts, with neighbouring blocks as one; the count before a variable field belongs to the block before it."""
    result: list[_Block | _Variable] = []
    cells: list[Bytes] = []
    for part in parts:
        if isinstance(part, _Block):
            cells.append(part.cells)
            continue
        result += [_Block(np.concatenate([*cells, part.counts], axis=1)), part]
        cells = []
    if cells:
        result.append(_Block(np.concatenate(cells, axis=1) if len(cells) > 1 else cells[0]))
    return result


def _placed(parts: list[_Block | _Variable], rows: int) -> Bytes:
    """The rows of several parts: each part's bytes are moved to where the lengths before them tell."""
    sizes = np.zeros(rows, np.int64)
    for part in parts:
        sizes += part.cells.shape[1] if isinstance(part, _Block) else part.lengths
    ends = np.cumsum(sizes)
    out = np.empty(int(ends[-1]) if rows else 0, np.uint8)
    place = ends - sizes
    for part in parts:
        if isinstance(part, _Block):
            width = part.cells.shape[1]
            out[place[:, None] + np.arange(width)] = part.cells
            place = place + width
        else:
            _scatter(out, place, part)
            place = place + part.lengths
    return out


def _scatter(out: Bytes, place: NDArray[np.int64], part: _Variable) -> None:
    """Copy the values of a variable field to their places."""
    within = np.arange(int(part.lengths.sum())) - np.repeat(np.cumsum(part.lengths) - part.lengths, part.lengths)
    out[np.repeat(place, part.lengths) + within] = part.data[np.repeat(part.starts, part.lengths) + within]
