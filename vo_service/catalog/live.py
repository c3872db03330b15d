"""The catalogue of a running service: read at the start, read again whenever the database says that it changed."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

import psycopg

from vo_service.catalog.model import Catalog
from vo_service.catalog.store import read_catalog
from vo_service.database.failures import connect
from vo_service.database.pools import Database
from vo_service.errors import UnavailableError

log = logging.getLogger(__name__)

CHANNEL = "vo_catalog"
"""NOTIFY channel on which every change of the catalogue is announced (`schema.sql`)."""


class LiveCatalog:
    """Holds the current catalogue and follows its changes in the background."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._follower: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self.current = Catalog()

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._follower = asyncio.create_task(self._follow(), name="catalogue follower")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    async def refresh(self) -> None:
        """Read the catalogue now."""
        # One after the other: what was read first must not replace what was read last.
        async with self._reading:
            self.current = await asyncio.to_thread(self._read)

    def _read(self) -> Catalog:
        with connect(self._database.writer_conninfo) as connection:
            return read_catalog(connection)

    async def _follow(self) -> None:
        async for _ in self._database.listen(CHANNEL):
            try:
                await self.refresh()
            except (psycopg.Error, UnavailableError) as error:
                # The database is going down: listening begins anew when it is back, and brings a message at once.
                log.warning("The catalogue could not be read again: %s", error)
