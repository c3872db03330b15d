"""Rows in the serializations BINARY2 and BINARY (VOTable 1.4, sections 5.4 and 5.3): record batches to bytes.

In BINARY2 a row is one bit per column (set for NULL, padded to bytes), then the fields in order, big-endian; BINARY has
no such bits (`binary` says what stands for NULL). Whole columns are written at once: neighbouring fields of fixed width
are laid out together as a numpy structured array; a string or array of variable length has its number of elements
before it, which is a field of fixed width. Arrow joins these blocks and the variable fields, row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.values import (
    bytes_of,
    filled,
    list_lengths,
    null_element,
    offsets_from,
    timestamps_as_text,
)

_NUMBERS = {"unsignedByte": "u1", "short": ">i2", "int": ">i4", "long": ">i8", "float": ">f4", "double": ">f8"}


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A field of fixed width: `values` of shape (rows, ...), to be written as `dtype`."""

    values: NDArray[Any]
    dtype: str


@dataclass(frozen=True, slots=True)
class _Variable:
    """A field of variable length: the number of elements of each row, and their bytes."""

    counts: NDArray[np.int32]
    data: pa.BinaryArray


def encode_rows(batch: pa.RecordBatch, columns: tuple[Column, ...], *, flags: bool = True) -> NDArray[np.uint8]:
    """The bytes of the rows of a batch, in order; with `flags`, in BINARY2.

    Raises QueryError for values that their column's datatype cannot hold.
    """
    blocks: list[pa.BinaryArray] = []
    fixed = _null_flags(batch) if flags else []
    for array, column in zip(batch.columns, columns, strict=True):
        field = _field(array, column)
        if isinstance(field, _Fixed):
            fixed.append(field)
            continue
        fixed.append(_Fixed(field.counts, ">i4"))
        blocks += [_widths_equal(_together(fixed), batch.num_rows), field.data]
        fixed = []
    if not blocks:
        return _together(fixed)
    if fixed:
        blocks.append(_widths_equal(_together(fixed), batch.num_rows))
    return bytes_of(pc.binary_join_element_wise(*blocks, b""))


def _together(fields: list[_Fixed]) -> NDArray[np.uint8]:
    """Fields of fixed width as rows."""
    layout = [(f"f{i}", field.dtype, field.values.shape[1:]) for i, field in enumerate(fields)]
    rows = np.empty(len(fields[0].values), layout)
    for (name, _, _), field in zip(layout, fields, strict=True):
        rows[name] = field.values
    return rows.view(np.uint8)


def _widths_equal(rows: NDArray[np.uint8], count: int) -> pa.BinaryArray:
    """Rows of one width as values of an Arrow array."""
    return _binary(np.full(count, len(rows) // max(count, 1), np.int32), rows)


def _binary(lengths: NDArray[np.int32], data: NDArray[Any]) -> pa.BinaryArray:
    """Values that follow each other in `data`, from their lengths in bytes."""
    return pa.Array.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(offsets_from(lengths)), pa.py_buffer(data)]
    )


def _null_flags(batch: pa.RecordBatch) -> list[_Fixed]:
    """The bytes with a bit for each column, the first one highest."""
    flags = np.zeros((-(-batch.num_columns // 8), batch.num_rows), np.uint8)
    for index, array in enumerate(batch.columns):
        if array.null_count:
            missing = array.is_null().to_numpy(zero_copy_only=False).view(np.uint8)
            flags[index // 8] |= missing << (7 - index % 8)
    return [_Fixed(octet, "u1") for octet in flags]


def _field(array: pa.Array, column: Column) -> _Fixed | _Variable:
    if pa.types.is_timestamp(array.type):
        array = timestamps_as_text(array)
    if column.is_string:
        return _string(filled(array, ""), column)
    if pa.types.is_binary(array.type):
        known = filled(array, b"")
        lengths = pc.binary_length(known).to_numpy(zero_copy_only=False)
        return _array(_Fixed(bytes_of(known), "u1"), lengths, array, column)
    if pa.types.is_list(array.type):
        elements = array.flatten()
        if elements.null_count:
            null_element(elements.type)
        return _array(_scalars(elements, column), list_lengths(array), array, column)
    return _scalars(array, column)


def _scalars(array: pa.Array, column: Column) -> _Fixed:
    """Numbers, with NaN or 0 for NULL, or truth values: T, F, or ? for NULL."""
    if column.datatype == "boolean":
        letters = filled(pc.if_else(array, ord("T"), ord("F")), ord("?"))
        return _Fixed(letters.to_numpy(zero_copy_only=False), "u1")
    known = filled(array, math.nan if pa.types.is_floating(array.type) else 0)
    return _Fixed(known.to_numpy(zero_copy_only=False), _NUMBERS[column.datatype])


def _array(elements: _Fixed, lengths: NDArray[np.int32], array: pa.Array, column: Column) -> _Fixed | _Variable:
    """An array of any length, or of one: then NaN or zeros stand for NULL."""
    size = _size(column)
    if size is None:
        data = np.ascontiguousarray(elements.values, elements.dtype)
        return _Variable(lengths, _binary(lengths * data.itemsize, data))
    known = array.is_valid().to_numpy(zero_copy_only=False)
    if (lengths[known] != size).any():
        raise QueryError(f"Column {column.name!r} is said to hold arrays of {size} elements; it has others")
    nothing = math.nan if column.datatype in ("float", "double") else 0
    values = np.full((len(array), size), nothing, elements.values.dtype)
    values[known] = elements.values.reshape(-1, size)
    return _Fixed(values, elements.dtype)


def _string(text: pa.StringArray, column: Column) -> _Fixed | _Variable:
    """Strings of `char` in ASCII, of `unicodeChar` in UCS-2 (VOTable 1.4, section 2.1); short ones filled with NUL."""
    size = _size(column)
    if size is not None:
        if (pc.max(pc.utf8_length(text)).as_py() or 0) > size:
            raise QueryError(f"Column {column.name!r} is said to hold strings of {size} characters; it has longer ones")
        text = pc.utf8_rpad(text, size, "\0")
    width = 2 if column.datatype == "unicodeChar" else 1
    data = np.frombuffer(_ucs2(text) if width == 2 else _ascii(text), np.uint8)
    if size is not None:
        return _Fixed(data.reshape(len(text), size * width), "u1")
    counts = pc.utf8_length(text).to_numpy(zero_copy_only=False)
    return _Variable(counts, _binary(counts * width, data))


def _size(column: Column) -> int | None:
    """Number of elements of each value; None if it varies."""
    shape = column.arraysize or "1"
    return None if "*" in shape else math.prod(map(int, shape.split("x")))


def _ascii(text: pa.StringArray) -> bytes:
    """The characters in ASCII, ? for others: readers refuse whole tables that have them (astropy) or garble them.

    Columns with such strings are to be declared `unicodeChar`; `ingest` sees to that.
    """
    if (bytes_of(text) >= 0x80).any():
        text = pc.replace_substring_regex(text, pattern=r"[^\x00-\x7F]", replacement="?")
    return bytes_of(text).tobytes()


def _ucs2(text: pa.StringArray) -> bytes:
    """The characters in UCS-2, U+FFFD for those that it does not have."""
    if (bytes_of(text) >= 0xF0).any():  # the UTF-8 of characters above U+FFFF begins so
        text = pc.replace_substring_regex(text, pattern=r"[\x{10000}-\x{10FFFF}]", replacement="\ufffd")
    return bytes_of(text).tobytes().decode().encode("utf-16-be")
