"""`/moc/<schema>/<table>`: the MOC of a table in every form, and `properties` below it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.coverage.documents import AnyMoc, moc_ascii, moc_fits, moc_json
from vo_service.coverage.model import Coverage
from vo_service.coverage.properties import properties_document
from vo_service.coverage.store import coverage_of
from vo_service.dali.endpoints import base_url, endpoint
from vo_service.dali.negotiation import chosen_format
from vo_service.dali.parameters import Parameters, read_parameters
from vo_service.database.failures import connect
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.conditions import names_tag

FORMATS: Final = {
    "fits": ("application/fits", "image/fits"),
    "json": ("application/json",),
    "ascii": ("text/plain",),
}

_DIMENSIONS: Final[dict[str, Callable[[Coverage], AnyMoc | None]]] = {
    "space": lambda coverage: coverage.space,
    "time": lambda coverage: coverage.time,
    "spacetime": lambda coverage: coverage.space_time,
}


def moc_path(table: Table) -> str:
    """The address of a table's MOC, relative to the root."""
    return f"moc/{table.path}"


def routes(context: Context) -> Sequence[BaseRoute]:
    """All addresses below `/moc`."""

    async def moc(request: Request) -> Response:
        table = _find(context, request)
        parameters = await read_parameters(request)
        form = chosen_format(request, parameters, FORMATS)
        dimension = _dimension(parameters)
        found = _DIMENSIONS[dimension](await _coverage(context, table))
        if found is None:
            raise NotFoundError(f"{table.full_name} has no coverage of {dimension}: no column tells it")
        content = await asyncio.to_thread(_written, form, found)
        name = f"{table.schema}.{table.name}.{dimension}.moc.{'txt' if form == 'ascii' else form}"
        return _answer(request, content, FORMATS[form][0], name)

    async def properties(request: Request) -> Response:
        table = _find(context, request)
        coverage = await _coverage(context, table)
        if coverage.space is None:
            raise NotFoundError(f"{table.full_name} has no MOC that a server could collect: no column tells a position")
        base = base_url(request, context.settings)
        document = properties_document(table, coverage, context.settings, base, moc_path(table))
        return _answer(request, document.encode(), "text/plain; charset=utf-8", "properties")

    address = "/moc/{schema}/{table}"
    return [endpoint(address, moc), endpoint(f"{address}/properties", properties)]


def _find(context: Context, request: Request) -> Table:
    schema, name = request.path_params["schema"], request.path_params["table"]
    table = context.catalog.table(schema, name)
    if table is None:
        raise NotFoundError(f"There is no table {schema}.{name}")
    return table


def _dimension(parameters: Parameters) -> str:
    asked = (parameters.one("DIMENSION") or "space").strip().lower()
    if asked not in _DIMENSIONS:
        raise UsageError(f"DIMENSION={asked[:60]}: expected one of {', '.join(_DIMENSIONS)}")
    return asked


async def _coverage(context: Context, table: Table) -> Coverage:
    def read() -> Coverage:
        with connect(context.database.access.writer.conninfo) as connection:
            return coverage_of(connection, table)

    return await asyncio.to_thread(read)


def _written(form: str, moc: AnyMoc) -> bytes:
    if form == "fits":
        return moc_fits(moc)
    return (moc_json(moc) if form == "json" else moc_ascii(moc)).encode()


def _answer(request: Request, content: bytes, media_type: str, name: str) -> Response:
    """The content, or 304 to a client that has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "no-cache"}
    if names_tag(request.headers.get("if-none-match", ""), tag, weakly=True):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f"inline; filename*=utf-8''{quote(name, safe='')}"
    return Response(content, media_type=media_type, headers=headers)
