"""Streams of others, one contract for each: what is sent to Kafka becomes an event of the archive, and is kept."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import fastavro
import pytest
from gcn_kafka import Producer as GCNProducer
from gcn_kafka.core import get_config
from hop import Stream  # type: ignore[import-untyped]
from hop.auth import Auth  # type: ignore[import-untyped]
from hop.models import AvroBlob, VOEvent  # type: ignore[import-untyped]

from tests.support import messages
from tests.support.database import new_database
from tests.support.kafka import PATIENCE, Kafka
from tests.support.sources import SETTINGS, counted, events, new_topic, reading, rows, source, until
from vo_service.app import OWN
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.sources.kafka import KafkaStream

GCN = {"kind": "gcn", "client_id": "us", "client_secret": "secret"}
SCRAM = {"username": "us", "password": "secret"}


@pytest.fixture(scope="module")
def archive(server: Access) -> Iterator[Access]:
    """An archive of this module's own."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


# One contract for each source: a message of its stream becomes an event of the archive, whole ------------------------


async def expect_event(
    access: Access,
    kafka: Kafka,
    topic: str,
    message: bytes,
    fields: Mapping[str, object],
    *,
    key: bytes | None = None,
    settings: Settings | None = None,
) -> tuple[str, str, bytes | None, str | None]:
    """Send a message, read it with a source, and give the event that it became."""
    kafka.produce(topic, message, key=key)
    async with reading(access, source(kafka, topics=[topic], **fields), settings=settings) as sources:
        await until(counted(sources, accepted=1))
        (state,) = sources.state()
        assert (state.kind, state.connected, state.lag, state.counts) == (fields["kind"], True, 0, {"accepted": 1})
    (event,) = events(access, topic)
    return event


async def test_gcn_notice(archive: Access, kafka: Kafka) -> None:
    topic, message = new_topic("gcn.notices.km3net.alert"), messages.gcn("EX1")
    ivoid, role, original, kind = await expect_event(archive, kafka, topic, message, GCN)
    assert ivoid.startswith(f"ivo://org.example/{topic}#EX1")
    assert (role, original, kind) == ("test", message, "application/json")


async def test_gcn_voevent_keeps_its_name_and_bytes(archive: Access, kafka: Kafka) -> None:
    name = f"ivo://org.example.observatory/stream#{uuid.uuid4().hex}"
    topic, message = new_topic("gcn.notices.km3net.voevent"), messages.voevent(name)
    assert await expect_event(archive, kafka, topic, message, GCN) == (name, "test", None, None)
    assert rows(archive, "SELECT raw FROM alerts.voevent WHERE ivoid = %s", name) == [(message,)]


async def test_gcn_circular(archive: Access, kafka: Kafka) -> None:
    ivoid, *_ = await expect_event(archive, kafka, "gcn.circulars", messages.circular(45001), GCN)
    assert "45001" in ivoid


async def test_igwn_from_gcn(archive: Access, kafka: Kafka) -> None:
    topic, message = new_topic("igwn.gwalert"), messages.igwn("MS260301a")
    ivoid, role, original, _ = await expect_event(archive, kafka, topic, message, GCN | {"kind": "igwn"})
    assert "MS260301a" in ivoid
    assert (role, original) == ("test", message)


async def test_igwn_with_a_sky_map_of_a_megabyte(archive: Access, kafka: Kafka) -> None:
    topic, message = new_topic("igwn.gwalert"), messages.igwn("MS260301b", b"SIMPLE  =" + b"\x17" * 1_200_000)
    assert len(message) > 1_500_000
    _, _, original, _ = await expect_event(archive, kafka, topic, message, SCRAM | {"kind": "igwn"})
    assert original == message


async def test_kafka_with_our_own_json(archive: Access, kafka: Kafka) -> None:
    topic, stream = new_topic("alerts"), "ivo://org.example.other/alerts"
    fields = {"kind": "kafka", "bootstrap": kafka.bootstrap, "format": "own", "stream": stream, "tls": False}
    ivoid, *_ = await expect_event(archive, kafka, topic, messages.own("EX2"), fields)
    assert ivoid.startswith(f"{stream}#EX2")


async def test_ztf(archive: Access, kafka: Kafka) -> None:
    message = messages.ztf("ZTF26abcdefg", 314)
    event = await expect_event(archive, kafka, new_topic("ztf"), message, {"kind": "ztf", "bootstrap": kafka.bootstrap})
    assert "ZTF26abcdefg" in event[0]
    assert event[2:] == (message, "application/avro")


async def test_rubin(archive: Access, kafka: Kafka, tmp_path: Path) -> None:
    message = messages.rubin(7912941781254298, tmp_path)
    settings = load_settings(authority="org.example", voevent_schemas=tmp_path)
    fields = {"kind": "rubin", "bootstrap": kafka.bootstrap} | SCRAM
    ivoid, _, original, _ = await expect_event(
        archive, kafka, new_topic("lsst-alerts"), message, fields, settings=settings
    )
    assert "7912941781254298" in ivoid
    assert original == message


async def test_fink_keeps_the_schema_with_the_record(archive: Access, kafka: Kafka) -> None:
    schema, record = messages.fink("ZTF26hijklmn", 2718)
    fields = {"kind": "fink", "bootstrap": kafka.bootstrap} | SCRAM
    ivoid, _, original, kind = await expect_event(
        archive, kafka, new_topic("fink_grb_bronze"), record, fields, key=schema
    )
    assert "ZTF26hijklmn" in ivoid
    assert kind == "application/avro"
    assert record in (original or b"")
    assert list(fastavro.reader(io.BytesIO(original or b""))) == [messages.survey("ZTF26hijklmn", 2718)]


async def test_lasair(archive: Access, kafka: Kafka) -> None:
    event = await expect_event(
        archive, kafka, new_topic("lasair_1filter"), messages.lasair(169760235333878021), {"kind": "lasair"}
    )
    assert "169760235333878021" in event[0]


async def test_antares(archive: Access, kafka: Kafka) -> None:
    event = await expect_event(
        archive,
        kafka,
        new_topic("nuclear_transient_staging"),
        messages.antares("ANT2026abc"),
        {"kind": "antares"} | SCRAM,
    )
    assert "ANT2026abc" in event[0]


async def test_babamul(archive: Access, kafka: Kafka) -> None:
    message = messages.ztf("ZTF26opqrstu", 1618)
    event = await expect_event(archive, kafka, new_topic("babamul.ztf"), message, {"kind": "babamul"} | SCRAM)
    assert "ZTF26opqrstu" in event[0]


# The clients that these networks give to their users -----------------------------------------------------------------


async def test_what_gcn_kafka_produces(archive: Access, kafka: Kafka) -> None:
    topic, message = new_topic("gcn.notices.km3net.alert"), messages.gcn("EX3")
    producer = GCNProducer({"bootstrap.servers": kafka.bootstrap, "security.protocol": "plaintext"})
    producer.produce(topic, message)
    assert producer.flush(PATIENCE) == 0
    async with reading(archive, source(kafka, topics=[topic], **GCN)) as sources:
        await until(counted(sources, accepted=1))
    assert [event[2] for event in events(archive, topic)] == [message]


def write_with_hop(kafka: Kafka, topic: str, *written: object, test: bool = False) -> None:
    # Offloading asks the broker what the cluster for tests does not tell.
    stream = Stream(auth=False).open(
        f"kafka://{kafka.bootstrap}/{topic}", "w", automatic_offload=False, produce_timeout=timedelta(seconds=PATIENCE)
    )
    with stream as writer:
        for message in written:
            writer.write(message, test=test)


async def test_snews_from_hop(archive: Access, kafka: Kafka) -> None:
    topic, heartbeat = new_topic("snews2.alert"), {"detector_name": "KM3NeT", "machine_time": "2026-03-01T12:05:00Z"}
    write_with_hop(kafka, topic, heartbeat, messages.snews("KM3NeT_1"))
    async with reading(archive, source(kafka, kind="snews", topics=[topic], **SCRAM)) as sources:
        await until(counted(sources, accepted=1, **{"passed over": 1}))
    ((ivoid, role, original, _),) = events(archive, topic)
    assert "KM3NeT_1" in ivoid
    assert role == "test"
    assert json.loads(original or b"") == messages.snews("KM3NeT_1")


async def test_all_formats_of_hop_but_one_that_nobody_knows(archive: Access, kafka: Kafka) -> None:
    topic, name = new_topic("group.alerts"), f"ivo://org.example.observatory/stream#{uuid.uuid4().hex}"
    alert = json.loads(messages.own("EX4", role="observation"))
    avro = AvroBlob(messages.survey("ZTF26vwxyzab", 1414), messages.ZTF)
    write_with_hop(kafka, topic, VOEvent.load(messages.voevent(name)), alert, avro, "only words")
    async with reading(archive, source(kafka, kind="hopskotch", topics=[topic], **SCRAM)) as sources:
        await until(counted(sources, accepted=3, refused=1))
    found = {ivoid.partition("#")[2]: role for ivoid, role, *_ in events(archive, topic)}
    assert found.keys() >= {name.partition("#")[2], "EX4"}
    assert found["EX4"] == "observation"
    assert any("ZTF26vwxyzab" in local for local in found)


async def test_what_hop_marks_as_a_test_is_one(archive: Access, kafka: Kafka) -> None:
    topic = new_topic("igwn.gwalert")
    write_with_hop(kafka, topic, json.loads(messages.igwn("S260301c")), test=True)
    write_with_hop(kafka, topic, json.loads(messages.igwn("S260301d")))
    async with reading(archive, source(kafka, kind="igwn", topics=[topic], **SCRAM)) as sources:
        await until(counted(sources, accepted=2))
    assert {"S260301c" in ivoid: role for ivoid, role, *_ in events(archive, topic)} == {
        True: "test",
        False: "observation",
    }


def client_of(**fields: object) -> Mapping[str, object]:
    stream = SETTINGS.validate_python({"name": "x", "topics": ["y"], **fields})
    assert isinstance(stream, KafkaStream)
    return stream.client()


def test_the_client_of_gcn_is_configured_as_gcn_kafka_does() -> None:
    names = {key: GCN[key] for key in ("client_id", "client_secret")}
    theirs = get_config("consumer", {}, **names, domain="test.gcn.nasa.gov")  # type: ignore[no-untyped-call]
    # librdkafka finds the system's certificates; theirs are a copy of Mozilla's.
    del theirs["ssl.ca.location"], theirs["https.ca.location"], theirs["group.id"]
    assert client_of(**GCN, domain="test.gcn.nasa.gov") == theirs


def test_the_client_of_hopskotch_is_configured_as_hop_does() -> None:
    theirs = Auth("us", "secret")()
    ours = client_of(kind="hopskotch", **SCRAM)
    del theirs["ssl.ca.location"], theirs["https.ca.location"]
    assert {key: str(ours[key]).upper() for key in theirs} == {key: str(value).upper() for key, value in theirs.items()}


# Real messages --------------------------------------------------------------------------------------------------------

SAMPLES = {
    "gcn.notices": ("gcn", "gcn_[!c]*.json gcn_chime*.json"),
    "gcn.notices.voevent": ("gcn", "voevent_*.xml"),
    "igwn.gwalert": ("igwn", "igwn_*"),
    "snews2.alert": ("snews", "snews_*.json"),
    "lasair_1filter": ("lasair", "lasair_*.json"),
    "antares": ("antares", "antares_*.json"),
    "ztf": ("ztf", "ztf_*.avro"),
    "babamul": ("babamul", "babamul_*.avro"),
    "fink": ("fink", "fink_*.avro"),
}
"""Kind of source and files, for each topic."""

SAMPLES_BECAME: dict[str, dict[str, int]] = {topic: {"accepted": 1} for topic in SAMPLES} | {
    "gcn.notices": {"accepted": 16},
    "gcn.notices.voevent": {"accepted": 24},
    # One retraction is there as JSON and as Avro: other bytes under the same name.
    "igwn.gwalert": {"accepted": 3, "conflict": 1},
    # A heartbeat is no alert.
    "snews2.alert": {"accepted": 4, "passed over": 1},
}
"""How many became what."""


async def test_real_messages_of_all_sources_at_once(archive: Access, kafka: Kafka, shared: Path) -> None:
    sources, sent = [], []
    for prefix, (kind, patterns) in SAMPLES.items():
        files = [path for pattern in patterns.split() for path in sorted((shared / "data/alerts").glob(pattern))]
        topic = new_topic(prefix)
        kafka.produce(topic, *(path.read_bytes() for path in files))
        given = GCN | {"kind": kind} if kind == "gcn" else {"kind": kind, **(SCRAM if kind != "lasair" else {})}
        bootstrap = {"bootstrap": kafka.bootstrap} if kind in ("ztf", "fink") else {}
        sources.append(source(kafka, topics=[topic], **given, **bootstrap))
        sent += files
    async with reading(archive, *sources) as running:
        await until(lambda: sum(sum(state.counts.values()) for state in running.state()) >= len(sent))
        found = {topic: dict(state.counts) for topic, state in zip(SAMPLES, running.state(), strict=True)}
    assert found == SAMPLES_BECAME
