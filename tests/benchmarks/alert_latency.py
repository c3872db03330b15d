"""Times from `POST /voevent` to where an alert arrives: subscribers (VTP), Kafka, TAP. It asserts that it arrives.

    python -m tests.benchmarks.alert_latency [--events 60] [--rate 2] [--subscribers 100]

It runs the service, its broker and a Kafka cluster (librdkafka's mock), in processes of their own, on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from confluent_kafka import Consumer, TopicPartition

from tests.support.kafka import Kafka, running_kafka
from tests.support.voevents import packet

TOKEN = "benchmark"  # noqa: S105 (no secret)

TOPIC = "alerts"

CONFIGURATION = """
sinks:
  - {{name: kafka, kind: kafka, bootstrap: "{bootstrap}", topic_voevent: alerts, tls: false}}
"""


@contextmanager
def running(*words: str, environment: dict[str, str], ready: str) -> Iterator[str]:
    """A process of ours; gives the line that says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vo_service", *words], env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if ready in line)
    finally:
        process.terminate()
        process.wait(30)


class Arrivals:
    """When each event came to a place, by a monotonic clock."""

    def __init__(self, expected: int) -> None:
        self.times: dict[str, list[float]] = {}
        self.expected = expected

    def note(self, ivoid: str) -> None:
        self.times.setdefault(ivoid, []).append(time.perf_counter())

    def last(self, ivoid: str) -> float:
        """When all had it."""
        times = self.times.get(ivoid, [])
        assert len(times) == self.expected, f"{ivoid}: {len(times)} of {self.expected}"
        return max(times)


async def subscribe(port: int, arrivals: Arrivals, names: dict[bytes, str], ready: asyncio.Semaphore) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            message = await reader.readexactly(length)
            if b"Transport" in message[:200]:
                ready.release()
            else:
                found = next((ivoid for mark, ivoid in names.items() if mark in message), None)
                if found is not None:
                    arrivals.note(found)
    finally:
        writer.close()


def consume(kafka: Kafka, arrivals: Arrivals, count: int) -> None:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "benchmark", "fetch.wait.max.ms": 10})
    while TOPIC not in (topics := consumer.list_topics(timeout=10).topics):
        time.sleep(0.2)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in topics[TOPIC].partitions])
    deadline = time.monotonic() + 600
    while count and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        key = None if message is None or message.error() else message.key()
        if isinstance(key, bytes):
            arrivals.note(key.decode())
            count -= 1
    consumer.close()


async def visible(client: httpx.AsyncClient, ivoid: str) -> float:
    """When a TAP query finds the event."""
    query = f"SELECT ivoid FROM alerts.voevent WHERE ivoid = '{ivoid}'"
    while True:
        answer = await client.get("/tap/sync", params={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"})
        if ivoid in answer.text:
            return time.perf_counter()


async def measure(url: str, port: int, kafka: Kafka, options: argparse.Namespace) -> dict[str, list[float]]:
    subscribers, topic = Arrivals(options.subscribers), Arrivals(1)
    names: dict[bytes, str] = {}
    ready = asyncio.Semaphore(0)
    listening = [asyncio.create_task(subscribe(port, subscribers, names, ready)) for _ in range(options.subscribers)]
    for _ in listening:
        await ready.acquire()
    consuming = asyncio.create_task(asyncio.to_thread(consume, kafka, topic, options.events + 1))
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    answered: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for number in range(options.events + 1):
            ivoid = f"ivo://org.example/benchmark#{uuid.uuid4().hex[:12]}"
            names[ivoid.encode()] = ivoid
            sent[ivoid] = time.perf_counter()
            answer = await client.post("/voevent", content=packet(ivoid), headers={"Authorization": f"Bearer {TOKEN}"})
            answer.raise_for_status()
            answered[ivoid] = time.perf_counter()
            seen[ivoid] = await visible(client, ivoid)
            await asyncio.sleep(2.0 if number == 0 else 1 / options.rate)
    await consuming
    for task in listening:
        task.cancel()
    later = list(sent)[1:]  # the first one warms up
    return {
        "answer to the author": [answered[ivoid] - sent[ivoid] for ivoid in later],
        f"last of {options.subscribers} subscribers": [subscribers.last(ivoid) - sent[ivoid] for ivoid in later],
        "message in Kafka": [topic.last(ivoid) - sent[ivoid] for ivoid in later],
        "row found by TAP": [seen[ivoid] - sent[ivoid] for ivoid in later],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--subscribers", type=int, default=100)
    options = parser.parse_args()
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        Path(state).chmod(0o755)
        kafka = stack.enter_context(running_kafka())
        file = Path(state) / "alerts.yaml"
        file.write_text(CONFIGURATION.format(bootstrap=kafka.bootstrap))
        environment = {
            "VO_SERVICE_VOEVENT_TOKEN": TOKEN,
            "VO_SERVICE_VOEVENT_FILE": str(file),
            "VO_SERVICE_VOEVENT_AUTHOR_PORT": "0",
            "VO_SERVICE_VOEVENT_SUBSCRIBER_PORT": "0",
        }
        at = ["--state", state]
        told = stack.enter_context(running("broker", *at, environment=environment, ready="Authors at"))
        port = int(told.rpartition(":")[2])
        served = stack.enter_context(running("serve", "--port", "0", *at, environment=environment, ready="Serving"))
        url = served.split()[-1].rstrip("/")
        found = asyncio.run(measure(url, port, kafka, options))
    for what, seconds in found.items():
        milliseconds = sorted(1000 * value for value in seconds)
        cut = statistics.quantiles(milliseconds, n=100, method="inclusive")
        print(json.dumps({"from POST to": what, "p50_ms": round(cut[49], 1), "p99_ms": round(cut[98], 1)}))
    print(json.dumps({"events": options.events, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
