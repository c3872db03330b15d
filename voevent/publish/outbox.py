"""The outbox: every sink reads the stored events in order, and remembers the last one that it has delivered.

An event is delivered when `deliver` returns: a sink that waits for a confirmation gets each event once, whatever dies
in between; one that cannot (a socket without acknowledgement) may get the last one twice after a crash. A failing sink
is tried again with growing pauses, and keeps no other one waiting.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from vo_service.errors import UnavailableError
from voevent.archive.store import AlertStore, StoredEvent
from voevent.publish.news import News

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds before a delivery that failed is tried again: from the first to the longest, doubled each time."""

log = logging.getLogger(__name__)


class DeliveryError(Exception):
    """The event was not delivered; the message says why. It is tried again."""


class Sink(Protocol):
    """Somewhere alerts are sent to."""

    @property
    def name(self) -> str:
        """Under which its place in the outbox is kept; unique among all sinks."""
        ...

    async def deliver(self, event: StoredEvent) -> None:
        """Deliver an event; returns when it has arrived. Raises DeliveryError."""
        ...


async def run_sink(sink: Sink, store: AlertStore, news: News) -> None:
    """Deliver events to a sink, without end. A database that is away is waited for."""
    pause = FIRST_PAUSE
    while True:
        try:
            await _deliver_new(sink, store, news)
        except (DeliveryError, UnavailableError) as error:
            log.warning("Sink %s: %s; again in %g s", sink.name, error, pause)
            await _note_failure(sink, store, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            pause = FIRST_PAUSE


async def _deliver_new(sink: Sink, store: AlertStore, news: News) -> None:
    """Deliver what is new, then wait for more."""
    changed = news.next()
    events = await store.after(await store.position(sink.name))
    for event in events:
        await sink.deliver(event)
        await store.advance(sink.name, event.event_id)
    if not events:
        await changed.wait()


async def _note_failure(sink: Sink, store: AlertStore, error: Exception) -> None:
    if isinstance(error, DeliveryError):
        try:
            await store.failed(sink.name, str(error))
        except UnavailableError as away:
            log.warning("Sink %s: its failure was not noted: %s", sink.name, away)
