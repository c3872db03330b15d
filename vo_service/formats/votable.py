"""VOTable 1.4 and 1.5: one document head for three serializations, BINARY2, BINARY and TABLEDATA.

The rows go between the two halves of the head (`head`) as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pybase64

from vo_service.catalog.model import Column
from vo_service.errors import UsageError
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.binary import as_binary, without_null
from vo_service.formats.binary2 import encode_rows
from vo_service.formats.head import VERSION, around_rows, info_element, message_document
from vo_service.formats.values import as_text, bytes_of, contains_any, rows_of_text

_VERSIONS = ("1.4", "1.5")
_SERIALIZATIONS = ("BINARY2", "BINARY", "TABLEDATA")

_ILLEGAL = r"[\x{00}-\x{08}\x{0B}\x{0C}\x{0E}-\x{1F}\x{FFFE}\x{FFFF}]"
"""Characters that XML 1.0 has no way to write; they become U+FFFD."""


class _Rows(Protocol):
    """A serialization of rows."""

    def encode(self, batch: pa.RecordBatch) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class VOTable:
    """The format; `serialization` is what it uses unless the request asks for another."""

    mime_type: str
    aliases: tuple[str, ...]
    serialization: str
    extension: str = "vot"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> VOTableWriter:
        """As the contract says. Raises UsageError for a serialization or version that we do not write."""
        serialization = options.get("serialization", self.serialization).upper()
        if serialization not in _SERIALIZATIONS:
            raise UsageError(f"serialization={serialization}: expected one of {', '.join(_SERIALIZATIONS)}")
        version = options.get("version", VERSION)
        if version not in _VERSIONS:
            raise UsageError(f"version={version}: expected one of {', '.join(_VERSIONS)}")
        return VOTableWriter(table, serialization, version)


class VOTableWriter(Writer):
    """Writes one result document."""

    def __init__(self, table: ResultTable, serialization: str, version: str) -> None:
        if serialization == "BINARY":
            table = replace(table, columns=tuple(map(as_binary, table.columns)))
        is_table = serialization == "TABLEDATA"
        self._rows: _Rows = _TableData() if is_table else _Binary(table.columns, flags=serialization == "BINARY2")
        self._around = around_rows(table, serialization, version)

    def start(self) -> bytes:
        return self._around.head

    def batch(self, batch: pa.RecordBatch) -> bytes:
        return self._rows.encode(batch) if batch.num_rows else b""

    def end(self) -> tuple[bytes, ...]:
        return self._ending(None)

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        return self._ending(Info("QUERY_STATUS", "OVERFLOW", f"There are more rows than the {maxrec} given here"))

    def failure(self, message: str) -> tuple[bytes, ...]:
        return self._ending(Info("QUERY_STATUS", "ERROR", message))

    def _ending(self, info: Info | None) -> tuple[bytes, ...]:
        trailer = "" if info is None else info_element(info)
        return (self._rows.finish() + self._around.foot + trailer.encode() + self._around.close,)


class _Binary:
    """Rows in BINARY2 or BINARY, as one base64 text: what does not fill three bytes waits for the next batch."""

    def __init__(self, columns: tuple[Column, ...], *, flags: bool) -> None:
        self._columns = columns
        self._flags = flags
        self._left = b""

    def encode(self, batch: pa.RecordBatch) -> bytes:
        known = batch if self._flags else without_null(batch, self._columns)
        rows = encode_rows(known, self._columns, flags=self._flags).data
        data = memoryview(self._left + rows) if self._left else rows
        whole = len(data) - len(data) % 3
        self._left = data[whole:].tobytes()
        return pybase64.b64encode(data[:whole])

    def finish(self) -> bytes:
        return pybase64.b64encode(self._left)


class _TableData:
    """Rows as TR and TD elements; NULL is an empty TD (VOTable 1.4, section 6)."""

    def encode(self, batch: pa.RecordBatch) -> bytes:
        cells = [_escaped(array) if pa.types.is_string(array.type) else as_text(array) for array in batch.columns]
        return rows_of_text(cells, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")

    def finish(self) -> bytes:
        return b""


def error_document(message: str) -> bytes:
    """The document that tells of an error (DALI 1.1, section 4.2)."""
    return message_document(Info("QUERY_STATUS", "ERROR", message))


def scs_error_document(message: str) -> bytes:
    """The document that tells of an error in a cone search (SCS 1.03, section 2.3): an INFO named Error."""
    return message_document(Info("Error", message))


def _escaped(text: pa.StringArray) -> pa.StringArray:
    """Strings as XML."""
    if not (contains_any(text, "&", "<", ">", "\ufffe", "\uffff") or _has_controls(text)):
        return text
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = pc.replace_substring(text, pattern=character, replacement=entity)
    return pc.replace_substring_regex(text, pattern=_ILLEGAL, replacement="\ufffd")


def _has_controls(text: pa.StringArray) -> bool:
    return bool((bytes_of(text) < 0x20).any())
