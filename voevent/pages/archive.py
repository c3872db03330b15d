"""`GET /voevent`: a search of the archive, as a page, as JSON lines or as a tar file of packets."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vo_service.context import Context
from vo_service.dali.endpoints import base_url
from vo_service.dali.negotiation import HTML, JSON, XML, chosen_format
from vo_service.dali.parameters import Parameters
from vo_service.dali.quota import Quota, client_of
from vo_service.errors import UsageError
from voevent.alert import ROLES
from voevent.archive.search import Found, find, packets, summaries
from voevent.archive.selection import NAMES, read_selection
from voevent.pages.answers import page
from voevent.pages.documents import json_lines, tar_file

FORMATS: Final = {
    "json": ("application/x-ndjson", "application/jsonl", *JSON),
    "html": HTML,
    "xml": ("application/x-tar", *XML),
}
"""By their names, with the media types that ask for them; the first of these is that of the answer."""

PAGE: Final = (50, 500)
"""Packets on a page: if nothing is asked for, and at most."""

FILE: Final = (1_000, 100_000)
"""Packets in a file."""


WORDS_AT_ONCE: Final = 2
"""Searches for words that run at once, per process: each reads all packets that its other conditions leave."""


async def search_archive(request: Request, parameters: Parameters, context: Context, quota: Quota) -> Response:
    """The packets that the parameters select, the newest first; `quota` is that of searches for words.

    A header Link with rel="next" leads to those that follow, if there are any.
    """
    known = (*NAMES, "responseformat", "format")
    unknown = [name for name, _ in parameters.pairs if name.lower() not in known]
    if unknown:
        raise UsageError(f"{unknown[0][:60]}: expected some of {', '.join(known)}")
    wanted = chosen_format(request, parameters, FORMATS)
    default, most = PAGE if wanted == "html" else FILE
    selection = read_selection(parameters, default=default, most=most)
    async with quota.slot(client_of(request)) if selection.words else nullcontext():
        found = await find(context.database, selection)
    following = None if found.next is None else _query(parameters, before=str(found.next))
    if wanted == "html":
        response = await _page(request, parameters, context, found, following)
    else:
        # Of an answer to HEAD nobody gets more than the head.
        some = packets(context.database, found.event_ids if request.method == "GET" else ())
        pieces, extension = (json_lines(some), "jsonl") if wanted == "json" else (tar_file(some), "tar")
        response = StreamingResponse(pieces, media_type=FORMATS[wanted][0])
        response.headers["Content-Disposition"] = f'attachment; filename="alerts.{extension}"'
        response.headers["Vary"] = "Accept"
    if following is not None:
        response.headers["Link"] = f'<{base_url(request, context.settings)}/voevent?{following}>; rel="next"'
    return response


async def _page(
    request: Request, parameters: Parameters, context: Context, found: Found, following: str | None
) -> Response:
    return page(
        request,
        context,
        "alerts/search.html",
        packets=await summaries(context.database, found.event_ids),
        given={name: (parameters.one(name) or "").strip() for name in NAMES},
        roles=ROLES,
        following=following,
        newest=_query(parameters, before="") if parameters.one("before") else None,
        files={name: _query(parameters, before="", maxrec="", RESPONSEFORMAT=name) for name in ("json", "xml")},
        file_limit=FILE[0],
    )


def _query(parameters: Parameters, **news: str) -> str:
    """The query of the request with some parameters changed; blank ones are left out."""
    names = {name.lower() for name in news}
    pairs = [(name, value) for name, value in parameters.pairs if name.lower() not in names]
    return urlencode([(name, value) for name, value in (*pairs, *news.items()) if value.strip()])
