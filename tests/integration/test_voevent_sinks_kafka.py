"""Events on Kafka: every one there, once, and to be read by everybody's clients."""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections import Counter

import gcn_kafka
import pytest
from hop.io import StartPosition, Stream  # type: ignore[import-untyped]
from hop.models import JSONBlob, VOEvent  # type: ignore[import-untyped]

from tests.support.kafka import Kafka, running_kafka
from tests.support.sinks import (
    SETTINGS,
    delivering,
    failures,
    given_up,
    last_error,
    new_ivoid,
    new_name,
    put,
    reached,
    until,
)
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.config import load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ConfigurationError
from voevent.convert.own import from_json
from voevent.publish import kafka as kafka_sink
from voevent.publish import outbox
from voevent.publish.settings import SinkSettings
from voevent.publish.sinks import make_sinks


@pytest.fixture(autouse=True)
def _tables(access: Access) -> None:
    initialise(access, OWN)


@pytest.fixture
def topic() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def sink(kafka: Kafka, topic: str, **fields: object) -> SinkSettings:
    return SETTINGS.validate_python(
        {
            "kind": "kafka",
            "name": new_name(),
            "bootstrap": kafka.bootstrap,
            "tls": False,
            "topic_voevent": f"{topic}-voevent",
            "topic_json": f"{topic}-json",
            **fields,
        }
    )


async def test_an_event_as_packet_and_as_json(access: Access, kafka: Kafka, topic: str) -> None:
    settings, ivoid = sink(kafka, topic), new_ivoid()
    raw = packet(ivoid, role="observation")
    async with delivering(access, settings) as store:
        number = await put(store, raw)
        await reached(access, settings.name, number)
    (whole,) = kafka.messages(f"{topic}-voevent", 1)
    assert (whole.value, whole.key) == (raw, ivoid.encode())
    assert dict(whole.headers) | {"_id": b""} == {
        "ivoid": ivoid.encode(),
        "role": b"observation",
        "event_id": str(number).encode(),
        "content-type": b"application/xml",
        "_format": b"voevent",
        "_id": b"",
    }
    (notice,) = kafka.messages(f"{topic}-json", 1)
    document = json.loads(notice.value)
    assert document.pop("ivoid") == ivoid
    alert = from_json(document)
    assert alert.position is not None
    assert (alert.position.ra, alert.position.dec, alert.role) == (77.36, 5.69, "observation")
    assert (notice.headers["content-type"], notice.headers["_format"]) == (b"application/json", b"json")
    assert notice.headers["_id"] != whole.headers["_id"]


async def test_many_events_each_once_while_the_cluster_stops(
    access: Access, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster does not answer for a while: what it then has twice, it would have been sent twice."""
    monkeypatch.setattr(kafka_sink, "PATIENCE", 0.5)
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.2)
    ivoids = [new_ivoid() for _ in range(150)]
    with running_kafka() as kafka:
        settings = sink(kafka, topic)
        async with delivering(access, settings) as store:
            # Once one has arrived, the topics exist and their ends are known: from here on it is sending that fails.
            await reached(access, settings.name, await put(store, packet(ivoids[0])))
            for ivoid in ivoids[1:20]:
                await put(store, packet(ivoid))
            os.kill(kafka.pid, signal.SIGSTOP)
            for ivoid in ivoids[20:]:
                number = await put(store, packet(ivoid))
            await until(lambda: failures(access, settings.name) >= 2)
            assert "has not confirmed" in last_error(access, settings.name)
            os.kill(kafka.pid, signal.SIGCONT)
            await reached(access, settings.name, number)
        for form in ("voevent", "json"):
            found = Counter((message.key or b"").decode() for message in kafka.messages(f"{topic}-{form}", 150))
            assert found == Counter(ivoids)


async def test_clients_of_others_read_it(access: Access, kafka: Kafka, topic: str) -> None:
    settings, ivoid = sink(kafka, topic), new_ivoid()
    raw = packet(ivoid, role="observation")
    async with delivering(access, settings) as store:
        number = await put(store, raw)
        await reached(access, settings.name, number)
    assert gcn_read(kafka, f"{topic}-voevent") == raw
    assert json.loads(gcn_read(kafka, f"{topic}-json"))["ivoid"] == ivoid
    event = hop_read(kafka, f"{topic}-voevent")
    assert isinstance(event, VOEvent)
    assert (event.ivorn, event.role) == (ivoid, "observation")
    notice = hop_read(kafka, f"{topic}-json")
    assert isinstance(notice, JSONBlob)
    assert isinstance(notice.content, dict)
    assert notice.content["ivoid"] == ivoid


def gcn_read(kafka: Kafka, topic: str) -> bytes:
    consumer = gcn_kafka.Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "security.protocol": "plaintext",
            "auto.offset.reset": "earliest",
            "group.id": topic,
        }
    )
    try:
        consumer.subscribe([topic])
        message = None
        while message is None:
            message = consumer.poll(1)
        assert message.error() is None
        return message.value() or b""
    finally:
        consumer.close()


def hop_read(kafka: Kafka, topic: str) -> object:
    stream = Stream(auth=False, start_at=StartPosition.EARLIEST, until_eos=False)
    with stream.open(f"kafka://{kafka.bootstrap}/{topic}", "r", group_id=f"hop-{topic}") as consumer:
        return next(iter(consumer))


async def test_hop_takes_tests_for_tests(access: Access, kafka: Kafka, topic: str) -> None:
    settings = sink(kafka, topic, topic_voevent=None)
    async with delivering(access, settings) as store:
        number = await put(store, packet(new_ivoid(), role="test"))
        await reached(access, settings.name, number)
    (message,) = kafka.messages(f"{topic}-json", 1)
    assert message.headers["_test"] == b"true"


async def test_a_message_that_is_too_large_does_not_end_the_stream(
    access: Access, kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.01)
    settings = sink(kafka, topic, topic_json=None, options={"message.max.bytes": 20_000})
    large = packet(new_ivoid()).replace(
        b"</voe:VOEvent>", b"<Description>" + b"x" * 30_000 + b"</Description></voe:VOEvent>"
    )
    ivoids = [new_ivoid(), new_ivoid()]
    async with delivering(access, settings) as store:
        await put(store, packet(ivoids[0]))
        refused = await put(store, large)
        last = await put(store, packet(ivoids[1]))
        await reached(access, settings.name, last)
        ((number, reason),) = given_up(access, settings.name)
    assert number == refused
    assert "too large" in reason.lower()
    assert Counter((message.key or b"").decode() for message in kafka.messages(f"{topic}-voevent", 2)) == Counter(
        ivoids
    )


@pytest.mark.parametrize(
    ("options", "words"), [({"no.such.option": 1}, "no.such.option"), ({"security.protocol": "perhaps"}, "security")]
)
def test_options_that_cannot_be_used(kafka: Kafka, topic: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_sinks(load_settings(), [sink(kafka, topic, options=options)])


def test_without_the_client(kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vo-service\[kafka\]'"):
        make_sinks(load_settings(), [sink(kafka, topic)])
