"""Alerts as a protocol of the service: `/voevent`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.uws.kind import JobKind
from vo_service.web.links import Link
from voevent.archive.stamps import stamping
from voevent.archive.store import AlertStore
from voevent.archive.tables import KEYS, NAME, SCHEMA
from voevent.publish.news import listening
from voevent.routes import routes


class VoEvent:
    """Packets of VOEvent: taken in, kept, and streamed to browsers and scripts."""

    name = "voevent"
    jobs: Sequence[JobKind] = ()
    own = ((SCHEMA, KEYS),)

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        async with (
            AlertStore(context.database.access) as store,
            stamping(store) as stamps,
            listening(context.database) as news,
        ):
            yield routes(context, store, stamps, news)

    def links(self, table: Table) -> Sequence[Link]:
        if (table.schema, table.name) != (NAME, "voevent"):
            return ()
        return (
            Link("Search the alerts", "voevent", "By time, place, stream, role and words; one page for each alert"),
            Link("The broker at work", "voevent/broker", "What comes in, who subscribes, how long it takes"),
        )
