"""`/voevent/stream`: the stored events as they come, as Server-Sent Events or over a WebSocket, at one address.

    after, Last-Event-ID                         number of an event: begin with the one after it
    since                                        or with what was stored from a time on (UTC)
    until                                        end with what was stored before a time
    role, stream, author, param, cone, far       conditions, as subscribers of the broker have them

Without a beginning it is the next event. Nothing is kept for a reader who is slow: it reads from the archive at its own
pace. One who does not read at all is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.status import WS_1008_POLICY_VIOLATION, WS_1013_TRY_AGAIN_LATER
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from vo_service.dali.forms import decode_urlencoded
from vo_service.dali.parameters import Parameters
from vo_service.database.pools import Database
from vo_service.errors import ServiceError, TooManyRequestsError, UsageError
from voevent.archive.reading import last_before
from voevent.archive.selection import moment_of
from voevent.feed import Feed, Offered, Wish
from voevent.vtp.filters import read_filters

CONDITIONS: Final = ("role", "stream", "author", "param", "cone", "far")

PATIENCE: Final = 30.0
"""Seconds in which a reader must have taken what it is sent."""

RETRY_AFTER: Final = 60

REASON_BYTES: Final = 123

log = logging.getLogger(__name__)


class Streams:
    """The streams of one process; no more than `limit` at once."""

    def __init__(self, database: Database, feed: Feed, limit: int) -> None:
        self._database = database
        self._feed = feed
        self._limit = limit
        self._open = 0

    async def server_sent(self, request: Request) -> Response:
        """Answer with Server-Sent Events (HTML Standard, section 9.2)."""
        self._expect_room()
        return _EventStream(self, await self._wish(request))

    async def websocket(self, websocket: WebSocket) -> None:
        """The same messages over a WebSocket (RFC 6455), each as a text."""
        await websocket.accept()
        try:
            self._expect_room()
            wish = await self._wish(websocket)
        except ServiceError as error:
            # Scripts in browsers see why a connection was closed, and nothing of one that was not made.
            code = WS_1008_POLICY_VIOLATION if error.status < 429 else WS_1013_TRY_AGAIN_LATER
            await websocket.close(code, _cut(error.message))
            return
        with self.counted():
            await _while_there(self._tell(websocket, wish), _left(websocket.receive, "websocket.disconnect"))

    async def pieces(self, wish: Wish) -> AsyncIterator[bytes]:
        """The events of a wish as Server-Sent Events."""
        yield b": alerts of this service\n\n"
        async for offered in self._feed.events(wish):
            yield await _server_sent(offered)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One stream more while the block runs."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _tell(self, websocket: WebSocket, wish: Wish) -> None:
        async for offered in self._feed.events(wish):
            # The server itself sends pings.
            if offered is not None:
                await _in_time(websocket.send_text(await offered.message()))
        await websocket.close(reason="These were all")

    def _expect_room(self) -> None:
        if self._open >= self._limit:
            raise TooManyRequestsError(
                f"There are {self._limit} streams already, as many as there may be", retry_after=RETRY_AFTER
            )

    async def _wish(self, connection: HTTPConnection) -> Wish:
        """What the reader asks for. Raises UsageError."""
        parameters = Parameters(decode_urlencoded(connection.scope["query_string"]))
        unknown = [name for name, _ in parameters.pairs if name not in (*CONDITIONS, "after", "since", "until")]
        if unknown:
            raise UsageError(f"{unknown[0][:60]}: expected some of {', '.join(CONDITIONS)}, after, since and until")
        wanted, faults = read_filters(parameters.pairs)
        if faults:
            raise UsageError("; ".join(faults))
        return Wish(await self._begin(connection, parameters), moment_of(parameters, "until", ends=True), wanted)

    async def _begin(self, connection: HTTPConnection, parameters: Parameters) -> int:
        # Browsers that connect again send the header: it says more than the address that they were given.
        given = connection.headers.get("last-event-id") or parameters.one("after")
        since: datetime | None = moment_of(parameters, "since")
        if given is not None:
            if not given.isascii() or not given.isdigit() or len(given) > 18:
                raise UsageError(f"after={given[:60]}: expected the number of an event")
            return min(int(given), await self._feed.last())
        return await self._feed.last() if since is None else await last_before(self._database, since)


class _EventStream(Response):
    """Server-Sent Events, as long as somebody reads them."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, wish: Wish) -> None:
        # Proxies of the kind of nginx would wait for more before they pass an event on.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._wish = wish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.counted():
            await _while_there(self._send_all(send), _left(receive, "http.disconnect"))

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in self._streams.pieces(self._wish):
            await _in_time(_body(send, piece))
        await send({"type": "http.response.body", "body": b""})


async def _server_sent(offered: Offered | None) -> bytes:
    if offered is None:
        return b": still here\n\n"
    return f"id: {offered.event_id}\nevent: voevent\ndata: {await offered.message()}\n\n".encode()


def _cut(reason: str) -> str:
    """As much of a reason as a message of closing holds (RFC 6455, section 5.5)."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")


async def _body(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _in_time(sending: Coroutine[Any, Any, None]) -> None:
    """Raises TimeoutError if the reader does not take what is sent."""
    async with asyncio.timeout(PATIENCE):
        await sending


async def _left(receive: Receive, sign: str) -> None:
    """Wait until the client has left. What it sends is not listened to."""
    while (await receive())["type"] != sign:
        pass


async def _while_there(telling: Coroutine[Any, Any, None], leaving: Coroutine[Any, Any, None]) -> None:
    """Tell until all is told, or the client has left, or does not read any more."""
    tasks = [asyncio.create_task(telling), asyncio.create_task(leaving)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcome, _ = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(outcome, TimeoutError):
        log.info("A reader of the stream does not read, and is left")
    elif isinstance(outcome, ServiceError):
        log.warning("A stream ends: %s", outcome.message)
    elif isinstance(outcome, Exception):
        raise outcome
