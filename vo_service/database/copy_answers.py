"""Answers to queries as they come from the server, as bytes and the places of rows in them: from a socket, or by libpq.

Psycopg has made the connection. Where nothing is encrypted we speak the protocol on its socket ourselves while a query
runs; elsewhere libpq does, which hands out one row after the other and takes five times as long.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import psycopg
from psycopg import pq

from vo_service.database.copy_messages import (
    COPY_HEADER,
    COPY_TRAILER,
    Bytes,
    Incoming,
    Positions,
    columns_in,
    copy_command,
    error_in,
    header_length,
    request,
)

_GATHERING = struct.pack("ll", 0, 5_000)
"""Seconds and microseconds. The last rows of a long answer come so much later."""


class Answer(Protocol):
    """The answer to a query that was sent."""

    @property
    def columns(self) -> Sequence[tuple[str, int]]:
        """Names and types (OIDs)."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        ...

    def read(self) -> tuple[Bytes, Positions]:
        """The next rows: bytes, and where in them each row begins; no rows after the last. Raises psycopg.Error."""
        ...


class SocketAnswer:
    """The protocol spoken on the connection's socket, of which libpq sees nothing: to it the connection is idle.

    Parameters
    ----------
    size
        Bytes of rows that are read at once.
    patience
        Seconds of silence after which the server is taken to be gone.
    """

    def __init__(self, server: socket.socket, sql: str, size: int, patience: float) -> None:
        self.columns: list[tuple[str, int]] = []
        self.ended = False
        self._socket = server
        self._incoming = Incoming(size)
        self._error: psycopg.Error | None = None
        self._copies = self._waits = False
        server.settimeout(patience)
        self._send(request(sql))
        while not (self._copies or self.ended):
            self._receive()
            while not self._copies and (message := self._incoming.next_message()):
                self._hear(*message)

    def read(self) -> tuple[Bytes, Positions]:
        while True:
            self._fill()
            rows = self._rows()
            if len(rows) and not self.ended:
                self._set_waiting(on=True)
            if len(rows) or self.ended:
                return self._incoming.data, rows
            self._receive()

    def _fill(self) -> None:
        self._incoming.make_room()
        while not (self._incoming.is_full or self._incoming.seems_complete):
            self._receive()

    def _rows(self) -> Positions:
        """The rows in what has come, all of which is taken out."""
        found = []
        while not self.ended:
            found.append(self._incoming.next_rows(len(self.columns)))
            message = self._incoming.next_message()
            if message is None:
                break
            self._hear(*message)
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _hear(self, kind: bytes, body: bytes) -> None:
        if kind == b"T":
            self.columns = list(columns_in(body))
        elif kind == b"H":
            self._copies = True
        elif kind == b"E":
            self._error = error_in(body)
        elif kind == b"Z":
            self._end()
            if self._error is not None:
                raise self._error
        elif kind == b"d" and body != COPY_TRAILER and not body.startswith(COPY_HEADER):
            raise psycopg.DataError("The database sent rows that are not of the columns that it had named")

    def _send(self, messages: bytes) -> None:
        try:
            self._socket.sendall(messages)
        except OSError as error:
            raise self._lost(str(error)) from None

    def _receive(self) -> None:
        if self._incoming.is_full:
            self._incoming.make_room()
        try:
            count = self._socket.recv_into(self._incoming.room(), 0, socket.MSG_WAITALL if self._waits else 0)
        except OSError as error:
            raise self._lost(str(error)) from None
        if count == 0:
            raise self._lost(str(self._error or "The server closed the connection"))
        self._incoming.received(count)

    def _lost(self, reason: str) -> psycopg.OperationalError:
        self._end()
        return psycopg.OperationalError(reason)

    def _end(self) -> None:
        self.ended = True
        self._set_waiting(on=False)

    def _set_waiting(self, *, on: bool) -> None:
        """Whether the kernel gathers what comes, for `_GATHERING` at most, instead of handing out each piece.

        Each time that Python is asked, other threads hold it up for milliseconds. libpq must find its socket as it was.
        """
        if on != self._waits:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _GATHERING)
            os.set_blocking(self._socket.fileno(), on)
            self._waits = on


class LibpqAnswer:
    """The same by libpq, for encrypted connections."""

    def __init__(self, libpq: pq.abc.PGconn, sql: str, size: int) -> None:
        self.ended = True
        self._libpq = libpq
        self._size = size
        self._begun = False
        self._require(libpq.prepare(b"", sql.encode()), pq.ExecStatus.COMMAND_OK)
        description = self._require(libpq.describe_prepared(b""), pq.ExecStatus.COMMAND_OK)
        self.columns = [
            ((description.fname(i) or b"").decode(), description.ftype(i)) for i in range(description.nfields)
        ]
        self._require(libpq.exec_(copy_command(sql)), pq.ExecStatus.COPY_OUT)
        self.ended = False

    def read(self) -> tuple[Bytes, Positions]:
        rows: list[bytes] = []
        size = 0
        while size < self._size and (row := self._next()) is not None:
            if not self._begun:
                self._begun = True
                row = row[header_length(row) :]
            if row != COPY_TRAILER:
                rows.append(row)
                size += len(row)
        starts = np.cumsum([0, *map(len, rows)])[:-1]
        return np.frombuffer(b"".join((*rows, bytes(8))), np.uint8), starts

    def _next(self) -> bytes | None:
        """The next row as it came; None after the last."""
        if self.ended:
            return None
        length, row = self._libpq.get_copy_data(0)
        if length > 0:
            return bytes(row)
        self.ended = True
        while (result := self._libpq.get_result()) is not None:
            self._require(result, pq.ExecStatus.COMMAND_OK)
        return None

    def _require(self, result: pq.abc.PGresult, status: pq.ExecStatus) -> pq.abc.PGresult:
        if result.status == status:
            return result
        if self._libpq.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result)
