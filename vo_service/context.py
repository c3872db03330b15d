"""What a process holds open while it serves: settings, database, the current catalogue. The app opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vo_service.catalog.live import LiveCatalog
from vo_service.catalog.model import Catalog
from vo_service.config import Settings
from vo_service.database.pools import Database
from vo_service.uws.jobs import Jobs


@dataclass(frozen=True)
class Context:
    """The resources that request handlers share."""

    settings: Settings
    database: Database
    live_catalog: LiveCatalog
    jobs: Jobs
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def catalog(self) -> Catalog:
        """What is published at this moment."""
        return self.live_catalog.current


@asynccontextmanager
async def open_context(settings: Settings, database: Database) -> AsyncIterator[Context]:
    """Connect, read the catalogue, follow its changes and those of jobs; undone on exit."""
    async with database, LiveCatalog(database) as live_catalog, Jobs(database, settings) as jobs:
        yield Context(settings=settings, database=database, live_catalog=live_catalog, jobs=jobs)
