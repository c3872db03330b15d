"""News of stored events: from the database's notifications to all in this process who wait for the next event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vo_service.database.pools import Database
from voevent.archive.store import CHANNEL


class News:
    """Wakes up all who wait."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def announce(self) -> None:
        """There may be a new event."""
        self._changed.set()
        self._changed = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Is set at the next announcement. To be asked for before one looks for events, so that none is missed."""
        return self._changed


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator[News]:
    """News of this database, while the block runs."""
    news = News()
    listener = asyncio.create_task(_listen(database, news))
    try:
        yield news
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def _listen(database: Database, news: News) -> None:
    async for _ in database.listen(CHANNEL):
        news.announce()
