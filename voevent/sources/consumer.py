"""The reader of Kafka: topics from where the database says, all partitions, without a consumer group.

librdkafka fetches ahead and connects again after every break; it is asked from a thread of the source's own. Offsets
are kept in PostgreSQL, so that what Kafka remembers of us does not matter, and nothing waits for a group to form.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, Final, TypeVar

from vo_service.errors import ConfigurationError
from voevent.sources.intake import Intake, Message, SourceError
from voevent.sources.kafka import KafkaStream, Option, Record, headers_of

REFRESH: Final = 60.0
"""Seconds from one look for new topics and partitions to the next."""

TOGETHER: Final = 100
BYTES_TOGETHER: Final = 4_194_304
"""Messages that are taken in together: at most so many, and no further one after so many bytes."""

WAIT: Final = 0.5
CLOSE_TIMEOUT: Final = 10.0
"""Seconds for a cluster to be left in good order."""

TIMEOUT: Final = 5.0
"""Seconds: for a message, and for an answer of the cluster."""

_DEFAULTS: Final[Mapping[str, Option]] = {
    "group.id": "vo-service",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Where what was to be read next is gone, what comes after it is read.
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    # A source that waits for the database holds no more than this.
    "queued.max.messages.kbytes": 16_384,
}

_Partition = tuple[str, int]
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


def confluent_kafka() -> ModuleType:
    """The client library, of the extra `kafka`. Raises ConfigurationError if it is not installed."""
    try:
        import confluent_kafka  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError("Kafka needs confluent-kafka: pip install 'vo-service[kafka]'") from None
    return confluent_kafka


class KafkaReading:
    """The reading of one Kafka source."""

    def __init__(self, settings: KafkaStream, intake: Intake) -> None:
        self._settings = settings
        self._intake = intake

    async def follow(self) -> None:
        """Take in messages, without end.

        Raises SourceError if the cluster cannot be read, ConfigurationError if it never can be, as it is described.
        """
        topics = _Topics(self._settings, self._intake, await self._intake.positions())
        executor = ThreadPoolExecutor(1, thread_name_prefix=self._settings.name)

        def in_thread(action: Callable[[], _Result]) -> asyncio.Future[_Result]:
            return asyncio.get_running_loop().run_in_executor(executor, action)

        try:
            due = 0.0
            while True:
                if time.monotonic() >= due:
                    await self._intake.advance(await in_thread(topics.look))
                    due = time.monotonic() + REFRESH
                await self._take_in(await in_thread(topics.poll))
        finally:
            # Nothing depends on it, as no place is kept there; whatever holds it up must not hold up the end.
            await asyncio.wait([in_thread(topics.close)], timeout=CLOSE_TIMEOUT)
            executor.shutdown(wait=False)

    async def _take_in(self, records: Sequence[Record]) -> None:
        if records:
            await self._intake.take_in([self._message(record) for record in records])
            await self._intake.advance(
                {_part(record.topic, record.partition): str(record.offset + 1) for record in records}
            )

    def _message(self, record: Record) -> Message:
        return Message(
            part=_part(record.topic, record.partition),
            position=str(record.offset),
            data=self._settings.content(record),
            kind=self._settings.format_of(record) if record.value else None,
            stream=self._settings.stream_of(record.topic, self._intake.authority),
            origin=f"kafka:{record.topic}",
            headers=record.headers,
        )


def _part(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"


def _partition(part: str) -> _Partition:
    topic, _, partition = part.rpartition("/")
    return topic, int(partition)


class _Topics:
    """The partitions that are read. All calls come from one thread, and block."""

    def __init__(self, settings: KafkaStream, intake: Intake, known: Mapping[str, str]) -> None:
        self._kafka = confluent_kafka()
        self._settings = settings
        self._condition = intake.condition
        self._is_new = not known
        self._next = {_partition(part): int(position) for part, position in known.items()}
        self._read: set[_Partition] = set()
        self._missing: list[str] = []
        configuration = {**_DEFAULTS, **settings.client(), **settings.options, "error_cb": self._on_error}
        try:
            self._consumer = self._kafka.Consumer(configuration, logger=log)
        except self._kafka.KafkaException as error:
            raise ConfigurationError(f"Source {settings.name}: {error.args[0].str()}") from None

    def look(self) -> dict[str, str]:
        """Find the partitions that the cluster has by now; gives the positions at which new ones are read."""
        try:
            found = self._found()
            new = {partition: self._first(partition) for partition in found - self._next.keys()}
            self._next |= new
            if found != self._read:
                self._consumer.assign([self._kafka.TopicPartition(*read, self._next[read]) for read in sorted(found)])
                self._read = found
        except self._kafka.KafkaException as error:
            raise SourceError(error.args[0].str()) from None
        self._is_new = False
        self._condition.heard(self._lag())
        return {_part(*partition): str(position) for partition, position in new.items()}

    def poll(self) -> list[Record]:
        """The next messages; none if none come for a while."""
        records: list[Record] = []
        size = 0
        message = self._consumer.poll(WAIT)
        while message is not None:
            if message.error() is None:
                records.append(_record(message))
                size += len(records[-1].value)
            else:
                self._on_message_error(message)
            if len(records) == TOGETHER or size >= BYTES_TOGETHER:
                break
            message = self._consumer.poll(0)
        for record in records:
            self._next[record.topic, record.partition] = record.offset + 1
        if records or self._condition.connected:
            self._condition.heard(self._lag())
        return records

    def close(self) -> None:
        """Leave the cluster."""
        self._consumer.close()

    def _found(self) -> set[_Partition]:
        """The partitions of the topics that are wanted."""
        topics = self._consumer.list_topics(timeout=TIMEOUT).topics
        wanted = {name: topic for name, topic in topics.items() if topic.error is None and self._settings.wants(name)}
        missing = [name for name in self._settings.topics if not name.startswith("^") and name not in wanted]
        if missing != self._missing:
            self._missing = missing
            if missing:
                self._condition.last_error = f"Topics that are not there: {', '.join(missing)}"
            log.warning("Source %s: topics that are not there: %s", self._settings.name, ", ".join(missing) or "none")
        return {(name, partition) for name, topic in wanted.items() for partition in topic.partitions}

    def _first(self, partition: _Partition) -> int:
        """Where the reading of a partition begins."""
        low, high = self._consumer.get_watermark_offsets(self._kafka.TopicPartition(*partition), timeout=TIMEOUT)
        return int(high if self._is_new and self._settings.start == "newest" else low)

    def _lag(self) -> int:
        """Messages that are not read yet, as far as the last answers tell."""
        lag = 0
        for partition in self._read:
            _, high = self._consumer.get_watermark_offsets(self._kafka.TopicPartition(*partition), cached=True)
            lag += max(0, high - self._next[partition])
        return lag

    def _on_error(self, error: Any) -> None:  # noqa: ANN401 (a KafkaError)
        """librdkafka tells of trouble, and goes on trying."""
        if error.code() == self._kafka.KafkaError._ALL_BROKERS_DOWN or error.fatal():
            self._condition.failed(error.str())
        else:
            self._condition.last_error = error.str()
        log.warning("Source %s: %s", self._settings.name, error.str())

    def _on_message_error(self, message: Any) -> None:  # noqa: ANN401 (a Message)
        """A partition cannot be read; the others can. Raises SourceError if none can."""
        error = message.error()
        reason = f"{message.topic()}: {error.str()}" if message.topic() else error.str()
        if error.fatal() or error.code() == self._kafka.KafkaError._MAX_POLL_EXCEEDED:
            raise SourceError(reason)
        self._condition.last_error = reason
        log.warning("Source %s: %s", self._settings.name, reason)


def _record(message: Any) -> Record:  # noqa: ANN401 (a Message)
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value() or b"",
        headers_of(message.headers()),
    )
