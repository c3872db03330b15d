"""The VTP broker over real sockets, with peers that behave and peers that do not."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import trustme

from tests.support.vtp import Archive, Peer, broker, connected, event, eventually, ivoid, submit, subscribed
from vo_service.config import load_settings
from vo_service.errors import ConfigurationError, UnavailableError
from voevent.archive.store import StoredEvent
from voevent.pipeline import Source
from voevent.vtp.framing import frame
from voevent.vtp.messages import Message
from voevent.vtp.server import Broker, client_context
from voevent.vtp.subscribers import Position
from voevent.vtp.upstream import Address, Upstream


@pytest.fixture
def archive() -> Archive:
    return Archive()


# Authors.


async def test_an_event_is_acknowledged_and_sent_byte_for_byte(archive: Archive) -> None:
    raw = event("1")
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        answer = await submit(running.author_port, raw)
        assert (answer.role, answer.origin, answer.response) == ("ack", ivoid("1"), running.ivoid)
        assert await peer.receive() == raw
    assert archive.sources == [Source("author", "tcp", "127.0.0.1")]


@pytest.mark.parametrize(
    ("raw", "origin", "reason"),
    [
        (event("1"), ivoid("1"), "A duplicate"),
        (event("1") + b" ", ivoid("1"), "In conflict"),
        (b"no XML \x01 at all", "ivo://localhost.demo/vtp", "Not XML"),
        (b"", "ivo://localhost.demo/vtp", ""),
        (b"<VOEvent/>", "ivo://localhost.demo/vtp", "identifier"),
        (b'<!DOCTYPE a [<!ENTITY a "&b;&b;">]><VOEvent ivorn="ivo://a.b/c#d"/>', "ivo://localhost.demo/vtp", "DOCTYPE"),
        (Message("iamalive", "ivo://a.b/c").encode(), "ivo://localhost.demo/vtp", "Expected a VOEvent"),
    ],
)
async def test_what_is_not_taken_is_told_why_and_never_sent(
    archive: Archive, raw: bytes, origin: str, reason: str
) -> None:
    archive.add(event("1"))
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        answer = await submit(running.author_port, raw)
        assert (answer.role, answer.origin) == ("nak", origin)
        assert answer.result is not None
        assert reason in answer.result
        await submit(running.author_port, event("2"))
        assert await peer.receive() == event("2")


async def test_an_event_that_cannot_be_stored_is_not_acknowledged(archive: Archive) -> None:
    async with broker(archive) as running:
        for failure in (UnavailableError("The database is away"), RuntimeError("a fault")):
            archive.failure = failure
            answer = await submit(running.author_port, event("1"))
            assert answer.role == "nak"
            assert "again" in str(answer.result)
        archive.failure = None
        assert (await submit(running.author_port, event("1"))).role == "ack"
        assert running.state().answers == {"failed": 2, "accepted": 1}


async def test_the_length_alone_refuses_a_message_that_is_too_long(archive: Archive) -> None:
    async with broker(archive) as running, connected(running.author_port) as peer:
        peer.writer.write(struct.pack("!I", 100_000_000))
        answer = await peer.transport_message()
        assert answer.role == "nak"
        assert "100000000 bytes; at most 1048576" in str(answer.result)


async def test_the_answer_reaches_an_author_who_sends_too_much_before_he_listens(archive: Archive) -> None:
    async with broker(archive, voevent_size_limit=100_000) as running, connected(running.author_port) as peer:
        peer.send(event("1", padding=5_000_000))
        await peer.writer.drain()
        assert (await peer.transport_message()).role == "nak"
    assert archive.sources == []


async def test_four_mebibytes_are_possible(archive: Archive) -> None:
    raw = event("big", padding=4 * 1024 * 1024)
    options = {"voevent_size_limit": 5_000_000}
    async with broker(archive, **options) as running, subscribed(running.subscriber_port) as peer:
        assert (await submit(running.author_port, raw)).role == "ack"
        assert await peer.receive() == raw


async def test_an_author_who_sends_half_a_frame_and_goes_leaves_nothing(archive: Archive) -> None:
    async with broker(archive) as running:
        async with connected(running.author_port) as peer:
            peer.writer.write(frame(event("1"))[:200])
            await peer.writer.drain()
        await eventually(lambda: running.state().answers == {"gone": 1} and running.state().authors == 0)
    assert archive.sources == []


async def test_a_slow_author_is_told_so(archive: Archive) -> None:
    async with broker(archive, voevent_timeout=0.3) as running, connected(running.author_port) as peer:
        peer.writer.write(frame(event("1"))[:200])
        answer = await peer.transport_message()
        assert answer.role == "nak"
        assert "within 0.3 s" in str(answer.result)
        assert await peer.closed()


async def test_an_event_in_small_pieces_is_whole_in_the_end(archive: Archive) -> None:
    async with broker(archive) as running, connected(running.author_port) as peer:
        data = frame(event("1"))
        for start in range(0, len(data), 50):
            peer.writer.write(data[start : start + 50])
            await asyncio.sleep(0)
        assert (await peer.transport_message()).role == "ack"


async def test_connections_of_authors_are_limited(archive: Archive) -> None:
    async with broker(archive, voevent_authors_limit=4) as running:
        async with connected(running.author_port), connected(running.author_port):
            await eventually(lambda: running.state().authors == 2)
            assert "Too many" in str((await submit(running.author_port, event("1"))).result)
        await eventually(lambda: running.state().authors == 0)
        assert (await submit(running.author_port, event("1"))).role == "ack"


async def test_only_allowed_addresses_are_heard(archive: Archive) -> None:
    options = {"voevent_author_allow": "192.0.2.0/24, ::1", "voevent_subscriber_allow": "192.0.2.1"}
    async with broker(archive, **options) as running:
        for port in (running.author_port, running.subscriber_port):
            async with connected(port) as peer:
                peer.send(event("1"))
                assert await peer.closed()
        assert running.state().answers == {"refused": 1}
    assert archive.sources == []


# Subscribers.


async def test_subscribers_who_never_answer_get_events(archive: Archive) -> None:
    async with broker(archive) as running, connected(running.subscriber_port) as peer:
        await peer.receive()
        for name in "abc":
            await submit(running.author_port, event(name))
        assert [await peer.receive() for _ in "abc"] == [event(name) for name in "abc"]


async def test_filters_choose(archive: Archive) -> None:
    async with (
        broker(archive) as running,
        subscribed(running.subscriber_port, ("xpath-filter", '//Param[@name="energy" and @value>50]')) as high,
        subscribed(running.subscriber_port, ("role", "observation"), ("param", "energy < 50")) as low,
    ):
        await eventually(lambda: all(state.filters for state in running.state().subscribers))
        for name, role, energy in [
            ("1", "observation", 10),
            ("2", "test", 10),
            ("3", "test", 99),
            ("4", "observation", 9),
        ]:
            await submit(running.author_port, event(name, role=role, energy=energy))
        assert await high.receive() == event("3", energy=99)
        assert await low.receive() == event("1", role="observation", energy=10)
        assert await low.receive() == event("4", role="observation", energy=9)
        await eventually(lambda: sorted(state.sent for state in running.state().subscribers) == [1, 2])


async def test_a_filter_that_is_refused_is_told_and_not_used(archive: Archive) -> None:
    async with (
        broker(archive) as running,
        subscribed(running.subscriber_port, ("xpath-filter", "//*[//*[//*]]")) as peer,
    ):
        answer = await peer.transport_message()
        assert (answer.role, answer.response) == ("nak", running.ivoid)
        assert "inside of [ ]" in str(answer.result)
        await submit(running.author_port, event("1"))
        assert await peer.receive() == event("1")


async def test_acknowledgements_are_counted_and_a_nak_ends(archive: Archive) -> None:
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        await submit(running.author_port, event("1"))
        await peer.receive()
        peer.send(Message("ack", ivoid("1"), "ivo://org.example/listener"))
        await eventually(lambda: [state.acknowledged for state in running.state().subscribers] == [1])
        assert running.state().subscribers[0].ivoid == "ivo://org.example/listener"
        peer.send(Message("nak", ivoid("1"), "ivo://org.example/listener"))
        assert await peer.closed()
        assert running.state().dropped == {"Has sent a nak": 1}


@pytest.mark.parametrize("message", [b"no XML", b"", event("x"), b'<Transport role="hello"/>'])
async def test_what_a_subscriber_may_not_say_is_ignored(archive: Archive, message: bytes) -> None:
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        peer.send(message)
        await submit(running.author_port, event("1"))
        assert await peer.receive() == event("1")


async def test_a_subscriber_who_sends_too_long_a_message_is_cut_off(archive: Archive) -> None:
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        peer.writer.write(struct.pack("!I", 100_000_000))
        assert await peer.closed()
        assert archive.sources == []


async def test_who_leaves_iamalive_unanswered_is_cut_off_and_who_answers_stays(archive: Archive) -> None:
    async with (
        broker(archive, voevent_alive_interval=0.3) as running,
        subscribed(running.subscriber_port) as lively,
        connected(running.subscriber_port) as mute,
    ):
        await mute.receive()
        for _ in range(6):
            message = await lively.transport_message()
            assert (message.role, message.origin) == ("iamalive", running.ivoid)
            lively.send(Message("iamalive", message.origin, "ivo://org.example/listener"))
        assert [(await mute.transport_message()).role for _ in range(2)] == ["iamalive"] * 2
        assert await mute.closed()
        assert running.state().dropped == {"Does not answer iamalive": 1}
        assert len(running.state().subscribers) == 1


async def test_who_does_not_read_is_cut_off_and_holds_up_nobody(archive: Archive) -> None:
    async with (
        broker(archive, voevent_queue_limit=2_000_000) as running,
        connected(running.subscriber_port) as stalled,
        subscribed(running.subscriber_port) as reader,
    ):
        stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
        number = 0
        while len(running.state().subscribers) == 2:
            number += 1
            assert number < 200, "the stalled subscriber was never cut off"
            raw = event(str(number), padding=200_000)
            assert (await submit(running.author_port, raw)).role == "ack"
            assert await reader.receive() == raw
            waiting = max(state.waiting for state in running.state().subscribers)
            # The limit, one event, and what the transport holds beside the queue.
            assert waiting < 2_000_000 + 600_000
        assert running.state().dropped == {"Does not read": 1}


async def test_subscribers_are_limited(archive: Archive) -> None:
    async with (
        broker(archive, voevent_subscribers_limit=1) as running,
        subscribed(running.subscriber_port),
        connected(running.subscriber_port) as second,
    ):
        assert await second.closed()


async def test_one_address_may_not_take_all_places_of_subscribers(archive: Archive) -> None:
    async with (
        broker(archive, voevent_subscribers_limit=4) as running,
        subscribed(running.subscriber_port),
        subscribed(running.subscriber_port),
        connected(running.subscriber_port) as third,
    ):
        assert await third.closed()


@pytest.mark.parametrize("message", [b"", b"<", b"<a>" * 1000, event("1")])
async def test_who_talks_nonsense_is_cut_off(archive: Archive, message: bytes) -> None:
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        for _ in range(200):
            peer.send(message)
        assert await peer.closed()
        assert running.state().dropped == {"Talks nonsense": 1}


# Catching up.


async def received(peer: Peer, count: int) -> list[bytes]:
    return [await peer.receive() for _ in range(count)]


async def test_a_subscriber_catches_up_and_goes_on(archive: Archive) -> None:
    stored = [event(str(number)) for number in range(300)]
    for raw in stored:
        archive.add(raw)
    async with broker(archive) as running, subscribed(running.subscriber_port, ("since", "100")) as peer:
        new = [event(f"new{number}") for number in range(50)]
        for raw in new:
            await submit(running.author_port, raw)
        assert await received(peer, 250) == stored[100:] + new
        await eventually(lambda: not running.state().subscribers[0].catching_up)
        await submit(running.author_port, event("last"))
        assert await peer.receive() == event("last")


async def test_one_catches_up_from_the_last_event_that_one_has(archive: Archive) -> None:
    for number in range(5):
        archive.add(event(str(number)))
    async with broker(archive) as running, subscribed(running.subscriber_port, ("since", ivoid("2"))) as peer:
        assert await received(peer, 2) == [event("3"), event("4")]


async def test_who_asks_for_what_is_not_known_is_told_and_misses_nothing_new(archive: Archive) -> None:
    archive.add(event("1"))
    async with broker(archive) as running, subscribed(running.subscriber_port, ("since", ivoid("2"))) as peer:
        told = await peer.transport_message()
        assert (told.role, told.result) == ("nak", f"There is no {ivoid('2')}")
        await submit(running.author_port, event("3"))
        assert await peer.receive() == event("3")


async def test_one_catches_up_from_a_moment_on_and_through_filters(archive: Archive) -> None:
    for number, year in enumerate((2024, 2025, 2026)):
        archive.add(event(str(number), energy=year))
        archive.stored_at[number] = datetime(year, 1, 1)
    params = (("since", "2025-01-01T00:00:00Z"), ("param", "energy > 2025"))
    async with broker(archive) as running, subscribed(running.subscriber_port, *params) as peer:
        assert await peer.receive() == event("2", energy=2026)


async def test_events_that_come_while_one_catches_up_are_neither_lost_nor_doubled(archive: Archive) -> None:
    """New events arrive at each point of the way: during the first look, the second, and between them."""
    for number in range(5):
        archive.add(event(f"old{number}"))

    async with broker(archive) as running:
        looks = 0

        async def since(position: Position) -> AsyncIterator[StoredEvent]:
            nonlocal looks
            looks += 1
            await submit(running.author_port, event(f"before{looks}"))
            found = [stored async for stored in archive.since(position)]
            await submit(running.author_port, event(f"during{looks}"))
            for stored in found:
                yield stored
            await submit(running.author_port, event(f"after{looks}"))

        running._subscribers.since = since
        async with subscribed(running.subscriber_port, ("since", "0")) as peer:
            await eventually(lambda: looks == 2)
            assert len(archive.events) >= 8
            got = await received(peer, 11)
        assert got == [stored.raw for stored in archive.events]
        assert len({*got}) == 11


@pytest.mark.parametrize("value", ["yesterday", "-1", "9" * 30, ""])
async def test_a_beginning_that_is_not_understood_is_refused(archive: Archive, value: str) -> None:
    async with broker(archive) as running, subscribed(running.subscriber_port, ("since", value)) as peer:
        answer = await peer.transport_message()
        assert answer.role == "nak"
        assert "since: expected" in str(answer.result)


async def test_one_who_catches_up_and_does_not_read_is_cut_off(archive: Archive) -> None:
    for number in range(60):
        archive.add(event(str(number), padding=200_000))
    options = {"voevent_queue_limit": 2_000_000, "voevent_alive_interval": 0.3}
    async with broker(archive, **options) as running, subscribed(running.subscriber_port, ("since", "0")) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await eventually(lambda: not running.state().subscribers)
        assert running.state().dropped == {"Does not read": 1}


# Other brokers.


async def test_events_pass_from_broker_to_broker_once_even_in_a_loop() -> None:
    first, second = Archive(), Archive()
    async with (
        broker(first) as upstream,
        broker(second, voevent_upstreams=f"127.0.0.1:{upstream.subscriber_port}") as downstream,
        subscribed(downstream.subscriber_port) as peer,
    ):
        back = Upstream(
            Address("127.0.0.1", downstream.subscriber_port, tls=False),
            upstream.ivoid,
            first.accept,
            size_limit=100_000,
            tls=ssl.create_default_context,
        )
        following = asyncio.create_task(back.follow())
        await eventually(lambda: len(upstream.state().subscribers) == 1 and len(downstream.state().subscribers) == 2)
        for name in "ab":
            await submit(upstream.author_port, event(name))
        assert await received(peer, 2) == [event("a"), event("b")]
        await eventually(lambda: back.counts["duplicate"] == 2)
        await eventually(lambda: upstream.state().subscribers[0].acknowledged == 2)
        assert [len(first.events), len(second.events)] == [2, 2]
        assert second.sources == [Source("stream", f"vtp:127.0.0.1:{upstream.subscriber_port}")] * 2
        following.cancel()


@dataclass
class Script:
    """A broker that says what a test wants."""

    port: int
    peers: asyncio.Queue[Peer]


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    peers: asyncio.Queue[Peer] = asyncio.Queue()

    connections: list[Peer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(Peer(reader, writer))
        peers.put_nowait(connections[-1])

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Script(server.sockets[0].getsockname()[1], peers)
    server.close()
    for peer in connections:
        peer.writer.transport.abort()


@pytest.fixture
async def following(script: Script, archive: Archive) -> AsyncIterator[Upstream]:
    upstream = Upstream(
        Address("127.0.0.1", script.port, tls=False),
        "ivo://org.example/me",
        archive.accept,
        size_limit=10_000,
        tls=ssl.create_default_context,
        filters=(("xpath-filter", "//What"),),
        first_pause=0.05,
    )
    task = asyncio.create_task(upstream.follow())
    yield upstream
    task.cancel()


async def test_an_upstream_broker_hears_what_it_expects(script: Script, following: Upstream, archive: Archive) -> None:
    peer = await script.peers.get()
    peer.send(Message("authenticate", "ivo://org.example/broker"))
    answer = await peer.transport_message()
    assert answer == Message(
        "authenticate", "ivo://org.example/broker", "ivo://org.example/me", (("xpath-filter", "//What"),)
    )
    peer.send(Message("iamalive", "ivo://org.example/broker"))
    assert await peer.transport_message() == Message("iamalive", "ivo://org.example/broker", "ivo://org.example/me")
    # Duplicates and conflicts are acknowledged; what has no identifier or is too long cannot be.
    for raw in (event("1"), event("1"), event("1") + b" ", b"<VOEvent/>", event("long", padding=20_000), event("2")):
        peer.send(raw)
    origins = [(await peer.transport_message()).origin for _ in range(4)]
    assert origins == [ivoid("1")] * 3 + [ivoid("2")]
    assert [stored.raw for stored in archive.events] == [event("1"), event("2")]
    assert following.counts == {
        "connections": 1, "accepted": 2, "duplicate": 1, "conflict": 1, "invalid": 1, "oversized": 1,
    }  # fmt: skip


async def test_an_event_is_acknowledged_upstream_only_when_it_is_stored(
    script: Script, following: Upstream, archive: Archive
) -> None:
    archive.failure = UnavailableError("The database is away")
    peer = await script.peers.get()
    peer.send(event("1"))
    await eventually(lambda: following.counts["failed"] >= 3)
    archive.failure = None
    assert (await peer.transport_message()).origin == ivoid("1")
    assert len(archive.events) == 1


async def test_an_upstream_broker_is_answered_while_the_archive_is_away(
    script: Script, following: Upstream, archive: Archive
) -> None:
    archive.failure = UnavailableError("The database is away")
    peer = await script.peers.get()
    peer.send(event("1"))
    await eventually(lambda: following.counts["failed"] >= 1)
    peer.send(event("2"))
    peer.send(Message("iamalive", "ivo://org.example/broker"))
    assert (await peer.transport_message()).role == "iamalive"
    peer.writer.transport.abort()
    archive.failure = None
    # What had come is kept, though nobody is there to hear of it.
    await eventually(lambda: [stored.raw for stored in archive.events] == [event("1"), event("2")])


async def test_an_upstream_broker_is_asked_for_what_was_missed(script: Script, archive: Archive) -> None:
    archive.add(event("1"))
    upstream = Upstream(
        Address("127.0.0.1", script.port, tls=False),
        "ivo://org.example/me",
        archive.accept,
        size_limit=10_000,
        tls=ssl.create_default_context,
        last_of=archive.last_of,
    )
    task = asyncio.create_task(upstream.follow())
    peer = await script.peers.get()
    peer.send(Message("authenticate", "ivo://org.example/broker"))
    assert (await peer.transport_message()).params == (("since", ivoid("1")),)
    task.cancel()


async def test_an_event_that_the_archive_stumbles_over_holds_up_no_others(
    script: Script, following: Upstream, archive: Archive
) -> None:
    archive.failure = RuntimeError("a fault")
    peer = await script.peers.get()
    peer.send(event("1"))
    await eventually(lambda: following.counts["failed"] == 3)
    archive.failure = None
    peer.send(event("2"))
    assert (await peer.transport_message()).origin == ivoid("2")
    assert [stored.raw for stored in archive.events] == [event("2")]


async def test_a_broken_connection_is_made_again(script: Script, following: Upstream) -> None:
    for number in range(1, 4):
        peer = await script.peers.get()
        await eventually(lambda number=number: following.counts["connections"] == number)  # type: ignore[misc]
        peer.writer.transport.abort()
    await script.peers.get()
    assert following.connected


async def test_a_broker_that_is_away_is_waited_for(archive: Archive) -> None:
    async with broker(archive) as absent:
        port = absent.subscriber_port
    upstream = Upstream(
        Address("127.0.0.1", port, tls=False),
        "ivo://org.example/me",
        Archive().accept,
        size_limit=10_000,
        tls=ssl.create_default_context,
        first_pause=0.05,
    )
    task = asyncio.create_task(upstream.follow())
    await asyncio.sleep(0.2)
    async with broker(archive, voevent_subscriber_port=port) as back:
        await eventually(lambda: len(back.state().subscribers) == 1)
    task.cancel()


def test_addresses_of_brokers() -> None:
    assert Address.parse("broker.example.org:8099") == Address("broker.example.org", 8099, tls=False)
    assert Address.parse("tls:[::1]:8099") == Address("::1", 8099, tls=True)


# TLS.


@dataclass(frozen=True)
class Certificates:
    """Files of an authority, of the broker's certificate and of an author's."""

    authority: Path
    broker: Path
    author: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("tls")
    files = Certificates(directory / "ca.pem", directory / "broker.pem", directory / "author.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(files.authority))
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(files.broker))
    authority.issue_cert("author@example.org").private_key_and_cert_chain_pem.write_to_path(str(files.author))
    return files


async def test_tls_with_certificates_of_authors(archive: Archive, certificates: Certificates) -> None:
    anonymous = ssl.create_default_context(cafile=str(certificates.authority))
    known = ssl.create_default_context(cafile=str(certificates.authority))
    known.load_cert_chain(certificates.author)
    options = {"voevent_tls_certificate": certificates.broker, "voevent_tls_authors": certificates.authority}
    async with broker(archive, **options) as running, subscribed(running.subscriber_port, tls=anonymous) as peer:
        assert (await submit(running.author_port, event("1"), tls=known)).role == "ack"
        assert await peer.receive() == event("1")
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await submit(running.author_port, event("2"), tls=anonymous)
        with pytest.raises((ConnectionError, EOFError)):
            await submit(running.author_port, event("3"))
    assert len(archive.events) == 1


async def test_tls_to_an_upstream_broker(certificates: Certificates) -> None:
    first, second = Archive(), Archive()
    tls = {"voevent_tls_certificate": certificates.broker}
    async with broker(first, **tls) as upstream:
        options = {
            "voevent_upstreams": f"tls:localhost:{upstream.subscriber_port}",
            "voevent_tls_upstreams": certificates.authority,
        }
        async with broker(second, **options) as downstream:
            await eventually(lambda: downstream.state().upstreams[0].connected)
            client = client_context(load_settings(voevent_tls_upstreams=certificates.authority))
            await submit(upstream.author_port, event("1"), tls=client)
            await eventually(lambda: len(second.events) == 1)


# Settings.


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"voevent_author_allow": "10.0.0.0/99"}, "VOEVENT_AUTHOR_ALLOW"),
        ({"voevent_upstreams": "somewhere"}, "HOST:PORT"),
        ({"voevent_queue_limit": 100_000}, "voevent_size_limit"),
        ({"voevent_tls_authors": "/ca.pem"}, "voevent_tls_certificate"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, object], hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        load_settings(**options)


async def test_a_port_in_use_and_missing_certificates_are_named(archive: Archive, tmp_path: Path) -> None:
    async with broker(archive) as running:
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            async with broker(archive, voevent_author_port=running.author_port):
                pass
    settings = load_settings(voevent_tls_certificate=tmp_path / "none.pem", voevent_author_port=0)
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        async with Broker(settings, accept=archive.accept):
            pass
