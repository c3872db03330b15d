"""From the values of a file to those that are stored: missing values, units, types.

Values are never bent to fit: what the declared type cannot hold exactly is a flaw of its row (but a double may lose
digits as a float, and NaN, which VOTable takes for a missing value, becomes NULL).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.description_input import ColumnSource
from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_type
from vo_service.errors import IngestError
from vo_service.ingest.flaws import Flaws, Mask

Numbers = NDArray[Any]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?|[+-]?nan", re.IGNORECASE | re.ASCII)
_TRUE = pa.array(["true", "t", "yes", "y", "1"])
_FALSE = pa.array(["false", "f", "no", "n", "0"])


def convert(values: pa.Array, column: Column, source: ColumnSource, element: int | None, flaws: Flaws) -> pa.Array:
    """The values as they are stored, in the column's Arrow type; NULL where a flaw was found.

    Parameters
    ----------
    values
        As a reader gives them.
    element
        Which of several values in a row is meant; None if the column is to hold all.

    Raises IngestError if the values are of a kind that the column can never hold.
    """
    values = _decoded(values)
    target = arrow_type(column)
    if _is_list(values.type) and element is not None:
        values = _elements(values, element)
    if pa.types.is_list(target) or pa.types.is_binary(target):
        return _convert_lists(values, column, source, flaws)
    if _is_list(values.type):
        raise _unfit(column, "several values per row; say which one is meant (input: element:), or give an arraysize")
    if pa.types.is_string(values.type):
        values = _without(values, source.null)
    if pa.types.is_string(target):
        return _convert_strings(values, column, source, flaws)
    if pa.types.is_timestamp(target):
        return _convert_timestamps(values, column, flaws)
    if pa.types.is_boolean(target):
        return _convert_booleans(values, column, flaws)
    numbers, missing = _read_numbers(values, column, flaws)
    return _store_numbers(numbers, missing, column, source, flaws)


def _decoded(values: pa.Array) -> pa.Array:
    """Without Arrow's variants of one type: dictionaries, large and view strings, decimals."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _decoded(values.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    return values


def _unfit(column: Column, what: str) -> IngestError:
    return IngestError(f"Column {column.name!r} ({column.datatype}): the file has {what}")


def _without(values: pa.Array, literals: tuple[str, ...]) -> pa.Array:
    if not literals:
        return values
    return pc.if_else(pc.is_in(values, pa.array(literals, pa.string())), pa.scalar(None, values.type), values)


# Numbers -------------------------------------------------------------------------------------------------------------


def _read_numbers(values: pa.Array, column: Column, flaws: Flaws) -> tuple[Numbers, Mask]:
    """Numbers, of whatever type they come in, and where there is none."""
    if pa.types.is_string(values.type):
        return _parse_numbers(values, column, flaws)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise _unfit(column, f"{values.type} values")
    missing = values.is_null().to_numpy(zero_copy_only=False)
    return (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False), missing


def _parse_numbers(values: pa.Array, column: Column, flaws: Flaws) -> tuple[Numbers, Mask]:
    kind = pa.float64() if column.datatype in ("float", "double") else pa.int64()
    try:
        parsed = pc.cast(values, kind)
    except pa.ArrowInvalid:
        values = _trimmed(values)
        try:
            parsed = pc.cast(values, kind)
        except pa.ArrowInvalid:
            return _parse_one_by_one(values, column, flaws)
    numbers, missing = _read_numbers(parsed, column, flaws)
    infinite = np.isinf(numbers)
    if infinite.any():
        spelt = pc.match_substring(values, "inf", ignore_case=True).fill_null(True).to_numpy(zero_copy_only=False)
        flaws.add(infinite & ~spelt, lambda row: f"{column.name}: {values[row]} is beyond the largest double")
        missing |= infinite & ~spelt
    return numbers, missing


def _trimmed(values: pa.Array) -> pa.Array:
    """Without blanks around the text and a plus sign before it; nothing is left of a field of blanks."""
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"^\+", "")
    return _without(text, ("",))


def _parse_one_by_one(values: pa.Array, column: Column, flaws: Flaws) -> tuple[Numbers, Mask]:
    """The slow way, for batches that hold something unusual: every text is judged on its own."""
    integral = column.datatype not in ("float", "double")
    texts: list[str | None] = values.to_pylist()
    numbers: Numbers = np.zeros(len(texts), dtype=np.int64 if integral else np.float64)
    missing, bad = np.zeros(len(texts), dtype=bool), np.zeros(len(texts), dtype=bool)
    for row, text in enumerate(texts):
        if text is None or text.lower() == "nan":
            missing[row] = True
        elif not _NUMBER.fullmatch(text):
            bad[row] = True
        elif not integral:
            numbers[row] = float(text)
        else:
            number = _integer(text)
            bad[row] = number is None
            numbers[row] = number or 0

    def reason(row: int) -> str:
        text = texts[row]
        if _NUMBER.fullmatch(text or ""):
            return f"{column.name}: {text} does not fit {column.datatype}"
        return f"{column.name}: {text!r} is not a number; if it stands for a missing value, say so (source: null:)"

    flaws.add(bad, reason)
    return numbers, missing | bad


def _integer(text: str) -> int | None:
    """The integer that a number is, if it is one of 64 bits: of "5", and of "5.0"."""
    try:
        number = int(text)
    except ValueError:
        fraction = float(text)
        if not fraction.is_integer():
            return None
        number = int(fraction)
    return number if -(2**63) <= number < 2**63 else None


def _store_numbers(numbers: Numbers, missing: Mask, column: Column, source: ColumnSource, flaws: Flaws) -> pa.Array:
    missing = missing | _equal_any(numbers, source.null)
    if numbers.dtype.kind == "f":
        missing |= np.isnan(numbers)
    if source.factor != 1:
        numbers = numbers.astype(np.float64) * source.factor
    stored, misfit = _fit(numbers, _numpy_type(column))
    flaws.add(misfit & ~missing, lambda row: f"{column.name}: {numbers[row]} does not fit {column.datatype}")
    hidden = missing | misfit
    return pa.array(stored, mask=hidden if hidden.any() else None)


def _numpy_type(column: Column) -> np.dtype[Any]:
    target = arrow_type(column)
    if pa.types.is_list(target):
        target = target.value_type
    dtype: np.dtype[Any] = np.dtype(np.uint8 if pa.types.is_binary(target) else target.to_pandas_dtype())
    return dtype


def _equal_any(numbers: Numbers, literals: tuple[str, ...]) -> Mask:
    """Where a number is one of those that stand for a missing value."""
    found = np.zeros(len(numbers), dtype=bool)
    for literal in literals:
        if _NUMBER.fullmatch(literal):
            # In the precision of the file: -999.1 as a float is not -999.1 as a double.
            found |= numbers == (numbers.dtype.type(float(literal)) if numbers.dtype.kind == "f" else float(literal))
    return found


def _fit(numbers: Numbers, dtype: np.dtype[Any]) -> tuple[Numbers, Mask]:
    """The numbers in another type, and where they do not fit it. What is stored there has no meaning."""
    if numbers.dtype == dtype:
        return numbers, np.zeros(len(numbers), dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        stored = numbers.astype(dtype)
        if dtype.kind == "f":
            return stored, np.isinf(stored) & np.isfinite(numbers)
        if dtype.kind == "b":
            return stored, (numbers != 0) & (numbers != 1)
        limits = np.iinfo(dtype)
        if numbers.dtype.kind == "f":
            # The upper limit of 64 bits has no double of its own; the next one is too large.
            inside = (numbers >= float(limits.min)) & (numbers < float(limits.max) + 1)
            return stored, ~inside | (numbers != np.trunc(numbers))
        return stored, (numbers < limits.min) | (numbers > limits.max)


# Lists ---------------------------------------------------------------------------------------------------------------


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind))


def _elements(values: pa.Array, element: int) -> pa.Array:
    """The value at one place of each list; NULL where a list is shorter."""
    lists = values.cast(pa.large_list(values.type.value_type))
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    places = lists.offsets.to_numpy()[:-1] + element
    return lists.values.take(pa.array(places, mask=lengths <= element))


def _convert_lists(values: pa.Array, column: Column, source: ColumnSource, flaws: Flaws) -> pa.Array:
    if not _is_list(values.type):
        raise _unfit(column, f"{values.type} values where lists of numbers are expected (arraysize {column.arraysize})")
    lists = values.cast(pa.list_(values.type.value_type))
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    absent = lists.is_null().to_numpy(zero_copy_only=False)
    flaws.add(
        ~_length_allowed(lengths, column) & ~absent,
        lambda row: f"{column.name}: {lengths[row]} values are there, its arraysize is {column.arraysize}",
    )
    flat = lists.flatten()
    numbers, missing = _read_numbers(flat, column, flaws)
    if missing.any() and numbers.dtype.kind != "f":
        raise _unfit(column, "lists with missing integers")
    if source.factor != 1:
        numbers = numbers.astype(np.float64) * source.factor
    stored, misfit = _fit(np.where(missing, np.nan, numbers) if missing.any() else numbers, _numpy_type(column))
    rows = np.repeat(np.arange(len(lists)), lengths)
    flaws.add(
        np.bincount(rows[misfit], minlength=len(lists)).astype(bool),
        lambda row: f"{column.name}: a value does not fit {column.datatype}",
    )
    offsets = pa.py_buffer(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
    validity = pa.array(~absent).buffers()[1] if absent.any() else None
    if pa.types.is_binary(arrow_type(column)):
        return pa.Array.from_buffers(pa.binary(), len(lists), [validity, offsets, pa.py_buffer(stored)])
    return pa.Array.from_buffers(arrow_type(column), len(lists), [validity, offsets], children=[pa.array(stored)])


def _length_allowed(lengths: Numbers, column: Column) -> Mask:
    size = column.arraysize or "*"
    factors = [int(number) for number in re.findall(r"\d+", size)]
    length = int(np.prod(factors, dtype=int))
    if not size.endswith("*"):
        return np.asarray(lengths == length)
    most = length if size[-2:-1].isdigit() else None
    if most is not None:
        return np.asarray(lengths <= most)
    return np.asarray(lengths % length == 0) if factors else np.ones(len(lengths), dtype=bool)


# Text, truth, time ---------------------------------------------------------------------------------------------------


def _convert_strings(values: pa.Array, column: Column, source: ColumnSource, flaws: Flaws) -> pa.Array:
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        values = _without(values.cast(pa.string()), source.null)
    if not pa.types.is_string(values.type):
        raise _unfit(column, f"{values.type} values")
    _flag(pc.match_substring(values, "\0"), flaws, lambda row: f"{column.name}: {values[row].as_py()!r} contains NUL")
    if column.datatype == "char":
        _flag(
            pc.invert(pc.string_is_ascii(values)),
            flaws,
            lambda row: f"{column.name}: {values[row].as_py()!r} is not ASCII, as char is; declare datatype: unicode",
        )
    most = re.match(r"\d+", column.arraysize or "")
    if most:
        _flag(
            pc.greater(pc.utf8_length(values), int(most[0])),
            flaws,
            lambda row: f"{column.name}: {values[row].as_py()!r} is longer than {most[0]} characters",
        )
    return values


def _convert_booleans(values: pa.Array, column: Column, flaws: Flaws) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    if pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    if not pa.types.is_string(values.type):
        raise _unfit(column, f"{values.type} values")
    text = _without(pc.utf8_lower(pc.utf8_trim_whitespace(values)), ("",))
    true, false = pc.is_in(text, _TRUE), pc.is_in(text, _FALSE)
    unknown = pc.invert(pc.or_(pc.or_(true, false), text.is_null()))
    _flag(unknown, flaws, lambda row: f"{column.name}: {values[row].as_py()!r} is neither true nor false")
    return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))


def _convert_timestamps(values: pa.Array, column: Column, flaws: Flaws) -> pa.Array:
    target = pa.timestamp("us")
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return values.cast(
            pa.timestamp("us", values.type.tz) if pa.types.is_timestamp(values.type) else target, False
        ).cast(target)
    if not pa.types.is_string(values.type):
        raise _unfit(column, f"{values.type} values where times in ISO 8601 are expected")
    text = pc.replace_substring_regex(_trimmed(values), r"(\.\d{6})\d*Z?$|Z$", r"\1")
    try:
        return pc.cast(text, target)
    except pa.ArrowInvalid:
        times = [_time(string) for string in text.to_pylist()]
    parsed = pa.array(times, target)
    _flag(
        pc.and_(text.is_valid(), parsed.is_null()),
        flaws,
        lambda row: f"{column.name}: {values[row].as_py()!r} is no time such as 2026-11-21T12:34:56.789",
    )
    return parsed


def _time(text: str | None) -> datetime | None:
    """The time, if the text is one that pyarrow understands too."""
    try:
        return pc.cast(pa.array([text], pa.string()), pa.timestamp("us"))[0].as_py()  # type: ignore[no-any-return]
    except pa.ArrowInvalid:
        return None


def _flag(mask: pa.BooleanArray, flaws: Flaws, reason: Callable[[int], str]) -> None:
    flaws.add(mask.fill_null(False).to_numpy(zero_copy_only=False), reason)
