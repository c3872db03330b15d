"""The database as a running process uses it: connections for queries and for writing, and notifications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.types.numeric import NumericBinaryLoader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.adbc import RETRY_AFTER, BlockingPool
from vo_service.database.failures import UNREACHABLE
from vo_service.errors import TooManyRequestsError, UnavailableError

RECONNECT_SECONDS = 2.0
"""Seconds between attempts to connect again for notifications."""

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class Database:
    """Pools of connections, open inside `async with`. Queries are run by `vo_service.database.execute.stream`.

    Two kinds of connection run queries as the reader: those of psycopg, within the event loop, for small answers; and
    those of ADBC, in threads, for answers of any size.
    """

    def __init__(self, access: Access, settings: Settings) -> None:
        self.access = access
        self._settings = settings
        self._background: set[asyncio.Task[None]] = set()

    @property
    def writer_conninfo(self) -> str:
        """Connection string of the role that loads and publishes tables."""
        return self.access.writer.conninfo

    async def __aenter__(self) -> Self:
        reader, settings = self.access.reader.conninfo, self._settings
        await _try_to_connect(reader)
        self.blocking = BlockingPool(reader, size=settings.stream_pool_size, busy_timeout=settings.busy_timeout)
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            reader,
            name="reader",
            min_size=1,
            max_size=settings.reader_pool_size,
            timeout=settings.busy_timeout,
            kwargs={"autocommit": True},
            configure=_configure,
            open=False,
        )
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._pool.close()
        await self.blocking.close()

    async def acquire(self) -> AsyncConnection:
        """A connection of the reader within the event loop; to be given back by `release`.

        Raises TooManyRequestsError if none becomes free in time, UnavailableError if the server is away.
        """
        try:
            return await self._pool.getconn()
        except PoolTimeout:
            if not await self.is_reachable():
                raise UnavailableError(UNREACHABLE) from None
            raise TooManyRequestsError(
                "The service is busy with other requests; try again in a moment", retry_after=RETRY_AFTER
            ) from None

    async def is_reachable(self) -> bool:
        """Whether the server lets the reader in at this moment."""
        try:
            await (await _connect(self.access.reader.conninfo)).close()
        except UnavailableError:
            return False
        return True

    async def release(self, connection: AsyncConnection) -> None:
        """Give a connection back; one that is closed or in the middle of a query is replaced."""
        await self._pool.putconn(connection)

    async def renew(self) -> None:
        """Replace idle connections that the server has closed: after it was restarted all of them are."""
        await self._pool.check()
        await self.blocking.close_idle()

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


class _NumericAsFloat(NumericBinaryLoader):
    """Numbers of any precision travel as doubles."""

    def load(self, data: Buffer) -> float:  # type: ignore[override]
        return float(super().load(data))


async def _configure(connection: AsyncConnection) -> None:
    connection.adapters.register_loader("numeric", _NumericAsFloat)


async def _connect(conninfo: str, *, autocommit: bool = False) -> AsyncConnection:
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise UnavailableError(f"Cannot connect to the database: {str(error).strip()}") from None


async def _try_to_connect(conninfo: str) -> None:
    try:
        await (await _connect(conninfo)).close()
    except UnavailableError as error:
        raise UnavailableError(f"{error.message} (Has `vo-service init` been run on it?)") from None
