"""What authors have sent and heard, what is stored, and what subscribers have got: the books of a crash test."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.support.programs import TOKEN, Program, Site
from tests.support.voevents import packet
from tests.support.vtp import connected
from voevent.vtp.messages import Message

PATIENCE = 5.0
"""Seconds after which an author gives up waiting for an answer, and sends again."""

Send = Callable[[bytes], Awaitable[str]]
"""Sends a packet; gives `ack`, `known` or `again`. Raises OSError, EOFError or TimeoutError if there is no answer."""


@dataclass
class Ledger:
    """All entries."""

    sent: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)
    """What each author has heard, by event, in order: ack, known, again, or silence."""

    def acknowledged(self) -> set[str]:
        return {ivoid for ivoid, heard in self.answers.items() if "ack" in heard}

    def summary(self) -> str:
        heard = Counter(answer for answers in self.answers.values() for answer in answers)
        return f"{len(self.sent)} events sent; answers: {dict(sorted(heard.items()))}"


def stored(place: Site) -> dict[str, tuple[int, bytes]]:
    """Number and bytes of each event in the archive, by its identifier, in order."""
    rows = place.rows("SELECT ivoid, event_id, raw FROM alerts.voevent ORDER BY event_id")
    found = {ivoid: (number, bytes(raw)) for ivoid, number, raw in rows}
    assert len(found) == len(rows), "an event is stored twice"
    return found


def by_vtp(broker: Program) -> Send:
    """Authors who use the broker's port."""

    async def send(raw: bytes) -> str:
        async with connected(broker.ports[0]) as peer:
            peer.send(raw)
            answer = await asyncio.wait_for(peer.transport_message(), PATIENCE)
        if answer.role == "ack":
            return "ack"
        assert answer.result is not None
        return "known" if "seen before" in answer.result else "again"

    return send


def by_http(service: Program) -> Send:
    """Authors who post."""
    meaning = {201: "ack", 200: "known", 503: "again"}

    async def send(raw: bytes) -> str:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answer = await client.post(
                f"http://127.0.0.1:{service.ports[0]}/voevent",
                content=raw,
                headers={"Authorization": f"Bearer {TOKEN}"},
            )
        return meaning[answer.status_code]

    return send


class Author:
    """Publishes events one after the other; repeats each until the broker has or knows it."""

    def __init__(self, ledger: Ledger, send: Send, *, padding: int = 0) -> None:
        self._ledger = ledger
        self._send = send
        self._padding = padding
        self._name = uuid.uuid4().hex[:8]
        self._count = 0

    async def publish(self, stopping: asyncio.Event) -> None:
        """Events until it is told to stop; the last one is repeated until it is answered."""
        while not stopping.is_set():
            await self.event()
            await asyncio.sleep(random.uniform(0.002, 0.01))  # noqa: S311

    async def event(self) -> None:
        """One event."""
        self._count += 1
        ivoid = f"ivo://org.example/crash#{self._name}-{self._count}"
        raw = packet(ivoid) + b"<!--" + b"x" * self._padding + b"-->"
        self._ledger.sent[ivoid] = raw
        heard = self._ledger.answers.setdefault(ivoid, [])
        while not {"ack", "known"} & {*heard}:
            try:
                heard.append(await self._send(raw))
            except (OSError, EOFError, TimeoutError, httpx.HTTPError):
                heard.append("silence")
            if heard[-1] in ("again", "silence"):
                await asyncio.sleep(0.2)


@dataclass
class Connection:
    """One connection of a subscriber: from which event he asked for more, and what he got."""

    after: int
    events: list[bytes] = field(default_factory=list)


class Subscriber:
    """Comes back after every break, and asks for the events after the last one that he has."""

    def __init__(self, place: Site, broker: Program, *, pause: float = 0.0) -> None:
        self._place = place
        self._broker = broker
        self._pause = pause
        self.connections: list[Connection] = []

    @property
    def got(self) -> list[bytes]:
        """All events, in the order in which they came."""
        return [raw for connection in self.connections for raw in connection.events]

    async def listen(self) -> None:
        """Without end."""
        while True:
            try:
                await self._listen(Connection(await self._position()))
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _position(self) -> int:
        """The number of the last event that he has, as the archive knows it; 0 at first."""
        last = next((c.events[-1] for c in reversed(self.connections) if c.events), None)
        while last is not None:
            try:
                known = await asyncio.to_thread(
                    self._place.rows, "SELECT event_id FROM alerts.voevent WHERE ivoid = %s", _ivoid(last)
                )
            except psycopg.OperationalError:
                # The database is away.
                await asyncio.sleep(0.1)
            else:
                return int(known[0][0])
        return 0

    async def _listen(self, connection: Connection) -> None:
        async with connected(self._broker.ports[1]) as peer:
            self.connections.append(connection)
            params = (("since", str(connection.after)),)
            peer.send(Message("authenticate", "ivo://org.example/x", "ivo://org.example/listener", params))
            await peer.transport_message()
            while True:
                raw = await peer.receive()
                if b"VOEvent" in raw:
                    connection.events.append(raw)
                    peer.send(Message("ack", _ivoid(raw), "ivo://org.example/listener"))
                    await asyncio.sleep(self._pause)


def _ivoid(raw: bytes) -> str:
    return raw.split(b'ivorn="', 1)[1].split(b'"', 1)[0].decode()


def check(ledger: Ledger, place: Site, subscribers: list[Subscriber]) -> str:
    """Balance the books. Gives a line for the log.

    Each event that was sent is stored, once and as it was (all authors have heard ack, or at last that it is known);
    nothing else is; each subscriber has got each. A connection gives what came before the request for older events was
    read, and then every stored event after the one asked for, in order, none twice.
    """
    archive = stored(place)
    assert {ivoid: raw for ivoid, (_, raw) in archive.items()} == ledger.sent
    assert all({"ack", "known"} & {*heard} for heard in ledger.answers.values())
    ranks = {raw: rank for rank, (_, raw) in enumerate(archive.values())}
    numbers = [number for number, _ in archive.values()]
    duplicates = 0
    for subscriber in subscribers:
        assert {*subscriber.got} == {*ranks}
        for connection in subscriber.connections:
            begin = sum(number <= connection.after for number in numbers)
            got = [ranks[raw] for raw in connection.events]
            early = len(got) - 1 - got[::-1].index(begin) if begin in got else len(got)
            assert got[early:] == list(range(begin, begin + len(got) - early)), "a gap, or an event twice"
            assert got[:early] == sorted({*got[:early]}), "out of order"
        duplicates += len(subscriber.got) - len(ranks)
    broken = sum(len(subscriber.connections) - 1 for subscriber in subscribers)
    return (
        f"{ledger.summary()}; {len(archive)} stored; {len(subscribers)} subscribers, {broken} connections broken,"
        f" {sum(len(s.got) for s in subscribers)} deliveries, {duplicates} of them again"
    )
