"""The contract of a protocol: what the app asks of TAP, cone search and those that follow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.routing import BaseRoute

from vo_service.catalog.model import Table
from vo_service.context import Context
from vo_service.database.init import Published
from vo_service.uws.kind import JobKind
from vo_service.vosi.capabilities import Capability
from vo_service.web.links import Link


class ServiceProtocol(Protocol):
    """A protocol that the service speaks. `vo_service.app.PROTOCOLS` lists them all."""

    @property
    def name(self) -> str:
        """Short name, also the first segment of its addresses: "tap", "scs"."""
        ...

    @property
    def jobs(self) -> Sequence[JobKind]:
        """The kinds of jobs that workers run for it; its routes say where clients make them."""
        ...

    @property
    def own(self) -> Sequence[Published]:
        """Schemas of tables that belong to it and are published, with their foreign keys; `schema.sql` makes them."""
        ...

    def serving(self, context: Context) -> AbstractAsyncContextManager[Sequence[BaseRoute]]:
        """What it holds open while the service runs; gives its addresses, relative to the root of the service."""
        ...

    def links(self, table: Table) -> Sequence[Link]:
        """How this protocol reaches a table: addresses and working examples, for the landing page."""
        ...


class Registered(Protocol):
    """A protocol that the registry records of tables tell of."""

    async def table_capabilities(self, table: Table, context: Context, base: str) -> Sequence[Capability]:
        """How it reaches a table, below the address of the service; empty if it does not."""
        ...

    def shared_capabilities(self, context: Context, base: str) -> Sequence[Capability]:
        """Those of its one service for all tables; empty if it has none."""
        ...
