"""Whole documents from record batches: what HTTP answers and the files of asynchronous jobs have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

import pyarrow as pa

from vo_service.formats.base import Writer
from vo_service.threads import in_thread, worked


async def document(writer: Writer, batches: AsyncIterator[pa.RecordBatch] | None, maxrec: int) -> AsyncGenerator[bytes]:
    """The document in pieces, cut after `maxrec` rows if there are more, and then says so.

    Without batches it is a table that is cut before its first row. What the batches and the writer raise is passed on:
    a caller that has sent pieces already may let `writer.failure` tell of it. The caller closes the writer.
    """
    yield writer.start()
    left = maxrec
    is_cut = batches is None
    async for batch in batches or _nothing():
        wanted = batch.slice(0, left)
        yield await worked(wanted.nbytes, writer.batch, wanted)
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


async def _nothing() -> AsyncGenerator[pa.RecordBatch]:
    return
    yield
