"""`GET /voevent/<ivoid>`: one packet as it came, as JSON, or as a page with its history and its coincidences."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vo_service.context import Context
from vo_service.dali.endpoints import base_url
from vo_service.dali.negotiation import HTML, JSON, XML, chosen_format
from vo_service.dali.parameters import Parameters
from vo_service.errors import NotFoundError
from voevent.archive.lookup import Event, History, coincidences_of, event_of, history_of
from voevent.match.coincidence import VOEVENT
from voevent.packet import Packet, Param, read_packet
from voevent.pages.answers import HARMLESS, packet_path, page
from voevent.pages.documents import event_json, file_name

FORMATS: Final = {"xml": XML, "json": JSON, "html": HTML}

SHOWN: Final = 100_000
"""Characters of a packet's XML that a page shows."""


async def show_event(request: Request, ivoid: str, parameters: Parameters, context: Context) -> Response:
    """The packet of an identifier: in the format that is asked for, or what it was made of (`original`).

    Raises NotFoundError, UsageError.
    """
    event = await event_of(context.database, ivoid)
    if event is None:
        raise NotFoundError(f"There is no packet {ivoid[:300]} in this archive (# is written %23 in an address)")
    if any(name.lower() == "original" for name, _ in parameters.pairs):
        return _original(event)
    wanted = chosen_format(request, parameters, FORMATS)
    if wanted == "xml":
        return Response(event.raw, headers={**HARMLESS, "Vary": "Accept"}, media_type=XML[0])
    history = await history_of(context.database, ivoid)
    coincidences = await coincidences_of(context.database, ivoid)
    address = f"{base_url(request, context.settings)}/{packet_path(ivoid)}"
    if wanted == "json":
        told = await asyncio.to_thread(event_json, event, history, coincidences, address)
        return JSONResponse(told, headers={"Vary": "Accept"})
    return _page(request, context, event, history, coincidences)


def _original(event: Event) -> Response:
    """What the packet was made of, as a file; the packet itself if it came as VOEvent."""
    media_type = event.original_type or XML[0]
    extension = {"application/json": "json", "application/avro": "avro", XML[0]: "xml"}.get(media_type, "dat")
    response = Response(
        event.raw if event.original is None else event.original, headers=HARMLESS, media_type=media_type
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name(event.ivoid)}.{extension}"'
    return response


def _page(
    request: Request, context: Context, event: Event, history: History, coincidences: list[dict[str, Any]]
) -> Response:
    packet = read_packet(event.raw)
    xml = event.raw.decode("utf-8", "replace")
    return page(
        request,
        context,
        "alerts/event.html",
        event=event,
        packet=packet,
        summary=next(one for one in history.packets if one.ivoid == event.ivoid),
        groups=_groups(packet),
        aladin=_aladin(packet),
        history=history,
        coincidences=[_seen_from(event.ivoid, row) for row in coincidences],
        address=packet_path(event.ivoid),
        xml=xml[:SHOWN],
        is_cut=len(xml) > SHOWN,
    )


def _groups(packet: Packet) -> list[tuple[str | None, list[Param]]]:
    """Parameters that follow each other in one group, under its name."""
    return [(name, list(params)) for name, params in groupby(packet.params, key=lambda param: param.group)]


def _seen_from(ivoid: str, coincidence: dict[str, Any]) -> dict[str, Any]:
    """A coincidence with its parts other than the packet of this identifier: name, kind, and page if there is one."""
    both = [(coincidence["alert_ivoid"], VOEVENT), (coincidence["counterpart"], coincidence["counterpart_kind"])]
    others = [
        {"name": name, "kind": kind, "path": packet_path(name) if kind == VOEVENT else None}
        for name, kind in both
        if (name, kind) != (ivoid, VOEVENT)
    ]
    return {**coincidence, "others": others}


def _aladin(packet: Packet) -> str | None:
    """An address that shows the place on the sky; nothing is asked of it before somebody follows it."""
    where = packet.where
    if where.ra is None or where.dec is None:
        return None
    field = min(180.0, max(0.1, 4 * (where.error or 0.5)))
    return f"https://aladin.cds.unistra.fr/AladinLite/?target={quote(f'{where.ra} {where.dec:+}')}&fov={field:g}"
