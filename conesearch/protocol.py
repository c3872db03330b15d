"""Simple Cone Search as a protocol of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from conesearch.capabilities import cone_capabilities
from conesearch.routes import routes, service_path
from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.database.init import Published
from vo_service.vosi.capabilities import Capability
from vo_service.web.links import Link


class ConeSearch:
    """Simple Cone Search 1.03, one service per table, at `/scs/<schema>/<table>`."""

    name = "scs"
    jobs = ()

    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield routes(context)

    def links(self, table: Table) -> Sequence[Link]:
        if table.position is None:
            return ()
        service = service_path(table)
        return (
            Link(
                "A cone of 5 degrees",
                f"{service}?RA=77.36&DEC=5.69&SR=5&MAXREC=20&RESPONSEFORMAT=text/plain",
                "RA=77.36 DEC=5.69 SR=5, around the blazar TXS 0506+056",
            ),
            Link("Cone search", f"{service}?", "For TOPCAT, STILTS, Aladin and pyvo", kind="endpoint"),
        )

    async def table_capabilities(self, table: Table, context: Context, base: str) -> Sequence[Capability]:
        if table.position is None:
            return ()
        return await cone_capabilities(f"{base}/{service_path(table)}", table, table.position, context)

    def shared_capabilities(self, context: Context, base: str) -> Sequence[Capability]:
        return ()
