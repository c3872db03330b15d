"""The addresses of links, cut-outs and files.

/datalink                    links of data sets and rows
/datalink/SCHEMA/TABLE       the same for rows of one table, by their primary key alone
/datalink/cutout             events of a list
/files/ID/NAME               an attached file
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from datalink.answer import existing_keys, find_links
from datalink.capabilities import datalink_capabilities
from datalink.cutout_query import cutout_statement
from datalink.cutout_request import read_cutout
from datalink.descriptor import SODA
from datalink.faults import fault_response, soda_error_response
from datalink.identifiers import Target, find_target
from datalink.links import COLUMNS, Link, as_batch, within_limit
from datalink.request import IDS_LIMIT, read_request
from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.dali.answer import Answer
from vo_service.dali.endpoints import READ_OR_POST, base_url, endpoint, xml
from vo_service.dali.links import LINKS, has_links, row_links
from vo_service.dali.origin import origin
from vo_service.dali.parameters import Parameters, read_parameters
from vo_service.database.execute import stream
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.register import find_attachment
from vo_service.files.serve import file_response
from vo_service.formats.base import ResultTable
from vo_service.vosi.availability import availability_now
from vo_service.vosi.capabilities import capabilities_document

_IDENTIFIER = re.compile(r"\d{1,18}", re.ASCII)


def routes(context: Context) -> Sequence[BaseRoute]:
    """All addresses below `/datalink` and `/files`."""
    site = _Site(context)
    return [
        endpoint("/datalink", site.links, READ_OR_POST, on_error=fault_response),
        endpoint("/datalink/capabilities", site.capabilities),
        endpoint("/datalink/availability", site.availability),
        endpoint("/datalink/cutout", site.cutout, READ_OR_POST, on_error=soda_error_response),
        endpoint("/datalink/{schema}/{table}", site.links_of_rows, READ_OR_POST, on_error=fault_response),
        endpoint("/files/{id}/{name}", site.file),
    ]


class _Site:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings

    async def links(self, request: Request) -> Response:
        return await self._links(request, None)

    async def links_of_rows(self, request: Request) -> Response:
        schema, name = request.path_params["schema"], request.path_params["table"]
        table = self._context.catalog.table(schema, name)
        if table is None or not has_links(table):
            raise NotFoundError(f"There is no table {schema}.{name} with a primary key")
        return await self._links(request, table)

    async def _links(self, request: Request, within: Table | None) -> Response:
        asked = read_request(await read_parameters(request), self._settings)
        base = base_url(request, self._settings)
        known = asked.identifiers[:IDS_LIMIT]
        groups, services = await find_links(known, self._context, base, within)
        links, is_cut = within_limit(groups, asked.maxrec)
        if is_cut or len(asked.identifiers) > len(known):
            # A limit at the very number of links, and one link more: the answer ends as one that overflows.
            maxrec, links = len(links), [*links, Link("")]
        else:
            maxrec = len(links) + 1
        infos = origin(self._settings, LINKS, ())
        table = ResultTable(COLUMNS, name="links", infos=infos, services=services)
        return await Answer.prepare(request, _rows(as_batch(links)), table, asked.format, maxrec=maxrec)

    async def cutout(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        target = await self._target(parameters)
        asked = read_cutout(parameters, target.table, self._settings)
        statement = cutout_statement(target, asked)
        table, base = target.table, base_url(request, self._settings)
        links = (row_links(base, table, table.primary_key or ""),) if has_links(table) else ()
        return await Answer.prepare(
            request,
            stream(self._context.database, statement, timeout=self._settings.sync_timeout),
            ResultTable(
                statement.columns,
                name=table.name,
                description=table.description,
                infos=origin(self._settings, SODA, [table], request=str(request.url)),
                services=links,
            ),
            asked.format,
            maxrec=asked.maxrec,
        )

    async def _target(self, parameters: Parameters) -> Target:
        """What ID names. Raises UsageError if it is missing, NotFoundError if there is no such table or row."""
        identifier = parameters.one("ID")
        if not identifier:
            raise UsageError(f"ID is missing: expected ivo://{self._settings.authority}/schema/table")
        target = find_target(identifier, self._context.catalog, self._settings.authority)
        if target.file is not None:
            raise UsageError(f"{identifier} is a file; expected an event list")
        if target.key is not None and not await existing_keys(target.table, [target.key], self._context):
            raise NotFoundError(f"{target.table.schema}.{target.table.name} has no row {target.key[:60]}")
        return target

    async def capabilities(self, request: Request) -> Response:
        url = f"{base_url(request, self._settings)}/datalink"
        return xml(capabilities_document(datalink_capabilities(url)))

    async def availability(self, request: Request) -> Response:
        return xml(await availability_now(self._context))

    async def file(self, request: Request) -> Response:
        identifier, name = request.path_params["id"], request.path_params["name"]
        if not _IDENTIFIER.fullmatch(identifier):
            raise NotFoundError(f"There is no file {name[:60]} here")
        attachment = await find_attachment(self._context.database, int(identifier), name)
        return await file_response(request, attachment, self._settings.files_directory)


@asynccontextmanager
async def _rows(batch: pa.RecordBatch) -> AsyncIterator[AsyncIterator[pa.RecordBatch]]:
    """One batch as the stream of a query."""

    async def batches() -> AsyncIterator[pa.RecordBatch]:
        yield batch

    yield batches()
