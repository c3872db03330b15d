"""Subscriptions to other brokers: connected for ever, again after every break, with growing pauses.

Events are taken one after the other, each acknowledged when it is safe; while the archive is away the event waits, and
with it, by the flow control of TCP, the broker that sends.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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

_CONNECT_TIMEOUT: Final = 20.0
_PIECE: Final = 65_536

_SHOWN: Final = 2_000
"""Bytes of an event in the log."""

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
    first_pause
        Seconds before the second attempt; what a test may shorten.
    """

    def __init__(
        self,
        address: Address,
        ivoid: str,
        accept: Accept,
        *,
        size_limit: int,
        tls: Callable[[], ssl.SSLContext],
        filters: tuple[tuple[str, str], ...] = (),
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
        self._first_pause = first_pause
        self._heard = False

    async def follow(self) -> None:
        """Take in what the broker sends, without end."""
        pause = self._first_pause
        while True:
            try:
                await self._connection()
            except (OSError, EOFError) as error:
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
                answer = await self._answer(session, message)
                if answer is not None:
                    writer.write(frame(answer.encode()))
            await writer.drain()

    async def _answer(self, session: Session, message: bytes | Oversized) -> Message | None:
        if isinstance(message, Oversized):
            session.on(Signal.OVERSIZED)
            self.counts["oversized"] += 1
            log.warning("Upstream broker %s: %s; it is passed over", self.address, message)
            return None
        match session.on(signal_of(role_of(message))):
            case Action.JUDGE:
                return await self._judge(session, message)
            case Action.SEND_IAMALIVE:
                return Message("iamalive", _origin(message), self._ivoid)
            case Action.SEND_AUTHENTICATE:
                return Message("authenticate", _origin(message), self._ivoid, self._filters)
            case _:
                return None

    async def _judge(self, session: Session, event: bytes) -> Message | None:
        judgement = await self._judgement(event)
        pause, faults = self._first_pause, int(judgement.fault)
        while session.on(judgement.signal) is Action.RETRY:
            if faults == FAULTS_LIMIT:
                log.error("Upstream broker %s: an event is passed over: %r", self.address, event[:_SHOWN])
                session.on(Signal.REFUSED)
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            judgement = await self._judgement(event)
            faults += judgement.fault
        # What has no identifier cannot be acknowledged.
        return None if judgement.ivoid is None else Message("ack", judgement.ivoid, self._ivoid)

    async def _judgement(self, event: bytes) -> Judgement:
        judgement = await judge(self._accept, event, Source("stream", f"vtp:{self.address}"))
        self.counts[judgement.outcome] += 1
        return judgement


def _origin(raw: bytes) -> str:
    message = read_message(raw)
    return "" if message is None else message.origin
