"""A Kafka cluster for tests: the mock cluster that librdkafka brings along, in a process of its own.

It speaks Kafka over real sockets, to any client. It keeps messages in memory, at most 5 MiB of each partition, makes a
topic of 4 partitions when one is first asked for, takes no TLS and no passwords, and gives no offsets for times.

    python -m tests.support.kafka      prints the bootstrap address, and serves until its standard input is closed
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

ROOT = Path(__file__).parents[2]

PATIENCE = 20.0
"""Seconds after which a test gives up: far longer than anything takes."""

LARGEST = 4_194_304
"""Bytes of a message at most, as at GCN."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a topic holds."""

    value: bytes
    key: bytes | None
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Kafka:
    """A running cluster of one broker.

    Attributes
    ----------
    bootstrap
        HOST:PORT for clients.
    pid
        Of its process; signals to it hold it up or end it.
    """

    bootstrap: str
    pid: int

    def produce(
        self,
        topic: str,
        *values: bytes,
        partition: int = 0,
        key: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Send messages to a topic; returns when the cluster has confirmed all."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": LARGEST, "linger.ms": 0})
        for value in values:
            producer.produce(topic, value, key, partition=partition, headers=list((headers or {}).items()))
        assert producer.flush(PATIENCE) == 0

    def messages(self, topic: str, count: int) -> Sequence[Message]:
        """Wait until a topic holds so many messages, and give all that it holds by then, each partition in order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "tests",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            }
        )
        deadline = time.monotonic() + PATIENCE
        found: list[Message] = []
        try:
            partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            while len(found) < count and time.monotonic() < deadline:
                for message in consumer.consume(1000, timeout=0.1):
                    assert message.error() is None, message.error()
                    headers = dict(message.headers() or [])
                    found.append(Message(message.value() or b"", message.key(), headers))  # type: ignore[arg-type]
        finally:
            consumer.close()
        return found


@contextmanager
def running_kafka() -> Iterator[Kafka]:
    """A new, empty cluster."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.kafka"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            bootstrap = process.stdout.readline().strip()
            assert bootstrap, "the cluster did not start"
            yield Kafka(bootstrap, process.pid)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The cluster of the session; each test uses topics of its own."""
    with running_kafka() as cluster:
        yield cluster


def main() -> None:
    """Serve a cluster until the standard input is closed: by whoever has started it, or by its death."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    (broker,) = owner.list_topics(timeout=PATIENCE).brokers.values()
    print(f"{broker.host}:{broker.port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
