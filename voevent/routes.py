"""The addresses of alerts.

POST /voevent                     an alert of an author
GET  /voevent                     a search of the archive; with `ivoid`, one packet
GET  /voevent/<ivoid>             one packet; # is written %23
GET  /voevent/stream              packets as they come: Server-Sent Events, or a WebSocket
GET  /voevent/alert.schema.json   JSON Schema of our own JSON
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute

from vo_service.context import Context
from vo_service.dali.endpoints import READ, READ_OR_POST, endpoint
from vo_service.dali.forms import decode_urlencoded
from vo_service.dali.negotiation import HTML, JSON, chosen_format
from vo_service.dali.parameters import Parameters
from vo_service.dali.quota import Quota
from vo_service.errors import ServiceError
from voevent.archive.stamps import Stamps
from voevent.archive.store import AlertStore
from voevent.authors import take_in
from voevent.convert.own import schema
from voevent.feed import Feed
from voevent.operations.routes import operations_routes
from voevent.pages.answers import error_json, error_page, ivoid_in
from voevent.pages.archive import WORDS_AT_ONCE, search_archive
from voevent.pages.event import show_event
from voevent.publish.news import News
from voevent.streams import Streams

_Reader = Callable[[Request, Parameters], Awaitable[Response]]


def routes(context: Context, store: AlertStore, stamps: Stamps, news: News) -> Sequence[BaseRoute]:
    """All addresses below `/voevent`, and those of operations."""
    settings = context.settings
    streams = Streams(context.database, Feed(context.database, store, news), settings.voevent_streams_limit)
    words = Quota(total=WORDS_AT_ONCE, per_client=WORDS_AT_ONCE, patience=settings.busy_timeout)

    async def post_or_search(request: Request) -> Response:
        if request.method == "POST":
            return await take_in(request, settings, store, stamps)
        return await _read(request, context, search)

    async def search(request: Request, parameters: Parameters) -> Response:
        ivoid = parameters.one("ivoid")
        if ivoid is not None:
            return await show_event(request, ivoid.strip(), parameters, context)
        return await search_archive(request, parameters, context, words)

    async def packet(request: Request) -> Response:
        return await _read(request, context, show)

    async def show(request: Request, parameters: Parameters) -> Response:
        return await show_event(request, ivoid_in(request.path_params["ivoid"]), parameters, context)

    async def alert_schema(_request: Request) -> Response:
        return JSONResponse(schema(), media_type="application/schema+json")

    return [
        endpoint("/voevent", post_or_search, READ_OR_POST, on_error=error_json),
        endpoint("/voevent/stream", streams.server_sent, ("GET",), on_error=error_json),
        WebSocketRoute("/voevent/stream", streams.websocket),
        endpoint("/voevent/alert.schema.json", alert_schema, on_error=error_json),
        *operations_routes(context),
        endpoint("/voevent/{ivoid:path}", packet, READ, on_error=error_json),
    ]


async def _read(request: Request, context: Context, reader: _Reader) -> Response:
    """What a reader gives. Errors are pages for those who asked for one by their Accept header, JSON for others."""
    try:
        return await reader(request, Parameters(decode_urlencoded(request.scope["query_string"])))
    except ServiceError as error:
        if chosen_format(request, Parameters([]), {"json": JSON, "html": HTML}) == "html":
            return error_page(request, context, error)
        raise
