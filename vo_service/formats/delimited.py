"""CSV (RFC 4180, with a header line, lines ended by LF) and tab-separated values of the same make.

NULL is an empty field, an empty string a quoted one; strings are quoted where they need it. Neither format has a place
for messages. An overflow is told in a last line whose first field begins with `#`: it has as many fields as the others,
since some readers (TOPCAT's) refuse the whole table otherwise. A failure ends the transfer before its end, which HTTP
clients report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.errors import QueryError
from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.values import as_text, contains_any, filled, rows_of_text


@dataclass(frozen=True, slots=True)
class Delimited:
    """A format of values between delimiters. The option header=absent (RFC 4180, section 3) leaves the header out."""

    delimiter: str
    mime_type: str
    aliases: tuple[str, ...]
    extension: str
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> DelimitedWriter:
        return DelimitedWriter(table, self.delimiter, header=options.get("header") != "absent")


class DelimitedWriter(Writer):
    """Writes one table."""

    def __init__(self, table: ResultTable, delimiter: str, *, header: bool) -> None:
        self._names = [column.name for column in table.columns]
        self._delimiter = delimiter
        self._header = header
        # What makes a field need quotes; # begins a comment for some readers.
        self._special = (delimiter, '"', "\n", "\r", "#")

    def start(self) -> bytes:
        if not self._header:
            return b""
        return (self._delimiter.join(map(self._quoted_name, self._names)) + "\n").encode()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        cells = [self._quoted(array) if pa.types.is_string(array.type) else as_text(array) for array in batch.columns]
        if len(cells) == 1:
            # An empty line would be no row for most readers.
            cells = [pc.if_else(pc.equal(filled(cells[0], ""), ""), '""', cells[0])]
        return rows_of_text(cells, "", self._delimiter, "\n")

    def end(self) -> tuple[bytes, ...]:
        return ()

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        message = f"# OVERFLOW: there are more rows than the {maxrec} above"
        return (f"{message}{self._delimiter * (len(self._names) - 1)}\n".encode(),)

    def failure(self, message: str) -> tuple[bytes, ...]:
        raise QueryError(message)

    def _quoted_name(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"' if any(s in name for s in self._special) else name

    def _quoted(self, text: pa.StringArray) -> pa.StringArray:
        """Strings as fields."""
        if not contains_any(text, *self._special):
            return pc.if_else(pc.equal(text, ""), '""', text)
        doubled = pc.replace_substring(text, pattern='"', replacement='""')
        quoted = pc.binary_join_element_wise('"', doubled, '"', "")
        return pc.if_else(pc.match_substring_regex(text, f"^$|[{''.join(self._special)}]"), quoted, text)
