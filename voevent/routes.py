"""The addresses of alerts: packets go to `/voevent`, are read at `/voevent/<ivoid>`, streamed at `/voevent/stream`."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from vo_service.config import Settings
from vo_service.context import Context
from vo_service.dali.endpoints import READ, endpoint
from vo_service.errors import ForbiddenError, NotFoundError, TooLargeError, UsageError
from voevent.archive.stamps import Stamps
from voevent.archive.store import AlertStore, StoredEvent
from voevent.pipeline import Source, Verdict, accept
from voevent.publish.news import News

KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which a stream sends a comment, so that nobody on its way takes it for dead."""

_STATUS: Final = {"accepted": 201, "duplicate": 200, "conflict": 409, "invalid": 400}


def routes(context: Context, store: AlertStore, stamps: Stamps, news: News) -> Sequence[BaseRoute]:
    """All addresses below `/voevent`."""

    async def post(request: Request) -> Response:
        _expect_author(request, context.settings)
        raw = await _body(request, context.settings.voevent_size_limit)
        verdict = await accept(raw, Source("author", f"http:{request.client.host if request.client else ''}"), store)
        if verdict.event_id is not None and verdict.status == "accepted":
            stamps.note("acknowledged", verdict.event_id)
        return JSONResponse(_told(verdict), _STATUS[verdict.status])

    async def stream(request: Request) -> Response:
        after = _last_event(request)
        start = await store.last() if after is None else after
        return StreamingResponse(
            _events(store, news, start), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )

    async def packet(request: Request) -> Response:
        raw = await store.raw(request.path_params["ivoid"])
        if raw is None:
            raise NotFoundError(f"There is no packet {request.path_params['ivoid']} in this archive")
        return Response(raw, media_type="application/xml")

    return [
        endpoint("/voevent", post, ("POST",)),
        endpoint("/voevent/stream", stream),
        endpoint("/voevent/{ivoid:path}", packet, READ),
    ]


def _expect_author(request: Request, settings: Settings) -> None:
    """Raises ForbiddenError unless the request has the token of authors."""
    token = settings.voevent_token
    if token is None:
        raise ForbiddenError("Alerts cannot be published over HTTP here: no token is set (VO_SERVICE_VOEVENT_TOKEN)")
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise ForbiddenError("Expected the header Authorization: Bearer TOKEN with the token of authors")


async def _body(request: Request, limit: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise TooLargeError(f"A packet has at most {limit:,} bytes here")
    return bytes(raw)


def _told(verdict: Verdict) -> dict[str, object]:
    told = {"status": verdict.status, "ivoid": verdict.ivoid, "reason": verdict.reason, "event_id": verdict.event_id}
    return {name: value for name, value in told.items() if value not in (None, "")}


def _last_event(request: Request) -> int | None:
    """The event after which a stream goes on (HTML, Server-sent events, Last-Event-ID); None to begin with the next."""
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise UsageError(f"Last-Event-ID={given[:60]}: expected the number of an event")
    return int(given)


async def _events(store: AlertStore, news: News, after: int) -> AsyncIterator[bytes]:
    """Events as they come, from the one after a number on."""
    yield b": alerts of this service\n\n"
    while True:
        changed = news.next()
        events = await store.after(after)
        for event in events:
            after = event.event_id
            yield _message(event)
        if not events:
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield b": still here\n\n"


def _message(event: StoredEvent) -> bytes:
    data = {"ivoid": event.ivoid, "role": event.role, "voevent": event.raw.decode("utf-8", "replace")}
    return f"id: {event.event_id}\nevent: voevent\ndata: {json.dumps(data)}\n\n".encode()
