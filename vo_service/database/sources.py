"""The two ways in which rows come from the database: in threads by ADBC, in the event loop by psycopg."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any, Protocol, cast

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from vo_service.database.adbc import BlockingConnection
from vo_service.database.arrow import arrow_schema, batch_of_rows, conform
from vo_service.database.failures import is_lost
from vo_service.database.pools import AsyncConnection, Database
from vo_service.database.statement import Statement

CHUNK_ROWS = 1_000
"""Rows of a record batch of a statement with parameters: the event loop is held up for so many at once."""

_FEW_ROWS = 1_000
"""A batch of fewer rows is the last one, but for very wide rows: seeing that at once saves a turn of the threads."""

_CANCEL_INTERVAL = 0.2
"""Seconds after which a query that was cancelled, but runs, is cancelled again: it may not have begun before."""


class Source(Protocol):
    """A statement on a connection that has been acquired for it."""

    @property
    def exhausted(self) -> bool:
        """Whether all rows have been read, as far as is known without asking the database."""
        ...

    async def read(self) -> pa.RecordBatch | None:
        """The next rows; None after the last. The first call runs the statement. Raises errors of the driver."""
        ...

    async def interrupt(self, reading: asyncio.Task[Any]) -> None:
        """End a `read` that is going on in the task `reading`, and the query in the database with it."""
        ...

    async def close(self) -> None:
        """End the query in the database if it still runs, and give the connection back. No `read` is going on."""
        ...


async def open_source(database: Database, statement: Statement, seconds: float, batch_bytes: int) -> Source:
    """The source for a statement that may take so many seconds. Raises TooManyRequestsError, UnavailableError."""
    if statement.parameters:
        return _PsycopgSource(database, await database.acquire(), statement, seconds)
    return _AdbcSource(database, await database.blocking.acquire(), statement, seconds, batch_bytes)


class _AdbcSource:
    """For answers of any size."""

    def __init__(
        self, database: Database, connection: BlockingConnection, statement: Statement, seconds: float, batch_bytes: int
    ) -> None:
        self._pool = database.blocking
        self._connection = connection
        self._statement = statement
        self._schema = arrow_schema(statement.columns)
        self._seconds = seconds
        self._batch_bytes = batch_bytes
        self._started = False
        self._reusable = True

    @property
    def exhausted(self) -> bool:
        return self._started and not self._connection.runs

    async def read(self) -> pa.RecordBatch | None:
        return await self._pool.run(self._read)

    def _read(self) -> pa.RecordBatch | None:
        try:
            if not self._started:
                self._connection.start(self._statement.sql, self._seconds, self._batch_bytes)
                self._started = True
            batch = self._connection.read()
            if batch is not None and batch.num_rows < _FEW_ROWS and (more := self._connection.read()) is not None:
                batch = pa.concat_batches([batch, more])
        except AdbcError as error:
            self._reusable = self._reusable and not is_lost(error)
            raise
        return None if batch is None else conform(batch, self._schema)

    async def interrupt(self, reading: asyncio.Task[Any]) -> None:
        # A cancellation may reach the server late: the connection must not run another query.
        self._reusable = False
        while not reading.done():
            await asyncio.to_thread(self._connection.cancel)
            await asyncio.wait({reading}, timeout=_CANCEL_INTERVAL)

    async def close(self) -> None:
        await self._pool.release(self._connection, reusable=self._reusable and not self._connection.runs)


class _PsycopgSource:
    """For small answers."""

    def __init__(self, database: Database, connection: AsyncConnection, statement: Statement, seconds: float) -> None:
        self._database = database
        self._connection = connection
        self._statement = statement
        self._schema = arrow_schema(statement.columns)
        self._seconds = seconds
        self._rows: AsyncGenerator[tuple[Any, ...]] | None = None
        self.exhausted = False

    async def read(self) -> pa.RecordBatch | None:
        rows: list[tuple[Any, ...]] = []
        try:
            if self._rows is None:
                self._rows = await self._start()
            async for row in self._rows:
                rows.append(row)
                if len(rows) == CHUNK_ROWS:
                    break
            else:
                self.exhausted = True
        except psycopg.Error:
            self.exhausted = True
            raise
        return batch_of_rows(rows, self._schema) if rows else None

    async def _start(self) -> AsyncGenerator[tuple[Any, ...]]:
        await self._connection.execute(f"SET statement_timeout = {math.ceil(self._seconds * 1000)}".encode())
        rows = self._connection.cursor().stream(
            self._statement.sql.encode(), self._statement.parameters, binary=True, size=CHUNK_ROWS
        )
        return cast("AsyncGenerator[tuple[Any, ...]]", rows)

    async def interrupt(self, reading: asyncio.Task[Any]) -> None:
        # Psycopg cancels the query in the database when it is cancelled itself.
        reading.cancel()
        await asyncio.wait({reading})

    async def close(self) -> None:
        if self._rows is not None:
            # Cancels the query if it runs.
            await self._rows.aclose()
        if not self.exhausted:
            await self._connection.close()
        await self._database.release(self._connection)
