"""What processes tell of themselves, through the database: whoever serves HTTP need not be who runs the broker.

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(report_broker(access, broker, sources))

A state that is not renewed is shown as stale: its process has ended, hangs, or does not reach the database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import psycopg
from psycopg.types.json import Jsonb

from vo_service import __version__
from vo_service.database.access import Access
from vo_service.database.pools import AsyncConnection
from voevent.operations.latency import Tally
from voevent.vtp.server import Broker, BrokerState
from voevent.vtp.subscribers import SubscriberState

INTERVAL: Final = 2.0
"""Seconds between two reports."""

STALE: Final = timedelta(seconds=10)
"""Age from which on a report says nothing of the present."""

LISTED: Final = 100
"""Subscribers that are told of one by one at most: those for whom most bytes wait."""

BROKER: Final = "broker"
"""Name under which the broker reports."""

log = logging.getLogger(__name__)


class StatesOfSources(Protocol):
    """Whoever runs the sources: `voevent.sources.running.Sources`."""

    def state(self) -> Sequence[Any]:
        """A dataclass for each source: name, kind, connected, lag, counts, last_error."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The last report of a process.

    Attributes
    ----------
    age
        Time since the report, by the clock of the database.
    """

    name: str
    state: Mapping[str, Any]
    age: timedelta

    @property
    def stale(self) -> bool:
        """Whether it says nothing of the present."""
        return self.age > STALE


async def report_broker(access: Access, broker: Broker, sources: StatesOfSources | None = None) -> None:
    """Report the state of the broker and of the sources beside it, without end."""
    tally = Tally()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tally.follow(access))
        tasks.create_task(report_state(access, BROKER, lambda: broker_snapshot(broker, sources) | tally.as_json()))


async def report_state(
    access: Access, name: str, snapshot: Callable[[], dict[str, Any]], interval: float = INTERVAL
) -> None:
    """Write what `snapshot` gives (values that JSON can hold) every so many seconds, without end.

    While the database is away nothing is written, and nothing is kept for later.
    """
    process = {
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "version": __version__,
    }
    away = False
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(access.writer.conninfo, autocommit=True) as connection:
                # A report that a crash takes would have been replaced by the next.
                await connection.execute("SET synchronous_commit = off")
                away = False
                while True:
                    await _write(connection, name, process | snapshot())
                    await asyncio.sleep(interval)
        except Exception as error:  # what only tells of a process must not end it
            if not away:
                known = isinstance(error, psycopg.OperationalError)
                log.warning("The state of %s cannot be reported: %s", name, error, exc_info=not known)
            away = True
            await asyncio.sleep(interval)


async def _write(connection: AsyncConnection, name: str, state: Mapping[str, Any]) -> None:
    await connection.execute(
        "INSERT INTO vo_service.alert_process (name, state) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET state = excluded.state, updated_at = now()",
        (name, Jsonb(state)),
    )


async def read_states(connection: AsyncConnection) -> list[ProcessState]:
    """The last report of every process, by name; the connection is the writer's."""
    cursor = await connection.execute(
        "SELECT name, state, clock_timestamp() - updated_at FROM vo_service.alert_process ORDER BY name"
    )
    return [ProcessState(*row) for row in await cursor.fetchall()]


def broker_snapshot(broker: Broker, sources: StatesOfSources | None = None) -> dict[str, Any]:
    """What is to be seen of a broker and of the sources beside it, as JSON."""
    return _as_json(broker.state()) | {
        "author_port": broker.author_port,
        "subscriber_port": broker.subscriber_port,
        "sources": [asdict(source) for source in (sources.state() if sources else ())],
    }


def _as_json(state: BrokerState) -> dict[str, Any]:
    slowest = sorted(state.subscribers, key=lambda subscriber: -subscriber.waiting)
    return {
        "authors": state.authors,
        "answers": state.answers,
        "subscriber_count": len(slowest),
        "waiting_bytes": sum(subscriber.waiting for subscriber in slowest),
        "slowest_bytes": slowest[0].waiting if slowest else 0,
        "subscribers": [_subscriber(subscriber) for subscriber in slowest[:LISTED]],
        "dropped": state.dropped,
        "upstreams": [asdict(upstream) for upstream in state.upstreams],
    }


def _subscriber(state: SubscriberState) -> dict[str, Any]:
    return {
        "address": state.address,
        "ivoid": state.ivoid,
        "connected_at": state.connected_at.isoformat(timespec="seconds"),
        "filters": [*state.filters.alternatives, *(": ".join(pair) for pair in state.filters.conditions)],
        "catching_up": state.catching_up,
        "sent": state.sent,
        "acknowledged": state.acknowledged,
        "waiting": state.waiting,
    }
