"""Plain text in aligned columns, for reading by people: in a browser, a terminal, an e-mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.values import as_text, contains_any, filled, rows_of_text

WIDEST = 60
"""Characters to which a column is padded at most; longer values stand as they are."""


@dataclass(frozen=True, slots=True)
class Text:
    """Aligned columns."""

    mime_type: str = "text/plain"
    aliases: tuple[str, ...] = ("txt", "text")
    extension: str = "txt"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> TextWriter:
        return TextWriter(table)


class TextWriter(Writer):
    """Writes one table. Widths are those of the first batch: rows leave as they come."""

    def __init__(self, table: ResultTable) -> None:
        self._names = [column.name for column in table.columns]
        self._units = [f"[{column.unit}]" if column.unit else "" for column in table.columns]
        self._widths: list[int] = []

    def start(self) -> bytes:
        return b""

    def batch(self, batch: pa.RecordBatch) -> bytes:
        columns = [_one_line(array) for array in batch.columns]
        head = b""
        if not self._widths:
            self._widths = [self._width(i, column) for i, column in enumerate(columns)]
            head = self._head()
        padded = [
            _pad(column, width, is_text=pa.types.is_string(array.type))
            for column, width, array in zip(columns, self._widths, batch.columns, strict=True)
        ]
        rows = pc.ascii_rtrim(pc.binary_join_element_wise(*padded, "  "), " ")
        return head + rows_of_text([rows], "", "", "\n")

    def end(self) -> tuple[bytes, ...]:
        return () if self._widths else (self._empty(),)

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        return (*self.end(), f"\nThere are more rows than the {maxrec} above.\n".encode())

    def failure(self, message: str) -> tuple[bytes, ...]:
        return (f"\nThe query failed here; the rows above are not all: {message}\n".encode(),)

    def _width(self, index: int, column: pa.StringArray) -> int:
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
        return min(WIDEST, max(longest, len(self._names[index]), len(self._units[index])))

    def _head(self) -> bytes:
        names = (name.ljust(width) for name, width in zip(self._names, self._widths, strict=True))
        units = (unit.ljust(width) for unit, width in zip(self._units, self._widths, strict=True))
        rule = ("-" * width for width in self._widths)
        return "".join("  ".join(cells).rstrip() + "\n" for cells in (names, units, rule)).encode()

    def _empty(self) -> bytes:
        self._widths = [max(len(name), len(unit)) for name, unit in zip(self._names, self._units, strict=True)]
        return self._head()


def _one_line(array: pa.Array) -> pa.StringArray:
    """The values as text without line ends and tabs; NULL is empty."""
    text = filled(as_text(array), "")
    return pc.replace_substring_regex(text, pattern=r"\s+", replacement=" ") if _has_space(text) else text


def _has_space(text: pa.StringArray) -> bool:
    return contains_any(text, *"\t\n\f\r", "  ")


def _pad(column: pa.StringArray, width: int, *, is_text: bool) -> pa.StringArray:
    return pc.utf8_rpad(column, width, " ") if is_text else pc.ascii_lpad(column, width, " ")
