"""A query's rows as a streamed HTTP answer: the head leaves before the last row is known, memory stays flat."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, nullcontext
from typing import TypeAlias, TypeVar

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vo_service.dali.errors import message_of
from vo_service.errors import ServiceError
from vo_service.formats.base import ResultTable
from vo_service.formats.document import document, pieces
from vo_service.formats.registry import FormatChoice
from vo_service.threads import in_thread

T = TypeVar("T")

Rows: TypeAlias = AbstractAsyncContextManager[AsyncIterator[pa.RecordBatch]]
"""Record batches that are there while a block runs, as `database.execute.stream` gives them."""

log = logging.getLogger(__name__)

THREAD_BYTES = 50_000
"""Size from which a piece is compressed in a thread: the event loop stays free for others."""

WATCH_AFTER = 0.02
"""Seconds after which the service looks whether the client is still there."""

WHOLE_BYTES = 250_000
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
        self._pieces: AsyncGenerator[bytes] = _nothing()
        self._first = b""
        self._size = 0
        self._is_whole = False
        headers = {
            "Content-Type": content_type(choice),
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
        rows: Rows,
        table: ResultTable,
        choice: FormatChoice,
        *,
        maxrec: int,
        resources: AsyncExitStack | None = None,
    ) -> Answer:
        """Wait for the first of the rows, a stream that `execute.stream` makes.

        `resources` are given up when the query has ended, whether it was answered or not. Raises what the stream and
        the format's writer raise.
        """
        answer = cls(request, table, choice, maxrec)
        if resources is not None:
            answer._stack = resources.pop_all()
        if request.method != "HEAD":
            await answer.begin(rows if maxrec > 0 else nullcontext())
        return answer

    async def begin(self, rows: Rows | nullcontext[None]) -> None:
        """Open the stream of rows, and write up to the first bytes that are to leave.

        Without a stream the answer is a table that is cut before its first row. Formats that know their head only at
        the end wait for the last row here. Raises ClientLeftError too.
        """
        try:
            await unless_disconnected(self._receive, self._begin(rows))
        except BaseException:
            await self._stack.aclose()
            raise

    async def _begin(self, rows: Rows | nullcontext[None]) -> None:
        self._stack.callback(self._writer.close)
        written = self._written(await self._stack.enter_async_context(rows))
        self._pieces = await self._stack.enter_async_context(aclosing(written))
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
            if self._is_whole:
                await self._send_whole(send)
            else:
                await unless_disconnected(receive, self._send_all(send))
        except ClientLeftError:
            log.info("The client left before it had all rows")
        finally:
            await self._stack.aclose()

    async def _send_whole(self, send: Send) -> None:
        """Send a small answer, with its length."""
        self.headers["content-length"] = str(len(self._first))
        await self._send_head(send)
        await send({"type": "http.response.body", "body": self._first})

    async def _send_all(self, send: Send) -> None:
        """Send the first bytes, then pieces as they come."""
        await self._send_head(send)
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_head(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _written(self, batches: AsyncIterator[pa.RecordBatch] | None) -> AsyncGenerator[bytes]:
        """The document in pieces. What fails after the first of them has left is told within the document."""
        try:
            async with aclosing(document(self._writer, batches, self._maxrec)) as whole:
                async for piece in whole:
                    yield await self._packed(piece)
        except Exception as error:
            if self._size <= WHOLE_BYTES:
                raise
            async for piece in pieces(self._writer.failure(message_of(error))):
                yield await self._packed(piece)
        if self._gzip is not None:
            yield self._gzip.flush()

    async def _packed(self, data: bytes) -> bytes:
        """The data as it is sent. Compressed data ends where the other side has all of it: nothing waits for more."""
        self._size += len(data)
        gzip = self._gzip
        if gzip is None:
            return data

        def compress() -> bytes:
            return gzip.compress(data) + gzip.flush(zlib.Z_SYNC_FLUSH)

        return compress() if len(data) < THREAD_BYTES else await in_thread(compress)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client with this header reads gzip (RFC 9110, section 12.5.3)."""
    for coding in accept_encoding.lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";q=")
        if name in ("gzip", "x-gzip"):
            return weight.strip("0.") != "" or not weight
    return False


async def _nothing() -> AsyncGenerator[bytes]:
    """No pieces."""
    return
    yield


def content_type(choice: FormatChoice) -> str:
    """The type as requested; browsers are told the encoding of plain text, which they would guess."""
    plain = choice.content_type.lower() == "text/plain"
    return "text/plain; charset=utf-8" if plain else choice.content_type


async def unless_disconnected(receive: Receive, work: Awaitable[T]) -> T:
    """The result of work for a client; the work is cancelled when the client leaves. Raises ClientLeftError then."""
    loop, working = asyncio.get_running_loop(), asyncio.current_task()
    assert working is not None  # noqa: S101 (a coroutine runs in a task)
    watching: list[asyncio.Task[None]] = []
    left = False

    def end(watch: asyncio.Task[None]) -> None:
        nonlocal left
        if not watch.cancelled():
            left = True
            working.cancel()

    def begin() -> None:
        watching.append(loop.create_task(_disconnected(receive)))
        watching[0].add_done_callback(end)

    cancelled_before = working.cancelling()
    # Most work is done before it is worth looking.
    beginning = loop.call_later(WATCH_AFTER, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if left and working.uncancel() <= cancelled_before:
            raise ClientLeftError("The client left before its answer was complete") from None
        raise
    finally:
        beginning.cancel()
        for watch in watching:
            watch.remove_done_callback(end)
            watch.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
