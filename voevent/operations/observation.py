"""What is to be seen of alerts at one moment: from reports of processes, and from the tables of sinks and events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from vo_service.database.pools import AsyncConnection, Database
from voevent.operations.latency import STAGES
from voevent.operations.state import BROKER, ProcessState, read_states

KEPT: Final = 2.0
"""Seconds for which an observation serves all who ask."""

RECENT: Final = 2_000
"""Events of which the quantiles tell: the newest of the last hour."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """How far a sink is.

    Attributes
    ----------
    behind
        The number of the newest event less that of the last which the sink has: events that wait, or a little more,
        since numbers of refused events are missing.
    failures
        Attempts since the last delivery.
    """

    name: str
    behind: int
    failures: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long a stage took for the newest events of the last hour, in seconds; None if none of them came so far."""

    stage: str
    count: int
    p50: float | None
    p90: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is to be seen.

    Attributes
    ----------
    newest
        Number of the newest event.
    conflicts
        Packets that were refused because others are known under their identifiers, ever.
    """

    moment: datetime
    processes: Sequence[ProcessState]
    sinks: Sequence[SinkState]
    newest: int
    conflicts: int
    quantiles: Sequence[Quantiles]

    @property
    def broker(self) -> Mapping[str, Any]:
        """What the broker tells of the present; nothing if it does not."""
        return next((p.state for p in self.processes if p.name == BROKER and not p.stale), {})


class Observer:
    """Looks at most every two seconds, however many ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = asyncio.Lock()
        self._seen: Observation | None = None
        self._until = 0.0

    async def look(self) -> Observation:
        """What is to be seen now, or was a moment ago. Raises UnavailableError."""
        async with self._looking:
            if self._seen is None or time.monotonic() > self._until:
                async with self._database.writer() as connection:
                    self._seen = await _observe(connection)
                self._until = time.monotonic() + KEPT
            return self._seen


async def _observe(connection: AsyncConnection) -> Observation:
    newest, conflicts = await _row(
        connection,
        "SELECT (SELECT coalesce(max(event_id), 0) FROM alerts.voevent),"
        " (SELECT count(*) FROM vo_service.alert_conflict)",
    )
    sinks = await connection.execute(
        "SELECT name, greatest(%s - last_event, 0), failures, last_error FROM vo_service.alert_sink ORDER BY name",
        (newest,),
    )
    return Observation(
        moment=datetime.now(UTC),
        processes=await read_states(connection),
        sinks=[SinkState(*row) for row in await sinks.fetchall()],
        newest=newest,
        conflicts=conflicts,
        quantiles=await _quantiles(connection, newest),
    )


async def _quantiles(connection: AsyncConnection, newest: int) -> list[Quantiles]:
    columns = ", ".join(
        f"count({duration}), percentile_cont(array[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY"
        f" extract(epoch FROM {duration})::float8)"
        for duration in STAGES.values()
    )
    row = await _row(
        connection,
        f"SELECT {columns} FROM alerts.voevent WHERE event_id > %s"  # noqa: S608 (our own words)
        " AND stored_at > (now() - interval '1 hour') AT TIME ZONE 'UTC'",
        newest - RECENT,
    )
    pairs = zip(row[::2], row[1::2], strict=True)
    return [
        Quantiles(stage, count, *(quantiles or (None, None, None)))
        for stage, (count, quantiles) in zip(STAGES, pairs, strict=True)
    ]


async def _row(connection: AsyncConnection, query: str, *values: object) -> tuple[Any, ...]:
    row = await (await connection.execute(query.encode(), values or None)).fetchone()
    return row or ()
