"""PostgreSQL's protocol as far as it takes to run one query after another and read their rows: messages, no socket.

A message is a byte that tells its kind, its length as an int32 that counts itself but not the kind, and its body.
(PostgreSQL manual, "Frontend/Backend Protocol", version 3.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import pq
from psycopg.abc import Buffer

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

COPY_HEADER = b"PGCOPY\n\xff\r\n\0"
COPY_TRAILER = b"\xff\xff"

COPY_ROW = b"d"
"""The kind of message that is a row of COPY."""

SELECTED_ROW = b"D"
"""The kind of message that is a row of a prepared statement; otherwise the two are alike."""

_HEAD = 5
"""Bytes of a message before its body."""

_END = b"Z\0\0\0\x05I"
"""The last message of an answer: ready for another query, outside a transaction."""

_TRIAL = 16
"""Rows that are looked at before all are expected to be of one length."""

_length = struct.Struct(">i").unpack_from


def request(sql: str) -> bytes:
    """The messages that ask for the names and types of a query's columns, and for its rows as binary COPY.

    All of it is one transaction: the columns are those of the rows, whatever others do to the tables meanwhile.
    """
    return b"".join(
        (
            _message(b"P", b"\0%b\0\0\0" % sql.encode()),
            _message(b"D", b"S\0"),
            _message(b"P", b"\0%b\0\0\0" % copy_command(sql)),
            _message(b"B", bytes(8)),
            _message(b"E", bytes(5)),
            _message(b"S", b""),
        )
    )


def execution(name: bytes, values: Sequence[Buffer | None], formats: Sequence[int]) -> bytes:
    """The messages that run a prepared statement, and ask for its rows in binary."""
    parts = [b"\0", name, b"\0", _int2(len(formats)), *map(_int2, formats), _int2(len(values))]
    for value in values:
        parts += [b"\xff\xff\xff\xff"] if value is None else [len(value).to_bytes(4), bytes(value)]
    parts += [_int2(1), _int2(1)]
    return _message(b"B", b"".join(parts)) + _message(b"E", bytes(5)) + _message(b"S", b"")


def copy_command(sql: str) -> bytes:
    """The command that returns a query's rows as binary COPY."""
    return f"COPY ({sql}) TO STDOUT (FORMAT binary)".encode()


def columns_in(description: bytes) -> Iterator[tuple[str, int]]:
    """Names and types (OIDs) in a RowDescription."""
    at = 2
    for _ in range(int.from_bytes(description[:2])):
        end = description.index(b"\0", at)
        yield description[at:end].decode(), int.from_bytes(description[end + 7 : end + 11])
        at = end + 19


def error_in(response: bytes) -> psycopg.Error:
    """The error that an ErrorResponse tells of, as psycopg would raise it."""
    fields = {field[:1]: field[1:] for field in response.split(b"\0") if field}
    state = fields.get(b"C", b"").decode()
    info: dict[int, bytes | None] = {
        pq.DiagnosticField.SQLSTATE: state.encode(),
        pq.DiagnosticField.MESSAGE_PRIMARY: fields.get(b"M", b""),
    }
    try:
        kind = psycopg.errors.lookup(state)
    except KeyError:
        kind = psycopg.DatabaseError
    return kind(fields.get(b"M", b"").decode("utf-8", "replace"), info=info)


def header_length(data: bytes) -> int:
    """Bytes of the header with which binary COPY begins."""
    fixed = len(COPY_HEADER) + 8
    return fixed + int(_length(data, fixed - 4)[0])


class Incoming:
    """The bytes that have come and were not yet looked at.

    `data` is what positions count in; what was taken out of it is overwritten by what comes after `make_room`.

    Parameters
    ----------
    size
        Bytes that it holds, at least 8; more only if one message is longer.
    row
        The kind of message that is a row.
    """

    def __init__(self, size: int, row: bytes = COPY_ROW) -> None:
        self._size = size
        self._row = row[0]
        self.data: Bytes = np.empty(size, np.uint8)
        self._start = self._stop = 0

    @property
    def is_full(self) -> bool:
        """Whether `make_room` is to be called before more can come."""
        return self._stop == len(self.data)

    @property
    def seems_complete(self) -> bool:
        """Whether nothing more may come. (It may, if it is by chance that the last bytes look so.)"""
        return self.data[max(self._stop - len(_END), self._start) : self._stop].tobytes() == _END

    def make_room(self) -> None:
        """Make room for more bytes. Positions that were got before mean nothing any more."""
        rest = self.data[self._start : self._stop]
        size = self._size
        if len(rest) >= _HEAD and 1 + self._length_at(self._start) > size:
            size += 1 + self._length_at(self._start)
        if max(size, len(rest)) != len(self.data):
            self.data = np.empty(max(size, len(rest)), np.uint8)
        self.data[: len(rest)] = rest
        self._start, self._stop = 0, len(rest)

    def room(self) -> memoryview:
        """Where to put what comes next."""
        return self.data[self._stop :].data

    def received(self, count: int) -> None:
        """So many bytes have been put there."""
        self._stop += count

    def next_message(self) -> tuple[bytes, bytes] | None:
        """Take out one message: kind and body. None if the rest of it is still to come."""
        end = self._end_of(self._start)
        if end is None:
            return None
        kind, body = self._bytes(self._start, self._start + 1), self._bytes(self._start + _HEAD, end)
        if body.startswith(COPY_HEADER):
            # The first row comes in one message with the header: let it look like the others.
            self._shorten(header_length(body), end)
        else:
            self._start = end
        return kind, body

    def next_rows(self, fields: int) -> Positions:
        """Take out all rows that come before any other message: where in `data` each begins, with its number of fields.

        `fields` is that number. A row is a message of its own, as the server promises.
        """
        if self._start == self._stop or self.data[self._start] != self._row:
            return np.empty(0, np.int64)
        found = [
            find(self._start, fields)  # each goes on where the one before it ended
            for find in (self._rows_of_one_length, self._rows_by_mark, self._rows_one_by_one)
        ]
        return np.concatenate(found) + _HEAD

    def _rows_of_one_length(self, start: int, fields: int) -> Positions:
        """Where a row is as long as the one before it, the next begins so much later."""
        step = (self._end_of(start) or start) - start
        if step < _HEAD + 2:
            return np.empty(0, np.int64)
        for count in (min(_TRIAL, (self._stop - start) // step), (self._stop - start) // step):
            alike = self._are_rows(start, step, count, fields)
            if not alike.all():
                break
        return self._take(start + step * np.arange(_leading(alike)), step)

    def _are_rows(self, start: int, step: int, count: int, fields: int) -> npt.NDArray[np.bool_]:
        """Whether rows of this length begin at each step."""
        alike = np.ones(count, np.bool_)
        for kind, at, value in (("u1", 0, self._row), (">u4", 1, step - 1), (">u2", 5, fields)):
            expected = np.array(value, kind).view(f"=u{kind[-1]}")  # in the order of bytes as it comes: quicker
            alike &= np.ndarray((count,), expected.dtype, self.data, start + at, (step,)) == expected
        return alike

    def _rows_by_mark(self, start: int, fields: int) -> Positions:
        """Whatever looks like the begin of a row is one if the row before it ends there."""
        data, stop = self.data, self._stop
        marks = np.flatnonzero(data[start : max(stop - _HEAD - 1, start)] == self._row) + start
        marks = marks[(data[marks + 5] == fields >> 8) & (data[marks + 6] == fields & 255)]
        if not len(marks) or marks[0] != start:
            return np.empty(0, np.int64)
        lengths = gather(data, marks + 1, "i4")
        ends = marks + 1 + lengths
        count = _leading(ends <= stop)
        count = min(count, 1 + _leading(ends[:-1] == marks[1:]))
        return self._take(marks[:count], int(lengths[count - 1]) + 1 if count else 0)

    def _rows_one_by_one(self, start: int, fields: int) -> Positions:
        """Where the values look like rows: the surest way, and ten times as slow."""
        starts, data, stop = [], self.data.data, self._stop
        at, length = start, 0
        mark = fields.to_bytes(2)
        while at + _HEAD + 2 <= stop and data[at] == self._row and data[at + 5 : at + 7] == mark:
            size = 1 + _length(data, at + 1)[0]
            if at + size > stop:
                break
            starts.append(at)
            length = size
            at += length
        return self._take(np.array(starts, np.int64), length)

    def _take(self, starts: Positions, last: int) -> Positions:
        """Take out the rows, of which the last one is so long."""
        if len(starts):
            self._start = int(starts[-1]) + last
        return starts

    def _shorten(self, by: int, end: int) -> None:
        """Leave out the beginning of the body of the message that ends there."""
        self._start += by
        head = b"d" + (end - self._start - 1).to_bytes(4)
        self.data[self._start : self._start + _HEAD] = np.frombuffer(head, np.uint8)

    def _end_of(self, start: int) -> int | None:
        """Where the message ends that begins there; None if its end has not come."""
        if start + _HEAD > self._stop:
            return None
        end = start + 1 + self._length_at(start)
        return end if end <= self._stop else None

    def _length_at(self, start: int) -> int:
        return int(_length(self.data.data, start + 1)[0])

    def _bytes(self, start: int, end: int) -> bytes:
        return self.data[start:end].tobytes()


def gather(data: Bytes, at: Positions, kind: str) -> npt.NDArray[Any]:
    """The numbers, of a type of numpy, that begin at these positions; the network's order of bytes becomes ours."""
    size = np.dtype(kind).itemsize
    # Numbers of the machine's own order are gathered in half the time.
    windows: npt.NDArray[Any] = np.ndarray((len(data) - size + 1,), f"=u{size}", data, strides=(1,))
    return windows[at].view(f">{kind}").astype(f"={kind}")


def _int2(number: int) -> bytes:
    return number.to_bytes(2)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def _leading(true: npt.NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(true) if true.all() else int(true.argmin())
