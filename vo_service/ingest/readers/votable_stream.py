"""The data of VOTables in binary form: BINARY and BINARY2 (VOTable 1.4, sections 5.3 and 5.4), in a STREAM.

A row has its fields one after the other, big-endian; one of varying length begins with the number of its values. Rows
of BINARY2 begin with a bit for each field, set where the value is missing.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.ingest.readers.base import damaged
from vo_service.ingest.readers.votable_head import Content, Data, Field
from vo_service.ingest.readers.votable_types import ELEMENTS, STORED, is_array, is_text, is_variable, length

CHUNK_BYTES = 4 << 20
"""Bytes of a stream that are read at once."""

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROW_BYTES = 64 << 20
"""Bytes of a row at most: it is held in memory."""

_COUNT = struct.Struct(">i")
_TRUE, _FALSE = [*b"Tt1"], [*b"Ff0"]


def stream(path: Path, content: Content, data: Data) -> Iterator[bytes]:
    """The bytes of a STREAM: base64 taken off, and gzip, if it says so. Raises IngestError."""
    words = data.encoding.replace(",", " ").split()
    unknown = [word for word in words if word not in ("base64", "gzip", "none", "dynamic")]
    if unknown:
        raise damaged(path, f"the encoding of its STREAM is {unknown[0]}; expected base64")
    pieces = _from_base64(path, content, data)
    return _from_gzip(path, pieces) if "gzip" in words else pieces


def _from_base64(path: Path, content: Content, data: Data) -> Iterator[bytes]:
    rest = b""
    for start in range(data.start, data.end, CHUNK_BYTES):
        text = rest + content[start : min(start + CHUNK_BYTES, data.end)].translate(None, b" \t\r\n")
        whole = len(text) - len(text) % 4 if start + CHUNK_BYTES < data.end else len(text)
        rest = text[whole:]
        try:
            yield binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error as error:
            raise damaged(path, f"its STREAM is not base64: {error}") from None


def _from_gzip(path: Path, pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(31)
    try:
        for piece in pieces:
            packed = piece
            while packed:
                yield unpacker.decompress(packed, CHUNK_BYTES)
                packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise damaged(path, f"its STREAM cannot be unpacked: {error}") from None
    if not unpacker.eof:
        raise damaged(path, "its STREAM ends too early")


def read_rows(
    path: Path, pieces: Iterator[bytes], fields: Sequence[Field], places: Sequence[int], *, has_flags: bool
) -> Iterator[list[pa.Array]]:
    """The columns at these places among the fields, some rows at a time.

    `has_flags` tells BINARY2 from BINARY. Raises IngestError.
    """
    layout = _Layout(path, fields, has_flags=has_flags)
    rest = b""
    for piece in pieces:
        content = rest + piece
        rows, used = layout.cut(content)
        rest = content[used:]
        if rows.count:
            try:
                yield [rows.column(place) for place in places]
            except (pa.ArrowInvalid, UnicodeDecodeError) as error:
                raise damaged(path, error) from None
    if rest:
        raise damaged(path, f"its data end within a row, {len(rest)} bytes after the last whole one")


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a field stands: so many bytes after the row's n-th stretch without fields of varying length begins."""

    stretch: int
    offset: int


class _Layout:
    """How the fields follow each other in a row."""

    def __init__(self, path: Path, fields: Sequence[Field], *, has_flags: bool) -> None:
        self.fields = fields
        self.flag_bytes = (len(fields) + 7) // 8 if has_flags else 0
        self.slots: list[_Slot] = []
        self._path = path
        # Lengths of the stretches between fields of varying length; each ends with the count of the field after it.
        self.stretches = [self.flag_bytes]
        self._varying: list[Field] = []
        for each in fields:
            self.slots.append(_Slot(len(self.stretches) - 1, self.stretches[-1]))
            if is_variable(each):
                self.stretches[-1] += _COUNT.size
                self.stretches.append(0)
                self._varying.append(each)
            else:
                self.stretches[-1] += _stored_bytes(each, length(each))

    def cut(self, content: bytes) -> tuple[_Rows, int]:
        """The rows that are whole, and the number of bytes that they take."""
        if self._varying:
            starts, used = self._walk(content)
        else:
            width = self.stretches[0]
            count = len(content) // width if width else 0
            starts, used = np.arange(count, dtype=np.int64)[:, None] * width, count * width
        return _Rows(self, np.frombuffer(content, np.uint8), starts), used

    def _walk(self, content: bytes) -> tuple[Places, int]:
        """Where each stretch of each row begins, row by row, as where one begins depends on all before it."""
        unpack, first, end = _COUNT.unpack_from, self.stretches[0] - _COUNT.size, len(content)
        following = [stretch - _COUNT.size for stretch in self.stretches[1:-1]] + [self.stretches[-1]]
        steps = list(zip(following, self._varying, strict=True))
        starts: list[list[int]] = []
        row = 0
        while row < end:
            place, here = row + first, [row]
            for rest, field in steps:
                if place + _COUNT.size > end:
                    place = end + 1
                    break
                (count,) = unpack(content, place)
                if count < 0:
                    raise damaged(self._path, f"a value in its data has a length of {count}")
                place += _COUNT.size + _stored_bytes(field, count)
                here.append(place)
                place += rest
            if place > end:
                break
            starts.append(here)
            row = place
        if end - row > ROW_BYTES:
            raise damaged(self._path, f"a row of its data has more than {ROW_BYTES:,} bytes")
        return np.array(starts, np.int64).reshape(len(starts), len(self.stretches)), row


class _Rows:
    """Some rows in binary form. `starts` tells for each of them where its stretches begin."""

    def __init__(self, layout: _Layout, content: Bytes, starts: Places) -> None:
        self.count = len(starts)
        self._layout = layout
        self._content = content
        self._starts = starts

    def column(self, place: int) -> pa.Array:
        """The values of one field. Raises pyarrow.ArrowInvalid or UnicodeDecodeError for texts that are none."""
        field = self._layout.fields[place]
        content, sizes = self._varying(place) if is_variable(field) else self._fixed(place)
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        return _values(content, offsets, field, self._missing(place))

    def _fixed(self, place: int) -> tuple[Bytes, Places]:
        """The bytes of the values, one after the other, and their number in each row."""
        slot, field = self._layout.slots[place], self._layout.fields[place]
        width = _stored_bytes(field, length(field))
        return self._bytes(slot.stretch, slot.offset, width).reshape(-1), np.full(self.count, width)

    def _varying(self, place: int) -> tuple[Bytes, Places]:
        stretch = self._layout.slots[place].stretch
        begins = self._starts[:, stretch] + self._layout.stretches[stretch]
        sizes = self._starts[:, stretch + 1] - begins
        before = np.cumsum(sizes) - sizes
        return self._content[np.repeat(begins - before, sizes) + np.arange(int(sizes.sum()))], sizes

    def _bytes(self, stretch: int, offset: int, width: int) -> Bytes:
        """Bytes of each row, a row in the result for each."""
        if len(self._layout.stretches) == 1:
            whole = self._layout.stretches[0]
            rows = self._content[: self.count * whole].reshape(self.count, whole)
            return np.ascontiguousarray(rows[:, offset : offset + width])
        places: Places = (self._starts[:, stretch] + offset)[:, None] + np.arange(width)
        return self._content[places]

    def _missing(self, place: int) -> Mask:
        if not self._layout.flag_bytes:
            return np.zeros(self.count, bool)
        return (self._bytes(0, place // 8, 1)[:, 0] >> (7 - place % 8) & 1).astype(bool)


def _stored_bytes(field: Field, count: int) -> int:
    """Bytes of so many values in a stream."""
    return (count + 7) // 8 if field.datatype == "bit" else count * np.dtype(STORED[field.datatype]).itemsize


def _values(content: Bytes, offsets: Places, field: Field, missing: Mask) -> pa.Array:
    """The values of a field, from their bytes, and where those of each row begin."""
    if is_text(field):
        return _texts(content, offsets, field, missing)
    kind = np.dtype(STORED[field.datatype])
    stored = content.view(kind).astype(kind.newbyteorder("="))
    if field.datatype == "boolean":
        elements = pa.array(np.isin(stored, _TRUE), mask=~np.isin(stored, _TRUE + _FALSE))
    elif field.datatype == "bit":
        elements = pa.array(stored != 0)
    else:
        elements = pa.array(stored, mask=_is_null(stored, field))
    if not is_array(field):
        return pc.if_else(pa.array(missing), pa.scalar(None, elements.type), elements) if missing.any() else elements
    places = pa.array((offsets // kind.itemsize).astype(np.int32))
    return pa.ListArray.from_arrays(places, elements.cast(ELEMENTS[field.datatype]), mask=pa.array(missing))


def _is_null(values: NDArray[Any], field: Field) -> Mask | None:
    """Where a value is the one that stands for a missing one."""
    try:
        return None if field.null is None else np.asarray(values == values.dtype.type(field.null.strip()))
    except (ValueError, OverflowError):
        return None


def _texts(content: Bytes, offsets: Places, field: Field, missing: Mask) -> pa.Array:
    """Strings, without NUL and what may follow it."""
    if field.datatype == "unicodeChar":
        raw = content.tobytes()
        decoded = [raw[start:end].decode("utf-16-be") for start, end in pairwise(offsets.tolist())]
        texts = pa.array(decoded, pa.string())
    else:
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
        texts = pa.Array.from_buffers(pa.binary(), len(missing), buffers).cast(pa.string())
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        texts = pc.replace_substring_regex(texts, r"(?s)\x00.*", "")
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), texts) if missing.any() else texts
