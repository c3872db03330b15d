"""Connections for answers that are no work: read within the event loop, statements prepared, rows in binary.

Psycopg makes and closes the connection, and converts the values of few rows. Between them we speak to its libpq
ourselves: its cursors take three times as long for a row or two, and cannot stream the rows of a prepared statement.
For many rows we speak the protocol ourselves, on libpq's socket, and numpy finds the values. Where the connection is
encrypted libpq must do that, too, which takes eight times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import re
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self, TypeAlias

import psycopg
import pyarrow as pa
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import NumericBinaryLoader

from vo_service.database.arrow import batch_of_rows, conform
from vo_service.database.copy_messages import execution
from vo_service.database.copy_types import Loader, arrays, loader
from vo_service.database.plain import plain_socket
from vo_service.database.reply import Reply
from vo_service.database.statement import Statement

CHUNK_ROWS = 1_000
"""Rows that are read at once: the event loop is held up for so many."""

KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""After how many seconds a server that has gone without a word is asked, and how often, before it is given up."""

PREPARED_AT_MOST = 200
"""Statements that a connection keeps prepared; beyond that it forgets all of them."""

CANCEL_SECONDS = 5.0
"""Seconds that the attempt to cancel a query may take; then its connection is closed all the same."""


Columns: TypeAlias = Sequence[tuple[str, int]]
"""Names and types (OIDs)."""


class _NumericAsFloat(NumericBinaryLoader):
    """Numbers of any precision travel as doubles."""

    def load(self, data: Buffer) -> float:  # type: ignore[override]
        return float(super().load(data))


class QuickConnection:
    """A connection that runs one statement after another."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], plain: socket.socket | None) -> None:
        connection.adapters.register_loader("numeric", _NumericAsFloat)
        self._connection = connection
        self._libpq = connection.pgconn
        self._socket = self._libpq.socket
        self._plain = plain
        if plain is not None:
            plain.setblocking(False)  # as it is already; Python does not know
        self._loop = asyncio.get_running_loop()
        self._listens = False
        self._arrival: asyncio.Future[None] | None = None
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._described: dict[bytes, Columns] = {}
        self._reply: Reply | None = None
        self._loaders: list[Loader] = []
        self._timeout: int | None = None
        self._runs = False

    @classmethod
    async def open(cls, conninfo: str, *, plain: bool) -> Self:
        """Connect; `plain` tells that nothing will be encrypted. Raises psycopg.OperationalError."""
        # Text comes as the server has it, which is as Arrow has it.
        conninfo = make_conninfo(conninfo, client_encoding="utf8", **KEEPALIVE)
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        return cls(connection, plain_socket(connection.pgconn) if plain else None)

    @property
    def runs(self) -> bool:
        """Whether a statement was started that has neither failed nor returned its last row."""
        return self._runs

    @property
    def is_usable(self) -> bool:
        """Whether another statement can be run."""
        return not self._runs and self._libpq.status == pq.ConnStatus.OK

    async def start(self, statement: Statement, seconds: float, batch_bytes: int) -> None:
        """Run a statement that may take so many seconds.

        If it has many rows they come in batches of about `batch_bytes` bytes. Raises psycopg.Error, QueryError.
        """
        self._reply = None
        timeout = math.ceil(seconds * 1000)
        if timeout != self._timeout:
            await self._command(lambda: self._libpq.send_query(b"SET statement_timeout = %d" % timeout))
            self._timeout = timeout
        if not statement.parameters:
            self._runs = True
            self._libpq.send_query_params(statement.sql.encode(), None, result_format=pq.Format.BINARY)
        else:
            converter = Transformer(self._connection)
            values = converter.dump_sequence(statement.parameters, [PyFormat.AUTO] * len(statement.parameters))
            name = await self._prepare(_numbered(statement.sql), converter.types or ())
            if statement.many and self._plain is not None:
                await self._start_many(self._plain, name, execution(name, values, converter.formats or ()), batch_bytes)
                return
            self._runs = True
            self._libpq.send_query_prepared(name, values, converter.formats, result_format=pq.Format.BINARY)
        self._libpq.set_chunked_rows_mode(CHUNK_ROWS)
        await self._flush()

    async def read(self, schema: pa.Schema) -> pa.RecordBatch | None:
        """The next rows of the statement, with exactly this schema; None after the last.

        Raises psycopg.Error, and QueryError as `vo_service.database.arrow.conform` does.
        """
        if self._reply is not None:
            return await self._read_many(self._reply, schema)
        rows = await self._read_few()
        return batch_of_rows(rows, schema) if rows else None

    async def _read_few(self) -> list[tuple[Any, ...]]:
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
        if self._plain is not None:
            self._plain.close()
        await self._connection.close()

    async def _start_many(self, server: socket.socket, name: bytes, messages: bytes, batch_bytes: int) -> None:
        """Run a prepared statement by these messages, of which libpq hears nothing: to it the connection is idle."""
        columns = await self._describe(name)
        self._loaders = [loader(*column) for column in columns]
        self._reply = Reply(batch_bytes, columns)
        self._runs = True
        try:
            await self._loop.sock_sendall(server, messages)
        except OSError as error:
            raise psycopg.OperationalError(str(error)) from None

    async def _read_many(self, reply: Reply, schema: pa.Schema) -> pa.RecordBatch | None:
        reply.incoming.make_room()
        try:
            while not len(rows := reply.rows()) and not reply.ended:
                await self._arrives()
        finally:
            self._runs = not reply.ended
        if reply.ended:
            self._reply = None
        if not len(rows):
            return None
        found = arrays(reply.incoming.data, rows, self._loaders)
        return conform(pa.RecordBatch.from_arrays(found, [name for name, _ in reply.columns]), schema)

    async def _describe(self, name: bytes) -> Columns:
        """Names and types of a prepared statement's columns."""
        if name not in self._described:
            self._runs = True
            self._libpq.send_describe_prepared(name)
            await self._flush()
            result = await self._result()
            await self._finish()
            if result is None or result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.OperationalError("The database does not know its own statement")
            self._described[name] = [
                ((result.fname(i) or b"").decode(), result.ftype(i)) for i in range(result.nfields)
            ]
        return self._described[name]

    async def _prepare(self, sql: bytes, types: Sequence[int]) -> bytes:
        """The name of the statement, which is prepared if it was not."""
        key = (sql, tuple(types))
        name = self._prepared.get(key)
        if name is not None:
            return name
        if len(self._prepared) == PREPARED_AT_MOST:
            self._prepared.clear()
            self._described.clear()
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
            await self._arrives()
        return self._libpq.get_result()

    async def _arrives(self) -> None:
        """Wait for what is worth to be looked at."""
        self._listen(on=True)
        self._arrival = self._loop.create_future()
        await self._arrival

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
            if self._reply is None or self._plain is None:
                self._libpq.consume_input()
                arrived = not self._libpq.is_busy()
            else:
                arrived = _receive(self._plain, self._reply)
        except psycopg.OperationalError as error:
            self._listen(on=False)
            self._arrival.set_exception(error)
            return
        if arrived:
            self._arrival.set_result(None)

    def _error(self, result: pq.abc.PGresult) -> psycopg.Error:
        if self._libpq.status != pq.ConnStatus.OK:
            return psycopg.OperationalError(result.get_error_message())
        return psycopg.errors.error_from_result(result)


def _receive(server: socket.socket, reply: Reply) -> bool:
    """Read what has come; tells whether that is all, or as much as is held. Raises psycopg.OperationalError."""
    incoming = reply.incoming
    if incoming.is_full:
        incoming.make_room()
    try:
        count = server.recv_into(incoming.room())
    except BlockingIOError:
        return False
    except OSError as error:
        raise psycopg.OperationalError(str(error)) from None
    if not count:
        raise psycopg.OperationalError("The server closed the connection")
    incoming.received(count)
    return incoming.is_full or incoming.seems_complete


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@lru_cache(maxsize=500)
def _numbered(sql: str) -> bytes:
    """The statement with placeholders as PostgreSQL has them: $1 for the first `%s`, and a per cent sign for `%%`."""
    numbers = itertools.count(1)
    return re.sub("%%|%s", lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", sql).encode()
