"""A query's way, on one page: take in its uploads, parse, translate, execute, stream."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from starlette.requests import Request

from tap.adql import parse
from tap.lane import HeavyLane
from tap.request import TapRequest, read_request
from tap.translate import translate
from tap.upload import load_uploads
from vo_service.catalog.model import Catalog
from vo_service.context import Context
from vo_service.dali.answer import Answer, unless_disconnected
from vo_service.dali.endpoints import base_url
from vo_service.dali.links import query_links
from vo_service.dali.origin import origin
from vo_service.dali.parameters import read_parameters
from vo_service.database.execute import stream
from vo_service.database.statement import Statement
from vo_service.formats.base import ResultTable

ASK_ASYNC = "Ask for fewer rows or a smaller region, or send the query to /tap/async, where it may take longer"

SYNC = "ivo://ivoa.net/std/TAP#sync-1.1"
"""What a query that is answered at once is done by (IVOA DataOrigin 1.2)."""

LONG_QUERY = 5_000
"""Characters from which a query takes milliseconds to read."""


async def run_query(request: Request, context: Context, lane: HeavyLane) -> Answer:
    """Answer a request for a query: small ones at once, others as soon as the heavy lane has room for them.

    Raises ServiceErrors of every step; their messages are for the client.
    """
    parameters = await read_parameters(request, file_limit=context.settings.upload_limit_bytes)
    asked = read_request(parameters, context.settings)
    async with AsyncExitStack() as resources:
        place = await resources.enter_async_context(lane.place(request))
        catalog = context.catalog
        if parameters.all("UPLOAD"):
            await unless_disconnected(request.receive, place.take())
            uploads = await unless_disconnected(request.receive, load_uploads(parameters, context))
            resources.callback(uploads.drop_soon)
            catalog = catalog.with_schema(uploads.schema)
        statement = await to_statement(asked, catalog)
        infos = origin(context.settings, SYNC, statement.sources, query=asked.query)
        links = query_links(base_url(request, context.settings), statement.sources, statement.columns)
        return await Answer.prepare(
            request,
            stream(
                context.database, statement, timeout=context.settings.sync_timeout, advice=ASK_ASYNC,
                at_length=place.turn,
            ),
            ResultTable(columns=statement.columns, infos=infos, services=links),
            asked.format,
            maxrec=asked.maxrec,
            resources=resources,
        )  # fmt: skip


async def to_statement(asked: TapRequest, catalog: Catalog) -> Statement:
    """Parse and translate; a query of some length, or with units, in a thread, so that others are not kept waiting."""

    def work() -> Statement:
        query = parse(asked.query, version=asked.version)
        return translate(query, catalog, limit=asked.maxrec + 1)

    takes_long = len(asked.query) >= LONG_QUERY or "IN_UNIT" in asked.query.upper()
    return await asyncio.to_thread(work) if takes_long else work()
