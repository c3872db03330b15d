"""Blocking connections for answers of any size: ADBC reads binary COPY and makes Arrow record batches of it, all in C.

A connection is used by one thread at a time; only `cancel` may be called while another call runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement
from adbc_driver_manager import Error as AdbcError

# The reader whose errors keep their SQLSTATE; pyarrow's own, which the public interface hands out, has only text.
# (Last looked at in adbc-driver-manager 1.13.)
from adbc_driver_manager._reader import AdbcRecordBatchReader

from vo_service.database.lanes import Lane

NICENESS = 5
"""By how much the server's processes for answers of any size are nicer than those for small ones."""

T = TypeVar("T")


class BlockingConnection:
    """A connection that runs one query after another; made when the first one starts."""

    def __init__(self, connect: Callable[[], AdbcConnection]) -> None:
        self._connect = connect
        self._connection: AdbcConnection | None = None
        self._statement: AdbcStatement | None = None
        self._batches: AdbcRecordBatchReader | None = None
        self._timeout: int | None = None

    @property
    def runs(self) -> bool:
        """Whether a query was started that has neither failed nor returned its last row."""
        return self._statement is not None

    def start(self, sql: str, seconds: float, batch_bytes: int) -> None:
        """Run a query that may take so many seconds; its rows come in batches of about `batch_bytes` bytes."""
        if self._connection is None:
            self._connection = self._connect()
        timeout = math.ceil(seconds * 1000)
        if timeout != self._timeout:
            _execute(self._connection, f"SET statement_timeout = {timeout}")
            self._timeout = timeout
        self._statement = AdbcStatement(self._connection)
        try:
            self._statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes)})
            self._statement.set_sql_query(sql)
            handle, _ = self._statement.execute_query()
        except AdbcError:
            self._end()
            raise
        self._batches = AdbcRecordBatchReader._import_from_c(handle.address)

    def read(self) -> pa.RecordBatch | None:
        """The next rows of the query that runs; None after the last."""
        assert self._batches is not None  # noqa: S101 (start came first)
        try:
            batch = next(self._batches, None)
        except AdbcError:
            self._end()
            raise
        if batch is None:
            self._end()
        return batch

    def cancel(self) -> None:
        """Make what runs now fail, if anything runs."""
        if self._connection is not None:
            self._connection.cancel()

    def close(self) -> None:
        """Disconnect; what runs is cancelled."""
        if self.runs:
            self.cancel()
        self._end()
        if self._connection is not None:
            self._connection.close()

    def _end(self) -> None:
        if self._batches is not None:
            self._batches.close()
        if self._statement is not None:
            self._statement.close()
        self._batches = self._statement = None


class BlockingLane:
    """At most `size` blocking connections and as many threads to use them in.

    With `is_local` the server's processes are of this machine, and those of this lane leave the processors to others.
    """

    def __init__(self, conninfo: str, *, size: int, patience: float, is_local: bool) -> None:
        self._conninfo = conninfo
        self._is_local = is_local
        self._lane = Lane(self._make, size=size, patience=patience)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="query")
        self._database: AdbcDatabase | None = None
        self._connecting = threading.Lock()

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
        if self._database is not None:
            self._database.close()

    async def _make(self) -> BlockingConnection:
        return BlockingConnection(self._connect)

    def _connect(self) -> AdbcConnection:
        # One database for all connections: it asks the server for its types, which takes longer than to connect.
        with self._connecting:
            if self._database is None:
                self._database = adbc_driver_postgresql.connect(self._conninfo)
        connection = AdbcConnection(self._database)
        if self._is_local:
            _give_way(connection)
        return connection


def _give_way(connection: AdbcConnection) -> None:
    """Let the server's process for this connection be nice to others, where we may say so."""
    statement = AdbcStatement(connection)
    try:
        statement.set_sql_query("SELECT pg_backend_pid()")
        handle, _ = statement.execute_query()
        process = AdbcRecordBatchReader._import_from_c(handle.address).read_all().column(0)[0].as_py()
    finally:
        statement.close()
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process, NICENESS)


def _execute(connection: AdbcConnection, sql: str) -> None:
    statement = AdbcStatement(connection)
    try:
        statement.set_sql_query(sql)
        statement.execute_update()
    finally:
        statement.close()
