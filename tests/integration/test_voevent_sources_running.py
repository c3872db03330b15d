"""Sources over time: each goes on where it was, whatever dies; none harms another; what cannot be used is kept."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.support import messages
from tests.support.database import new_database
from tests.support.kafka import PATIENCE, ROOT, Kafka
from tests.support.sources import SETTINGS, counted, events, new_topic, reading, rows, source, until
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.config import load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ConfigurationError
from voevent.archive.store import AlertStore
from voevent.convert import KINDS_OF_STREAM
from voevent.sources import consumer
from voevent.sources.running import Sources

NOWHERE = "127.0.0.1:1"

GCN = {"kind": "gcn", "client_id": "us", "client_secret": "secret"}


@pytest.fixture(scope="module")
def archive(server: Access) -> Iterator[Access]:
    """An archive of this module's own."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


def own(kafka: Kafka, topic: str, **fields: object) -> dict[str, object]:
    """A source of our own JSON."""
    described = {"kind": "kafka", "bootstrap": kafka.bootstrap, "format": "own", "topics": [topic], "tls": False}
    return described | fields


def positions(access: Access, name: str) -> dict[str, str]:
    return dict(rows(access, "SELECT part, next_position FROM vo_service.alert_source WHERE name = %s", name))


def names(access: Access, topic: str) -> list[str]:
    return [ivoid.partition("#")[2] for ivoid, *_ in events(access, topic)]


# Where a source begins and goes on ------------------------------------------------------------------------------------


async def test_it_goes_on_where_it_was(archive: Access, kafka: Kafka) -> None:
    topic = new_topic("alerts")
    stream = source(kafka, **own(kafka, topic))
    kafka.produce(topic, messages.own("A1"), messages.own("A2"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=2))
        await until(lambda: positions(archive, stream.name)[f"{topic}/0"] == "2")
    kafka.produce(topic, messages.own("A3"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=1))
        assert sources.state()[0].counts == {"accepted": 1}
    assert names(archive, topic) == ["A1", "A2", "A3"]


async def test_a_new_source_begins_with_what_is_to_come(archive: Access, kafka: Kafka) -> None:
    topic = new_topic("alerts")
    stream = source(kafka, **own(kafka, topic, start="newest"))
    kafka.produce(topic, messages.own("B1"))
    async with reading(archive, stream):
        # The place is noted at once: what comes while the source is away is not lost.
        await until(lambda: positions(archive, stream.name).get(f"{topic}/0") == "1")
    kafka.produce(topic, messages.own("B2"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=1))
    assert names(archive, topic) == ["B2"]


async def test_topics_that_appear_later_are_read_whole(
    archive: Access, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "REFRESH", 0.1)
    prefix = f"later{uuid.uuid4().hex[:8]}"
    kafka.produce(f"{prefix}.first", messages.own("C1"))
    stream = source(kafka, **own(kafka, f"^{prefix}[.]", start="newest"))
    async with reading(archive, stream) as sources:
        await until(lambda: len(positions(archive, stream.name)) == 4)
        kafka.produce(f"{prefix}.second", messages.own("C2"), partition=3)
        await until(counted(sources, accepted=1))
    assert names(archive, f"{prefix}.first") == []
    assert names(archive, f"{prefix}.second") == ["C2"]


async def test_a_stream_that_began_anew_is_read_again(archive: Access, kafka: Kafka) -> None:
    topic = new_topic("alerts")
    stream = source(kafka, **own(kafka, topic))
    kafka.produce(topic, messages.own("D1"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=1))
    rows_before = names(archive, topic)
    far = "UPDATE vo_service.alert_source SET next_position = '1000' WHERE name = %s RETURNING 1"
    assert rows(archive, far, stream.name)
    kafka.produce(topic, messages.own("D2"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=1, duplicate=1))
    assert names(archive, topic) == [*rows_before, "D2"]


def test_killed_again_and_again_it_loses_nothing_and_stores_nothing_twice(
    archive: Access, kafka: Kafka, tmp_path: Path
) -> None:
    topic, count = new_topic("gcn.notices.km3net.alert"), 800
    for partition in range(4):
        sent = [messages.gcn(f"K{number}") for number in range(partition, count, 4)]
        kafka.produce(topic, *sent[:100], b"no notice", *sent[100:], partition=partition)
    stream = source(kafka, topics=[topic], **GCN)
    file = tmp_path / "alerts.yaml"
    # JSON is YAML.
    file.write_text(json.dumps({"sources": [stream.model_dump(mode="json")]}), encoding="utf-8")
    for goal in (1, count // 2):
        with reader(file, archive):
            wait(lambda goal=goal: len(names(archive, topic)) >= goal)  # type: ignore[misc]
    end = {f"{topic}/{partition}": "201" for partition in range(4)}
    with reader(file, archive):
        wait(lambda: positions(archive, stream.name) == end)
    assert sorted(names(archive, topic)) == sorted(f"K{number}_test" for number in range(count))
    query = "SELECT part, position FROM vo_service.alert_refused WHERE source = %s ORDER BY part"
    assert rows(archive, query, stream.name) == [(part, "100") for part in end]


def wait(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + 3 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def reader(file: Path, archive: Access) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads; killed at the end."""
    command = [sys.executable, "-m", "tests.support.source_process", str(file), archive.owner.conninfo]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


# What goes wrong ------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_converted_is_kept_and_passed_over(archive: Access, kafka: Kafka) -> None:
    topic = new_topic("alerts")
    stream = source(kafka, **own(kafka, topic))
    kafka.produce(topic, messages.own("E1"), b"\x00\xff no alert", b"", messages.own("E2"))
    async with reading(archive, stream) as sources:
        await until(counted(sources, accepted=2, refused=1, **{"passed over": 1}))
    assert names(archive, topic) == ["E1", "E2"]
    kept = rows(archive, "SELECT part, position, data FROM vo_service.alert_refused WHERE source = %s", stream.name)
    assert [(part, position, bytes(data)) for part, position, data in kept] == [
        (f"{topic}/0", "1", b"\x00\xff no alert")
    ]


HOSTILE = [
    b"",
    b"\x00" * 20,
    b"Obj\x01",
    messages.ztf("ZTF26hostile", 1)[:-20],
    b"null",
    b"[]",
    b"[" * 100_000,
    b'{"event": "A\\u0000B"}',
    b'{"event": "\\ud800"}',
    b'{"superevent_id": "\\ud800", "alert_type": "\\u0000", "time_created": "x"}',
    b'{"objname": "\\ud800\\u0000"}',
    b'{"detector_name": {"a": []}, "p_val": 1e999, "machine_time": "\\u0000"}',
    b'{"objectId": "\\u0000", "candidate": {"jd": NaN, "ra": "x", "dec": 1e400}}',
    b'{"eventId": 1, "circularId": -1, "subject": "\\ud800", "body": "\\u0000", "createdOn": 1e300}',
    b'{"$schema": "https://gcn.nasa.gov/schema/x", "alert_datetime": "\\ud800", "id": {"a": 1}}',
    b"<VOEvent",
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    packet("ivo://org.example/hostile#\x01"),
    packet("no ivoid"),
]


@pytest.mark.parametrize("form", KINDS_OF_STREAM)
async def test_no_message_holds_up_the_next(archive: Access, kafka: Kafka, form: str) -> None:
    topic, name = new_topic("alerts"), uuid.uuid4().hex
    # The only ones that a source of Rubin waits for are those that name a schema which is not there.
    hostile = [message for message in HOSTILE if form != "lsst" or not message.startswith(b"\x00")]
    # A VOEvent is read in any stream, but replies of TNS are JSON.
    good = json.dumps({"objname": name}).encode() if form == "tns" else packet(f"ivo://org.example/good#{name}")
    kafka.produce(topic, *hostile, good)
    stream = source(kafka, **own(kafka, topic, format=form))
    async with reading(archive, stream) as sources:
        end = str(len(hostile) + 1)
        await until(lambda: positions(archive, stream.name).get(f"{topic}/0") == end)
        assert sources.state()[0].last_error is None
    assert any(name in ivoid for ivoid, *_ in events(archive, topic))


async def test_sources_that_fail_harm_no_other(archive: Access, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "TIMEOUT", 1.0)
    topic = new_topic("alerts")
    away = source(kafka, **own(kafka, topic, name="away", options={"bootstrap.servers": NOWHERE}))
    misspelt = source(kafka, **own(kafka, topic, name="misspelt", options={"fetch.wiat.max.ms": 1}))
    refusing = SETTINGS.validate_python(
        {"name": "refusing", "kind": "tns", "bot_id": 1, "bot_name": "us", "api_key": "k", "url": f"http://{NOWHERE}"}
    )
    good = source(kafka, **own(kafka, topic, name="good"))
    async with reading(archive, away, misspelt, refusing, good) as sources:
        kafka.produce(topic, messages.own("F1"))
        await until(counted(sources, accepted=1))
        await until(lambda: all(state.last_error for state in sources.state() if state.name != "good"))
        states = {state.name: state for state in sources.state()}
    assert {name: state.connected for name, state in states.items()} == {
        "away": False,
        "misspelt": False,
        "refusing": False,
        "good": True,
    }
    assert "fetch.wiat.max.ms" in (states["misspelt"].last_error or "")
    assert states["good"].last_error is None


async def test_a_database_that_breaks_its_connections_loses_nothing(archive: Access, kafka: Kafka) -> None:
    topic, count = new_topic("alerts"), 400
    stream = source(kafka, **own(kafka, topic))
    kafka.produce(topic, *(messages.own(f"G{number}") for number in range(count)))
    breaking = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    async with reading(archive, stream) as sources:
        for goal in (1, count // 2):
            await until(lambda goal=goal: len(names(archive, topic)) >= goal)  # type: ignore[misc]
            assert rows(archive, breaking, archive.writer.name)
        await until(lambda: positions(archive, stream.name)[f"{topic}/0"] == str(count))
        assert "refused" not in sources.state()[0].counts
    assert sorted(names(archive, topic)) == sorted(f"G{number}" for number in range(count))


async def test_a_missing_schema_stops_the_source_and_loses_nothing(
    archive: Access, kafka: Kafka, tmp_path: Path
) -> None:
    topic, message = new_topic("lsst-alerts"), messages.rubin(4711, tmp_path)
    stream = source(kafka, kind="rubin", bootstrap=kafka.bootstrap, topics=[topic])
    kafka.produce(topic, message)
    async with reading(archive, stream) as sources:
        await until(lambda: "voevent_schemas" in (sources.state()[0].last_error or ""))
    settings = load_settings(authority="org.example", voevent_schemas=tmp_path)
    async with reading(archive, stream, settings=settings) as sources:
        await until(counted(sources, accepted=1))
    assert rows(archive, "SELECT 1 FROM vo_service.alert_refused WHERE source = %s", stream.name) == []


async def test_without_the_client_library_it_says_what_to_install(
    archive: Access, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    async with AlertStore(archive) as store:
        with pytest.raises(ConfigurationError, match=r"pip install 'vo-service\[kafka\]'"):
            Sources(load_settings(), [source(kafka, **own(kafka, "x"))], store, archive)


# GCN's credentials ----------------------------------------------------------------------------------------------------


@contextmanager
def token_endpoint() -> Iterator[tuple[str, list[tuple[str, dict[str, list[str]]]]]]:
    """A server that is asked for tokens and gives none; and who asked, with what."""
    asked: list[tuple[str, dict[str, list[str]]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.headers.get("Authorization", ""), parse_qs(body.decode())))
            self.send_error(401)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/oauth2/token", asked
        finally:
            server.shutdown()


async def test_a_token_is_asked_for_with_the_credentials_of_gcn(
    archive: Access, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "TIMEOUT", 1.0)
    with token_endpoint() as (url, asked), socket.create_server(("127.0.0.1", 0)) as cluster:
        options = {
            "bootstrap.servers": f"127.0.0.1:{cluster.getsockname()[1]}",
            "security.protocol": "sasl_plaintext",
            "sasl.oauthbearer.token.endpoint.url": url,
        }
        stream = source(kafka, topics=["x"], options=options, **GCN)
        async with reading(archive, stream) as sources:
            await until(lambda: bool(asked))
            await until(lambda: sources.state()[0].last_error is not None)
    authorization, form = asked[0]
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"us:secret"
    assert form["grant_type"] == ["client_credentials"]
