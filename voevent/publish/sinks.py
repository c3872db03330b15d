"""From what the file of alerts says to sinks that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from vo_service.config import Settings
from voevent.archive.store import StoredEvent
from voevent.packet import read_packet
from voevent.publish.email import EmailSink
from voevent.publish.kafka import KafkaSink
from voevent.publish.outbox import BulkSink, OneByOne, Since
from voevent.publish.settings import EmailSettings, KafkaSettings, SinkSettings, WebhookSettings
from voevent.publish.webhook import WebhookSink
from voevent.vtp.filters import Filter


class Filtered:
    """A sink that gets only what it wants. What it does not want counts as delivered."""

    def __init__(self, sink: BulkSink, wanted: Filter, since: Since) -> None:
        self._sink = sink
        self._wanted = wanted
        self.since = since

    @property
    def name(self) -> str:
        """The sink's."""
        return self._sink.name

    async def deliver_all(self, events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        """As the sink does it."""
        # In a thread: to read many packets takes longer than others should wait.
        chosen = await asyncio.to_thread(self._choose, events) if self._wanted else events
        async for number in self._sink.deliver_all(chosen):
            yield number
        if events and not (chosen and chosen[-1] is events[-1]):
            yield events[-1].event_id

    def _choose(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        return [event for event in events if self._wanted(read_packet(event.raw))]


def make_sinks(settings: Settings, sinks: Sequence[SinkSettings]) -> list[Filtered]:
    """The sinks of the file of alerts, for `outbox.run_sink`.

    Raises ConfigurationError if one cannot work here.
    """
    return [Filtered(_make(settings, sink), sink.filters, sink.since) for sink in sinks]


def _make(settings: Settings, sink: SinkSettings) -> BulkSink:
    match sink:
        case KafkaSettings():
            return KafkaSink(sink, largest=settings.voevent_size_limit)
        case WebhookSettings():
            return OneByOne(WebhookSink(sink))
        case EmailSettings():
            return OneByOne(EmailSink(sink, settings))
