"""The two ways in which rows come from the database: in threads by binary COPY, in the event loop as they arrive."""

from __future__ import annotations

import asyncio
from typing import Protocol

import psycopg
import pyarrow as pa

from vo_service.database.arrow import arrow_schema, conform
from vo_service.database.blocking import BlockingConnection
from vo_service.database.failures import is_lost
from vo_service.database.pools import Database
from vo_service.database.quick import QuickConnection
from vo_service.database.statement import Statement

_CANCEL_INTERVAL = 0.2
"""Seconds after which a query that was cancelled, but runs, is cancelled again: it may not have begun before."""


class Source(Protocol):
    """A statement on a connection that has been acquired for it."""

    async def read(self) -> pa.RecordBatch | None:
        """The next rows; None after the last. The first call runs the statement. Raises errors of the driver."""
        ...

    def give_back(self) -> bool:
        """Give the connection back if the statement has ended; tells whether it has."""
        ...

    async def close(self) -> None:
        """End the query in the database if it still runs, and give the connection back. Must run to its end."""
        ...


async def open_source(database: Database, statement: Statement, seconds: float, batch_bytes: int) -> Source:
    """The source for a statement that may take so many seconds. Raises TooManyRequestsError, UnavailableError."""
    if statement.parameters or statement.small:
        return _QuickSource(database, await database.quick.acquire(), statement, seconds, batch_bytes)
    return _CopySource(database, await database.blocking.acquire(), statement, seconds, batch_bytes)


class _CopySource:
    """For answers of any size. Reads in a thread, and one batch ahead."""

    def __init__(
        self, database: Database, connection: BlockingConnection, statement: Statement, seconds: float, batch_bytes: int
    ) -> None:
        self._lane = database.blocking
        self._connection = connection
        self._statement = statement
        self._schema = arrow_schema(statement.columns)
        self._seconds = seconds
        self._batch_bytes = batch_bytes
        self._started = False
        self._reusable = True
        self._reading: asyncio.Future[pa.RecordBatch | None] | None = None

    async def read(self) -> pa.RecordBatch | None:
        if self._reading is None:
            if self._started and not self._connection.runs:
                return None
            self._reading = self._begin()
        # Whoever waits may be cancelled; what goes on in the thread is ended by `close`.
        batch = await asyncio.shield(self._reading)
        self._reading = self._begin() if self._connection.runs else None
        return batch

    def give_back(self) -> bool:
        if self._reading is not None or self._connection.runs or not self._reusable:
            return False
        self._lane.keep(self._connection)
        return True

    async def close(self) -> None:
        if self._reading is not None:
            if not self._reading.done():
                await self._interrupt(self._reading)
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        if not self.give_back():
            await self._lane.discard(self._connection)

    def _begin(self) -> asyncio.Future[pa.RecordBatch | None]:
        return self._lane.run(self._read)

    def _read(self) -> pa.RecordBatch | None:
        try:
            if not self._started:
                self._started = True
                self._connection.start(self._statement.sql, self._seconds, self._batch_bytes)
            batch = self._connection.read()
        except psycopg.Error as error:
            self._reusable = self._reusable and not is_lost(error)
            raise
        return None if batch is None else conform(batch, self._schema)

    async def _interrupt(self, reading: asyncio.Future[pa.RecordBatch | None]) -> None:
        # A cancellation may reach the server late: the connection must not run another query.
        self._reusable = False
        while not reading.done():
            await asyncio.to_thread(self._connection.cancel)
            await asyncio.wait({reading}, timeout=_CANCEL_INTERVAL)


class _QuickSource:
    """For answers that are no work. Reads in the event loop."""

    def __init__(
        self, database: Database, connection: QuickConnection, statement: Statement, seconds: float, batch_bytes: int
    ) -> None:
        self._lane = database.quick
        self._connection = connection
        self._statement = statement
        self._schema = arrow_schema(statement.columns)
        self._seconds = seconds
        self._batch_bytes = batch_bytes
        self._started = False

    async def read(self) -> pa.RecordBatch | None:
        if not self._started:
            self._started = True
            await self._connection.start(self._statement, self._seconds, self._batch_bytes)
        elif not self._connection.runs:
            return None
        return await self._connection.read(self._schema)

    def give_back(self) -> bool:
        if not self._connection.is_usable:
            return False
        self._lane.keep(self._connection)
        return True

    async def close(self) -> None:
        if self.give_back():
            return
        try:
            await self._connection.close()
        finally:
            self._lane.discard()
