"""Subscriptions to other brokers: connected for ever, again after every break, with growing pauses.

Events are judged one after the other, each acknowledged when it is safe. While the archive is away they wait, also if
the connection breaks meanwhile; what they wait in is bounded, and then, by the flow control of TCP, the broker that
sends waits too. A broker with an archive is asked for what came since the last event that is known from it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from vo_service.errors import ServiceError
from voevent.pipeline import Source
from voevent.vtp.framing import Frames, Oversized, frame
from voevent.vtp.judging import Accept, Judgement, judge
from voevent.vtp.messages import Message, read_message, role_of
from voevent.vtp.session import UPSTREAM, Action, Session, Signal, signal_of

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
"""Seconds before the next attempt: from the first to the longest, doubled each time and spread by a quarter."""

FAULTS_LIMIT: Final = 3
"""Attempts with an event that the archive stumbles over, until it is passed over: others wait behind it."""

SILENCE_LIMIT: Final = 150.0
"""Seconds without a sign of life after which a connection counts as dead: brokers send one every 60 s."""

WAITING_BYTES: Final = 8_388_608
"""Bytes of events that wait to be judged, and one event more."""

_CONNECT_TIMEOUT: Final = 20.0
_PIECE: Final = 65_536

_SHOWN: Final = 2_000
"""Bytes of an event in the log."""

LastOf = Callable[[str], Awaitable[str | None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is: `HOST:PORT`, or `tls:HOST:PORT`; IPv6 addresses in brackets."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """An address as settings have it."""
        host, _, port = text.removeprefix("tls:").rpartition(":")
        return cls(host.strip("[]"), int(port), text.startswith("tls:"))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An event to be judged, and where the answer goes, if that is still there."""

    event: bytes
    writer: asyncio.StreamWriter


class Upstream:
    """The subscription to one broker.

    Parameters
    ----------
    ivoid
        This broker's.
    tls
        For addresses with `tls:`.
    filters
        Names and values of the Params to ask for, such as xpath-filter.
    last_of
        Gives the identifier of the last event that was stored from a source; None if there is none.
    strict
        Whether events must be valid, as those of authors.
    first_pause
        Seconds before the second attempt; what a test may shorten.
    """

    def __init__(  # noqa: PLR0913 (by name)
        self,
        address: Address,
        ivoid: str,
        accept: Accept,
        *,
        size_limit: int,
        tls: Callable[[], ssl.SSLContext],
        filters: tuple[tuple[str, str], ...] = (),
        last_of: LastOf | None = None,
        strict: bool = False,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self.address = address
        self.connected = False
        self.counts: Counter[str] = Counter()
        """Events by what came of them: accepted, duplicate, conflict, invalid, failed, oversized; and connections."""
        self._ivoid = ivoid
        self._accept = accept
        self._size_limit = size_limit
        self._tls = tls
        self._filters = filters
        self._last_of = last_of
        self._first_pause = first_pause
        self._source = Source("author" if strict else "stream", f"vtp:{address}")
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Condition()
        self._heard = False

    async def follow(self) -> None:
        """Take in what the broker sends, without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._judge_all())
            await self._stay_connected()

    async def _stay_connected(self) -> None:
        pause = self._first_pause
        while True:
            try:
                await self._connection()
            except (OSError, EOFError, ServiceError) as error:
                # TLS errors and timeouts are among the OSErrors.
                log.warning("Upstream broker %s: %s", self.address, str(error) or type(error).__name__)
            if self._heard:
                pause = self._first_pause
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 (spreads attempts, hides nothing)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connection(self) -> None:
        """One connection, until it breaks."""
        self._heard = False
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(
                self.address.host, self.address.port, ssl=self._tls() if self.address.tls else None
            )
        self.connected = True
        self.counts["connections"] += 1
        log.info("Subscribed to the broker at %s", self.address)
        try:
            await self._listen(reader, writer)
        finally:
            self.connected = False
            writer.transport.abort()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session, frames = Session(UPSTREAM), Frames(self._size_limit)
        while True:
            try:
                async with asyncio.timeout(SILENCE_LIMIT):
                    data = await reader.read(_PIECE)
            except TimeoutError:
                session.on(Signal.SILENCE)
                raise EOFError(f"silent for {SILENCE_LIMIT:g} s") from None
            if not data:
                raise EOFError("has closed the connection")
            self._heard = True
            for message in frames.feed(data):
                answer = await self._answer(session, message, writer)
                if answer is not None:
                    writer.write(frame(answer.encode()))
            await writer.drain()

    async def _answer(
        self, session: Session, message: bytes | Oversized, writer: asyncio.StreamWriter
    ) -> Message | None:
        if isinstance(message, Oversized):
            session.on(Signal.OVERSIZED)
            self.counts["oversized"] += 1
            log.warning("Upstream broker %s: %s; it is passed over", self.address, message)
            return None
        match session.on(signal_of(role_of(message))):
            case Action.JUDGE:
                await self._put(_Waiting(message, writer))
                return None
            case Action.SEND_IAMALIVE:
                return Message("iamalive", _origin(message), self._ivoid)
            case Action.SEND_AUTHENTICATE:
                return Message("authenticate", _origin(message), self._ivoid, await self._wishes())
            case _:
                return None

    async def _wishes(self) -> tuple[tuple[str, str], ...]:
        """What is asked for: filters, and what was missed. Brokers that have no archive pass over the latter."""
        last = None if self._last_of is None else await self._last_of(self._source.name)
        return self._filters if last is None else (*self._filters, ("since", last))

    async def _put(self, waiting: _Waiting) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting_bytes < WAITING_BYTES)
            self._waiting.append(waiting)
            self._waiting_bytes += len(waiting.event)
            self._changed.notify_all()

    async def _judge_all(self) -> None:
        session = Session(UPSTREAM)
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
            next_one = self._waiting[0]
            answer = await self._judge(session, next_one.event)
            if answer is not None and not next_one.writer.transport.is_closing():
                next_one.writer.write(frame(answer.encode()))
            async with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(next_one.event)
                self._changed.notify_all()

    async def _judge(self, session: Session, event: bytes) -> Message | None:
        judgement = await self._judgement(event)
        pause, faults = self._first_pause, int(judgement.fault)
        while session.on(judgement.signal) is Action.RETRY:
            if faults == FAULTS_LIMIT:
                log.error("Upstream broker %s: an event is passed over: %r", self.address, event[:_SHOWN])
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            judgement = await self._judgement(event)
            faults += judgement.fault
        # What has no identifier cannot be acknowledged.
        return None if judgement.ivoid is None else Message("ack", judgement.ivoid, self._ivoid)

    async def _judgement(self, event: bytes) -> Judgement:
        judgement = await judge(self._accept, event, self._source)
        self.counts[judgement.outcome] += 1
        return judgement


def _origin(raw: bytes) -> str:
    message = read_message(raw)
    return "" if message is None else message.origin
