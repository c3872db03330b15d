"""The pages and their addresses: what is published, one page per table, "not here".

Links within the service are relative, so that pages work behind any proxy; addresses for clients are absolute.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from vo_service.catalog.model import TAP_SCHEMA, Schema, Table
from vo_service.context import Context
from vo_service.dali.endpoints import base_url
from vo_service.protocol import ServiceProtocol
from vo_service.web.links import Link
from vo_service.web.render import STATIC, render

_A_MONTH = 30 * 86400
"""Seconds for which browsers may keep a file whose address carries a version."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How clients reach a table by one protocol."""

    protocol: str
    title: str
    text: str
    url: str
    """Absolute, as it is given to a client."""

    @property
    def base(self) -> str:
        """What `/capabilities` and `/availability` are appended to."""
        return self.url.rstrip("?&/")


@dataclass(frozen=True, slots=True)
class Entry:
    """A table as pages show it."""

    table: Table
    path: str
    """Address of its page, relative to the service's root."""
    examples: tuple[Link, ...]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A schema as the landing page shows it."""

    schema: Schema
    entries: tuple[Entry, ...]


def routes(context: Context, protocols: Sequence[ServiceProtocol]) -> list[BaseRoute]:
    """The addresses of all pages. The last one matches everything: put them behind those of the protocols."""
    pages = _Pages(context, protocols)
    return [
        Route("/", pages.landing),
        Route("/table/{names:path}", pages.table),
        Mount("/static", _Static(directory=STATIC)),
        Route("/{path:path}", pages.missing),
    ]


class _Pages:
    """The handlers."""

    def __init__(self, context: Context, protocols: Sequence[ServiceProtocol]) -> None:
        self._context = context
        self._protocols = protocols

    async def landing(self, request: Request) -> Response:
        """All that is published; the tables of TAP_SCHEMA only by name."""
        base = base_url(request, self._context.settings)
        sections = [
            Section(schema, tuple(self._entry(table, base) for table in schema.tables))
            for schema in self._context.catalog.schemas
            if schema.tables
        ]
        published = [section for section in sections if section.schema.name != TAP_SCHEMA]
        entries = [entry for section in published for entry in section.entries]
        return self._page(
            request,
            "landing.html",
            sections=published,
            metadata=[entry for section in sections if section not in published for entry in section.entries],
            tables=len(entries),
            rows=sum(entry.table.counted_rows or 0 for entry in entries),
            endpoints=_distinct(entries),
            guides=_guides(entries),
        )

    async def table(self, request: Request) -> Response:
        """One table: its columns, where it comes from, how to reach it."""
        names = [unquote(segment) for segment in _path(request)[2:]]
        table = self._context.catalog.table(*names) if len(names) == 2 else None
        if table is None:
            return self._not_found(request, f"No table {'.'.join(names)} is published here.")
        entry = self._entry(table, base_url(request, self._context.settings))
        return self._page(request, "table.html", entry=entry, endpoints=entry.endpoints, guides=_guides([entry]))

    async def missing(self, request: Request) -> Response:
        """Every other address. Those of a protocol are not for people: below them the answer is plain text."""
        what = f"There is nothing at {request.url.path}."
        if request.path_params["path"].split("/")[0] in {protocol.name for protocol in self._protocols}:
            return PlainTextResponse(what + "\n", status_code=404)
        return self._not_found(request, what)

    def _not_found(self, request: Request, what: str) -> Response:
        return self._page(request, "missing.html", status=404, what=what, endpoints=())

    def _page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        settings = self._context.settings
        shared = {"settings": settings, "base": base_url(request, settings), "root": way_to_root(request)}
        return render(template, shared | values, status=status)

    def _entry(self, table: Table, base: str) -> Entry:
        links = [(protocol.name, link) for protocol in self._protocols for link in protocol.links(table)]
        return Entry(
            table=table,
            path=f"table/{table.path}",
            examples=tuple(link for _, link in links if link.kind == "example"),
            endpoints=tuple(
                Endpoint(name, link.title, link.text, f"{base}/{link.href}")
                for name, link in links
                if link.kind == "endpoint"
            ),
        )


class _Static(StaticFiles):
    """Files of our own, which browsers may keep."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = f"public, max-age={_A_MONTH}"
        return response


def _distinct(entries: Iterable[Entry]) -> list[Endpoint]:
    """Every endpoint once: one of TAP serves all tables."""
    return list({endpoint.url: endpoint for entry in entries for endpoint in entry.endpoints}.values())


def _guides(entries: Iterable[Entry]) -> list[tuple[Endpoint, Table]]:
    """Of every protocol one endpoint, with a table that it reaches: the example of the instructions for clients."""
    found: dict[str, tuple[Endpoint, Table]] = {}
    for entry in entries:
        for endpoint in entry.endpoints:
            found.setdefault(endpoint.protocol, (endpoint, entry.table))
    return list(found.values())


def _path(request: Request) -> list[str]:
    """The path in its segments, still encoded: names may hold a slash, which is then no end of a segment."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii", errors="replace").split("/")


def way_to_root(request: Request) -> str:
    """The relative address of the service's root, as seen from the page that is asked for."""
    return "../" * (len(_path(request)) - 2) or "./"
