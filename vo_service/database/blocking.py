"""Blocking connections for answers of any size, and the threads in which they are used.

Their rows come as binary COPY, of which numpy makes Arrow record batches. A connection is used by one thread at a time;
only `cancel` may be called while another call runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import psycopg
import pyarrow as pa

from vo_service.database.copy_answers import Answer, LibpqAnswer, SocketAnswer
from vo_service.database.copy_types import Loader, arrays, loader
from vo_service.database.lanes import Lane
from vo_service.database.plain import plain_socket
from vo_service.errors import QueryError

NICENESS = 10
"""By how much the server's processes for answers of any size are nicer than those for small ones."""

CANCEL_SECONDS = 5.0
"""Seconds that the attempt to cancel a query may take."""

PATIENCE = 60.0
"""Seconds beyond the time limit of a query after which a silent server is taken to be gone."""

Connection: TypeAlias = psycopg.Connection[Any]

T = TypeVar("T")


class BlockingConnection:
    """A connection that runs one query after another; made when the first one starts."""

    def __init__(self, connect: Callable[[], Connection], *, is_plain: bool) -> None:
        self._connect = connect
        self._is_plain = is_plain
        self._connection: Connection | None = None
        self._socket: socket.socket | None = None
        self._answer: Answer | None = None
        self._loaders: list[Loader] = []
        self._timeout: int | None = None

    @property
    def runs(self) -> bool:
        """Whether a query was started that has neither failed nor returned its last row."""
        return self._answer is not None and not self._answer.ended

    def start(self, sql: str, seconds: float, batch_bytes: int) -> None:
        """Run a query that may take so many seconds; its rows come in batches of about `batch_bytes` bytes.

        Raises psycopg.Error, QueryError.
        """
        if "\0" in sql:
            raise QueryError("A query cannot hold the character NUL")
        connection = self._open()
        timeout = math.ceil(seconds * 1000)
        if timeout != self._timeout:
            connection.execute(b"SET statement_timeout = %d" % timeout)
            self._timeout = timeout
        answer: Answer
        if self._socket is None:
            answer = LibpqAnswer(connection.pgconn, sql, batch_bytes, seconds + PATIENCE)
        else:
            answer = SocketAnswer(self._socket, sql, batch_bytes, seconds + PATIENCE)
        self._answer = answer
        self._loaders = [loader(name, oid) for name, oid in answer.columns]

    def read(self) -> pa.RecordBatch | None:
        """The next rows of the query that runs; None after the last. Raises psycopg.Error, QueryError."""
        assert self._answer is not None  # noqa: S101 (start came first)
        data, rows = self._answer.read()
        if not len(rows):
            return None
        return pa.RecordBatch.from_arrays(arrays(data, rows, self._loaders), [name for name, _ in self._answer.columns])

    def cancel(self) -> None:
        """Make what runs now fail, if anything runs. Where that is not possible, it will fail by itself."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """Disconnect; what runs is cancelled."""
        if self.runs:
            self.cancel()
        if self._socket is not None:
            self._socket.close()
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._socket = plain_socket(self._connection.pgconn) if self._is_plain else None
        return self._connection


class BlockingLane:
    """At most `size` blocking connections and as many threads to use them in.

    With `is_local` the server's processes are of this machine, and those of this lane leave the processors to others.
    With `is_plain` nothing is encrypted on the way to them.
    """

    def __init__(self, conninfo: str, *, size: int, patience: float, is_local: bool, is_plain: bool) -> None:
        self._conninfo = conninfo
        self._is_local = is_local
        self._is_plain = is_plain
        self._lane = Lane(self._make, size=size, patience=patience)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="query")

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call a function in one of the threads; to be used while holding a connection, so that a thread is free."""
        return asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def acquire(self) -> BlockingConnection:
        """A connection; to be given back. Raises TooManyRequestsError if none becomes free in time."""
        return await self._lane.acquire()

    def keep(self, connection: BlockingConnection) -> None:
        """Give back a connection that can run another query."""
        self._lane.keep(connection)

    async def discard(self, connection: BlockingConnection) -> None:
        """Give back a connection that is to be closed."""
        try:
            await self.run(connection.close)
        finally:
            self._lane.discard()

    async def close_idle(self) -> None:
        """Close the connections that are not in use."""
        for connection in self._lane.take_idle():
            await asyncio.to_thread(connection.close)

    async def close(self) -> None:
        """Close everything. Every connection must have been given back."""
        await self.close_idle()
        self._threads.shutdown()

    async def _make(self) -> BlockingConnection:
        return BlockingConnection(self._connect, is_plain=self._is_plain)

    def _connect(self) -> Connection:
        # Text comes as the server has it, which is as Arrow has it.
        connection = psycopg.connect(self._conninfo, autocommit=True, client_encoding="utf8")
        if self._is_local:
            # Where we may say so.
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, connection.info.backend_pid, NICENESS)
        return connection
