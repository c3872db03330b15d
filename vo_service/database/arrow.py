"""The types of a column in Arrow and in PostgreSQL, from its VOTable datatype, and bringing data to them.

    VOTable                        Arrow               PostgreSQL
    boolean                        bool                boolean
    unsignedByte                   uint8               smallint            (PostgreSQL has no byte)
    short, int, long               int16, 32, 64       smallint, integer, bigint
    float, double                  float32, 64         real, double precision
    char, unicodeChar              string              text                (of any arraysize)
    char, xtype timestamp          timestamp[us]       timestamp           (without time zone, as DALI 1.1, 3.3.3 asks)
    unsignedByte, an array         binary              bytea
    any other array                list of the above   array of the above  (flat, also where arraysize is 2x3)

Timestamps travel as numbers; the formats write them as ISO 8601 text. NULL and NaN are different values everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from vo_service.catalog.model import Column
from vo_service.errors import ConfigurationError, QueryError

_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "boolean": (pa.bool_(), "boolean"),
    "unsignedByte": (pa.uint8(), "smallint"),
    "short": (pa.int16(), "smallint"),
    "int": (pa.int32(), "integer"),
    "long": (pa.int64(), "bigint"),
    "float": (pa.float32(), "real"),
    "double": (pa.float64(), "double precision"),
}
_STRING = (pa.string(), "text")
_TIMESTAMP = (pa.timestamp("us"), "timestamp")
_BYTES = (pa.binary(), "bytea")


def arrow_type(column: Column) -> pa.DataType:
    """The type in which values of the column travel. ConfigurationError if the datatype is none of the above."""
    return _types(column)[0]


def sql_type(column: Column) -> str:
    """The type of the column in a table. ConfigurationError if the datatype is none of the above."""
    return _types(column)[1]


@lru_cache(maxsize=500)
def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """The schema of record batches that hold these columns."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with exactly the schema's names and types; columns go by their place.

    Raises QueryError if a value cannot be had in the type that its column is said to have.
    """
    if batch.num_columns != len(schema):
        raise QueryError(
            f"The query was to return {len(schema)} columns, but the database returned {batch.num_columns}"
        )
    arrays = [_cast(array, field) for array, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def batch_of_rows(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    """A batch of rows of Python values, as psycopg returns them. Raises QueryError as `conform` does."""
    arrays = [_array(values, field) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _types(column: Column) -> tuple[pa.DataType, str]:
    if column.is_string:
        return _TIMESTAMP if column.xtype == "timestamp" else _STRING
    try:
        arrow, sql = _TYPES[column.datatype]
    except KeyError:
        raise ConfigurationError(
            f"Column {column.name!r}: datatype {column.datatype!r} is not supported; expected one of"
            f" {', '.join(_TYPES)}, char, unicodeChar"
        ) from None
    if column.arraysize is None:
        return arrow, sql
    return _BYTES if column.datatype == "unsignedByte" else (pa.list_(arrow), f"{sql}[]")


def _array(values: Sequence[object], field: pa.Field) -> pa.Array:
    if pa.types.is_integer(field.type) and not _INTEGERS.issuperset(map(type, values)):
        # Asked for integers at once, Arrow cuts off the fractions of others without a word.
        return _cast(pa.array(values), field)
    try:
        return pa.array(values, field.type)
    except pa.ArrowTypeError:
        return _cast(pa.array(values), field)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise _misfit(field, error) from None


_INTEGERS = frozenset({int, type(None)})


def _cast(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type == field.type:
        return array
    # Integers beyond 2^53 become the nearest double; nothing else may change in value.
    options = pa.compute.CastOptions(
        target_type=field.type, allow_float_truncate=pa.types.is_floating(field.type), allow_time_truncate=True
    )
    try:
        return array.cast(options=options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _misfit(field, error) from None


def _misfit(field: pa.Field, error: Exception) -> QueryError:
    return QueryError(
        f"Column {field.name!r} of the result has a value that does not fit its type {field.type}: {error}"
    )
