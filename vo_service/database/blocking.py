"""The lane of blocking connections, and the threads in which they are used."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg

from vo_service.database.copying import BlockingConnection, Connection
from vo_service.database.lanes import Lane

NICENESS = 5
"""By how much the server's processes for answers of any size are nicer than those for small ones."""

T = TypeVar("T")


class BlockingLane:
    """At most `size` blocking connections and as many threads to use them in.

    With `is_local` the server's processes are of this machine, and those of this lane leave the processors to others.
    """

    def __init__(self, conninfo: str, *, size: int, patience: float, is_local: bool) -> None:
        self._conninfo = conninfo
        self._is_local = is_local
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
        return BlockingConnection(self._connect)

    def _connect(self) -> Connection:
        # Text comes as the server has it, which is as Arrow has it.
        connection = psycopg.connect(self._conninfo, autocommit=True, client_encoding="utf8")
        if self._is_local:
            # Where we may say so.
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, connection.info.backend_pid, NICENESS)
        return connection
