"""Columns of a record batch as text, for the formats that write text: whole columns at once, in Arrow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.errors import QueryError


def as_text(array: pa.Array) -> pa.StringArray:
    """The values as strings; NULL stays NULL.

    Numbers are written in the fewest digits that read back the same; NaN, +Inf and -Inf as VOTable has them (VOTable
    1.4, section 6); booleans as true and false; timestamps as DALI 1.1, section 3.3.3; arrays with spaces between
    their elements.
    """
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        return _floats_as_text(array)
    if pa.types.is_timestamp(kind):
        return timestamps_as_text(array)
    if pa.types.is_list(kind):
        return _lists_as_text(array)
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else " ".join(map(str, v)) for v in array.to_pylist()], pa.string())
    return array.cast(pa.string())


def timestamps_as_text(array: pa.Array) -> pa.StringArray:
    """ISO 8601 without zone (DALI 1.1, section 3.3.3); seconds with as many decimals as they need."""
    text = pc.strftime(array, format="%Y-%m-%dT%H:%M:%S")
    text = pc.replace_substring_regex(text, pattern=r"(\.\d*[1-9])0+$", replacement=r"\1")
    return pc.replace_substring_regex(text, pattern=r"\.0+$", replacement="")


def _floats_as_text(array: pa.Array) -> pa.StringArray:
    text = array.cast(pa.string())
    if pc.all(pc.is_finite(array)).as_py() in (True, None):
        return text
    text = pc.if_else(pc.is_nan(array), "NaN", text)
    return pc.if_else(pc.is_inf(array), pc.if_else(pc.greater(array, 0), "+Inf", "-Inf"), text)


def _lists_as_text(array: pa.ListArray) -> pa.StringArray:
    elements = array.flatten()
    if elements.null_count and not pa.types.is_floating(elements.type):
        raise QueryError("An array of the result has elements that are NULL, which VOTable cannot express")
    text = as_text(elements).fill_null("NaN")
    lists = pa.ListArray.from_arrays(_offsets_from_zero(array), text, mask=array.is_null())
    return pc.binary_join(lists, " ")


def _offsets_from_zero(array: pa.ListArray) -> pa.Array:
    """Offsets into `array.flatten()`, which leaves out what NULLs and slices hide."""
    lengths = pc.list_value_length(array).fill_null(0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
