"""Formats that a library writes as a file, once all rows are known: what HDF5 and ROOT have in common.

Rows wait in a spool, so that their number, the length of strings and where NULL occurs are known when the file is
begun; then it leaves in pieces. Values of columns are had as numpy arrays, and NULL among them in one way:

- of floating-point numbers, and of arrays of a fixed number of them, it is NaN;
- all else has a column of flags beside it, if there is any NULL; the values are zero, false or empty there.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.spool import Spool
from vo_service.formats.values import bytes_as_lists, filled, list_lengths, timestamps_as_text

PIECE = 1_000_000
"""Size of the pieces in which a file leaves, in bytes."""


class FileWriter(Writer):
    """Keeps rows until `_write` makes a file of them."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._fields = [Field(column) for column in table.columns]
        self._rows = 0
        self._bytes = 0
        self._spool = Spool()

    def start(self) -> bytes:
        return b""

    def batch(self, batch: pa.RecordBatch) -> bytes:
        if batch.num_rows:
            arrays = [field.prepared(array) for field, array in zip(self._fields, batch.columns, strict=True)]
            self._spool.add(pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(arrays))]))
            self._rows += batch.num_rows
            self._bytes += batch.nbytes
        return b""

    def end(self) -> Iterable[bytes]:
        return self._pieces(Info("QUERY_STATUS", "OK"))

    def overflow(self, maxrec: int) -> Iterable[bytes]:
        return self._pieces(Info("QUERY_STATUS", "OVERFLOW", f"There are more rows than the {maxrec} given here"))

    def failure(self, message: str) -> Iterable[bytes]:
        raise QueryError(message)

    def close(self) -> None:
        self._spool.close()
        # What the libraries took would stay with the process otherwise.
        pa.default_memory_pool().release_unused()

    def _write(self, file: IO[bytes], status: Info) -> None:
        """Make the file. Implemented by each format."""
        raise NotImplementedError

    def _pieces(self, status: Info) -> Iterator[bytes]:
        with tempfile.TemporaryFile() as file:
            self._write(file, status)
            file.seek(0)
            while piece := file.read(PIECE):
                yield piece

    def _rows_of(self, size: int) -> int:
        """The number of rows whose values take so many bytes of memory, about; 1 at least."""
        return max(1, size * self._rows // max(1, self._bytes))

    def _blocks(self, rows: int) -> Iterator[pa.RecordBatch]:
        """All rows, so many at a time; the last block may have fewer. The division into batches does not show."""
        held: list[pa.RecordBatch] = []
        missing = rows
        for batch in self._spool.batches():
            rest = batch
            while rest.num_rows >= missing:
                yield pa.concat_batches([*held, rest.slice(0, missing)])
                rest = rest.slice(missing)
                held, missing = [], rows
            if rest.num_rows:
                held.append(rest)
                missing -= rest.num_rows
        if held:
            yield pa.concat_batches(held)


class Field:
    """A column, and what is learned of its values as they come.

    Attributes
    ----------
    shape
        Of each value, in the order of numpy: () for numbers and strings, (3, 2) for an arraysize of "2x3"; None for
        arrays of variable length, which are flat.
    longest
        Of strings: the length of the longest one, in bytes.
    has_flags
        Whether NULL is told by flags.
    """

    def __init__(self, column: Column) -> None:
        self.column = column
        self.shape = () if column.is_string else _shape(column)
        self.longest = 0
        self.has_flags = False

    def prepared(self, array: pa.Array) -> pa.Array:
        """The values as they are kept: times as text, bytes as arrays of numbers. Raises QueryError for bad ones."""
        if pa.types.is_timestamp(array.type):
            array = timestamps_as_text(array)
        elif pa.types.is_binary(array.type):
            array = bytes_as_lists(array)
        if self.column.is_string:
            self.longest = max(self.longest, pc.max(pc.binary_length(array)).as_py() or 0)
        self.has_flags |= array.null_count > 0 and not self._has_nan
        if pa.types.is_list(array.type):
            self._check(array)
        return array

    @property
    def _has_nan(self) -> bool:
        """Whether NULL is NaN."""
        return self.column.datatype in ("float", "double") and self.shape is not None

    def numbers(self, array: pa.Array) -> NDArray[Any]:
        """Values of one shape, of shape (rows, ...): those of a column that is neither strings nor variable."""
        if not pa.types.is_list(array.type):
            return _plain(array)
        elements = _plain(array.flatten())
        nothing = math.nan if elements.dtype.kind == "f" else 0
        values = np.full((len(array), math.prod(self.shape or ())), nothing, elements.dtype)
        known = array.is_valid().to_numpy(zero_copy_only=False)
        values[known] = elements.reshape(-1, values.shape[1])
        return values.reshape(len(array), *(self.shape or ()))

    def _check(self, array: pa.ListArray) -> None:
        elements = array.flatten()
        if elements.null_count and not pa.types.is_floating(elements.type):
            raise QueryError(f"Column {self.column.name!r} has NULL within an array, which has no place in this format")
        if self.shape is not None:
            size = math.prod(self.shape)
            if pc.any(pc.not_equal(pc.list_value_length(array), size)).as_py():
                raise QueryError(
                    f"Column {self.column.name!r} is said to hold arrays of {size} elements; it has others"
                )


def flat(array: pa.ListArray) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The elements of arrays of variable length, one after the other, and the number of those of each."""
    return _plain(array.flatten()), list_lengths(array)


def _plain(array: pa.Array) -> NDArray[Any]:
    """Numbers or truth values, with NaN, 0 or false for NULL."""
    kind = array.type
    nothing: object = math.nan if pa.types.is_floating(kind) else not pa.types.is_boolean(kind) and 0
    values: NDArray[Any] = filled(array, nothing).to_numpy(zero_copy_only=False)
    return values


def _shape(column: Column) -> tuple[int, ...] | None:
    """VOTable counts along the first axis fastest, numpy along the last (VOTable 1.4, section 2.2)."""
    if column.arraysize is None:
        return ()
    if "*" in column.arraysize:
        return None
    return tuple(reversed([int(length) for length in column.arraysize.split("x")]))


def unique(name: str, taken: set[str]) -> str:
    """The name, or one like it that is not taken yet; it is from now on."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
