"""The broker as a process: what comes by VTP goes into the archive, and what is in the archive goes to subscribers.

The archive is between the two, so that events which arrive by HTTP, or by another process, reach subscribers as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.pools import Database
from vo_service.errors import UnavailableError
from voevent.archive.insertion import Original
from voevent.archive.stamps import Stamps, stamping
from voevent.archive.store import AlertStore, StoredEvent
from voevent.pipeline import Source, Verdict, accept
from voevent.publish.news import News, listening
from voevent.vtp.server import Broker

RETRY_SECONDS = 1.0
"""Seconds until a database that is away is asked again."""

REMEMBER_SECONDS = 0.5
"""Seconds between two notes of how far events were sent: a crash makes those of this time be sent again."""

RETURN_SECONDS = 300.0
"""Seconds after a start in which subscribers come back, and get what was not sent before."""

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
        unsent_after, start = await store.position(_Publishing.NAME), await store.last()
        async with broker, asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(_Publishing(broker, store, stamps, start).run(news, unsent_after))
            try:
                yield broker
            finally:
                publishing.cancel()


def _broker(settings: Settings, store: AlertStore, stamps: Stamps) -> Broker:
    async def take_in(raw: bytes, source: Source) -> Verdict:
        return await accept(raw, source, store)

    def acknowledged(event_id: int) -> None:
        stamps.note("acknowledged", event_id)

    def since(position: int | datetime) -> AsyncIterator[StoredEvent]:
        return _replay(store, position)

    return Broker(settings, accept=take_in, since=since, acknowledged=acknowledged)


class _Publishing:
    """What is stored goes to the broker's subscribers, and how far that has come into the outbox, as of every sink."""

    NAME = "vtp"

    def __init__(self, broker: Broker, store: AlertStore, stamps: Stamps, start: int) -> None:
        self._broker, self._store, self._stamps = broker, store, stamps
        self._sent = start
        self._noted = 0
        self._remembers = False

    async def run(self, news: News, unsent_after: int) -> None:
        """Send what is stored after the start, without end."""
        returning = unsent_after < self._sent
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._remember(unsent_after if returning else None))
                async for events in _feed(self._store, news, self._sent):
                    self._broker.broadcast(events)
                    for event in events:
                        self._stamps.note("sent", event.event_id)
                    self._sent = events[-1].event_id
        finally:
            await self._advance()

    async def _remember(self, unsent_after: int | None) -> None:
        """Note how far we are; but first, whoever comes back gets what was not sent when the broker stopped."""
        if unsent_after is not None:
            self._broker.resume(unsent_after)
            await asyncio.sleep(RETURN_SECONDS)
            self._broker.resume(None)
        self._remembers = True
        while True:
            await self._advance()
            await asyncio.sleep(REMEMBER_SECONDS)

    async def _advance(self) -> None:
        if not self._remembers or self._noted == self._sent:
            return
        noted = self._sent
        try:
            await self._store.advance(self.NAME, noted)
            self._noted = noted
        except UnavailableError as error:
            log.warning("How far events were sent was not noted: %s", error)


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


async def _feed(store: AlertStore, news: News, after: int) -> AsyncIterator[Sequence[StoredEvent]]:
    """The events after one as they are stored, some at a time, without end. A database that is away is waited for."""
    while True:
        changed = news.next()
        try:
            events = await store.after(after)
        except UnavailableError as error:
            log.warning("Events wait for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if events:
            yield events
            after = events[-1].event_id
        else:
            await changed.wait()


async def publish_packet(raw: bytes, access: Access, original: Original | None = None) -> Verdict:
    """Take in one packet of an author who has the database at hand, and the notice that it was made of."""
    async with AlertStore(access) as store:
        return await accept(raw, Source("author", "publish"), store, original)
