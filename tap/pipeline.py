"""A query's way, on one page: parse, translate, execute, stream."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from tap.adql import parse
from tap.request import TapRequest, read_request
from tap.translate import translate
from vo_service.context import Context
from vo_service.dali.answer import Answer
from vo_service.dali.parameters import read_parameters
from vo_service.database.statement import Statement
from vo_service.formats.base import Info, ResultTable

LONG_QUERY = 5_000
"""Characters from which a query takes milliseconds to read."""


async def run_query(request: Request, context: Context) -> Answer:
    """Answer a request for a query. Raises ServiceErrors of every step; their messages are for the client."""
    asked = read_request(await read_parameters(request), context.settings)
    statement = await _to_statement(asked, context)
    return await Answer.prepare(
        request,
        context.database,
        statement,
        ResultTable(columns=statement.columns, infos=_origin(asked, context)),
        asked.format,
        maxrec=asked.maxrec,
        timeout=context.settings.sync_timeout,
    )


async def _to_statement(asked: TapRequest, context: Context) -> Statement:
    """Parse and translate; a query of some length in a thread, so that others are not kept waiting."""

    def work() -> Statement:
        query = parse(asked.query, version=asked.version)
        return translate(query, context.catalog, limit=asked.maxrec + 1)

    return work() if len(asked.query) < LONG_QUERY else await asyncio.to_thread(work)


def _origin(asked: TapRequest, context: Context) -> tuple[Info, ...]:
    """Where the result comes from (IVOA DataOrigin 1.2)."""
    publisher = context.settings.publisher
    infos = [
        Info("standardID", "ivo://ivoa.net/std/TAP#sync-1.1"),
        Info("server_software", "vo-service"),
        Info("query", asked.query),
    ]
    return (*infos, Info("publisher", publisher)) if publisher else tuple(infos)
