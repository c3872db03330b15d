"""Columns of FITS binary tables (FITS 4.0, section 7.3): what is to be known of all rows first, then rows as bytes.

    boolean          L, NUL for NULL
    integers         B, I, J, K; NULL is a number that the column does not use (TNULL)
    float, double    E, D; NaN for NULL
    strings, times   A, as wide as the longest; NULL is an empty string. Where that would waste most of a large table,
                     they are variable
    arrays           as their elements; of one size in the row, others in the heap (P, or Q beyond 2 GB). NULL is an
                     empty array, or one of NULLs if it is of one size
    bytes            B

Characters beyond ASCII, which FITS does not have, are written in UTF-8 in columns of `unicodeChar`, as astropy reads
them; in those of `char` they are ?.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.values import (
    as_ascii,
    bytes_as_lists,
    bytes_of,
    filled,
    list_lengths,
    null_element,
    timestamps_as_text,
)

_CODES = {
    "boolean": ("L", "u1"),
    "unsignedByte": ("B", "u1"),
    "short": ("I", ">i2"),
    "int": ("J", ">i4"),
    "long": ("K", ">i8"),
    "float": ("E", ">f4"),
    "double": ("D", ">f8"),
}
_TEXT = ("A", "u1")
_DESCRIPTORS = {"P": ">i4", "Q": ">i8"}

_LARGEST_P = 2**31
"""Size of a heap, in bytes, from which its places need 64 bits."""

_WASTE = 4
"""How many times more room strings of one width may take; astropy reads variable ones as single characters only."""

_WASTE_BYTES = 50_000_000
"""Size up to which strings are of one width in any case."""


class Field:
    """A column of a table. `prepared` is called with all rows, then `settle`, then the rest."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._code, self._dtype = _TEXT if column.is_string else _CODES[column.datatype]
        self._size = _size(column)
        self._rows = 0
        self._longest = 0
        self._elements = 0
        self._has_null = False
        self._unused = _candidates(self._dtype) if self._may_need_null else []
        self._place = 0
        self._descriptor = ""

    def prepared(self, array: pa.Array) -> pa.Array:
        """The values as they are kept until `settle`: lists, strings that FITS can hold, or scalars.

        Raises QueryError for values that their column's datatype cannot hold.
        """
        array = self._simple(array)
        self._rows += len(array)
        self._has_null |= array.null_count > 0
        if pa.types.is_string(array.type):
            self._measure(pc.binary_length(filled(array, "")).to_numpy(zero_copy_only=False))
        elif pa.types.is_list(array.type):
            self._check(array)
            self._measure(list_lengths(array))
        self._strike_used(array)
        return array

    def settle(self, heap: int) -> int:
        """Decide on the layout, with `heap` bytes in the heap before; returns how many there are after."""
        if self._may_need_null and self._has_null and not self._unused:
            self._widen()
        if not self.is_variable:
            return heap
        self._place = heap
        return heap + self._elements * self._width

    def settle_places(self, heap: int) -> None:
        """Decide on the width of places in a heap of so many bytes in all."""
        if self.is_variable:
            self._descriptor = "P" if heap < _LARGEST_P else "Q"

    @property
    def is_variable(self) -> bool:
        """Whether values are in the heap."""
        return self._size is None or self._wastes

    @property
    def form(self) -> str:
        """TFORM."""
        if self.is_variable:
            return f"1{self._descriptor}{self._code}({self._longest})"
        return f"{self._repeat}{self._code}" if self._repeat != 1 or self._code == "A" else self._code

    @property
    def shape(self) -> str | None:
        """TDIM, for arrays of more than one dimension."""
        shape = self.column.arraysize or ""
        return f"({shape.replace('x', ',')})" if "x" in shape and not self.is_variable else None

    @property
    def null(self) -> int | None:
        """TNULL, for integers with NULL among them."""
        return self._unused[0] if self._may_need_null and self._has_null else None

    @property
    def layout(self) -> tuple[str, tuple[int, ...]]:
        """Of a value in a row: as numpy has it."""
        if self.is_variable:
            return _DESCRIPTORS[self._descriptor], (2,)
        return self._dtype, () if self._repeat == 1 and self._code != "A" else (self._repeat,)

    def cells(self, array: pa.Array) -> NDArray[Any]:
        """What stands in the rows, from values that `prepared` made. To be called for the rows in order, once."""
        if self.is_variable:
            return self._places(array)
        if self._code == "A":
            padded = pc.ascii_rpad(filled(array, ""), self._repeat, "\0")
            return bytes_of(padded).reshape(len(array), self._repeat)
        if pa.types.is_list(array.type):
            return self._rows_of_one_size(array)
        return self._numbers(array)

    def heaped(self, arrays: Iterable[pa.Array]) -> Iterable[bytes]:
        """What stands in the heap, from values that `prepared` made."""
        for array in arrays:
            if self._code == "A":
                yield bytes_of(filled(array, "")).tobytes()
            else:
                yield np.ascontiguousarray(self._numbers(array.flatten()), self._dtype).tobytes()

    @property
    def _may_need_null(self) -> bool:
        """Whether a number has to stand for NULL, if there is any: integers, also in arrays of one size."""
        return self._code in "BIJK" and self._size is not None

    @property
    def _width(self) -> int:
        """Bytes of an element."""
        return np.dtype(self._dtype).itemsize

    @property
    def _repeat(self) -> int:
        return max(1, self._longest, self._declared) if self._code == "A" else self._size or 1

    @property
    def _declared(self) -> int:
        """Number of characters that strings have according to the column, if it says that."""
        shape = self.column.arraysize or "1"
        return int(shape) if shape.isdigit() else 1

    @property
    def _wastes(self) -> bool:
        """Whether strings of one width would waste most of the table."""
        if self._code != "A":
            return False
        size, descriptor = self._repeat * self._rows, 16
        return size > _WASTE_BYTES and size > _WASTE * (self._elements + descriptor * self._rows)

    def _simple(self, array: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(array.type):
            return timestamps_as_text(array)
        if pa.types.is_binary(array.type):
            return bytes_as_lists(array)
        return as_ascii(array) if self.column.datatype == "char" else array

    def _measure(self, lengths: NDArray[np.int32]) -> None:
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        self._elements += int(lengths.sum(dtype=np.int64))

    def _check(self, array: pa.ListArray) -> None:
        elements = array.flatten()
        if elements.null_count:
            null_element(elements.type)
        if self._size is not None and pc.any(pc.not_equal(pc.list_value_length(array), self._size)).as_py():
            raise QueryError(
                f"Column {self.column.name!r} is said to hold arrays of {self._size} elements; it has others"
            )

    def _strike_used(self, array: pa.Array) -> None:
        """Take numbers that the column uses from those that could stand for NULL."""
        if self._unused:
            numbers = array.flatten() if pa.types.is_list(array.type) else array
            values = numbers.drop_null().to_numpy(zero_copy_only=False)
            used = np.unique(values[values <= max(self._unused)]).tolist()
            self._unused = [number for number in self._unused if number not in used]

    def _widen(self) -> None:
        """Take the next larger type, which has numbers to spare."""
        if self._code == "K":
            raise QueryError(f"Column {self.column.name!r} uses all numbers that could stand for NULL in FITS")
        codes = list(_CODES.values())
        self._code, self._dtype = codes[codes.index((self._code, self._dtype)) + 1]
        self._unused = _candidates(self._dtype)

    def _numbers(self, array: pa.Array) -> NDArray[Any]:
        if self._code == "L":
            array = filled(pc.if_else(array, ord("T"), ord("F")), 0)
        elif self._code in "ED":
            array = filled(array, math.nan)
        elif array.null_count:
            array = array.cast(np.dtype(self._dtype).name).fill_null(self.null)
        return array.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]

    def _rows_of_one_size(self, array: pa.Array) -> NDArray[Any]:
        """Arrays of one size; NULL is an array of NULLs."""
        elements = self._numbers(array.flatten())
        nothing = {"L": 0, "E": math.nan, "D": math.nan}.get(self._code, self.null)
        known = array.is_valid().to_numpy(zero_copy_only=False)
        values = np.full((len(array), self._repeat), nothing or 0, np.dtype(self._dtype))
        values[known] = elements.reshape(-1, self._repeat)
        return values

    def _places(self, array: pa.Array) -> NDArray[Any]:
        """Lengths of values, and their places in the heap."""
        text = pa.types.is_string(array.type)
        lengths = pc.binary_length(filled(array, "")) if text else pa.array(list_lengths(array))
        counts = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
        ends = self._place + np.cumsum(counts) * self._width
        places = np.stack([counts, ends - counts * self._width], axis=1)
        self._place = int(ends[-1]) if len(ends) else self._place
        return places


def _size(column: Column) -> int | None:
    """Number of elements of each value; None if it varies. Strings are taken to be one element here."""
    shape = column.arraysize or "1"
    if column.is_string:
        return 1
    return None if "*" in shape else math.prod(map(int, shape.split("x")))


def _candidates(dtype: str) -> list[int]:
    """Numbers that could stand for NULL, the usual ones first."""
    if dtype == "u1":
        return list(range(255, -1, -1))
    smallest = int(np.iinfo(dtype).min)
    return list(range(smallest, smallest + 256))
