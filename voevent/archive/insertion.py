"""Packets into the tables of the archive, any number of them with one statement.

One round trip stores a whole group: the database is asked for what is known and told what is new at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from vo_service.sky.healpix import hpx
from voevent.archive.quantities import false_alarm_rate
from voevent.packet import Packet


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


@dataclass(frozen=True)
class Arrival:
    """A packet to be stored, and how it came."""

    packet: Packet
    received_from: str
    received_at: datetime
    warning: str | None = None
    original: Original | None = None

    @cached_property
    def digest(self) -> bytes:
        """Of the bytes that came: what is converted twice need not give the same packet twice."""
        return sha256(self.packet.raw if self.original is None else self.original.data).digest()


_EVENT: Final = {
    "ivoid": "text",
    '"role"': "text",
    "version": "text",
    "stream": "text",
    "author_ivoid": "text",
    "author": "text",
    "author_time": "timestamp",
    "concept": "text",
    "description": "text",
    "event_time": "timestamp",
    "ra": "double precision",
    '"dec"': "double precision",
    "error_radius": "double precision",
    "far": "double precision",
    "xml": "text",
    "received_from": "text",
    "received_at": "timestamp",
    "warning": "text",
    "hpx": "bigint",
    "raw": "bytea",
    "original": "bytea",
    "original_type": "text",
    "digest": "bytea",
}

_PARAM: Final = {
    "ivoid": "text",
    "place": "integer",
    "group_name": "text",
    "name": "text",
    "value": "text",
    "number": "double precision",
    "unit": "text",
    "ucd": "text",
}

_CITATION: Final = {"ivoid": "text", "cited_ivoid": "text", "cite": "text"}


def _given(columns: dict[str, str]) -> str:
    """Rows that come as one array for each column."""
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    return f"SELECT * FROM unnest({arrays}) WITH ORDINALITY AS given ({', '.join(columns)}, ordinal)"  # noqa: S608


_EVENT_COLUMNS: Final = ", ".join(_EVENT)
_PARAM_COLUMNS: Final = ", ".join(name for name in _PARAM if name != "ivoid")

INSERT: Final = f"""
    WITH given AS MATERIALIZED ({_given(_EVENT)}),
    stored AS (
        INSERT INTO alerts.voevent ({_EVENT_COLUMNS})
        SELECT {_EVENT_COLUMNS} FROM given ORDER BY ordinal
        ON CONFLICT (ivoid) DO NOTHING
        RETURNING event_id, ivoid
    ),
    param AS (
        INSERT INTO alerts.param (event_id, {_PARAM_COLUMNS})
        SELECT event_id, {_PARAM_COLUMNS} FROM ({_given(_PARAM)}) given JOIN stored USING (ivoid)
    ),
    citation AS (
        INSERT INTO alerts.citation (event_id, ivoid, cited_ivoid, cite)
        SELECT event_id, ivoid, cited_ivoid, cite FROM ({_given(_CITATION)}) given JOIN stored USING (ivoid)
    ),
    announced AS (SELECT pg_notify(%s, max(event_id)::text) FROM stored HAVING count(*) > 0)
    SELECT stored.event_id, known.event_id, known.digest
    FROM given
    LEFT JOIN stored USING (ivoid)
    LEFT JOIN alerts.voevent known USING (ivoid)
    LEFT JOIN announced ON true
    ORDER BY ordinal
""".encode()  # noqa: S608 (our own words)
"""Stores packets of different identifiers that are not known, with all their parts, and announces the newest on a
channel. Gives, for each packet in order: the event's number if it is stored, else number and digest of the event that
was known under its identifier."""


def insert_values(arrivals: Sequence[Arrival], channel: str) -> list[Any]:
    """The parameters of INSERT: the arrays, and the channel."""
    params = [
        (packet.ivoid, place, param.group, param.name, param.value, param.number, param.unit, param.ucd)
        for packet in (arrival.packet for arrival in arrivals)
        for place, param in enumerate(packet.params, start=1)
    ]
    citations = [
        (packet.ivoid, citation.ivoid, citation.cite)
        for packet in (arrival.packet for arrival in arrivals)
        for citation in packet.citations
    ]
    return [
        *_arrays([_event(arrival) for arrival in arrivals], len(_EVENT)),
        *_arrays(params, len(_PARAM)),
        *_arrays(citations, len(_CITATION)),
        channel,
    ]


def _arrays(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _event(arrival: Arrival) -> tuple[object, ...]:
    """Values in the order of _EVENT."""
    packet, where, original = arrival.packet, arrival.packet.where, arrival.original
    return (
        packet.ivoid,
        packet.role,
        packet.version,
        packet.stream,
        packet.author_ivoid,
        packet.author,
        packet.author_time,
        packet.concept,
        packet.description,
        where.time,
        where.ra,
        where.dec,
        where.error,
        false_alarm_rate(packet.params),
        packet.raw.decode("utf-8", "replace").replace("\0", "\ufffd"),
        arrival.received_from,
        arrival.received_at,
        arrival.warning,
        None if where.ra is None or where.dec is None else int(hpx(where.ra, where.dec)),
        packet.raw,
        None if original is None else original.data,
        None if original is None else original.media_type,
        arrival.digest,
    )
