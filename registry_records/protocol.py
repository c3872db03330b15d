"""The publishing registry as a protocol of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from registry_records.records import Records
from registry_records.routes import routes
from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.database.init import Published
from vo_service.protocol import Registered
from vo_service.uws.kind import JobKind
from vo_service.web.links import Link


class RegistryRecords:
    """OAI-PMH 2.0 at `/oai`, and a page about each resource at `/resource/<schema>/<table>`.

    `protocols` are those that the records tell of.
    """

    name = "oai"
    jobs: Sequence[JobKind] = ()
    own: Sequence[Published] = ()

    def __init__(self, protocols: Sequence[Registered]) -> None:
        self._protocols = protocols

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        records = Records(context, self._protocols)
        await records.keep_services()
        yield routes(records)

    def links(self, table: Table) -> Sequence[Link]:
        if table.resource is None:
            return ()
        return (Link("How to cite it", f"resource/{table.path}", "Creators, terms of use, registry record, DataCite"),)
