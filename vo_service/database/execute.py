"""Running a statement as the reader: its rows as a stream of Arrow record batches.

Statements without parameters are read by binary COPY, in a thread: the way for answers of any size. Statements with
parameters are prepared, and read within the event loop: a millisecond faster, and the better way up to some thousand
rows. Either way rows are read as they are asked for: the first is there early, memory does not grow with their number.

Whoever waits for rows can be cancelled at any time, and any number of times, as web servers do when a client leaves;
the query is then ended in the database, and the connection given back, in the background.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TypeAlias

import psycopg
import pyarrow as pa

from vo_service.catalog.model import Column
from vo_service.database.failures import explain, is_worth_another_try
from vo_service.database.pools import Database
from vo_service.database.sources import Source, open_source
from vo_service.database.statement import Statement
from vo_service.errors import QueryTimeoutError, ServiceError, TooManyRequestsError, UnavailableError

Explanation: TypeAlias = Callable[[psycopg.Error], ServiceError]
Attempt: TypeAlias = Callable[[Statement, float], Awaitable["_Rows"]]
AtLength: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

ASK_FOR_LESS = "Ask for fewer rows or a smaller region"
"""What one can do if a query takes too long."""

MOMENT = 0.25
"""Seconds within which small statements are done. It bounds what a mistaken guess costs."""

BATCH_BYTES = 1_000_000
"""Bytes of a record batch, about: 13,000 rows of a plain event list. Larger ones come later and are not faster."""


PROBE_SECONDS = 5.0
"""Seconds in which a database that can be reached answers."""

FRESH_SECONDS = 1.0
"""Seconds for which it is not asked again: whoever wants to know more often learns no more, and is answered at once."""

_PROBE = Statement("SELECT %s::integer", (Column("answer", "int"),), (1,))


@asynccontextmanager
async def stream(
    database: Database,
    statement: Statement,
    *,
    timeout: float,  # noqa: ASYNC109 (the server keeps it)
    batch_bytes: int = BATCH_BYTES,
    advice: str = ASK_FOR_LESS,
    at_length: AtLength = nullcontext,
) -> AsyncIterator[AsyncIterator[pa.RecordBatch]]:
    """Run a statement; gives its record batches, each with exactly the types of `statement.columns`.

    A statement that is said to be small is given a moment; if that does not suffice, or its rows are many, it is run as
    others are. The first batch has been read when the block begins: most errors show then. Leaving the block early
    cancels the query in the database.

    Parameters
    ----------
    timeout
        Seconds that the query may take, the time in which its rows are fetched included.
    batch_bytes
        Size of the batches of a statement without parameters or of many rows, about.
    advice
        What the error says that one can do if the query took too long.
    at_length
        Makes the context in which a statement that is not small waits for its first batch.

    Raises
    ------
    QueryError, QueryTimeoutError
        The database refused the query, or ended it; also while batches are read.
    TooManyRequestsError
        No connection became free in time.
    UnavailableError
        The database cannot be reached.
    """
    explained = partial(explain, timeout=timeout, advice=advice)
    attempt = partial(_attempt, database, batch_bytes=batch_bytes, explained=explained)
    # What libpq has to read is better read in a thread, if there are many rows.
    small = statement.small and (database.is_plain or not statement.many)
    rows = await _at_once(attempt, statement, timeout) if small else None
    if rows is None:
        async with at_length():
            rows = await attempt(statement.at_length() if statement.small else statement, timeout)
    try:
        yield rows.batches()
    finally:
        await rows.finish()


async def is_reachable(database: Database) -> bool:
    """Whether the database answers the reader, or did so `FRESH_SECONDS` ago."""
    if time.monotonic() - database.answered < FRESH_SECONDS:
        return True
    try:
        async with stream(database, _PROBE, timeout=PROBE_SECONDS):
            database.answered = time.monotonic()
            return True
    except (UnavailableError, QueryTimeoutError):
        return False
    except TooManyRequestsError:
        return True  # as others see who are being answered


async def _at_once(attempt: Attempt, statement: Statement, seconds: float) -> _Rows | None:
    """The rows of a small statement; None if it turns out not to be small."""
    # What a query of a user takes is a guess; statements with parameters are ours, and slow only if the database is.
    moment = seconds if statement.parameters else min(seconds, MOMENT)
    try:
        rows = await attempt(statement, moment)
    except QueryTimeoutError:
        if moment == seconds:
            raise
        return None
    if rows.are_few:
        return rows
    await rows.finish()
    return None


async def _attempt(
    database: Database, statement: Statement, seconds: float, *, batch_bytes: int, explained: Explanation
) -> _Rows:
    """Run the statement up to its first batch; once more if the connection turned out to be dead."""
    try:
        return await _run(database, statement, seconds, batch_bytes, explained)
    except psycopg.Error as error:
        if not is_worth_another_try(error):
            raise explained(error) from None
    await database.renew()
    try:
        return await _run(database, statement, seconds, batch_bytes, explained)
    except psycopg.Error as error:
        raise explained(error) from None


async def _run(
    database: Database, statement: Statement, seconds: float, batch_bytes: int, explained: Explanation
) -> _Rows:
    rows = _Rows(database, await open_source(database, statement, seconds, batch_bytes), explained)
    try:
        await rows.start()
    except BaseException:
        await rows.finish()
        raise
    return rows


class _Rows:
    """The record batches of one source, of which the first is read before all others are asked for."""

    def __init__(self, database: Database, source: Source, explained: Explanation) -> None:
        self._database = database
        self._source = source
        self._explained = explained
        self._first: pa.RecordBatch | None = None
        self.are_few = False
        """Whether the first batch is the only one."""

    async def start(self) -> None:
        self._first = await self._source.read()
        # Others need not wait until a client has read what we have.
        self.are_few = self._source.give_back()

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        batch, self._first = self._first, None
        while batch is not None:
            yield batch
            try:
                batch = None if self.are_few else await self._source.read()
            except psycopg.Error as error:
                raise self._explained(error) from None

    async def finish(self) -> None:
        if not (self.are_few or self._source.give_back()):
            await asyncio.shield(self._database.in_background(self._source.close()))
