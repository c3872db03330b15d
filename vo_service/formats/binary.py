"""What stands for NULL in the BINARY serialization (VOTable 1.4, sections 4.7 and 5.3), which has no flags for it.

For integers it is a number that the head of the document names, before the first value is known: one that data hardly
have, and those that do are refused. Bytes have no number to spare: they are written as `short`. Arrays of variable
length are empty for NULL, so that all numbers may occur in them. Else it is as in BINARY2: NaN, ?, the empty string.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_type
from vo_service.errors import QueryError
from vo_service.formats.values import bytes_as_lists

_NULLS = {"short": 1 - 2**15, "int": 1 - 2**31, "long": 1 - 2**63}
"""Not the outermost numbers, which data have more often."""


def as_binary(column: Column) -> Column:
    """The column as the head describes it."""
    is_byte = column.datatype == "unsignedByte" and not _varies(column)
    return replace(column, datatype="short") if is_byte else column


def null_of(column: Column) -> int | None:
    """The number that stands for NULL in a column that `as_binary` made; None where there is none."""
    return None if _varies(column) else _NULLS.get(column.datatype)


def without_null(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """The batch with these numbers for NULL; `columns` are those that `as_binary` made.

    Raises QueryError for data that have such a number themselves.
    """
    arrays = [_without_null(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _without_null(array: pa.Array, column: Column) -> pa.Array:
    null = null_of(column)
    if null is None:
        return array
    known = (bytes_as_lists(array) if pa.types.is_binary(array.type) else array).cast(arrow_type(column))
    is_list = pa.types.is_list(known.type)
    if pc.any(pc.equal(known.flatten() if is_list else known, null)).as_py():
        raise QueryError(
            f"Column {column.name!r} has the value {null}, which stands for NULL in the serialization BINARY; ask for"
            " BINARY2, which needs no such number"
        )
    size = math.prod(map(int, (column.arraysize or "1").split("x")))
    return pc.coalesce(known, pa.scalar([null] * size if is_list else null, known.type))


def _varies(column: Column) -> bool:
    return "*" in (column.arraysize or "")
