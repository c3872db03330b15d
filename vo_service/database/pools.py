"""The database as a running process uses it: connections for queries and for writing, and notifications."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.blocking import BlockingLane
from vo_service.database.failures import UNREACHABLE
from vo_service.database.lanes import Lane
from vo_service.database.plain import ENCRYPTED_BY_KERBEROS
from vo_service.database.quick import QuickConnection
from vo_service.errors import UnavailableError

RECONNECT_SECONDS = 2.0
"""Seconds between attempts to connect again for notifications."""

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class Database:
    """Connections, open inside `async with`. Queries are run by `vo_service.database.execute.stream`.

    They go by two lanes, both as the reader: `quick` for small answers, within the event loop; `blocking`, in threads,
    for answers of any size. However many wait in one of them, nobody in the other does.
    """

    def __init__(self, access: Access, settings: Settings) -> None:
        self.access = access
        self.is_plain = False
        """Whether nothing is encrypted on the way to it, so that we can speak its protocol ourselves."""
        self.answered = -math.inf
        """When it was last seen to answer, in the time of `time.monotonic`."""
        self._settings = settings
        self._background: set[asyncio.Task[None]] = set()

    @property
    def writer_conninfo(self) -> str:
        """Connection string of the role that loads and publishes tables."""
        return self.access.writer.conninfo

    async def __aenter__(self) -> Self:
        reader, settings = self.access.reader.conninfo, self._settings
        self.is_plain = await _is_plain(reader)
        patience = settings.busy_timeout
        self.quick = Lane(self._open_quick, size=settings.reader_pool_size, patience=patience)
        self.blocking = BlockingLane(
            reader,
            size=settings.stream_pool_size,
            patience=patience,
            is_local=settings.database_url is None,
            is_plain=self.is_plain,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._close_idle()
        await self.blocking.close()

    async def renew(self) -> None:
        """Replace idle connections: those that the server has closed (after it was restarted all of them are), and
        those whose prepared statements do not fit the tables any more."""
        await self._close_idle()
        await self.blocking.close_idle()

    async def _close_idle(self) -> None:
        for connection in self.quick.take_idle():
            await connection.close()

    async def _open_quick(self) -> QuickConnection:
        try:
            return await QuickConnection.open(self.access.reader.conninfo, plain=self.is_plain)
        except psycopg.OperationalError:
            raise UnavailableError(UNREACHABLE) from None

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the writer, new; its transaction is committed at the end, rolled back after an error.

        Raises UnavailableError.
        """
        async with await _connect(self.writer_conninfo) as connection:
            yield connection

    async def listen(self, channel: str) -> AsyncGenerator[str, None]:
        """The payloads of notifications on a channel, without end.

        Each time that listening begins, at first and after the connection was lost, an empty payload comes before all
        others: whatever was announced until then may have been missed.
        """
        while True:
            try:
                async with await _connect(self.access.reader.conninfo, autocommit=True) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    yield ""
                    async for notification in connection.notifies():
                        yield notification.payload
            except (psycopg.OperationalError, UnavailableError) as error:
                log.warning("Lost the connection for notifications: %s", error)
                await asyncio.sleep(RECONNECT_SECONDS)

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that must be done to its end even if who wants it is cancelled; the pools outlive it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


async def _connect(conninfo: str, *, autocommit: bool = False) -> AsyncConnection:
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise UnavailableError(f"Cannot connect to the database: {str(error).strip()}") from None


async def _is_plain(conninfo: str) -> bool:
    """Whether connections are not encrypted; that they can be made at all."""
    try:
        async with await _connect(conninfo) as connection:
            cursor = await connection.execute(ENCRYPTED_BY_KERBEROS)
            return not connection.pgconn.ssl_in_use and await cursor.fetchone() != (True,)
    except UnavailableError as error:
        raise UnavailableError(f"{error.message} (Has `vo-service init` been run on it?)") from None
