"""Alerts in the database: stored once, each whole or not at all, and read again in the order of their storage.

The order matters: sinks remember the last event that they have delivered, and ask for those after it. Numbers of events
are therefore given out under a lock that is held until the commit: a number that can be seen has no lower one to come.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, Self

import psycopg
from psycopg_pool import AsyncConnectionPool

from vo_service.database.access import Access
from vo_service.database.failures import UNREACHABLE
from vo_service.errors import UnavailableError
from vo_service.sky.healpix import hpx
from voevent.archive.quantities import false_alarm_rate
from voevent.packet import Packet

CHANNEL = "vo_alert"
"""Channel of notifications; their payload is the number of an event that was stored."""

_ORDER_LOCK = 0x564F414C
"""Key of the advisory lock under which numbers of events are given out."""

TOGETHER = 200
"""Packets of one transaction at most."""

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
class Original:
    """What came, where that was no VOEvent: its bytes are kept for ever beside the packet that was made of it.

    Attributes
    ----------
    media_type
        Such as application/json or application/avro.
    """

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as sinks need it."""

    event_id: int
    ivoid: str
    role: str
    raw: bytes


@dataclass(eq=False)
class _Arrival:
    """A packet that waits to be stored."""

    packet: Packet
    original: Original | None
    received_from: str
    received_at: datetime
    warning: str | None
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @cached_property
    def digest(self) -> bytes:
        """Of the bytes that came: what is converted twice need not give the same packet twice."""
        return hashlib.sha256(self.packet.raw if self.original is None else self.original.data).digest()

    def answer(self, outcome: Outcome | Exception) -> None:
        """Tell who waits, if it still does."""
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class AlertStore:
    """The tables of alerts, as the writer; open inside `async with`."""

    def __init__(self, access: Access, *, size: int = 4) -> None:
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            access.writer.conninfo, name="alerts", min_size=1, max_size=size, open=False
        )
        self._arrivals: list[_Arrival] = []
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

    async def store(
        self,
        packet: Packet,
        *,
        received_from: str,
        received_at: datetime,
        warning: str | None = None,
        original: Original | None = None,
    ) -> Outcome:
        """Keep a packet. A conflict is kept apart, for the operator.

        Packets that come while others are being stored share the next transaction: to bring one to the disk is what
        takes the time.

        Raises UnavailableError if the database is away; then nothing is stored.
        """
        arrival = _Arrival(packet, original, received_from, received_at, warning)
        self._arrivals.append(arrival)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_all())
        return await arrival.outcome

    async def _store_all(self) -> None:
        while self._arrivals:
            together, self._arrivals = self._arrivals[:TOGETHER], self._arrivals[TOGETHER:]
            await self._store_group(together)

    async def _store_group(self, arrivals: Sequence[_Arrival]) -> None:
        """Store some packets; if they cannot be stored together, one by one, so that one does not harm the others."""
        try:
            outcomes = await self._store_together(arrivals)
        except Exception as error:  # who waits for the packet is told
            if len(arrivals) == 1:
                arrivals[0].answer(error)
                return
            for arrival in arrivals:
                await self._store_group([arrival])
            return
        for arrival, outcome in zip(arrivals, outcomes, strict=True):
            arrival.answer(outcome)

    async def _store_together(self, arrivals: Sequence[_Arrival]) -> list[Outcome]:
        async with self._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ORDER_LOCK,))
            return [await _store(connection, arrival) for arrival in arrivals]

    async def stamp(self, event_id: int, stage: Literal["acknowledged", "matched"]) -> None:
        """Note that an event has come so far."""
        column = {"acknowledged": "acknowledged_at", "matched": "matched_at"}[stage]
        async with self._transaction() as connection:
            # A time that a crash takes is no loss.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                f"UPDATE alerts.voevent SET {column} = clock_timestamp() AT TIME ZONE 'UTC'"  # noqa: S608 (our own words)
                f" WHERE event_id = %s AND {column} IS NULL".encode(),
                (event_id,),
            )

    async def after(self, event_id: int, limit: int = 100) -> Sequence[StoredEvent]:
        """The events that were stored after one, in order."""
        return await self._events("event_id > %s", event_id, limit)

    async def since(self, moment: datetime, limit: int = 100) -> Sequence[StoredEvent]:
        """The events that were stored from a moment (UTC) on, in order."""
        return await self._events("stored_at >= %s", moment, limit)

    async def raw(self, ivoid: str) -> bytes | None:
        """The bytes of a packet; None if there is none of this identifier."""
        async with self._transaction() as connection:
            row = await _row(connection, "SELECT raw FROM alerts.voevent WHERE ivoid = %s", ivoid)
        return bytes(row[0]) if row else None

    async def last(self) -> int:
        """Number of the newest event; 0 if there is none."""
        async with self._transaction() as connection:
            row = await _row(connection, "SELECT coalesce(max(event_id), 0) FROM alerts.voevent")
        return int(row[0]) if row else 0

    async def position(self, sink: str) -> int:
        """The last event that a sink has; a sink that is new begins after the newest event."""
        async with self._transaction() as connection:
            row = await _row(
                connection,
                "INSERT INTO vo_service.alert_sink AS s (name, last_event)"
                " VALUES (%s, (SELECT coalesce(max(event_id), 0) FROM alerts.voevent))"
                " ON CONFLICT (name) DO UPDATE SET name = s.name RETURNING last_event",
                sink,
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

    async def _events(self, condition: str, value: object, limit: int) -> Sequence[StoredEvent]:
        query = (
            f'SELECT event_id, ivoid, "role", raw FROM alerts.voevent WHERE {condition}'  # noqa: S608 (our own words)
            " ORDER BY event_id LIMIT %s"
        )
        async with self._transaction() as connection:
            cursor = await connection.execute(query.encode(), (value, limit))
            return [StoredEvent(*row) for row in await cursor.fetchall()]

    async def _execute(self, query: str, values: Sequence[object]) -> None:
        async with self._transaction() as connection:
            await connection.execute(query.encode(), values)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.OperationalError:
            raise UnavailableError(UNREACHABLE) from None


async def _row(connection: _Connection, query: str, *values: object) -> tuple[Any, ...] | None:
    return await (await connection.execute(query.encode(), values)).fetchone()


async def _store(connection: _Connection, arrival: _Arrival) -> Outcome:
    packet = arrival.packet
    known = await _row(connection, "SELECT event_id, digest FROM alerts.voevent WHERE ivoid = %s", packet.ivoid)
    if known is None:
        event_id = await _insert(connection, arrival)
        await _insert_parts(connection, packet, event_id)
        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(event_id)))
        return Outcome("stored", event_id)
    if known[1] == arrival.digest:
        return Outcome("duplicate", known[0])
    await connection.execute(
        "INSERT INTO vo_service.alert_conflict (ivoid, raw, received_from, received_at) VALUES (%s, %s, %s, %s)",
        (packet.ivoid, packet.raw, arrival.received_from, arrival.received_at),
    )
    return Outcome("conflict", known[0])


async def _insert(connection: _Connection, arrival: _Arrival) -> int:
    packet = arrival.packet
    where = packet.where
    index = None if where.ra is None or where.dec is None else int(hpx(where.ra, where.dec))
    columns: dict[str, object] = {
        "ivoid": packet.ivoid,
        '"role"': packet.role,
        "version": packet.version,
        "stream": packet.stream,
        "author_ivoid": packet.author_ivoid,
        "author": packet.author,
        "author_time": packet.author_time,
        "concept": packet.concept,
        "description": packet.description,
        "event_time": where.time,
        "ra": where.ra,
        '"dec"': where.dec,
        "error_radius": where.error,
        "far": false_alarm_rate(packet.params),
        "xml": packet.raw.decode("utf-8", "replace").replace("\0", "\ufffd"),
        "received_from": arrival.received_from,
        "received_at": arrival.received_at,
        "warning": arrival.warning,
        "hpx": index,
        "raw": packet.raw,
        "digest": arrival.digest,
        "original": None if arrival.original is None else arrival.original.data,
        "original_type": None if arrival.original is None else arrival.original.media_type,
    }
    marks = ", ".join(["%s"] * len(columns))
    query = f"INSERT INTO alerts.voevent ({', '.join(columns)}) VALUES ({marks}) RETURNING event_id"  # noqa: S608
    row = await _row(connection, query, *columns.values())
    if row is None:
        raise UnavailableError("The event was not stored")
    return int(row[0])


async def _insert_parts(connection: _Connection, packet: Packet, event_id: int) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO alerts.param (event_id, place, group_name, name, value, number, unit, ucd)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (event_id, place, p.group, p.name, p.value, p.number, p.unit, p.ucd)
                for place, p in enumerate(packet.params, start=1)
            ],
        )
        await cursor.executemany(
            "INSERT INTO alerts.citation (event_id, ivoid, cited_ivoid, cite) VALUES (%s, %s, %s, %s)",
            [(event_id, packet.ivoid, citation.ivoid, citation.cite) for citation in packet.citations],
        )
