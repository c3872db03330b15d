"""A query's rows as a streamed HTTP answer: the head leaves before the last row is known, memory stays flat."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vo_service.dali.errors import message_of
from vo_service.database.execute import stream
from vo_service.database.pools import Database
from vo_service.database.statement import Statement
from vo_service.errors import ServiceError
from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.registry import FormatChoice

T = TypeVar("T")

log = logging.getLogger(__name__)

THREAD_ROWS = 2_000
"""Rows from which a batch is encoded in a thread: the event loop stays free for others."""

WHOLE_BYTES = 100_000
"""Answers up to this size are sent whole, with their length."""


class ClientLeftError(ServiceError):
    """Nobody is there to be answered."""


class Answer(Response):
    """Streams a statement's rows in a format.

    The statement is run by `prepare`, up to its first rows: what fails by then can still become an error document.
    Afterwards the answer must be sent, or closed. A statement that asks for `maxrec` + 1 rows shows whether there are
    more than `maxrec`.
    """

    def __init__(self, request: Request, table: ResultTable, choice: FormatChoice, maxrec: int) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._writer = choice.writer(table)
        self._maxrec = maxrec
        self._gzip = "gzip" in request.headers.get("accept-encoding", "").lower()
        self._stack = AsyncExitStack()
        self._batches: AsyncIterator[pa.RecordBatch] | None = None
        headers = {
            "Content-Type": _content_type(choice),
            "Content-Disposition": f'inline; filename="result.{choice.format.extension}"',
        }
        if self._gzip:
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        self.init_headers(headers)
        del self.headers["content-length"]

    @classmethod
    async def prepare(
        cls,
        request: Request,
        database: Database,
        statement: Statement,
        table: ResultTable,
        choice: FormatChoice,
        *,
        maxrec: int,
        timeout: float,  # noqa: ASYNC109 (the database keeps it)
    ) -> Answer:
        """Run the statement and wait for its first rows. Raises what `execute.stream` raises."""
        answer = cls(request, table, choice, maxrec)
        if maxrec > 0 and request.method != "HEAD":
            begin = answer._stack.enter_async_context(stream(database, statement, timeout=timeout))
            answer._batches = await unless_disconnected(request.receive, begin)
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; a client that leaves ends the query."""
        try:
            if scope["method"] == "HEAD":
                await self._send_head(send)
                await send({"type": "http.response.body", "body": b""})
                return
            await unless_disconnected(receive, self._send_all(send))
        except ClientLeftError:
            log.info("The client left before it had all rows")
        finally:
            await self._stack.aclose()

    async def _send_all(self, send: Send) -> None:
        """Chunks as they come. A small answer is sent in one piece."""
        compress = zlib.compressobj(1, zlib.DEFLATED, 31) if self._gzip else None
        started = False
        async for chunk, last in _marked(self._chunks()):
            data = chunk
            if compress is not None:
                data = compress.compress(chunk) + compress.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
            if not started:
                if last:
                    self.headers["content-length"] = str(len(data))
                await self._send_head(send)
                started = True
            await send({"type": "http.response.body", "body": data, "more_body": not last})

    async def _send_head(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _chunks(self) -> AsyncIterator[bytes]:
        """The document: pieces of some size, so that small ones leave together."""
        waiting = self._writer.start()
        async for piece in self._body():
            if len(waiting) + len(piece) > WHOLE_BYTES and waiting:
                yield waiting
                waiting = b""
            waiting += piece
        yield waiting

    async def _body(self) -> AsyncIterator[bytes]:
        if self._batches is None:
            yield self._writer.overflow(self._maxrec) if self._maxrec == 0 else self._writer.end()
            return
        left = self._maxrec
        try:
            async for batch in self._batches:
                if batch.num_rows > left:
                    yield await _encode(self._writer, batch.slice(0, left))
                    yield self._writer.overflow(self._maxrec)
                    return
                left -= batch.num_rows
                yield await _encode(self._writer, batch)
        except ServiceError as error:
            yield self._writer.failure(message_of(error))
            return
        yield self._writer.end()


def _content_type(choice: FormatChoice) -> str:
    """The type as requested; browsers are told the encoding of plain text, which they would guess."""
    plain = choice.content_type.lower() == "text/plain"
    return "text/plain; charset=utf-8" if plain else choice.content_type


async def _encode(writer: Writer, batch: pa.RecordBatch) -> bytes:
    if batch.num_rows < THREAD_ROWS:
        return writer.batch(batch)
    return await asyncio.to_thread(writer.batch, batch)


async def _marked(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    waiting: bytes | None = None
    async for chunk in chunks:
        if waiting is not None:
            yield waiting, False
        waiting = chunk
    if waiting is not None:
        yield waiting, True


async def unless_disconnected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of work for a client; the work is cancelled when the client leaves. Raises ClientLeftError then."""
    working, watching = asyncio.create_task(work), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError("The client left before its answer was complete")
        return working.result()
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
