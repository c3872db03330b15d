"""DataLink as a protocol of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from datalink.capabilities import links_capability
from datalink.routes import routes
from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.dali.links import has_links, links_path
from vo_service.database.init import Published
from vo_service.uws.kind import JobKind
from vo_service.vosi.capabilities import Capability
from vo_service.web.links import Link


class DataLink:
    """DataLink 1.1 at `/datalink`, cut-outs at `/datalink/cutout`, attached files at `/files`."""

    name = "datalink"
    jobs: Sequence[JobKind] = ()
    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield routes(context)

    def links(self, table: Table) -> Sequence[Link]:
        return ()

    async def table_capabilities(self, table: Table, context: Context, base: str) -> Sequence[Capability]:
        return (links_capability(f"{base}/{links_path(table)}"),) if has_links(table) else ()

    def shared_capabilities(self, context: Context, base: str) -> Sequence[Capability]:
        return ()
