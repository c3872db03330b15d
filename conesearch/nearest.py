"""The rows of a cone among those of the cells that cover it: their distances, and the nearest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pyarrow as pa

from conesearch.query import DISTANCE, POSITION, cone_statement, expected_rows
from conesearch.request import ConeRequest
from vo_service.catalog.model import Position, Table
from vo_service.database.execute import stream
from vo_service.database.pools import Database
from vo_service.sky.angles import separation
from vo_service.threads import worked

LARGE = 20_000
"""Expected rows from which they come in no order: who asks for so many wants the first one early."""

MOST_HELD = 30_000_000
"""Bytes of rows that wait to be sorted; if there are more, because they are denser than expected, each batch is in an
order of its own."""

PIECE = 10_000
"""Rows of the batches in which they leave."""


@asynccontextmanager
async def cone_rows(
    database: Database,
    table: Table,
    position: Position,
    request: ConeRequest,
    *,
    timeout: float,  # noqa: ASYNC109 (the server keeps it)
) -> AsyncIterator[AsyncIterator[pa.RecordBatch]]:
    """The rows of a cone search as a stream of `cone_columns`; one more than MAXREC shows that there are more.

    The nearest rows come first, unless there are very many, or more than `MOST_HELD` where few were expected. Raises
    what `vo_service.database.execute.stream` does.
    """
    statement = cone_statement(table, position, request)
    complete = statement.columns[-1] is DISTANCE
    async with stream(database, statement, timeout=timeout) as batches:
        yield batches if complete else wanted_rows(batches, request, expected_rows(table, request))


async def wanted_rows(
    batches: AsyncIterator[pa.RecordBatch], request: ConeRequest, expected: float
) -> AsyncIterator[pa.RecordBatch]:
    """The rows of a cone among others, in which about so many are expected; one more than MAXREC if there are more."""
    in_order = expected <= LARGE
    wanted = request.maxrec + 1
    async for held in _gathered(batches, MOST_HELD if in_order else 0):
        size = sum(batch.nbytes for batch in held)
        found = (await worked(size, _in_cone, held, request, in_order=in_order)).slice(0, wanted)
        for start in range(0, found.num_rows, PIECE):
            yield found.slice(start, PIECE)
        wanted -= found.num_rows
        if wanted <= 0:
            return


def _in_cone(held: list[pa.RecordBatch], request: ConeRequest, *, in_order: bool) -> pa.RecordBatch:
    """The rows that lie in the cone, as they are answered; with `in_order`, the nearest first. Takes those given."""
    batch = held.pop() if len(held) == 1 else pa.concat_batches(held)
    held.clear()
    distances = separation(request.ra, request.dec, *(batch.column(place).to_numpy() for place in POSITION))
    rows = np.flatnonzero(distances <= request.radius)
    if in_order:
        rows = rows[np.argsort(distances[rows])]
    found = batch.take(pa.array(rows))
    found = found.set_column(0, found.schema.field(0).name, found.column(0).cast(pa.string()))
    return found.append_column(DISTANCE.name, pa.array(distances[rows]))


async def _gathered(batches: AsyncIterator[pa.RecordBatch], most: int) -> AsyncIterator[list[pa.RecordBatch]]:
    """All batches together; if they are more than `most` bytes, each by itself."""
    held: list[pa.RecordBatch] = []
    size = 0
    async for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > most:
            while held:
                yield [held.pop(0)]
    if held:
        yield held
