"""The rows of a cone among those of the cells that cover it: their distances, and the nearest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
"""Bytes of rows that wait to be sorted; if there are more, because they are denser than expected, no order is kept."""

PIECE = 10_000
"""Rows of the batches in which sorted ones leave."""


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

    The nearest rows come first, unless there are very many and MAXREC leaves room for all of them. Raises what
    `vo_service.database.execute.stream` does.
    """
    statement = cone_statement(table, position, request)
    complete = statement.columns[-1] is DISTANCE
    async with stream(database, statement, timeout=timeout) as batches:
        yield batches if complete else wanted_rows(batches, request, expected_rows(table, request))


async def wanted_rows(
    batches: AsyncIterator[pa.RecordBatch], request: ConeRequest, expected: float
) -> AsyncIterator[pa.RecordBatch]:
    """The rows of a cone among others, in which about so many are expected; one more than MAXREC if there are more."""
    rows = _in_cone(batches, request)
    wanted = request.maxrec + 1
    async for batch in _nearest_first(rows) if expected <= LARGE else rows:
        yield batch.slice(0, wanted)
        wanted -= batch.num_rows
        if wanted <= 0:
            return


async def _in_cone(batches: AsyncIterator[pa.RecordBatch], request: ConeRequest) -> AsyncIterator[pa.RecordBatch]:
    """The rows that lie in the cone, as they are answered."""
    async for batch in batches:
        found = await worked(batch.num_rows, _in_cone_of, batch, request)
        if found.num_rows:
            yield found


def _in_cone_of(batch: pa.RecordBatch, request: ConeRequest) -> pa.RecordBatch:
    ra, dec = (batch.column(place).to_numpy() for place in POSITION)
    distances = separation(request.ra, request.dec, ra, dec)
    found = batch.append_column(pa.field(DISTANCE.name, pa.float64()), pa.array(distances))
    found = found.filter(pa.array(distances <= request.radius))
    return found.set_column(0, found.schema.field(0).name, found.column(0).cast(pa.string()))


async def _nearest_first(batches: AsyncIterator[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    """The nearest rows first, unless that would take too much memory."""
    held: list[pa.RecordBatch] = []
    async for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) > MOST_HELD:
            break
    else:
        held = await worked(sum(batch.num_rows for batch in held), _sorted, held)
    for batch in held:
        yield batch
    async for batch in batches:
        yield batch


def _sorted(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if not batches:
        return []
    rows: list[pa.RecordBatch] = pa.Table.from_batches(batches).sort_by(DISTANCE.name).to_batches(max_chunksize=PIECE)
    return rows
