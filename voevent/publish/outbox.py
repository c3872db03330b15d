"""The outbox: every sink reads the stored events in order, and remembers the last one that it has delivered.

An event is delivered when the sink has a confirmation of it; then the sink's place moves on. What a process has begun
to deliver it brings to its end, also when it is told to stop. If it is killed between confirmation and the note of it,
the events that were not noted are delivered again: one for sinks that deliver one by one. A failing sink is tried again
with growing pauses, and keeps no other one waiting.

An event that the receiver refuses, while others may pass, is noted in vo_service.alert_undelivered after REFUSALS
attempts, and the sink goes on. Nothing else is ever passed over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from vo_service.errors import UnavailableError
from voevent.archive.store import AlertStore, StoredEvent
from voevent.publish.news import News

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds before a delivery that failed is tried again: from the first to the longest, doubled each time. Each pause is
shortened by up to a half, by chance, so that not all sinks of a receiver that comes back try at the same moment."""

REFUSALS: Final = 5
"""Refusals in a row after which an event is given up; that takes 8 to 15 seconds."""

Since = Literal["newest", "oldest"] | datetime
"""Where a sink that is new begins: after the newest event, with the oldest, or with the first one stored from a moment
(naive UTC) on."""

log = logging.getLogger(__name__)


class DeliveryError(Exception):
    """The event was not delivered; the message says why. It is tried again."""


class RefusedError(DeliveryError):
    """The receiver is there, and does not take this event; `final`: to try again is of no use."""

    def __init__(self, event_id: int, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.event_id = event_id
        self.final = final


class GoneError(DeliveryError):
    """The receiver says that it is gone for good. The sink stops and keeps its place; the next start tries again."""


class Sink(Protocol):
    """Somewhere alerts are sent to, one by one."""

    @property
    def name(self) -> str:
        """Under which its place in the outbox is kept; unique among all sinks."""
        ...

    async def deliver(self, event: StoredEvent) -> None:
        """Deliver an event; returns when it has arrived. Raises DeliveryError."""
        ...


class BulkSink(Protocol):
    """Somewhere alerts are sent to, several at once."""

    @property
    def name(self) -> str:
        """Under which its place in the outbox is kept; unique among all sinks."""
        ...

    @property
    def since(self) -> Since:
        """Where it begins when it is new."""
        ...

    def deliver_all(self, events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        """Deliver events that follow each other; gives numbers of events up to which all have arrived.

        Raises DeliveryError for the first one that did not.
        """
        ...


class OneByOne:
    """A sink as one of several at once."""

    since: Since = "newest"

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def name(self) -> str:
        """The sink's."""
        return self._sink.name

    async def deliver_all(self, events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        """One after the other."""
        for event in events:
            await self._sink.deliver(event)
            yield event.event_id


async def run_sink(sink: BulkSink, store: AlertStore, news: News) -> None:
    """Deliver events to a sink: without end, or until it is gone. A database that is away is waited for."""
    await _Delivery(sink, store, news).run()


class _Delivery:
    """What a process knows of a sink while it delivers to it."""

    def __init__(self, sink: BulkSink, store: AlertStore, news: News) -> None:
        self._sink = sink
        self._store = store
        self._news = news
        self._last: int | None = None
        """The last event that has arrived; this process does not send it again, even if it cannot be noted."""
        self._noted = -1
        self._pause = FIRST_PAUSE
        self._refused = (-1, 0)
        """The event that was refused last, and how often."""

    async def run(self) -> None:
        while True:
            try:
                await self._deliver_new()
            except GoneError as error:
                log.error("Sink %s is gone; it stops until the next start: %s", self._sink.name, error)  # noqa: TRY400
                await self._note_failure(error)
                return
            except (DeliveryError, UnavailableError) as error:
                await self._wait(error)
            except Exception as error:
                log.exception("Sink %s", self._sink.name)
                await self._wait(error)

    async def _deliver_new(self) -> None:
        """Deliver what is new, then wait for more."""
        changed = self._news.next()
        if self._last is None:
            self._last = self._noted = await self._place()
        await self._note_place()
        events = await self._store.after(self._last)
        if not events:
            await changed.wait()
            return
        arriving = self._sink.deliver_all(events)
        try:
            while await _undisturbed(self._next(arriving)):
                pass
        except RefusedError as error:
            await self._give_up(error)

    async def _place(self) -> int:
        since = self._sink.since
        if since == "newest":
            return await self._store.position(self._sink.name)
        begin = 0 if since == "oldest" else await self._store.before(since)
        return await self._store.position(self._sink.name, begin)

    async def _next(self, arriving: AsyncIterator[int]) -> bool:
        number = await anext(arriving, None)
        if number is not None:
            self._last, self._pause = number, FIRST_PAUSE
            await self._note_place()
        return number is not None

    async def _note_place(self) -> None:
        if self._last is not None and self._last > self._noted:
            await self._store.advance(self._sink.name, self._last)
            self._noted = self._last

    async def _give_up(self, error: RefusedError) -> None:
        """Note that an event cannot be delivered, and go on. Raises the error again if it is too early for that."""
        number, times = self._refused
        times = times + 1 if number == error.event_id else 1
        self._refused = (error.event_id, times)
        if not error.final and times < REFUSALS:
            raise error
        log.error("Sink %s: event %d is given up: %s", self._sink.name, error.event_id, error)
        await self._store.undelivered(self._sink.name, error.event_id, str(error))
        self._last, self._pause = error.event_id, FIRST_PAUSE

    async def _wait(self, error: Exception) -> None:
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
        log.warning("Sink %s: %s; again in %.1f s", self._sink.name, error, pause)
        await self._note_failure(error)
        await asyncio.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _note_failure(self, error: Exception) -> None:
        if not isinstance(error, UnavailableError):
            try:
                await self._store.failed(self._sink.name, str(error) or type(error).__name__)
            except UnavailableError as away:
                log.warning("Sink %s: its failure was not noted: %s", self._sink.name, away)


async def _undisturbed(work: Coroutine[None, None, bool]) -> bool:
    """Bring work to its end, also when the task is cancelled: what has arrived is then noted, and not sent again."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if error := task.exception():
            log.info("Not delivered before the end: %s", error)
        raise
