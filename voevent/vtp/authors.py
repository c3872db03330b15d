"""Authors: one connection, one event, one answer. The answer is sent when the event is safe."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from voevent.pipeline import Source
from voevent.vtp.framing import Frames, Oversized, frame
from voevent.vtp.judging import Accept, judge
from voevent.vtp.messages import Message, role_of
from voevent.vtp.session import AUTHOR, Action, Session, Signal, signal_of

_PIECE: Final = 65_536

_REASON: Final = 1_000
"""Characters of a reason at most: some quote what was sent."""

log = logging.getLogger(__name__)


class Authors:
    """All connections of authors.

    Parameters
    ----------
    ivoid
        The broker's.
    size_limit
        Bytes of an event at most.
    timeout
        Seconds in which the event must have come.
    admits
        Whether events from this address are taken.
    limit
        Connections at once; half as many from one address.
    acknowledged
        Is told the number of each event whose acknowledgement was sent.
    """

    def __init__(
        self,
        ivoid: str,
        accept: Accept,
        *,
        size_limit: int,
        timeout: float,
        admits: Callable[[str], bool],
        limit: int,
        acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        self._ivoid = ivoid
        self._accept = accept
        self._size_limit = size_limit
        self._timeout = timeout
        self._admits = admits
        self._limit = limit
        self._acknowledged = acknowledged
        self._open: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        """The conversations that go on."""
        self.answers: Counter[str] = Counter()
        """What came of the conversations: accepted, duplicate, conflict, invalid, failed, refused (by address), full,
        oversized, timeout, gone, or unexpected (a Transport message)."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with an author who has connected."""
        peer = writer.get_extra_info("peername")
        if peer is None:
            # Gone before anybody could ask who it was.
            self.answers["gone"] += 1
            writer.transport.abort()
            return
        address = str(peer[0])
        if not self._admits(address):
            log.warning("Author %s: the address is not allowed", address)
            self.answers["refused"] += 1
            writer.transport.abort()
            return
        with self._counted(address):
            try:
                await self._converse(reader, writer, address)
            except (ConnectionError, EOFError) as error:
                self.answers["gone"] += 1
                log.info("Author %s has gone: %s", address, error)
            finally:
                writer.close()

    @contextmanager
    def _counted(self, address: str) -> Iterator[None]:
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        if self._open.total() > self._limit or self._open[address] > max(1, self._limit // 2):
            self._answer(writer, "full", self._nak(self._ivoid, "Too many connections; try again"))
            return
        session = Session(AUTHOR)
        signal, message = await self._event(reader)
        if session.on(signal) is not Action.JUDGE or isinstance(message, Oversized):
            await self._refuse(reader, writer, signal, message)
            return
        verdict = await judge(self._accept, message, Source("author", "tcp", address))
        ivoid = verdict.ivoid or self._ivoid
        if session.on(verdict.signal) is Action.SEND_ACK:
            self._answer(writer, verdict.outcome, Message("ack", ivoid, self._ivoid))
            if self._acknowledged is not None and verdict.event_id is not None:
                self._acknowledged(verdict.event_id)
        else:
            self._answer(writer, verdict.outcome, self._nak(ivoid, verdict.reason))

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, signal: Signal, message: bytes | Oversized
    ) -> None:
        if isinstance(message, Oversized):
            self._answer(writer, "oversized", self._nak(self._ivoid, str(message)))
            await self._linger(reader)
        elif signal is Signal.SILENCE:
            self._answer(writer, "timeout", self._nak(self._ivoid, f"No whole event came within {self._timeout:g} s"))
        else:
            reason = f"Expected a VOEvent, got a Transport message: {signal.lower()}"
            self._answer(writer, "unexpected", self._nak(self._ivoid, reason))

    async def _event(self, reader: asyncio.StreamReader) -> tuple[Signal, bytes | Oversized]:
        """The first message, and what it is. Raises EOFError if the author goes before it is whole."""
        frames = Frames(self._size_limit)
        try:
            async with asyncio.timeout(self._timeout):
                while data := await reader.read(_PIECE):
                    if messages := frames.feed(data):
                        message = messages[0]
                        if isinstance(message, Oversized):
                            return Signal.OVERSIZED, message
                        return signal_of(role_of(message)), message
        except TimeoutError:
            return Signal.SILENCE, b""
        raise EOFError("before the event was whole")

    async def _linger(self, reader: asyncio.StreamReader) -> None:
        """Read on for a while: a connection that is closed with bytes unread is reset, and takes the answer with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                while await reader.read(_PIECE):
                    pass

    def _nak(self, origin: str, reason: str) -> Message:
        told = reason if len(reason) <= _REASON else f"{reason[:_REASON]} ..."
        return Message("nak", origin[:_REASON], self._ivoid, result=told)

    def _answer(self, writer: asyncio.StreamWriter, outcome: str, message: Message) -> None:
        self.answers[outcome] += 1
        writer.write(frame(message.encode()))
