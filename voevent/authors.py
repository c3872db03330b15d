"""`POST /voevent`: what an author sends over HTTP becomes a packet of the archive."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vo_service.config import Settings
from vo_service.dali.endpoints import base_url
from vo_service.errors import ForbiddenError, TooLargeError
from voevent.alert import AlertError
from voevent.archive.insertion import Original
from voevent.archive.stamps import Stamps
from voevent.archive.store import AlertStore
from voevent.convert import to_packet
from voevent.packet import PacketError
from voevent.pages.answers import packet_path
from voevent.pipeline import Source, Verdict, accept

_STATUS: Final = {"accepted": 201, "duplicate": 200, "conflict": 409, "invalid": 400}


async def take_in(request: Request, settings: Settings, store: AlertStore, stamps: Stamps) -> Response:
    """Store VOEvent, a notice of GCN or our own JSON; the answer says what became of it, and where it is.

    Raises ForbiddenError, TooLargeError, UnavailableError.
    """
    expect_author(request, settings)
    raw = await _body(request, settings.voevent_size_limit)
    source = Source("author", "http", request.client.host if request.client else None)
    try:
        packet = await asyncio.to_thread(to_packet, raw, settings)
    except (AlertError, PacketError) as error:
        return JSONResponse({"status": "invalid", "reason": str(error)}, _STATUS["invalid"])
    # A packet is stored as it came, blanks around it included: to_packet gives the bytes that it was given.
    original = None if packet == raw else Original(raw, "application/json")
    verdict = await accept(packet, source, store, original)
    if verdict.event_id is not None and verdict.status == "accepted":
        stamps.note("acknowledged", verdict.event_id)
    return _answer(verdict, base_url(request, settings))


def _answer(verdict: Verdict, base: str) -> Response:
    told = {"status": verdict.status, "ivoid": verdict.ivoid, "event_id": verdict.event_id, "reason": verdict.reason}
    headers = {}
    if verdict.ivoid is not None and verdict.event_id is not None:
        headers["Location"] = f"{base}/{packet_path(verdict.ivoid)}"
    shown = {name: value for name, value in told.items() if value not in (None, "")}
    return JSONResponse(shown, _STATUS[verdict.status], headers)


def expect_author(request: Request, settings: Settings) -> None:
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
