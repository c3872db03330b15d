"""TAP as a protocol of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from starlette.routing import BaseRoute

from tap.capabilities import tap_capabilities
from tap.jobs import TapJobs
from tap.routes import routes
from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.database.init import Published
from vo_service.uws.routes import job_routes
from vo_service.vosi.capabilities import Capability, SimpleCapability
from vo_service.web.links import Link


class Tap:
    """Table Access Protocol 1.1 at `/tap`."""

    name = "tap"

    jobs = (TapJobs(),)

    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield (*routes(context), *job_routes("/tap/async", self.jobs[0], context))

    def links(self, table: Table) -> Sequence[Link]:
        query = f"SELECT TOP 10 * FROM {table.full_name}"
        parameters = urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "text/plain"})
        return (
            Link("The first ten rows", f"tap/sync?{parameters}", query),
            Link("More examples of queries", "tap/examples", "Around a position, map of the sky, histograms, matches"),
            Link("TAP service", "tap", "For TOPCAT, STILTS, Aladin and pyvo", kind="endpoint"),
        )

    async def table_capabilities(self, table: Table, context: Context, base: str) -> Sequence[Capability]:
        # One service for all tables is an auxiliary capability of each (IVOA Note on discovering data collections 1.1).
        return (SimpleCapability("ivo://ivoa.net/std/TAP#aux", f"{base}/tap", version="1.1"),)

    def shared_capabilities(self, context: Context, base: str) -> Sequence[Capability]:
        return tap_capabilities(f"{base}/tap", context.settings)
