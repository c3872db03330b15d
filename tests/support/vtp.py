"""A VTP broker on real sockets, with an archive in memory, and peers that say exactly what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from vo_service.config import load_settings
from vo_service.errors import UsageError
from voevent.archive.store import StoredEvent
from voevent.packet import PacketError, read_packet
from voevent.pipeline import Source, Verdict
from voevent.vtp.framing import Frames, Oversized, frame
from voevent.vtp.messages import Message, read_message
from voevent.vtp.server import Broker
from voevent.vtp.subscribers import Position

PATIENCE = 20.0
"""Seconds after which a test gives up: far longer than anything takes."""


def event(local_id: str, *, role: str = "test", energy: float = 100.0, padding: int = 0) -> bytes:
    """A VOEvent 2.0 that the schema accepts."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="{role}"
 ivorn="ivo://org.example/alerts#{local_id}">
<Who><AuthorIVORN>ivo://org.example/alerts</AuthorIVORN><Date>2026-01-01T00:00:00</Date></Who>
<What><Param name="energy" value="{energy}" unit="TeV"/></What>
<Description>{"x" * padding}</Description>
</voe:VOEvent>""".encode()


def ivoid(local_id: str) -> str:
    """The identifier of an event made by `event`."""
    return f"ivo://org.example/alerts#{local_id}"


class Archive:
    """Stored events, in memory: what the database is to the broker."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.stored_at: list[datetime] = []
        self.sources: list[Source] = []
        self.failure: Exception | None = None
        self._new: asyncio.Queue[StoredEvent] = asyncio.Queue()

    async def accept(self, raw: bytes, source: Source) -> Verdict:
        self.sources.append(source)
        if self.failure is not None:
            raise self.failure
        try:
            packet = read_packet(raw)
        except PacketError as error:
            return Verdict("invalid", None, error.message)
        known = next((stored for stored in self.events if stored.ivoid == packet.ivoid), None)
        if known is not None:
            if known.raw == raw:
                return Verdict("duplicate", packet.ivoid, "A duplicate", known.event_id)
            return Verdict("conflict", packet.ivoid, "In conflict", known.event_id)
        stored = self.add(raw)
        self._new.put_nowait(stored)
        return Verdict("accepted", packet.ivoid, "", stored.event_id)

    def add(self, raw: bytes) -> StoredEvent:
        """Store an event without telling anybody."""
        packet = read_packet(raw)
        stored = StoredEvent(len(self.events) + 1, packet.ivoid, packet.role, raw)
        self.events.append(stored)
        self.stored_at.append(datetime.now(UTC).replace(tzinfo=None))
        return stored

    async def feed(self) -> AsyncIterator[StoredEvent]:
        while True:
            yield await self._new.get()

    async def last_of(self, source: str) -> str | None:
        """The last event, wherever it came from."""
        return self.events[-1].ivoid if self.events else None

    async def since(self, position: Position) -> AsyncIterator[StoredEvent]:
        if isinstance(position, str):
            known = [stored.event_id for stored in self.events if stored.ivoid == position]
            if not known:
                raise UsageError(f"There is no {position}")
            position = known[0]
        for stored, moment in list(zip(self.events, self.stored_at, strict=True)):
            if stored.event_id > position if isinstance(position, int) else moment >= position:
                await asyncio.sleep(0)
                yield stored


@asynccontextmanager
async def broker(archive: Archive, **options: object) -> AsyncIterator[Broker]:
    """A broker that sends what the archive accepts; on free ports, and with short times if `options` say so."""
    free = {"voevent_author_port": 0, "voevent_subscriber_port": 0}
    settings = load_settings(**(free | options))
    async with Broker(settings, accept=archive.accept, since=archive.since) as running:
        publishing = asyncio.create_task(_publish(running, archive))
        try:
            yield running
        finally:
            publishing.cancel()


async def _publish(running: Broker, archive: Archive) -> None:
    async for stored in archive.feed():
        await running.broadcast([stored])


class Peer:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = Frames(100_000_000)
        self._messages: list[bytes | Oversized] = []

    def send(self, message: bytes | Message) -> None:
        self.writer.write(frame(message.encode() if isinstance(message, Message) else message))

    async def receive(self) -> bytes:
        """The next message. Raises EOFError if the broker has closed, ConnectionError if it has cut the connection."""
        async with asyncio.timeout(PATIENCE):
            while not self._messages:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                self._messages += self._frames.feed(data)
        message = self._messages.pop(0)
        assert isinstance(message, bytes)
        return message

    async def transport_message(self) -> Message:
        """The next message, which must be a Transport message."""
        message = read_message(await self.receive())
        assert message is not None
        return message

    async def closed(self) -> bool:
        """Waits until the broker has closed or cut the connection; False if a message comes first."""
        try:
            await self.receive()
        except (EOFError, ConnectionError):
            return True
        return False


@asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A connection to the broker."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def subscribed(port: int, *params: tuple[str, str], tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A subscriber who has been greeted and has answered with these Params."""
    async with connected(port, tls) as peer:
        greeting = await peer.transport_message()
        assert greeting.role == "authenticate"
        peer.send(Message("authenticate", greeting.origin, "ivo://org.example/listener", params))
        yield peer


async def submit(port: int, raw: bytes, tls: ssl.SSLContext | None = None) -> Message:
    """What the broker answers to an author; it must close the connection afterwards."""
    async with connected(port, tls) as peer:
        peer.send(raw)
        answer = await peer.transport_message()
        assert await peer.closed()
        return answer


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits until something is so. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (what is waited for is no event of this program)
            await asyncio.sleep(0.01)
