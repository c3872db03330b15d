"""The stored events for any number of readers at once, each from where it is.

The newest are held in memory, shared by all: whoever keeps up costs the database nothing of its own, and an event is
converted and judged by each different filter once. Whoever is behind reads from the archive, at its own pace; nothing
waits for a reader, and nothing is kept for one.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from vo_service.database.pools import Database
from voevent.archive.reading import last_before
from voevent.archive.store import AlertStore, StoredEvent
from voevent.packet import read_packet
from voevent.pages.fields import alert_fields
from voevent.publish.news import News
from voevent.vtp.filters import Filter

KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which a reader is told that there is nothing new."""

HELD_BYTES: Final = 33_554_432
"""Bytes of events that are held."""

OPINIONS: Final = 64
"""Filters whose opinion of an event is kept: more different ones than that are rare, and judge anew."""


class Offered:
    """An event on its way to readers: what they get of it is made once, when the first asks for it."""

    def __init__(self, event: StoredEvent) -> None:
        self.event_id = event.event_id
        self.size = 4 * len(event.raw)
        """Bytes that it takes at most, about: the packet, and as text in JSON beside the alert."""
        self._event = event
        self._made: dict[Filter | None, asyncio.Task[Any]] = {}

    async def message(self) -> str:
        """The JSON that readers get: the alert in our own, and the packet."""
        text: str = await self._once(None, partial(_message, self._event))
        return text

    async def passes(self, wanted: Filter) -> bool:
        """Whether a filter lets it pass."""
        if not wanted:
            return True
        judge = partial(_passes, self._event, wanted)
        return bool(await (self._once(wanted, judge) if len(self._made) < OPINIONS else asyncio.to_thread(judge)))

    def _once(self, what: Filter | None, make: Callable[[], Any]) -> asyncio.Future[Any]:
        """Made in a thread; a reader who leaves meanwhile takes it from no other."""
        if what not in self._made:
            self._made[what] = asyncio.create_task(asyncio.to_thread(make))
        return asyncio.shield(self._made[what])


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reader wants: events after one, up to before a moment (naive UTC; None for all that come), filtered."""

    after: int
    until: datetime | None
    wanted: Filter


class Feed:
    """Events for readers; the newest of them are held: all whose numbers are above `_begin`, up to `_end`."""

    def __init__(self, database: Database, store: AlertStore, news: News) -> None:
        self._database = database
        self._store = store
        self._news = news
        self._held: deque[Offered] = deque()
        self._begin = self._end = self._bytes = 0
        self._settled: asyncio.Event | None = None
        self._reading = asyncio.Lock()

    async def last(self) -> int:
        """Number of the newest event; 0 if there is none."""
        return await self._store.last()

    async def events(self, wish: Wish) -> AsyncIterator[Offered | None]:
        """The events of a wish in order, and None from time to time if there are none."""
        after, last = wish.after, None
        while True:
            if wish.until is not None and last is None and wish.until <= _now():
                last = await last_before(self._database, wish.until)
            changed = self._news.next()
            found = deque(await self._after(after))
            is_all = not found
            while found:
                offered = found.popleft()
                if last is not None and offered.event_id > last:
                    return
                after = offered.event_id
                if await offered.passes(wish.wanted):
                    yield offered
            if is_all and last is not None:
                return
            if is_all and not await _set_in(changed, wish.until):
                yield None

    async def _after(self, number: int) -> Sequence[Offered]:
        """The next events after one; none only if there is none."""
        if number < self._begin:
            return await self._read(number)
        async with self._reading:
            if number > self._end:
                self._forget(number)
            news = self._news.next()
            if number == self._end and self._settled is not news:
                found = await self._read(number)
                self._hold(found)
                self._settled = None if found else news
                return found
        return self._newer(number) if number >= self._begin else await self._read(number)

    async def _read(self, number: int) -> list[Offered]:
        return [Offered(event) for event in await self._store.after(number)]

    def _newer(self, number: int) -> list[Offered]:
        newer = []
        for offered in reversed(self._held):
            if offered.event_id <= number:
                break
            newer.append(offered)
        return newer[::-1]

    def _hold(self, found: Iterable[Offered]) -> None:
        for offered in found:
            self._held.append(offered)
            self._end = offered.event_id
            self._bytes += offered.size
        while self._bytes > HELD_BYTES:
            oldest = self._held.popleft()
            self._begin = oldest.event_id
            self._bytes -= oldest.size

    def _forget(self, number: int) -> None:
        """Nobody has read for a while: begin anew with what comes after an event."""
        self._held.clear()
        self._begin = self._end = number
        self._bytes = 0
        self._settled = None


def _message(event: StoredEvent) -> str:
    told: dict[str, Any] = {"event_id": event.event_id, "ivoid": event.ivoid, "role": event.role}
    told |= alert_fields(read_packet(event.raw))
    return json.dumps(told | {"voevent": event.raw.decode("utf-8", "replace")})


def _passes(event: StoredEvent, wanted: Filter) -> bool:
    return wanted(read_packet(event.raw))


async def _set_in(changed: asyncio.Event, until: datetime | None) -> bool:
    """Whether there was news before it was time for a sign of life, or for the end."""
    left = KEEP_ALIVE if until is None else (until - _now()).total_seconds()
    try:
        async with asyncio.timeout(max(0.0, min(KEEP_ALIVE, left))):
            await changed.wait()
    except TimeoutError:
        return False
    return True


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
