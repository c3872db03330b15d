"""Coverage as a protocol of the service: `/moc`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.coverage.routes import moc_path, routes
from vo_service.database.init import Published
from vo_service.uws.kind import JobKind
from vo_service.web.links import Link


class CoverageMaps:
    """MOCs of published tables (MOC 2.0), of space, time, and both."""

    name = "moc"
    jobs: Sequence[JobKind] = ()
    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield routes(context)

    def links(self, table: Table) -> Sequence[Link]:
        if table.position is None:
            return ()
        text = "The cells of the sky that hold all positions; without FORMAT, FITS for Aladin and TOPCAT"
        return (Link("Coverage (MOC)", f"{moc_path(table)}?FORMAT=ascii", text),)
