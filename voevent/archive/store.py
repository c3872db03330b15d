"""Alerts in the database: stored once, each whole or not at all, and read again in the order of their storage.

The order matters: sinks remember the last event that they have delivered, and ask for those after it. Numbers of events
are therefore given out under a lock that is held until the commit: a number that can be seen has no lower one to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

import psycopg

from vo_service.database.access import Access
from vo_service.database.failures import UNREACHABLE
from vo_service.database.waiting_pool import WaitingPool
from vo_service.errors import UnavailableError
from voevent.archive.insertion import INSERT, Arrival, insert_values

CHANNEL = "vo_alert"
"""Channel of notifications; their payload is the number of an event that was stored."""

NEWEST_BEFORE = (
    "SELECT event_id FROM alerts.voevent WHERE stored_at < %s ORDER BY stored_at DESC, event_id DESC LIMIT 1"
)
"""The newest event that was stored before a moment: numbers and times of storage grow together."""

TOGETHER = 200
"""Packets of one transaction at most."""

BYTES_TOGETHER = 1_048_576
"""Bytes of packets that are read at once or stored in one transaction, and one packet more: each subscriber who catches
up holds so much."""

_NEXT = f"""
    SELECT event_id, ivoid, "role", raw FROM (
        SELECT *, sum(octet_length(raw)) OVER (ORDER BY event_id) - octet_length(raw) AS before
        FROM (
            SELECT event_id, ivoid, "role", raw FROM alerts.voevent WHERE event_id > %s ORDER BY event_id LIMIT %s
        ) next
    ) measured
    WHERE before < {BYTES_TOGETHER} ORDER BY event_id""".encode()  # noqa: S608 (our own words)

REST = 0.01
"""Seconds between two transactions: what comes meanwhile goes together, and costs much less. After a longer pause
nothing waits."""

Stage = Literal["acknowledged", "sent", "matched"]
"""What an event comes through after its storage; the archive has the time of each (`acknowledged_at` ...)."""

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a packet.

    Attributes
    ----------
    status
        stored; duplicate (these very bytes are known); conflict (others are known under this identifier).
    event_id
        Number of the event that is stored under the packet's identifier.
    """

    status: Literal["stored", "duplicate", "conflict"]
    event_id: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as sinks need it."""

    event_id: int
    ivoid: str
    role: str
    raw: bytes


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Somebody who waits for a packet to be stored."""

    arrival: Arrival
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def tell(self, outcome: Outcome | Exception) -> None:
        """What became of it, if it is still awaited."""
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class AlertStore:
    """The tables of alerts, as the writer; open inside `async with`."""

    def __init__(self, access: Access, *, size: int = 4) -> None:
        self._pool: WaitingPool[_Connection] = WaitingPool(
            access.writer.conninfo,
            name="alerts",
            min_size=1,
            max_size=size,
            open=False,
            kwargs={"autocommit": True},
        )
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._pool.close()

    async def store(self, arrival: Arrival) -> Outcome:
        """Keep a packet. A conflict is kept apart, for the operator.

        Packets that come while others are being stored share the next transaction: to bring one to the disk is what
        takes the time.

        Raises UnavailableError if the database is away; then nothing is stored.
        """
        waiting = _Waiting(arrival)
        self._waiting.append(waiting)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_all())
        return await waiting.outcome

    async def _store_all(self) -> None:
        while self._waiting:
            group, self._waiting = _group(self._waiting)
            await self._store_group(group)
            await asyncio.sleep(REST)

    async def _store_group(self, group: Sequence[_Waiting]) -> None:
        """Store some packets; if they cannot be stored together, one by one, so that one does not harm the others."""
        try:
            outcomes = await self._store_together([waiting.arrival for waiting in group])
        except Exception as error:  # who waits for the packet is told
            if len(group) == 1 or isinstance(error, UnavailableError):
                for waiting in group:
                    waiting.tell(error)
                return
            for waiting in group:
                await self._store_group([waiting])
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.tell(outcome)

    async def _store_together(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Store packets of different identifiers in one transaction, and find out about those that are known."""
        async with self._connection() as connection:
            cursor = await connection.execute(INSERT, insert_values(arrivals, CHANNEL))
            numbers = [number for (number,) in await cursor.fetchall()]
            return [
                await _known(connection, arrival) if number is None else Outcome("stored", number)
                for arrival, number in zip(arrivals, numbers, strict=True)
            ]

    async def stamp(self, times: Mapping[Stage, Mapping[int, datetime]]) -> None:
        """Note when events came through stages (acknowledged, sent, matched), unless it was noted before."""
        numbers = sorted({number for stage in times.values() for number in stage})
        columns = [f"{stage}_at" for stage in times]
        news = ", ".join(f"{column} = coalesce(e.{column}, given.{column})" for column in columns)
        arrays = ", ".join(["%s::bigint[]"] + ["%s::timestamp[]"] * len(columns))
        query = (
            f"UPDATE alerts.voevent e SET {news} FROM unnest({arrays}) AS given (event_id, {', '.join(columns)})"  # noqa: S608 (our own words)
            " WHERE e.event_id = given.event_id"
        )
        async with self._connection() as connection, connection.transaction():
            # A time that a crash takes is no loss.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                query.encode(), [numbers, *([stage.get(n) for n in numbers] for stage in times.values())]
            )

    async def after(self, event_id: int, limit: int = 100) -> Sequence[StoredEvent]:
        """The events that were stored after one, in order: the next ones, not all. None if there are none."""
        async with self._connection() as connection:
            cursor = await connection.execute(_NEXT, (event_id, limit), binary=True)
            return [StoredEvent(*row) for row in await cursor.fetchall()]

    async def last(self) -> int:
        """Number of the newest event; 0 if there is none."""
        async with self._connection() as connection:
            row = await _row(connection, "SELECT coalesce(max(event_id), 0) FROM alerts.voevent")
        return int(row[0]) if row else 0

    async def before(self, moment: datetime) -> int:
        """Number of the last event that was stored before a moment (UTC); 0 if there is none."""
        async with self._connection() as connection:
            row = await _row(connection, NEWEST_BEFORE, moment)
        return int(row[0]) if row else 0

    async def number_of(self, ivoid: str) -> int | None:
        """Number of the event of this identifier; None if there is none."""
        async with self._connection() as connection:
            row = await _row(connection, "SELECT event_id FROM alerts.voevent WHERE ivoid = %s", ivoid)
        return int(row[0]) if row else None

    async def last_of(self, source: str) -> str | None:
        """Identifier of the newest event that was received from a source; None if there is none."""
        async with self._connection() as connection:
            row = await _row(
                connection,
                "SELECT ivoid FROM alerts.voevent WHERE received_from = %s ORDER BY event_id DESC LIMIT 1",
                source,
            )
        return str(row[0]) if row else None

    async def position(self, sink: str, begin: int | None = None) -> int:
        """The last event that a sink has; one that is new begins after `begin`, else after the newest event."""
        async with self._connection() as connection:
            row = await _row(
                connection,
                "INSERT INTO vo_service.alert_sink AS s (name, last_event)"
                " VALUES (%s, coalesce(%s::bigint, (SELECT max(event_id) FROM alerts.voevent), 0))"
                " ON CONFLICT (name) DO UPDATE SET name = s.name RETURNING last_event",
                sink,
                begin,
            )
        return int(row[0]) if row else 0

    async def advance(self, sink: str, event_id: int) -> None:
        """A sink has all events up to this one."""
        await self._execute(
            "UPDATE vo_service.alert_sink SET last_event = %s, updated_at = now(), failures = 0, last_error = NULL"
            " WHERE name = %s AND last_event < %s",
            (event_id, sink, event_id),
        )

    async def failed(self, sink: str, message: str) -> None:
        """A sink could not deliver; it tries again."""
        await self._execute(
            "UPDATE vo_service.alert_sink SET failures = failures + 1, last_error = %s, updated_at = now()"
            " WHERE name = %s",
            (message, sink),
        )

    async def undelivered(self, sink: str, event_id: int, reason: str) -> None:
        """A sink does not get an event, for a reason that is kept; it has all others up to this one."""
        await self._execute(
            "WITH noted AS ("
            " INSERT INTO vo_service.alert_undelivered (sink, event_id, reason)"
            " VALUES (%(sink)s, %(event)s, %(reason)s)"
            " ON CONFLICT (sink, event_id) DO UPDATE SET reason = excluded.reason, at = excluded.at)"
            " UPDATE vo_service.alert_sink"
            " SET last_event = %(event)s, updated_at = now(), failures = 0, last_error = NULL"
            " WHERE name = %(sink)s AND last_event < %(event)s",
            {"sink": sink, "event": event_id, "reason": reason},
        )

    async def _execute(self, query: str, values: Sequence[object] | Mapping[str, object]) -> None:
        async with self._connection() as connection:
            await connection.execute(query.encode(), values)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.errors.ProgramLimitExceeded:
            # Too much for the server, and so it will be the next time.
            raise
        except psycopg.OperationalError:
            raise UnavailableError(UNREACHABLE) from None


async def _row(connection: _Connection, query: str, *values: object) -> tuple[Any, ...] | None:
    return await (await connection.execute(query.encode(), values)).fetchone()


def _group(waiting: list[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """Those to be stored next, and the others. One statement cannot store two packets of one identifier."""
    group: dict[str, _Waiting] = {}
    others = []
    size = 0
    for one in waiting:
        ivoid = one.arrival.packet.ivoid
        if len(group) < TOGETHER and size < BYTES_TOGETHER and ivoid not in group:
            group[ivoid] = one
            size += len(one.arrival.packet.raw)
        else:
            others.append(one)
    return list(group.values()), others


async def _known(connection: _Connection, arrival: Arrival) -> Outcome:
    """What becomes of a packet under whose identifier an event is known."""
    row = await _row(connection, "SELECT event_id, digest FROM alerts.voevent WHERE ivoid = %s", arrival.packet.ivoid)
    if row is None:
        raise UnavailableError("The event was not stored")
    event_id, digest = row
    if digest == arrival.digest:
        return Outcome("duplicate", event_id)
    await connection.execute(
        "INSERT INTO vo_service.alert_conflict (ivoid, raw, received_from, sender, received_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (arrival.packet.ivoid, arrival.packet.raw, arrival.received_from, arrival.sender, arrival.received_at),
    )
    return Outcome("conflict", event_id)
