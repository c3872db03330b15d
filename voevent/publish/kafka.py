"""Events to topics of Kafka: packets as they are, and alerts in JSON; many at once.

An event has arrived when all replicas have confirmed its messages. The client numbers what it sends, so that nothing is
written twice or out of order, however often the connection breaks: what waits for a confirmation is left to the client,
and never handed to it again. Only a process that is killed forgets what was on its way. The next one looks at the ends
of the topics, and does not send what is there. Events can be there twice, under the same key and `_id`, only if the
topic may not be read, or if others have written so much to it meanwhile that the end does not show them any more.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from vo_service.errors import ConfigurationError
from voevent.alert import AlertError
from voevent.archive.store import StoredEvent
from voevent.packet import read_packet
from voevent.publish.messages import MEDIA_TYPES, Form, message_id, message_of
from voevent.publish.outbox import DeliveryError, RefusedError
from voevent.publish.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

PATIENCE: Final = 10.0
"""Seconds after which an event that is not confirmed counts as a failure; the client goes on trying."""

_GLANCE: Final = 0.2
"""Seconds between two looks at the clock while confirmations are waited for."""

_JSON_GROWTH: Final = 4
"""How many times longer than the largest packet a message may be; the cluster has its own limit."""

_TAIL: Final = 200
"""Messages at the end of each partition that are looked at: more than are delivered at once."""

log = logging.getLogger(__name__)

_Key = tuple[int, Form]


@dataclass(slots=True)
class _Report:
    """What is known of a message that was handed to the client."""

    arrived: bool = False
    failure: DeliveryError | None = None


class KafkaSink:
    """One or two topics of one cluster."""

    def __init__(self, settings: KafkaSettings, *, largest: int) -> None:
        self.name = settings.name
        self.since = settings.since
        self._client = _client(settings.name)
        topics: dict[Form, str | None] = {"voevent": settings.topic_voevent, "json": settings.topic_json}
        self._topics = {form: topic for form, topic in topics.items() if topic is not None}
        self._access = settings.client()
        self._options: dict[str, Any] = {
            "linger.ms": 5,
            "compression.type": "zstd",
            "message.max.bytes": _JSON_GROWTH * largest,
            **{name: value for name, value in self._access.items() if name != "group.id"},
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "error_cb": self._troubled,
        }
        self._producer = self._new_producer()
        self._reports: dict[_Key, _Report] = {}
        self._trouble = ""
        """What the client last said of its connection."""
        self._broken = False
        """Whether the client has lost count of what it sent, and has to be made anew."""
        self._there: set[bytes] | None = None
        """The `_id` of messages at the ends of the topics, as a new client found them."""

    async def deliver_all(self, events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        """Send events, and wait until they are confirmed; gives the last one before the first that is not."""
        await asyncio.to_thread(self._send, events)
        deadline = time.monotonic() + PATIENCE
        while self._waiting(events) and time.monotonic() < deadline:
            await asyncio.to_thread(self._producer.flush, _GLANCE)
        last, failure = self._settle(events)
        if last is not None:
            yield last
        if failure is not None:
            raise failure

    def _send(self, events: Sequence[StoredEvent]) -> None:
        """Hand to the client what it does not have yet."""
        if self._broken:
            self._reports = {key: report for key, report in self._reports.items() if report.arrived}
            self._producer, self._broken, self._there = self._new_producer(), False, None
        if self._there is None:
            self._there = self._ends()
        for event in events:
            for form, topic in self._topics.items():
                if (event.event_id, form) not in self._reports:
                    there = message_id(event, form).bytes in self._there
                    report = _Report(arrived=True) if there else self._produce(event, form, topic)
                    self._reports[event.event_id, form] = report

    def _ends(self) -> set[bytes]:
        from voevent.publish.kafka_tail import UnreadableError, tail  # noqa: PLC0415 (only where there is a client)

        found: set[bytes] = set()
        for topic in self._topics.values():
            try:
                found |= tail(self._access, topic, _TAIL, PATIENCE)
            except UnreadableError as error:
                log.warning("Sink %s: what is in %s already is not known: %s", self.name, topic, error)
            except self._client.KafkaException as error:
                raise DeliveryError(f"Kafka: {error.args[0].str()}") from None
        return found

    def _produce(self, event: StoredEvent, form: Form, topic: str) -> _Report:
        report = _Report()
        try:
            self._producer.produce(
                topic,
                message_of(event, form),
                key=event.ivoid,
                headers=_headers(event, form),
                on_delivery=lambda error, _: self._reported(report, event, error),
            )
        except AlertError as error:
            report.failure = RefusedError(event.event_id, f"It does not fit our JSON: {error.message}", final=True)
        except BufferError:
            report.failure = DeliveryError("Too many messages wait for the cluster")
        except self._client.KafkaException as error:
            self._reported(report, event, error.args[0])
        return report

    def _reported(self, report: _Report, event: StoredEvent, error: KafkaError | None) -> None:
        refusals = (self._client.KafkaError.MSG_SIZE_TOO_LARGE, self._client.KafkaError.INVALID_MSG)
        if error is None:
            report.arrived = True
        elif error.code() in (*refusals, self._client.KafkaError.INVALID_RECORD):
            report.failure = RefusedError(event.event_id, f"Kafka does not take the message: {error.str()}")
        else:
            self._broken = self._broken or error.fatal()
            report.failure = DeliveryError(f"Kafka: {error.str()}")

    def _waiting(self, events: Sequence[StoredEvent]) -> bool:
        reports = (self._reports[event.event_id, form] for event in events for form in self._topics)
        return any(not report.arrived and report.failure is None for report in reports)

    def _settle(self, events: Sequence[StoredEvent]) -> tuple[int | None, DeliveryError | None]:
        """The last event before the first that has not arrived, and what is the matter with that one."""
        last = None
        for event in events:
            keys: list[_Key] = [(event.event_id, form) for form in self._topics]
            late = next((key for key in keys if not self._reports[key].arrived), None)
            if late is not None:
                return last, self._failure(late)
            last = event.event_id
            for key in keys:
                del self._reports[key]
        return last, None

    def _failure(self, key: _Key) -> DeliveryError:
        failure = self._reports[key].failure
        if failure is None:
            trouble = f"; the client says: {self._trouble}" if self._trouble else ""
            return DeliveryError(f"Kafka has not confirmed within {PATIENCE:g} s{trouble}")
        del self._reports[key]
        return failure

    def _new_producer(self) -> Producer:
        try:
            producer: Producer = self._client.Producer(self._options, logger=log)
        except self._client.KafkaException as error:
            raise ConfigurationError(f"Sink {self.name}: {error.args[0].str()}") from None
        return producer

    def _troubled(self, error: KafkaError) -> None:
        self._trouble = error.str()


def _headers(event: StoredEvent, form: Form) -> list[tuple[str, str | bytes | None]]:
    """Ours, and those by which hop-client knows a message, its format, and that it is a test."""
    headers = {
        "ivoid": event.ivoid,
        "role": event.role,
        "event_id": str(event.event_id),
        "content-type": MEDIA_TYPES[form],
        **({"_test": "true"} if event.role == "test" else {}),
        **({"_format": form} if form == "json" or _is_plain(event.raw) else {}),
    }
    return [("_id", message_id(event, form).bytes), *((name, text.encode()) for name, text in headers.items())]


def _is_plain(raw: bytes) -> bool:
    """Whether hop-client can read a packet: it looks for the name voe:VOEvent as it is written."""
    root = read_packet(raw).root
    return root.prefix == "voe" and None not in root.nsmap


def _client(name: str) -> ModuleType:
    try:
        return importlib.import_module("confluent_kafka")
    except ImportError:
        raise ConfigurationError(
            f"Sink {name}: the client for Kafka is not installed; pip install 'vo-service[kafka]'"
        ) from None
