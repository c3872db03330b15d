"""Subscribers: each event encoded once, and written to all who want it, whatever one of them does.

Nobody is waited for. What a subscriber does not read waits in a queue; the queues share the frames, so that many who
stall hold no more memory than one, and who has more than the limit waiting is cut off at once.

A subscriber who asks for `since` gets the stored events first, as fast as they are read, and goes on with new ones:
none missing, none twice. An event that came between connection and request may come again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, cast

from vo_service.errors import ServiceError, UsageError
from voevent.archive.store import StoredEvent
from voevent.packet import Packet, read_packet
from voevent.times import parse_time
from voevent.vtp.filters import Filter, read_filters
from voevent.vtp.framing import Frames, Oversized, frame
from voevent.vtp.messages import LIMIT, Message, read_message, role_of
from voevent.vtp.session import SUBSCRIBER, Action, Session, Signal, State, signal_of

Position = int | str | datetime
"""Where in the archive one is: after an event, by its number or its identifier, or at a moment (naive UTC)."""

Since = Callable[[Position], AsyncIterator[StoredEvent]]
"""The stored events from a position on, in order. Raises UsageError for an identifier that is not known."""

UNANSWERED_LIMIT: Final = 2
"""iamalive messages in a row that a subscriber may leave unanswered."""

SETTLED: Final = 2.0
"""Seconds in which a new subscriber may tell filters, before events that he has not asked for are sent again."""

REST: Final = 0.2
"""Seconds in which a subscriber is not listened to after each reading. Acknowledgements are not urgent, and to read
several at once costs as little as to read one: with a hundred subscribers they are most of a broker's work."""

FILTER_LIMIT: Final = 1.0
"""Seconds that the filters of one subscriber may take for one event. The XPath that is allowed takes less, but for the
largest events made for that purpose; who still takes longer holds up all others, once."""

SHARE: Final = 0.1
"""Of the time that there is, what one subscriber may take by talking: who costs more is listened to less often."""

NONSENSE_LIMIT: Final = 100
"""Messages of a subscriber that are none of the protocol, and requests to be configured, until he is cut off."""

AT_ONCE: Final = 50
"""Subscribers who are sent something without a pause: it takes some milliseconds."""

_HIGH_WATER: Final = 65_536
"""Bytes in a transport from which on frames wait in the queue: those are shared, transports may copy."""

log = logging.getLogger(__name__)


class Published:
    """An event on its way to all subscribers: encoded once, read once, and judged once by each different filter."""

    def __init__(self, event: StoredEvent) -> None:
        self.event_id = event.event_id
        self.ivoid = event.ivoid
        self.frame = frame(event.raw)
        self._raw = event.raw
        self._passes: dict[Filter, bool] = {}
        self.slow: set[Filter] = set()
        """Filters that took longer than FILTER_LIMIT."""

    @cached_property
    def _packet(self) -> Packet:
        return read_packet(self._raw)

    def passes(self, wanted: Filter) -> bool:
        """Whether a filter lets it pass."""
        if wanted not in self._passes:
            packet, begin = self._packet, time.perf_counter()
            self._passes[wanted] = wanted(packet)
            if time.perf_counter() - begin > FILTER_LIMIT:
                self.slow.add(wanted)
        return self._passes[wanted]


@dataclass(frozen=True, slots=True)
class SubscriberState:
    """What is to be seen of a subscriber from outside.

    Attributes
    ----------
    ivoid
        As the subscriber has introduced himself.
    sent, acknowledged
        Events.
    waiting
        Bytes that are not read.
    """

    address: str
    ivoid: str | None
    connected_at: datetime
    filters: Filter
    catching_up: bool
    sent: int
    acknowledged: int
    waiting: int


class Subscribers:
    """All subscribers of a broker.

    Parameters
    ----------
    ivoid
        The broker's.
    queue_limit
        Bytes that may wait for a subscriber.
    admits
        Whether somebody at this address may subscribe.
    limit
        Subscribers at once; half as many from one address.
    since
        The archive, for those who want to catch up; without one they are told that it cannot be done.
    """

    def __init__(
        self, ivoid: str, *, queue_limit: int, admits: Callable[[str], bool], limit: int, since: Since | None
    ) -> None:
        self.ivoid = ivoid
        self.queue_limit = queue_limit
        self.admits = admits
        self.limit = limit
        self.since = since
        self.members: set[Subscriber] = set()
        self.dropped: Counter[str] = Counter()
        """Those that were cut off, by reason."""
        self.unsent_after: int | None = None
        """When the broker stopped, the events after this one had not been sent: who connects gets them first."""
        self._resting: list[Subscriber] = []

    def are_full(self, address: str) -> bool:
        """Whether there is no room for another one from there."""
        from_there = sum(member.address == address for member in self.members)
        return len(self.members) >= self.limit or from_there >= max(1, self.limit // 2)

    def protocol(self) -> Subscriber:
        """For a new connection."""
        return Subscriber(self)

    async def broadcast(self, events: Sequence[StoredEvent]) -> None:
        """Send events to all who want them; in the order of their numbers, also from call to call."""
        published = [Published(event) for event in events]
        async for subscriber in _in_turns(self.members):
            subscriber.offer(published)

    async def keep_alive(self, interval: float) -> None:
        """Ask every so many seconds whether the subscribers live, without end."""
        while True:
            await asyncio.sleep(interval)
            message = frame(Message("iamalive", self.ivoid).encode())
            async for subscriber in _in_turns(self.members):
                subscriber.tick(message)

    def rest(self, subscriber: Subscriber, spent: float) -> None:
        """Listen to a subscriber again after a while, together with others; later, if it took so many seconds."""
        if spent > REST * SHARE:
            asyncio.get_running_loop().call_later(spent / SHARE, subscriber.listen)
            return
        if not self._resting:
            asyncio.get_running_loop().call_later(REST, self._wake)
        self._resting.append(subscriber)

    def _wake(self) -> None:
        resting, self._resting = self._resting, []
        for subscriber in resting:
            subscriber.listen()

    def close(self) -> None:
        """Cut all connections."""
        for subscriber in tuple(self.members):
            subscriber.drop("The broker stops")

    def state(self) -> list[SubscriberState]:
        """All subscribers, the oldest first."""
        return sorted((subscriber.shown() for subscriber in self.members), key=lambda state: state.connected_at)


async def _in_turns(members: set[Subscriber]) -> AsyncIterator[Subscriber]:
    """Those who are there now; between some of them others are given their turn: a thousand would hold up authors."""
    for number, subscriber in enumerate(tuple(members), start=1):
        if subscriber in members:
            yield subscriber
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


class Subscriber(asyncio.Protocol):
    """The connection with one subscriber."""

    def __init__(self, others: Subscribers) -> None:
        self._others = others
        self._session = Session(SUBSCRIBER)
        self._frames = Frames(LIMIT)
        self._transport: asyncio.Transport
        self.address = ""
        self._ivoid: str | None = None
        self._connected_at = datetime.now(UTC).replace(tzinfo=None)
        self._filter = Filter()
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._room = asyncio.Event()
        self._room.set()
        self._catching_up: asyncio.Task[None] | None = None
        self._catch_up_from: Position = 0
        self._held: list[Published] | None = None
        self._ignored_after: int | None = None
        """Before the first event that was left to catching up."""
        self._last = 0
        self._sent = self._acknowledged = self._unanswered = self._nonsense = 0
        self._written = 0
        self._read_before = -1

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if peer is None:
            # Gone before anybody could ask who it was.
            self._session.state = State.CLOSED
            self._transport.abort()
            return
        self.address = str(peer[0])
        if not self._others.admits(self.address):
            self.drop("The address is not allowed")
        elif self._others.are_full(self.address):
            self.drop("There are too many subscribers")
        else:
            self._others.members.add(self)
            self._transport.set_write_buffer_limits(high=_HIGH_WATER)
            self._send(frame(Message("authenticate", self._others.ivoid).encode()))
            if self._others.unsent_after is not None:
                self._begin_to_catch_up(self._others.unsent_after, delay=SETTLED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.state = State.CLOSED
        self._others.members.discard(self)
        self._queue.clear()
        if self._catching_up is not None:
            self._catching_up.cancel()

    def data_received(self, data: bytes) -> None:
        begin = time.perf_counter()
        self._transport.pause_reading()
        self._unanswered = 0
        for message in self._frames.feed(data):
            if self._session.state is State.CLOSED:
                return
            if isinstance(message, Oversized):
                self._act(Signal.OVERSIZED, b"")
            elif (role := role_of(message)) == "ack":
                # Changes nothing, and is most of what subscribers say: a hundred of them for each event.
                self._acknowledged += 1
            else:
                self._act(signal_of(role), message)
        self._others.rest(self, time.perf_counter() - begin)

    def pause_writing(self) -> None:
        self._paused = True
        self._room.clear()

    def resume_writing(self) -> None:
        self._paused = False
        while self._queue and not self._paused:
            waiting = self._queue.popleft()
            self._waiting -= len(waiting)
            self._written += len(waiting)
            self._transport.write(waiting)
        if not self._paused:
            self._room.set()

    # What the broker does.

    def offer(self, published: Sequence[Published]) -> None:
        """Events that were just stored."""
        if self._catching_up is None:
            self._deliver(published)
        elif self._held is None:
            self._ignored_after = self._ignored_after or published[0].event_id - 1
        else:
            self._held.extend(published)
            self._wait(sum(len(event.frame) for event in published))

    def listen(self) -> None:
        """The rest is over."""
        if self._session.state is not State.CLOSED:
            self._transport.resume_reading()

    def tick(self, iamalive: bytes) -> None:
        """Time for a sign of life."""
        read = self._written - self._transport.get_write_buffer_size()
        if self._paused and read == self._read_before:
            self.drop("Does not read")
            return
        self._read_before = read
        if self._unanswered >= UNANSWERED_LIMIT:
            self._act(Signal.SILENCE, b"")
            return
        self._unanswered += 1
        self._send(iamalive)

    def drop(self, reason: str) -> None:
        """Cut the connection; what waits is thrown away."""
        log.info("Subscriber %s is cut off: %s", self.address, reason)
        self._others.dropped[reason] += 1
        self._others.members.discard(self)
        self._session.state = State.CLOSED
        self._queue.clear()
        self._waiting = 0
        self._transport.abort()

    def shown(self) -> SubscriberState:
        """What is to be seen from outside."""
        return SubscriberState(
            address=self.address,
            ivoid=self._ivoid,
            connected_at=self._connected_at,
            filters=self._filter,
            catching_up=self._catching_up is not None,
            sent=self._sent,
            acknowledged=self._acknowledged,
            waiting=self._waiting + self._transport.get_write_buffer_size(),
        )

    # What follows from the table.

    def _act(self, signal: Signal, message: bytes) -> None:
        self._nonsense += signal in (Signal.EVENT, Signal.AUTHENTICATE)
        if self._nonsense > NONSENSE_LIMIT:
            self.drop("Talks nonsense")
            return
        match self._session.on(signal):
            case Action.CONFIGURE:
                self._configure(message)
            case Action.DROP:
                self.drop(_DROPPED[signal])
            case _:
                pass

    def _configure(self, raw: bytes) -> None:
        message = read_message(raw)
        if message is None:
            return
        self._ivoid = message.response or message.origin
        self._filter, faults = read_filters(message.params)
        try:
            since = _since(message.params)
            if since is not None:
                self._begin_to_catch_up(since)
        except UsageError as error:
            faults.append(error.message)
        if faults:
            self._refuse(message.origin, "; ".join(faults))

    def _refuse(self, origin: str, reason: str) -> None:
        log.info("Subscriber %s asks for what cannot be done: %s", self.address, reason)
        self._send(frame(Message("nak", origin, self._others.ivoid, result=reason).encode()))

    def _begin_to_catch_up(self, since: Position, delay: float = 0.0) -> None:
        archive = self._others.since
        if archive is None:
            raise UsageError("This broker has no archive to catch up from")
        self._catch_up_from = since
        if self._catching_up is None:
            self._last = 0
            self._catching_up = asyncio.create_task(self._catch_up(archive, delay))

    async def _catch_up(self, archive: Since, delay: float) -> None:
        await asyncio.sleep(delay)
        position = self._catch_up_from
        try:
            position = await self._replay(archive, position)
            # What comes from here on is held; what came before is found by the second look.
            self._held = []
            await self._replay(archive, position)
        except UsageError as error:
            self._refuse(self._others.ivoid, error.message)
            self._held = []
            if self._ignored_after is not None:
                await self._replay(archive, self._ignored_after)
        except ServiceError as error:
            log.warning("Subscriber %s cannot catch up: %s", self.address, error.message)
            self.drop("The archive failed")
            return
        held, self._held, self._catching_up = self._held, None, None
        self._waiting -= sum(len(published.frame) for published in held)
        self._deliver(held)

    async def _replay(self, archive: Since, position: Position) -> Position:
        async for event in archive(position):
            await self._room.wait()
            await asyncio.sleep(0)  # filters of many events take a while
            position = event.event_id
            self._deliver([Published(event)])
        return position

    def _deliver(self, published: Sequence[Published]) -> None:
        new = [event for event in published if event.event_id > self._last]
        if not new:
            return
        self._last = new[-1].event_id
        wanted = [event.frame for event in new if not self._filter or self._wants(event)]
        self._sent += len(wanted)
        self._send(*wanted)

    def _wants(self, published: Published) -> bool:
        passes = published.passes(self._filter)
        if self._filter in published.slow:
            self.drop("The filters take too long")
        return passes

    def _send(self, *frames: bytes) -> None:
        """Send some frames; those that go together cost as little as one."""
        if self._session.state is State.CLOSED:
            return
        if self._paused:
            self._queue.extend(frames)
            self._wait(sum(len(frame) for frame in frames))
        else:
            self._written += sum(len(frame) for frame in frames)
            self._transport.writelines(frames)

    def _wait(self, length: int) -> None:
        """So many bytes more are waiting."""
        self._waiting += length
        if self._waiting > self._others.queue_limit:
            self.drop("Does not read")


_DROPPED: Final = {
    Signal.NAK: "Has sent a nak",
    Signal.OVERSIZED: "Has sent a message that is too long",
    Signal.SILENCE: "Does not answer iamalive",
}


def _since(params: tuple[tuple[str, str], ...]) -> Position | None:
    written = next((value.strip() for name, value in params if name == "since"), None)
    if written is None:
        return None
    if written.isdecimal() and len(written) <= 18:
        return int(written)
    if written.startswith("ivo://"):
        return written
    try:
        return parse_time(written, "UTC")
    except ValueError as error:
        raise UsageError(f"since: expected the identifier or number of an event, or a time: {error}") from None
