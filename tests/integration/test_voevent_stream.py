"""Streams over HTTP: the same messages as Server-Sent Events and over a WebSocket, new ones and old ones."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.database import new_database
from tests.support.served import served
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise

WORD = "of authors"
TOKEN = {"Authorization": f"Bearer {WORD}"}
LIMIT = 3

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]


@pytest.fixture(scope="module")
def url(server: Access) -> Iterator[str]:
    with new_database(server) as access:
        initialise(access, OWN)
        with served(access, voevent_token=WORD, voevent_streams_limit=LIMIT) as base:
            yield base


@pytest.fixture
def ivoid() -> str:
    return f"ivo://org.example/stream#{uuid.uuid4().hex[:12]}"


async def sent(url: str, raw: bytes) -> int:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/voevent", content=raw, headers=TOKEN)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["event_id"])


async def last(url: str) -> int:
    async with httpx.AsyncClient() as client:
        lines = (await client.get(f"{url}/voevent?MAXREC=1")).text.splitlines()
    return int(json.loads(lines[0])["event_id"]) if lines else 0


def asked(url: str, query: str = "") -> httpx.Response:
    """The whole answer of a stream that ends, or is refused."""
    return httpx.get(f"{url}/voevent/stream?{query}")


ENDED = "until=2020-01-01"
"""Of a stream that has ended before it begins."""


@asynccontextmanager
async def over_websocket(url: str, query: str = "") -> AsyncIterator[Receive]:
    async with connect(f"{url.replace('http', 'ws')}/voevent/stream?{query}", max_size=None) as socket:

        async def receive() -> Message:
            message: Message = json.loads(await socket.recv())
            return message

        yield receive


@asynccontextmanager
async def over_events(url: str, query: str = "") -> AsyncIterator[Receive]:
    async with httpx.AsyncClient() as client, client.stream("GET", f"{url}/voevent/stream?{query}") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith(":")

        async def receive() -> Message:
            number = ""
            async for line in lines:
                if line.startswith("id: "):
                    number = line.removeprefix("id: ")
                if line.startswith("data: "):
                    message: Message = json.loads(line.removeprefix("data: "))
                    assert str(message["event_id"]) == number
                    return message
            raise EOFError

        yield receive


WAYS = pytest.mark.parametrize("way", [over_websocket, over_events])


@WAYS
async def test_new_events_come_with_the_alert_and_the_packet(url: str, ivoid: str, way: Any) -> None:  # noqa: ANN401
    raw = packet(ivoid, ra=10.5, dec=-3.25)
    async with way(url) as receive:
        number = await sent(url, raw)
        message = await asyncio.wait_for(receive(), 20)
    assert (message["event_id"], message["ivoid"], message["role"]) == (number, ivoid, "test")
    assert message["voevent"].encode() == raw
    assert message["position"]["ra"] == 10.5


@WAYS
async def test_what_was_missed_comes_first(url: str, ivoid: str, way: Any) -> None:  # noqa: ANN401
    first = await sent(url, packet(ivoid))
    second = await sent(url, packet(f"{ivoid}-2"))
    async with way(url, f"after={first - 1}") as receive:
        third = await sent(url, packet(f"{ivoid}-3"))
        numbers = [(await asyncio.wait_for(receive(), 20))["event_id"] for _ in range(3)]
    assert numbers == [first, second, third]


async def test_browsers_tell_the_last_event_by_a_header(url: str, ivoid: str) -> None:
    number = await sent(url, packet(ivoid))
    headers = {"Last-Event-ID": str(number - 1)}
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"{url}/voevent/stream?after=0", headers=headers) as s,
    ):
        async for line in s.aiter_lines():
            if line.startswith("id: "):
                assert line == f"id: {number}"
                break


@WAYS
async def test_conditions_hold(url: str, ivoid: str, way: Any) -> None:  # noqa: ANN401
    begin = await last(url)
    wanted = packet(f"{ivoid}-near", role="observation", ra=100.0, dec=50.0)
    for raw in (packet(ivoid, ra=100.0, dec=50.0), packet(f"{ivoid}-far", role="observation", ra=1.0), wanted):
        await sent(url, raw)
    query = "role=observation&cone=100,50,1&far=1e-6&stream=ivo://org.example/*&param=energy/E%20%3E%20100"
    async with way(url, f"after={begin}&{query}") as receive:
        assert (await asyncio.wait_for(receive(), 20))["voevent"].encode() == wanted


@WAYS
async def test_a_range_of_time_is_replayed_and_ends(url: str, ivoid: str, way: Any) -> None:  # noqa: ANN401
    numbers = [await sent(url, packet(f"{ivoid}-{n}")) for n in range(6)]
    async with httpx.AsyncClient() as client:
        lines = (await client.get(f"{url}/voevent?MAXREC=6")).text.splitlines()
    stored = {line["event_id"]: line["stored_at"] for line in map(json.loads, lines)}
    async with way(url, f"since={stored[numbers[1]]}&until={stored[numbers[4]]}") as receive:
        received = [(await asyncio.wait_for(receive(), 20))["event_id"] for _ in range(3)]
        with pytest.raises((EOFError, ConnectionClosed)):
            await asyncio.wait_for(receive(), 20)
    assert received == numbers[1:4]


async def test_all_readers_get_all_whatever_the_others_do(url: str, ivoid: str) -> None:
    """One from the beginning, one from the end, one who comes and goes."""
    begin = await last(url)
    sending = [packet(f"{ivoid}-{n}") for n in range(40)]

    async def read_all(after: int) -> list[int]:
        async with over_websocket(url, f"after={after}") as receive:
            numbers: list[int] = []
            while not numbers or numbers[-1] < begin + len(sending):
                numbers.append((await asyncio.wait_for(receive(), 60))["event_id"])
            return numbers

    async def come_and_go() -> list[int]:
        numbers = [begin]
        while numbers[-1] < begin + len(sending):
            async with over_events(url, f"after={numbers[-1]}") as receive:
                numbers += [
                    (await asyncio.wait_for(receive(), 60))["event_id"] for _ in range(min(7, begin + 40 - numbers[-1]))
                ]
        return numbers[1:]

    async def send_all() -> None:
        for raw in sending:
            await sent(url, raw)

    from_first, from_now, in_pieces, _ = await asyncio.gather(read_all(0), read_all(begin), come_and_go(), send_all())
    new = list(range(begin + 1, begin + 41))
    assert from_first == list(range(1, begin + 41))
    assert from_now == new
    assert in_pieces == new


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("role=x", "role"),
        ("roles=test", "roles"),
        ("cone=1", "cone"),
        ("after=x", "after"),
        ("since=x", "since"),
        ("until=2026-13-01", "until"),
    ],
)
async def test_what_cannot_be_understood_is_told(url: str, query: str, words: str) -> None:
    answer = asked(url, query)
    assert answer.status_code == 400
    assert words in answer.json()["reason"]
    code, reason = await closed(f"{url.replace('http', 'ws')}/voevent/stream?{query}")
    assert code == 1008
    assert words in reason


async def room(url: str) -> None:
    """Wait until there is room for another stream."""
    ending = time.monotonic() + 30
    while asked(url, ENDED).status_code == 429:
        assert time.monotonic() < ending
        await asyncio.sleep(0.1)


async def closed(address: str) -> tuple[int, str]:
    async with connect(address) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(socket.recv(), 20)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_there_are_so_many_streams_and_no_more(url: str, ivoid: str) -> None:
    address = f"{url.replace('http', 'ws')}/voevent/stream"
    number = await sent(url, packet(f"{ivoid}-first"))
    sockets: list[ClientConnection] = [await connect(f"{address}?after={number - 1}") for _ in range(LIMIT)]
    for one in sockets:
        await asyncio.wait_for(one.recv(), 20)
    answer = asked(url)
    assert answer.status_code == 429
    assert "retry-after" in answer.headers
    assert (await closed(address))[0] == 1013
    for one in sockets:
        await one.close()
    await room(url)
    async with over_events(url) as receive:
        await sent(url, packet(ivoid))
        assert (await asyncio.wait_for(receive(), 20))["ivoid"] == ivoid


@pytest.mark.parametrize("is_websocket", [True, False])
async def test_who_does_not_read_is_left(
    url: str, ivoid: str, is_websocket: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of 40 MB to readers who take nothing: little of it is held, and their places are free again soon."""
    monkeypatch.setattr("voevent.streams.PATIENCE", 1.0)
    begin, filling = await last(url), "x" * 500_000
    for number in range(40):
        big = packet(f"{ivoid}-{number}").replace(
            b"<Group", f'<Param name="filling" value="{filling}"/><Group'.encode()
        )
        await sent(url, big)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sockets = [_silent(url, begin, is_websocket) for _ in range(LIMIT)]
    assert asked(url, ENDED).status_code == 429
    await room(url)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000  # KiB
    for one in sockets:
        one.close()


def _silent(url: str, after: int, is_websocket: bool) -> socket.socket:
    """A connection that asks for all events after one, and reads the beginning of the answer."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n"
    )
    head = f"GET /voevent/stream?after={after} HTTP/1.1\r\nHost: {host}\r\n{upgrade if is_websocket else ''}\r\n"
    connection.sendall(head.encode())
    assert b"HTTP/1.1 " in connection.recv(64)
    return connection
