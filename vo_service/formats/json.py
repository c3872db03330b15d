"""JSON (RFC 8259) as TAP services of ESAC write it: "metadata" describes the columns, "data" holds an array per row.

    {"table": {"name": ..., "description": ...},
     "info": [{"name": ..., "value": ..., "text": ...}, ...],
     "metadata": [{"name": ..., "datatype": ..., "arraysize": ..., "unit": ..., "ucd": ..., ...}, ...],
     "data": [[...], ...],
     "query_status": "OK" | "OVERFLOW" | "ERROR", "message": ...}

Attributes of columns are VOTable's, where they have a value; "frame" is that of positions, "timesys" the scale of times
and the origin of numbers among them. NULL is null, and so are NaN and the infinities, for which JSON has no numbers.
Integers have all their digits, also beyond 2^53, where JavaScript loses some. Times are strings as DALI 1.1, section
3.3.3 has them; arrays and bytes are flat arrays of their elements, in VOTable's order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vo_service.catalog.model import Column
from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.systems import is_position, time_system
from vo_service.formats.values import (
    as_text,
    bytes_as_lists,
    bytes_of,
    filled,
    lists_of_text,
    numbers_as_text,
    rows_of_text,
)

_ATTRIBUTES = ("name", "datatype", "arraysize", "xtype", "unit", "ucd", "utype", "description")
_ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', **{code: f"\\u{code:04x}" for code in range(0x20)}}


@dataclass(frozen=True, slots=True)
class Json:
    """The format."""

    mime_type: str = "application/json"
    aliases: tuple[str, ...] = ("json",)
    extension: str = "json"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> JsonWriter:
        return JsonWriter(table)


class JsonWriter(Writer):
    """Writes one table."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._between = "\n"

    def start(self) -> bytes:
        table = self._table
        head = {
            "table": {"name": table.name, "description": table.description},
            "info": [{"name": info.name, "value": info.value, "text": info.text} for info in table.infos],
            "metadata": [_attributes(column, table.frame) for column in table.columns],
        }
        return f'{json.dumps(head)[:-1]},\n"data": ['.encode()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        rows = rows_of_text([_values(array) for array in batch.columns], "[", ", ", "],\n", null="null")
        if not rows:
            return b""
        between, self._between = self._between, ",\n"
        return between.encode() + rows[: -len(",\n")]

    def end(self) -> tuple[bytes, ...]:
        return self._ending({"query_status": "OK"})

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        message = f"There are more rows than the {maxrec} given here"
        return self._ending({"query_status": "OVERFLOW", "message": message})

    def failure(self, message: str) -> tuple[bytes, ...]:
        return self._ending({"query_status": "ERROR", "message": message})

    def _ending(self, status: dict[str, str]) -> tuple[bytes, ...]:
        return (f"\n],\n{json.dumps(status)[1:]}\n".encode(),)


def _attributes(column: Column, frame: str) -> dict[str, Any]:
    """What is known of a column."""
    attributes: dict[str, Any] = {name: value for name in _ATTRIBUTES if (value := getattr(column, name))}
    if is_position(column):
        attributes["frame"] = frame
    if system := time_system(column):
        attributes["timesys"] = {"timescale": system.scale, **({"timeorigin": "MJD-origin"} if system.is_mjd else {})}
    return attributes


def _values(array: pa.Array) -> pa.StringArray:
    """The values as JSON; NULL stays NULL."""
    kind = array.type
    if pa.types.is_string(kind):
        return _quoted(_escaped(array))
    if pa.types.is_timestamp(kind):
        return _quoted(as_text(array))
    if pa.types.is_binary(kind):
        return _values(bytes_as_lists(array))
    if pa.types.is_list(kind):
        elements = filled(_values(array.flatten()), "null")
        return pc.binary_join_element_wise("[", lists_of_text(array, elements, ", "), "]", "")
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return numbers_as_text(array, "null")
    return array.cast(pa.string())


def _quoted(text: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise('"', text, '"', "")


def _escaped(text: pa.StringArray) -> pa.StringArray:
    """Strings with escapes for what JSON does not allow within them."""
    found = np.bincount(bytes_of(text), minlength=256)
    for code, escape in _ESCAPES.items():
        if found[code]:
            text = pc.replace_substring(text, pattern=chr(code), replacement=escape)
    return text
