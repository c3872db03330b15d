"""A query's rows as a streamed HTTP answer: the head leaves before the last row is known, memory stays flat."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
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
from vo_service.formats.base import ResultTable
from vo_service.formats.registry import FormatChoice

T = TypeVar("T")

log = logging.getLogger(__name__)

THREAD_ROWS = 2_000
"""Rows from which a batch is encoded in a thread: the event loop stays free for others."""

WHOLE_BYTES = 100_000
"""Answers up to this size, before compression, are sent whole, with their length."""


class ClientLeftError(ServiceError):
    """Nobody is there to be answered."""


class Answer(Response):
    """Streams rows in a format.

    `prepare` and `begin` go as far as the first bytes, for small answers to the end: what fails by then can become
    an error document. Afterwards the answer must be sent, which also ends the query. A statement that asks for
    `maxrec` + 1 rows shows whether there are more than `maxrec`.
    """

    def __init__(self, request: Request, table: ResultTable, choice: FormatChoice, maxrec: int) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._writer = choice.writer(table)
        self._receive = request.receive
        self._maxrec = maxrec
        self._stack = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] = _nothing()
        self._first = b""
        self._size = 0
        self._is_whole = False
        headers = {
            "Content-Type": _content_type(choice),
            "Content-Disposition": f'inline; filename="result.{choice.format.extension}"',
            "Vary": "Accept-Encoding",
        }
        self._gzip = None
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            self._gzip = zlib.compressobj(1, zlib.DEFLATED, 31)
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
        """Run the statement and wait for its first rows. Raises what `execute.stream` and the format's writer raise."""
        answer = cls(request, table, choice, maxrec)
        if request.method != "HEAD":
            await answer.begin(stream(database, statement, timeout=timeout) if maxrec > 0 else nullcontext())
        return answer

    async def begin(self, rows: AbstractAsyncContextManager[AsyncIterator[pa.RecordBatch] | None]) -> None:
        """Open the stream of rows, and write up to the first bytes that are to leave.

        Without a stream the answer is a table that is cut before its first row. Raises ClientLeftError too.
        """
        try:
            await unless_disconnected(self._receive, self._begin(rows))
        except BaseException:
            await self._stack.aclose()
            raise

    async def _begin(self, rows: AbstractAsyncContextManager[AsyncIterator[pa.RecordBatch] | None]) -> None:
        self._pieces = self._written(await self._stack.enter_async_context(rows))
        async for piece in self._pieces:
            self._first += piece
            if self._size > WHOLE_BYTES:
                return
        self._is_whole = True
        await self._stack.aclose()

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
        """The first bytes, then pieces as they come. A small answer is sent in one piece, with its length."""
        if self._is_whole:
            self.headers["content-length"] = str(len(self._first))
        await self._send_head(send)
        await send({"type": "http.response.body", "body": self._first, "more_body": not self._is_whole})
        if self._is_whole:
            return
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_head(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _written(self, batches: AsyncIterator[pa.RecordBatch] | None) -> AsyncIterator[bytes]:
        """The document in pieces. What fails after the first of them has left is told within the document."""
        try:
            yield self._packed(self._writer.start())
            ending = self._writer.end if batches is not None else self._cut
            left = self._maxrec
            async for batch in batches or _nothing():
                yield await self._encoded(batch.slice(0, left))
                if batch.num_rows > left:
                    ending = self._cut
                    break
                left -= batch.num_rows
            last = ending()
        except Exception as error:
            if self._size <= WHOLE_BYTES:
                raise
            last = self._writer.failure(message_of(error))
        yield self._packed(last, zlib.Z_FINISH)

    def _cut(self) -> bytes:
        return self._writer.overflow(self._maxrec)

    async def _encoded(self, batch: pa.RecordBatch) -> bytes:
        def encode() -> bytes:
            return self._packed(self._writer.batch(batch), zlib.Z_SYNC_FLUSH)

        return encode() if batch.num_rows < THREAD_ROWS else await asyncio.to_thread(encode)

    def _packed(self, data: bytes, flush: int = zlib.Z_NO_FLUSH) -> bytes:
        self._size += len(data)
        return data if self._gzip is None else self._gzip.compress(data) + self._gzip.flush(flush)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client with this header reads gzip (RFC 9110, section 12.5.3)."""
    for coding in accept_encoding.lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name in ("gzip", "x-gzip"):
            return weight.strip("0.") != "" or not weight
    return False


async def _nothing() -> AsyncIterator[Any]:
    """No items."""
    return
    yield


def _content_type(choice: FormatChoice) -> str:
    """The type as requested; browsers are told the encoding of plain text, which they would guess."""
    plain = choice.content_type.lower() == "text/plain"
    return "text/plain; charset=utf-8" if plain else choice.content_type


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
