"""The broker over its archive: from an author's socket to a subscriber's, each event once."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from tests.support import vtp
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.config import load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.archive.store import StoredEvent
from voevent.broker import publish_packet, running_broker
from voevent.vtp.server import Broker


@asynccontextmanager
async def started(access: Access) -> AsyncIterator[Broker]:
    settings = load_settings(voevent_author_port=0, voevent_subscriber_port=0)
    async with running_broker(settings, access) as broker:
        yield broker


@pytest.fixture
async def broker(access: Access) -> AsyncIterator[Broker]:
    initialise(access, OWN)
    async with started(access) as broker:
        yield broker


@pytest.fixture
def ivoid() -> str:
    return f"ivo://org.example/stream#{uuid.uuid4().hex[:12]}"


async def receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">I", await asyncio.wait_for(reader.readexactly(4), 20))
    return await asyncio.wait_for(reader.readexactly(length), 20)


@asynccontextmanager
async def subscribed(broker: Broker) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.subscriber_port)
    assert b"authenticate" in await receive(reader)
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def send(broker: Broker, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.author_port)
    writer.write(struct.pack(">I", len(raw)) + raw)
    answer = await receive(reader)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_from_author_to_subscriber_and_archive(broker: Broker, ivoid: str, access: Access) -> None:
    raw = packet(ivoid)
    async with subscribed(broker) as subscriber:
        assert b'role="ack"' in await send(broker, raw)
        assert await receive(subscriber) == raw
    with psycopg.connect(access.owner.conninfo) as connection:
        row = connection.execute("SELECT raw, received_from FROM alerts.voevent WHERE ivoid = %s", (ivoid,)).fetchone()
    assert row is not None
    assert (bytes(row[0]), row[1]) == (raw, "tcp")


async def test_an_event_is_sent_once(broker: Broker, ivoid: str) -> None:
    raw, other = packet(ivoid), packet(f"{ivoid}-2")
    async with subscribed(broker) as subscriber:
        await send(broker, raw)
        assert b'role="nak"' in await send(broker, raw)
        assert b'role="nak"' in await send(broker, packet(ivoid, energy=7))
        await send(broker, other)
        assert [await receive(subscriber), await receive(subscriber)] == [raw, other]


async def test_what_another_process_publishes_reaches_subscribers(broker: Broker, ivoid: str, access: Access) -> None:
    raw = packet(ivoid)
    async with subscribed(broker) as subscriber:
        assert (await publish_packet(raw, access)).status == "accepted"
        assert await receive(subscriber) == raw


async def test_what_was_stored_while_no_broker_ran_is_sent_to_who_comes_back(ivoid: str, access: Access) -> None:
    initialise(access, OWN)
    async with started(access) as before, subscribed(before) as subscriber:
        await send(before, packet(ivoid))
        await receive(subscriber)
    with psycopg.connect(access.owner.conninfo) as connection:
        # As it is after a crash right after that event had been sent.
        connection.execute("UPDATE vo_service.alert_sink SET last_event = (SELECT max(event_id) FROM alerts.voevent)")
    missed, new = packet(f"{ivoid}-2"), packet(f"{ivoid}-3")
    await publish_packet(missed, access)
    async with started(access) as after, subscribed(after) as subscriber:
        await send(after, new)
        assert [await receive(subscriber), await receive(subscriber)] == [missed, new]


@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_invalid_upstream_is_kept_with_a_warning_or_refused(
    ivoid: str, access: Access, strict: bool
) -> None:
    initialise(access, OWN)
    async with vtp.broker(vtp.Archive()) as upstream:
        settings = load_settings(
            voevent_author_port=0,
            voevent_subscriber_port=0,
            voevent_upstreams=f"127.0.0.1:{upstream.subscriber_port}",
            voevent_upstream_strict=strict,
        )
        async with running_broker(settings, access) as broker:
            await vtp.eventually(lambda: len(upstream.state().subscribers) == 1)
            await upstream.broadcast([StoredEvent(1, ivoid, "exercise", packet(ivoid, role="exercise"))])
            outcome = "invalid" if strict else "accepted"
            await vtp.eventually(lambda: broker.state().upstreams[0].counts.get(outcome) == 1)
    with psycopg.connect(access.owner.conninfo) as connection:
        rows = connection.execute('SELECT "role", warning FROM alerts.voevent WHERE ivoid = %s', (ivoid,)).fetchall()
    kept = ("exercise", "role: expected one of observation, prediction, utility, test, got 'exercise'")
    assert rows == ([] if strict else [kept])
