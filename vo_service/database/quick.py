"""Connections for small answers: libpq within the event loop, statements prepared, rows in binary.

Psycopg makes and closes the connection, and converts values. Between them we speak to its libpq ourselves: its cursors
take three times as long for a row or two, and cannot stream the rows of a prepared statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import NumericBinaryLoader

CHUNK_ROWS = 1_000
"""Rows that are read at once: the event loop is held up for so many."""

PREPARED_AT_MOST = 200
"""Statements that a connection keeps prepared; beyond that it forgets all of them."""

CANCEL_SECONDS = 5.0
"""Seconds that the attempt to cancel a query may take; then its connection is closed all the same."""


class _NumericAsFloat(NumericBinaryLoader):
    """Numbers of any precision travel as doubles."""

    def load(self, data: Buffer) -> float:  # type: ignore[override]
        return float(super().load(data))


class QuickConnection:
    """A connection that runs one statement after another."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        connection.adapters.register_loader("numeric", _NumericAsFloat)
        self._connection = connection
        self._libpq = connection.pgconn
        self._socket = self._libpq.socket
        self._loop = asyncio.get_running_loop()
        self._listens = False
        self._arrival: asyncio.Future[None] | None = None
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._timeout: int | None = None
        self._runs = False

    @classmethod
    async def open(cls, conninfo: str) -> Self:
        """Connect. Raises psycopg.OperationalError."""
        return cls(await psycopg.AsyncConnection.connect(conninfo, autocommit=True))

    @property
    def runs(self) -> bool:
        """Whether a statement was started that has neither failed nor returned its last row."""
        return self._runs

    @property
    def is_usable(self) -> bool:
        """Whether another statement can be run."""
        return not self._runs and self._libpq.status == pq.ConnStatus.OK

    async def start(self, sql: str, parameters: Sequence[object], seconds: float) -> None:
        """Run a statement that may take so many seconds; its placeholders, if it has parameters, are `%s`.

        Raises psycopg.Error.
        """
        timeout = math.ceil(seconds * 1000)
        if timeout != self._timeout:
            await self._command(lambda: self._libpq.send_query(b"SET statement_timeout = %d" % timeout))
            self._timeout = timeout
        if parameters:
            await self._start_prepared(sql, parameters)
        else:
            self._runs = True
            self._libpq.send_query_params(sql.encode(), None, result_format=pq.Format.BINARY)
        self._libpq.set_chunked_rows_mode(CHUNK_ROWS)
        await self._flush()

    async def read(self) -> list[tuple[Any, ...]]:
        """The next rows of the statement; none after the last. Raises psycopg.Error."""
        result = await self._result()
        if result is None:
            self._runs = False
            return []
        if result.status == pq.ExecStatus.TUPLES_CHUNK:
            converter = Transformer(self._connection)
            converter.set_pgresult(result)
            rows = converter.load_rows(0, result.ntuples, tuple)
            if len(rows) == CHUNK_ROWS:
                return rows
        elif result.status == pq.ExecStatus.FATAL_ERROR:
            with contextlib.suppress(psycopg.Error):
                await self._finish()
            raise self._error(result)
        else:
            rows = []
        # Whatever is not a whole chunk is the last one.
        await self._finish()
        return rows

    async def close(self) -> None:
        """Disconnect; what runs is cancelled."""
        self._listen(on=False)
        if self._runs:
            with contextlib.suppress(psycopg.Error):
                await self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        await self._connection.close()

    async def _start_prepared(self, sql: str, parameters: Sequence[object]) -> None:
        converter = Transformer(self._connection)
        values = converter.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
        name = await self._prepare(_numbered(sql), converter.types or ())
        self._runs = True
        self._libpq.send_query_prepared(name, values, converter.formats, result_format=pq.Format.BINARY)

    async def _prepare(self, sql: bytes, types: Sequence[int]) -> bytes:
        """The name of the statement, which is prepared if it was not."""
        key = (sql, tuple(types))
        name = self._prepared.get(key)
        if name is not None:
            return name
        if len(self._prepared) == PREPARED_AT_MOST:
            self._prepared.clear()
            await self._command(lambda: self._libpq.send_query(b"DEALLOCATE ALL"))
        new = b"s%d" % len(self._prepared)
        await self._command(lambda: self._libpq.send_prepare(new, sql, types))
        self._prepared[key] = new
        return new

    async def _command(self, send: Callable[[], None]) -> None:
        """Send what returns no rows, and wait until it is done."""
        self._runs = True
        send()
        await self._flush()
        await self._finish()

    async def _finish(self) -> None:
        """Wait for the end of what runs. Raises psycopg.Error if it failed."""
        failed = None
        while (result := await self._result()) is not None:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failed = result
        self._runs = False
        if failed is not None:
            raise self._error(failed)

    async def _result(self) -> pq.abc.PGresult | None:
        while self._libpq.is_busy():
            self._listen(on=True)
            self._arrival = self._loop.create_future()
            await self._arrival
        return self._libpq.get_result()

    async def _flush(self) -> None:
        """Send what waits to be sent. Statements nearly always leave at once."""
        while self._libpq.flush():
            writable = self._loop.create_future()
            self._loop.add_writer(self._socket, _done, writable)
            try:
                await writable
            finally:
                self._loop.remove_writer(self._socket)

    def _listen(self, *, on: bool) -> None:
        """Begin or end to look for data. It goes on between statements, which is cheaper than to begin anew."""
        if on and not self._listens:
            self._loop.add_reader(self._socket, self._on_readable)
        elif self._listens and not on:
            self._loop.remove_reader(self._socket)
        self._listens = on

    def _on_readable(self) -> None:
        if self._arrival is None or self._arrival.done():
            # Nobody waits for these rows yet: they stay where they are, so that the database waits too.
            self._listen(on=False)
            return
        try:
            self._libpq.consume_input()
        except psycopg.OperationalError as error:
            self._listen(on=False)
            self._arrival.set_exception(error)
            return
        if not self._libpq.is_busy():
            self._arrival.set_result(None)

    def _error(self, result: pq.abc.PGresult) -> psycopg.Error:
        if self._libpq.status != pq.ConnStatus.OK:
            return psycopg.OperationalError(result.get_error_message())
        return psycopg.errors.error_from_result(result)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@lru_cache(maxsize=500)
def _numbered(sql: str) -> bytes:
    """The statement with placeholders as PostgreSQL has them: $1 for the first `%s`, and a per cent sign for `%%`."""
    numbers = itertools.count(1)
    return re.sub("%%|%s", lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", sql).encode()
