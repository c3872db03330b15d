"""VTP as a sink: what is stored goes to all subscribers, and how far that has come into the outbox.

Subscribers are not waited for, and have no place of their own in the outbox: who was away asks for what was missed
(`since`). When the broker itself was away, who comes back is not asked, but gets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, Self

from vo_service.errors import UnavailableError, UsageError
from voevent.archive.stamps import Stamps
from voevent.archive.store import AlertStore, StoredEvent
from voevent.publish.news import News
from voevent.vtp.server import Broker
from voevent.vtp.subscribers import Position

NAME: Final = "vtp"
"""Under which its place in the outbox is kept."""

RETRY_SECONDS: Final = 1.0
"""Seconds until a database that is away is asked again."""

REST: Final = 0.005
"""Seconds between two sendings: with many subscribers it is sending that costs, of several events as much as of one."""

REMEMBER_SECONDS: Final = 0.5
"""Seconds between two notes of how far events were sent: a crash makes those of this time be sent again."""

RETURN_SECONDS: Final = 300.0
"""Seconds after a start in which subscribers come back, and get what was not sent before."""

log = logging.getLogger(__name__)


class VtpPublishing:
    """What sends the events of one store to the subscribers of one broker."""

    def __init__(self, broker: Broker, store: AlertStore, stamps: Stamps, *, unsent_after: int, start: int) -> None:
        self._broker, self._store, self._stamps = broker, store, stamps
        self._unsent_after = unsent_after
        self._start = self._sent = start
        self._noted = 0
        self._remembers = False

    @classmethod
    async def begin(cls, broker: Broker, store: AlertStore, stamps: Stamps) -> Self:
        """Events that are stored from now on will be sent to all, earlier ones to who comes back."""
        return cls(broker, store, stamps, unsent_after=await store.position(NAME), start=await store.last())

    async def run(self, news: News) -> None:
        """Send, without end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._remember())
                async for events in _feed(self._store, news, self._sent):
                    await self._broker.broadcast(events)
                    for event in events:
                        self._stamps.note("sent", event.event_id)
                    self._sent = events[-1].event_id
        finally:
            await self._advance()

    async def _remember(self) -> None:
        """Note how far we are; but first, whoever comes back gets what was not sent when the broker stopped."""
        if self._unsent_after < self._start and not self._remembers:
            self._broker.resume(self._unsent_after)
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
            await self._store.advance(NAME, noted)
            self._noted = noted
        except UnavailableError as error:
            log.warning("How far events were sent was not noted: %s", error)


class Replay:
    """The archive for subscribers who catch up: a few read at a time, so that storing goes on beside them."""

    AT_ONCE: Final = 2

    def __init__(self, store: AlertStore) -> None:
        self._store = store
        self._reading = asyncio.Semaphore(self.AT_ONCE)

    async def since(self, position: Position) -> AsyncIterator[StoredEvent]:
        """The stored events from a position on, in order, up to the newest.

        Raises UsageError for an identifier that is not known, UnavailableError.
        """
        number = await self._number_of(position)
        while events := await self._after(number):
            for event in events:
                yield event
            number = events[-1].event_id

    async def _number_of(self, position: Position) -> int:
        if isinstance(position, datetime):
            return await self._store.before(position)
        if isinstance(position, int):
            return position
        number = await self._store.number_of(position)
        if number is None:
            raise UsageError(f"since: there is no packet {position[:500]} in this archive")
        return number

    async def _after(self, number: int) -> Sequence[StoredEvent]:
        async with self._reading:
            return await self._store.after(number)


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
            await asyncio.sleep(REST)
        else:
            await changed.wait()
