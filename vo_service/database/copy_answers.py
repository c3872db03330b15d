"""Answers to queries as they come from the server, as bytes and the places of rows in them: from a socket, or by libpq.

Psycopg has made the connection. Where nothing is encrypted we speak the protocol on its socket ourselves while a query
runs; elsewhere libpq does, which hands out one row after the other and takes five times as long.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import psycopg
from psycopg import pq

from vo_service.database.copy_messages import (
    COPY_TRAILER,
    Bytes,
    Positions,
    copy_command,
    header_length,
    request,
)
from vo_service.database.reply import Reply

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
        self._socket = server
        self._reply = Reply(size)
        self._waits = False
        server.settimeout(patience)
        self._send(request(sql))
        while not (self._reply.begun or self.ended):
            self._require_more()
            self._reply.begin()

    @property
    def columns(self) -> Sequence[tuple[str, int]]:
        return self._reply.columns

    @property
    def ended(self) -> bool:
        return self._reply.ended

    def read(self) -> tuple[Bytes, Positions]:
        while True:
            self._fill()
            try:
                rows = self._reply.rows()
            finally:
                if self.ended:
                    self._set_waiting(on=False)
            if len(rows) and not self.ended:
                self._set_waiting(on=True)
            if len(rows) or self.ended:
                return self._reply.incoming.data, rows
            self._require_more()

    def _fill(self) -> None:
        incoming = self._reply.incoming
        incoming.make_room()
        # A server that has sent everything may close the connection, with a word of farewell.
        while not (incoming.is_full or incoming.seems_complete) and self._receive():
            pass

    def _send(self, messages: bytes) -> None:
        try:
            self._socket.sendall(messages)
        except OSError as error:
            raise self._lost(str(error)) from None

    def _require_more(self) -> None:
        if not self._receive():
            raise self._lost(str(self._reply.error or "The server closed the connection"))

    def _receive(self) -> bool:
        """Whether anything came; otherwise the server has closed the connection."""
        incoming = self._reply.incoming
        if incoming.is_full:
            incoming.make_room()
        try:
            count = self._socket.recv_into(incoming.room(), 0, socket.MSG_WAITALL if self._waits else 0)
        except OSError as error:
            raise self._lost(str(error)) from None
        incoming.received(count)
        return count > 0

    def _lost(self, reason: str) -> psycopg.OperationalError:
        self._reply.ended = True
        self._set_waiting(on=False)
        return psycopg.OperationalError(reason)

    def _set_waiting(self, *, on: bool) -> None:
        """Whether the kernel gathers what comes, for `_GATHERING` at most, instead of handing out each piece.

        Each time that Python is asked, other threads hold it up for milliseconds. libpq must find its socket as it was.
        """
        if on != self._waits:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _GATHERING)
            os.set_blocking(self._socket.fileno(), on)
            self._waits = on


class LibpqAnswer:
    """The same by libpq, for encrypted connections.

    Between the columns and the rows a table may be replaced by one of other columns: then the rows do not fit, or, if
    their lengths do, are wrong.
    """

    def __init__(self, libpq: pq.abc.PGconn, sql: str, size: int, patience: float) -> None:
        self.ended = True
        self._libpq = libpq
        self._size = size
        self._patience = patience
        self._begun = False
        libpq.send_prepare(b"", sql.encode())
        self._result(pq.ExecStatus.COMMAND_OK)
        libpq.send_describe_prepared(b"")
        description = self._result(pq.ExecStatus.COMMAND_OK)
        self.columns = [
            ((description.fname(i) or b"").decode(), description.ftype(i)) for i in range(description.nfields)
        ]
        libpq.send_query(copy_command(sql))
        self._result(pq.ExecStatus.COPY_OUT)
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
        while not self.ended:
            length, row = self._libpq.get_copy_data(1)
            if length > 0:
                return bytes(row)
            if length == 0:
                self._wait()
                continue
            self.ended = True
            self._result(pq.ExecStatus.COMMAND_OK)
        return None

    def _result(self, status: pq.ExecStatus) -> pq.abc.PGresult:
        """The result of what was sent. Raises its error, with all that belongs to it taken from the connection."""
        found = []
        while (result := self._next_result()) is not None:
            found.append(result)
            if result.status == pq.ExecStatus.COPY_OUT:
                break
        for result in found:
            if result.status != status:
                if self._libpq.status != pq.ConnStatus.OK:
                    raise psycopg.OperationalError(result.get_error_message())
                raise psycopg.errors.error_from_result(result)
        return found[0]

    def _next_result(self) -> pq.abc.PGresult | None:
        while self._libpq.flush() or self._libpq.is_busy():
            self._wait()
        return self._libpq.get_result()

    def _wait(self) -> None:
        """Until more has come, or can be sent. libpq would wait for both as if the process had no other thread."""
        waiting = select.poll()
        waiting.register(self._libpq.socket, select.POLLIN | (select.POLLOUT if self._libpq.flush() else 0))
        if not waiting.poll(self._patience * 1000):
            raise psycopg.OperationalError("The server is silent")
        self._libpq.consume_input()
