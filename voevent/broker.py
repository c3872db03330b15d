"""The broker as a process: what comes by VTP goes into the archive, and what is in the archive goes to subscribers.

The archive is between the two, so that events which arrive by HTTP, or by another process, reach subscribers as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.pools import Database
from vo_service.errors import UnavailableError
from voevent.archive.stamps import Stamps, stamping
from voevent.archive.store import AlertStore, StoredEvent
from voevent.pipeline import Source, Verdict, accept
from voevent.publish.news import News, listening
from voevent.vtp.server import Broker

RETRY_SECONDS = 1.0
"""Seconds until a database that is away is asked again."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def running_broker(settings: Settings, access: Access) -> AsyncIterator[Broker]:
    """A broker that listens while the block runs, over a database that is up to date.

    Raises ConfigurationError if a port or certificate cannot be used, UnavailableError if the database is away.
    """
    async with (
        Database(access, settings) as database,
        AlertStore(access) as store,
        stamping(store) as stamps,
        listening(database) as news,
    ):
        broker = _broker(settings, store, stamps)
        start = await store.last()
        async with broker:
            publishing = asyncio.create_task(_publish(broker, _feed(store, news, start), stamps))
            try:
                yield broker
            finally:
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)


def _broker(settings: Settings, store: AlertStore, stamps: Stamps) -> Broker:
    async def take_in(raw: bytes, source: Source) -> Verdict:
        return await accept(raw, source, store)

    def acknowledged(event_id: int) -> None:
        stamps.note("acknowledged", event_id)

    def since(position: int | datetime) -> AsyncIterator[StoredEvent]:
        return _replay(store, position)

    return Broker(settings, accept=take_in, since=since, acknowledged=acknowledged)


async def _publish(broker: Broker, feed: AsyncIterator[StoredEvent], stamps: Stamps) -> None:
    async for event in feed:
        broker.broadcast(event)
        stamps.note("sent", event.event_id)


async def _replay(store: AlertStore, position: int | datetime) -> AsyncIterator[StoredEvent]:
    """The events after one, or from a moment on, up to the newest."""
    if isinstance(position, datetime):
        events = await store.since(position)
    else:
        events = await store.after(position)
    while events:
        for event in events:
            yield event
        events = await store.after(events[-1].event_id)


async def _feed(store: AlertStore, news: News, after: int) -> AsyncIterator[StoredEvent]:
    """The events after one as they are stored, without end. A database that is away is waited for."""
    while True:
        changed = news.next()
        try:
            events = await store.after(after)
        except UnavailableError as error:
            log.warning("Events wait for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for event in events:
            yield event
            after = event.event_id
        if not events:
            await changed.wait()


async def publish_packet(raw: bytes, access: Access) -> Verdict:
    """Take in one packet of an author who has the database at hand."""
    async with AlertStore(access) as store:
        return await accept(raw, Source("author", "publish"), store)
