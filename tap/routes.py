"""The addresses of the TAP service (TAP 1.1, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from tap.capabilities import tap_capabilities
from tap.examples import examples_page
from tap.lane import HeavyLane
from tap.pipeline import run_query
from vo_service.catalog.model import Catalog, Table
from vo_service.context import Context
from vo_service.dali.endpoints import READ_OR_POST, base_url, endpoint, xml
from vo_service.dali.parameters import read_parameters
from vo_service.errors import NotFoundError, UsageError
from vo_service.vosi.availability import availability_now
from vo_service.vosi.capabilities import capabilities_document
from vo_service.vosi.tables import table_document, tableset_document


def routes(context: Context) -> Sequence[BaseRoute]:
    """All addresses below `/tap`."""
    lane = HeavyLane(context.settings)

    async def root(request: Request) -> Response:
        return RedirectResponse(f"{base_url(request, context.settings)}/", 303)

    async def sync(request: Request) -> Response:
        return await run_query(request, context, lane)

    async def tables(request: Request) -> Response:
        detail = (await read_parameters(request)).one("detail") or "max"
        if detail not in ("min", "max"):
            raise UsageError(f"detail={detail}: expected min or max")
        return xml(tableset_document(context.catalog, detail="min" if detail == "min" else "max"))

    async def table(request: Request) -> Response:
        found = _find_table(context.catalog, request.path_params["name"])
        return xml(table_document(context.catalog, found))

    async def capabilities(request: Request) -> Response:
        address = f"{base_url(request, context.settings)}/tap"
        return xml(capabilities_document(tap_capabilities(address, context.settings)))

    async def examples(request: Request) -> Response:
        return examples_page(context.catalog, context.settings, base_url(request, context.settings))

    async def availability(request: Request) -> Response:
        return xml(await availability_now(context))

    return [
        endpoint("/tap", root),
        endpoint("/tap/sync", sync, READ_OR_POST),
        endpoint("/tap/tables", tables),
        endpoint("/tap/tables/{name:path}", table),
        endpoint("/tap/capabilities", capabilities),
        endpoint("/tap/availability", availability),
        endpoint("/tap/examples", examples),
    ]


def _find_table(catalog: Catalog, name: str) -> Table:
    """The table of a name as it is written in a query. Raises NotFoundError."""
    for table in catalog.tables():
        if table.full_name.lower() == name.lower() or f"{table.schema}.{table.name}".lower() == name.lower():
            return table
    raise NotFoundError(f"There is no table {name}; /tap/tables lists all")
