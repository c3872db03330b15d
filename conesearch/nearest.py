"""The rows of a cone among those of the cells that cover it: their distances, and the nearest first."""

from __future__ import annotations

import asyncio
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

LARGE = 20_000
"""Expected rows from which they come in no order: who asks for so many wants the first one early."""

_DENSER = 3
"""How many times more rows than expected a cone may well have: where MAXREC may cut, the nearest ones are kept."""

MOST_HELD = 100_000
"""Rows in memory at most: where more of them might be among the nearest, they come in no order."""


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
    if expected <= LARGE or request.maxrec < _DENSER * expected:
        rows = _nearest_first(rows, wanted)
    async for batch in rows:
        yield batch.slice(0, wanted)
        wanted -= batch.num_rows
        if wanted <= 0:
            return


async def _in_cone(batches: AsyncIterator[pa.RecordBatch], request: ConeRequest) -> AsyncIterator[pa.RecordBatch]:
    """The rows that lie in the cone, as they are answered."""
    async for batch in batches:
        found = await asyncio.to_thread(_in_cone_of, batch, request)
        if found.num_rows:
            yield found


def _in_cone_of(batch: pa.RecordBatch, request: ConeRequest) -> pa.RecordBatch:
    ra, dec = (batch.column(place).to_numpy() for place in POSITION)
    distances = separation(request.ra, request.dec, ra, dec)
    found = batch.append_column(pa.field(DISTANCE.name, pa.float64()), pa.array(distances))
    found = found.filter(pa.array(distances <= request.radius))
    return found.set_column(0, found.schema.field(0).name, found.column(0).cast(pa.string()))


async def _nearest_first(batches: AsyncIterator[pa.RecordBatch], wanted: int) -> AsyncIterator[pa.RecordBatch]:
    """The nearest rows in order, so many at most; or all rows in no order, if that would take too much memory."""
    held: list[pa.RecordBatch] = []
    async for batch in batches:
        held.append(batch)
        if sum(each.num_rows for each in held) > MOST_HELD:
            if 2 * wanted > MOST_HELD:
                break
            held = [await asyncio.to_thread(_nearest, held, wanted)]
    else:
        if held:
            yield await asyncio.to_thread(_nearest, held, wanted)
        return
    for batch in held:
        yield batch
    async for batch in batches:
        yield batch


def _nearest(batches: list[pa.RecordBatch], wanted: int) -> pa.RecordBatch:
    rows = pa.concat_batches(batches)
    order = np.argsort(rows.column(DISTANCE.name).to_numpy(), kind="stable")
    return rows.take(pa.array(order[:wanted]))
