"""CSV (RFC 4180, with a header line) and tab-separated values.

NULL is an empty field, an empty string a quoted one. Neither format has a place for messages. An overflow is told in a
last line that begins with `#`, so that a cut table is noticed by whoever reads it; a failure ends the transfer before
its end, which HTTP clients report.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.base import ResultTable
from vo_service.formats.values import as_text


@dataclass(frozen=True, slots=True)
class Delimited:
    """A format of values between delimiters."""

    delimiter: str
    mime_type: str
    aliases: tuple[str, ...]
    extension: str
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> DelimitedWriter:
        return DelimitedWriter(table.columns, self.delimiter)


class DelimitedWriter:
    """Writes one table."""

    def __init__(self, columns: tuple[Column, ...], delimiter: str) -> None:
        self._names = [column.name for column in columns]
        self._delimiter = delimiter
        self._options = csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="needed")

    def start(self) -> bytes:
        return (self._delimiter.join(self._quoted(name) for name in self._names) + "\n").encode()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        arrays = [array if _written_natively(array) else as_text(array) for array in batch.columns]
        buffer = io.BytesIO()
        csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=self._names), buffer, self._options)
        return buffer.getvalue()

    def end(self) -> bytes:
        return b""

    def overflow(self, maxrec: int) -> bytes:
        return f"# OVERFLOW: there are more rows than the {maxrec} above\n".encode()

    def failure(self, message: str) -> bytes:
        raise QueryError(message)

    def _quoted(self, name: str) -> str:
        if any(character in name for character in (self._delimiter, '"', "\n", "\r")):
            return '"' + name.replace('"', '""') + '"'
        return name


def _written_natively(array: pa.Array) -> bool:
    """Whether Arrow's CSV writer writes these values as we would."""
    kind = array.type
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(array)).as_py() in (True, None)
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string))
