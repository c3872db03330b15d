"""ObsCore as a protocol of the service: its tables are published in TAP; addresses in them are those of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from vo_service.addresses import host_and_port
from vo_service.catalog.model import Catalog, Table
from vo_service.config import Settings
from vo_service.context import Context
from vo_service.database.failures import connect
from vo_service.obscore.store import record_missing, remember_address
from vo_service.obscore.tables import KEYS, SCHEMA
from vo_service.uws.kind import JobKind
from vo_service.web.links import Link


class ObsCore:
    """ivoa.obscore and ivoa.obscore_hea: no addresses of their own."""

    name = "obscore"
    jobs: Sequence[JobKind] = ()
    own = ((SCHEMA, KEYS),)

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        await asyncio.to_thread(_prepare, context.database.access.writer.conninfo, context.settings, context.catalog)
        yield ()

    def links(self, table: Table) -> Sequence[Link]:
        return ()


def _prepare(conninfo: str, settings: Settings, catalog: Catalog) -> None:
    base = settings.public_url or f"http://{host_and_port(settings.host, settings.port)}"
    with connect(conninfo) as connection:
        remember_address(connection, settings.authority, base)
        connection.commit()
        record_missing(connection, catalog)
