"""How long alerts take, counted in the process of the broker: a scrape of metrics must not read the archive.

The archive has the time of each stage of each event. They are read once, soon after they are written, in the order of
the events; an event that has not come through all stages is looked at again for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vo_service.database.access import Access
from vo_service.database.pools import AsyncConnection

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the bins of a histogram, in seconds; the last bin has none."""

INTERVAL: Final = 2.0
"""Seconds between two looks at the archive."""

LONGEST_PAUSE: Final = 300.0
"""Seconds between the last two looks at an event; it is looked at again with doubled pauses. Not all come through all
stages: what no author sent by VTP or HTTP is not acknowledged, and without rules nothing is matched."""

WAITING_LIMIT: Final = 5_000
"""Events that are looked at again at most: the newest."""

TOGETHER: Final = 5_000
"""Events of one look at most."""

STAGES: Final[Mapping[str, str]] = {
    "stored": "stored_at - received_at",
    "acknowledged": "acknowledged_at - stored_at",
    "sent": "sent_at - stored_at",
    "matched": "matched_at - stored_at",
}
"""Each stage, and the time that it takes: storage since the arrival, all others since the storage."""

_COLUMNS: Final = ", ".join(f"extract(epoch FROM {duration})::float8" for duration in STAGES.values())

log = logging.getLogger(__name__)


class Histogram:
    """Durations in bins."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one; clocks of two machines may give less than nothing."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += max(seconds, 0.0)

    def as_json(self) -> dict[str, Any]:
        """As processes report it."""
        return {"counts": self.counts, "sum": self.sum}


@dataclass(slots=True)
class _Waiting:
    """An event that has not come through all stages."""

    missing: set[str]
    pause: float
    again: float


class Tally:
    """The events since the start of this process: how many came from where, and how long each stage took."""

    def __init__(self) -> None:
        self.latencies = {stage: Histogram() for stage in STAGES}
        self.events: Counter[tuple[str, str]] = Counter()
        """By role and kind of source."""
        self._waiting: dict[int, _Waiting] = {}
        self._last = -1

    def as_json(self) -> dict[str, Any]:
        """As the process reports it."""
        return {
            "latencies": {stage: histogram.as_json() for stage, histogram in self.latencies.items()},
            "events": [{"role": role, "source": source, "count": n} for (role, source), n in self.events.items()],
        }

    async def follow(self, access: Access) -> None:
        """Count events as they are stored, without end; those before the first look are not counted."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(access.writer.conninfo, autocommit=True) as connection:
                    if self._last < 0:
                        self._last = await _newest(connection)
                    while True:
                        await self._look(connection)
                        await asyncio.sleep(INTERVAL)
            except psycopg.Error as error:
                log.info("Latencies are not counted: %s", error)
                await asyncio.sleep(INTERVAL)

    async def _look(self, connection: AsyncConnection) -> None:
        now = time.monotonic()
        due = [number for number, waiting in self._waiting.items() if waiting.again <= now]
        for number, _, _, *durations in await _rows(connection, "event_id = ANY(%s)", due) if due else ():
            self._count(number, durations, self._waiting.pop(number), now)
        rows: Sequence[Sequence[Any]] = [()]
        while rows:
            rows = await _rows(connection, f"event_id > %s ORDER BY event_id LIMIT {TOGETHER}", self._last)
            for number, role, source, *durations in rows:
                self.events[role, source] += 1
                self._count(number, durations, _Waiting(set(STAGES), INTERVAL / 2, now), now)
                self._last = number
        self._forget()

    def _count(self, number: int, durations: Iterable[float | None], waiting: _Waiting, now: float) -> None:
        for stage, duration in zip(STAGES, durations, strict=True):
            if stage in waiting.missing and duration is not None:
                self.latencies[stage].add(duration)
                waiting.missing.discard(stage)
        pause = 2 * waiting.pause
        if waiting.missing and pause <= LONGEST_PAUSE:
            self._waiting[number] = _Waiting(waiting.missing, pause, now + pause)

    def _forget(self) -> None:
        for number in sorted(self._waiting)[:-WAITING_LIMIT]:
            del self._waiting[number]


async def _newest(connection: AsyncConnection) -> int:
    row = await (await connection.execute("SELECT coalesce(max(event_id), 0) FROM alerts.voevent")).fetchone()
    return int(row[0]) if row else 0


async def _rows(connection: AsyncConnection, condition: str, value: object) -> Sequence[Sequence[Any]]:
    query = f'SELECT event_id, "role", received_from, {_COLUMNS} FROM alerts.voevent WHERE {condition}'  # noqa: S608 (our own words)
    return await (await connection.execute(query.encode(), (value,))).fetchall()
