"""The addresses of the cone search services: one service for each table that has a position."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from conesearch.capabilities import cone_capabilities
from conesearch.nearest import cone_rows
from conesearch.query import cone_columns
from conesearch.request import read_request
from vo_service.catalog.model import Position, Table
from vo_service.context import Context
from vo_service.dali.answer import Answer
from vo_service.dali.endpoints import READ_OR_POST, base_url, endpoint, xml
from vo_service.dali.errors import scs_error_response
from vo_service.dali.links import has_links, row_links
from vo_service.dali.origin import origin
from vo_service.dali.parameters import read_parameters
from vo_service.errors import NotFoundError
from vo_service.formats.base import ResultTable
from vo_service.vosi.availability import availability_now
from vo_service.vosi.capabilities import capabilities_document
from vo_service.vosi.tables import table_document


def routes(context: Context) -> Sequence[BaseRoute]:
    """All addresses below `/scs`."""

    async def search(request: Request) -> Response:
        table, position = _find(context, request)
        asked = read_request(await read_parameters(request), context.settings)
        columns = cone_columns(table, position, asked.verbosity)
        infos = origin(context.settings, "ivo://ivoa.net/std/ConeSearch", [table], request=str(request.url))
        base, key = base_url(request, context.settings), columns[0].name
        links = (row_links(base, table, key),) if has_links(table) else ()
        return await Answer.prepare(
            request,
            cone_rows(context.database, table, position, asked, timeout=context.settings.sync_timeout),
            ResultTable(columns, name=table.name, description=table.description, infos=infos, services=links),
            asked.format,
            maxrec=asked.maxrec,
        )

    async def capabilities(request: Request) -> Response:
        table, position = _find(context, request)
        address = f"{base_url(request, context.settings)}/{service_path(table)}"
        return xml(capabilities_document(await cone_capabilities(address, table, position, context)))

    async def availability(request: Request) -> Response:
        _find(context, request)
        return xml(await availability_now(context))

    async def tables(request: Request) -> Response:
        table, _ = _find(context, request)
        return xml(table_document(context.catalog, table))

    service = "/scs/{schema}/{table}"
    return [
        endpoint(service, search, READ_OR_POST, on_error=scs_error_response),
        endpoint(f"{service}/capabilities", capabilities),
        endpoint(f"{service}/availability", availability),
        endpoint(f"{service}/tables", tables),
    ]


def service_path(table: Table) -> str:
    """The address of a table's service, relative to the root."""
    return f"scs/{table.path}"


def _find(context: Context, request: Request) -> tuple[Table, Position]:
    """The table that an address names. Raises NotFoundError if there is none, or if it has no position."""
    schema, name = request.path_params["schema"], request.path_params["table"]
    table = context.catalog.table(schema, name)
    if table is None:
        raise NotFoundError(f"There is no table {schema}.{name}")
    if table.position is None:
        raise NotFoundError(f"{schema}.{name} has no sky positions, hence no cone search; TAP has the table")
    return table, table.position
