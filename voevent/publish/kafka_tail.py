"""What a topic of Kafka ends with: so a process that starts knows what one before it has sent, but could not note."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

GROUP: Final = "vo-service"
"""Clients must name a group, if the options name none; no place is kept for it."""

_FORBIDDEN: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


class UnreadableError(Exception):
    """We may not read the topic."""


def tail(options: Mapping[str, Any], topic: str, count: int, patience: float) -> set[bytes]:
    """The headers `_id` of the last `count` messages of each partition.

    Raises UnreadableError; KafkaException if the cluster is away for longer than `patience` [s].
    """
    consumer = Consumer({"group.id": GROUP, **options, "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        return _read(consumer, _places(consumer, topic, count, patience), time.monotonic() + patience)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # it is made with the first message
            return set()
        if error.args[0].code() in _FORBIDDEN:
            raise UnreadableError(error.args[0].str()) from None
        raise
    finally:
        consumer.close()


def _places(consumer: Consumer, topic: str, count: int, patience: float) -> list[TopicPartition]:
    described = consumer.list_topics(topic, timeout=patience).topics[topic]
    if described.error is not None:
        raise KafkaException(described.error)
    places = []
    for number in described.partitions:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=patience)
        if end > first:
            places.append(TopicPartition(topic, number, max(first, end - count)))
    return places


def _read(consumer: Consumer, places: Sequence[TopicPartition], deadline: float) -> set[bytes]:
    found: set[bytes] = set()
    consumer.assign(list(places))
    waiting = len(places)
    while waiting:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in consumer.consume(1000, timeout=0.2):
            waiting -= _is_end(message)
            found.update(_ids(message))
    return found


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return error is not None


def _ids(message: Message) -> list[bytes]:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [value for name, value in pairs if name == "_id" and isinstance(value, bytes)]
