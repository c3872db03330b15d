"""Whole documents from record batches: what HTTP answers and the files of asynchronous jobs have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import ParamSpec, TypeVar

import pyarrow as pa

from vo_service.formats.base import Writer

P = ParamSpec("P")
T = TypeVar("T")

THREAD_ROWS = 2_000
"""Rows from which a batch is encoded in a thread: the event loop stays free for others."""


async def document(writer: Writer, batches: AsyncIterator[pa.RecordBatch] | None, maxrec: int) -> AsyncGenerator[bytes]:
    """The document in pieces, cut after `maxrec` rows if there are more, and then says so.

    Without batches it is a table that is cut before its first row. What the batches and the writer raise is passed on:
    a caller that has sent pieces already may let `writer.failure` tell of it. The caller closes the writer.
    """
    yield writer.start()
    left = maxrec
    is_cut = batches is None
    async for batch in batches or _nothing():
        yield await _encoded(writer, batch.slice(0, left))
        if is_cut := batch.num_rows > left:
            break
        left -= batch.num_rows
    async with aclosing(pieces(writer.overflow(maxrec) if is_cut else writer.end())) as last:
        async for piece in last:
            yield piece


async def pieces(made: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """The pieces of a writer's end. Those that are not ready, as they come from a file, are made in a thread."""
    if isinstance(made, tuple):
        for piece in made:
            yield piece
        return
    iterator = iter(made)
    while (piece := await in_thread(next, iterator, None)) is not None:
        yield piece


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function that runs in a thread. Also who is cancelled waits for its end.

    So nothing that the thread works on is closed under its hands.
    """
    working = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise


async def _encoded(writer: Writer, batch: pa.RecordBatch) -> bytes:
    return writer.batch(batch) if batch.num_rows < THREAD_ROWS else await in_thread(writer.batch, batch)


async def _nothing() -> AsyncGenerator[pa.RecordBatch]:
    return
    yield
