"""Packets into the tables of the archive, any number of them with one statement.

One round trip stores a whole group: the database is asked for what is known and told what is new at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Final

from psycopg.types.json import Jsonb

from vo_service.sky.healpix import hpx
from voevent.archive.quantities import event_ivoid, false_alarm_rate
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
    sender: str | None = None
    """Address of an author, which is not published."""

    @cached_property
    def digest(self) -> bytes:
        """Of the bytes that came: what is converted twice need not give the same packet twice."""
        return sha256(self.packet.raw if self.original is None else self.original.data).digest()


_EVENT: Final = {
    "ivoid": "text",
    '"role"': "text",
    "version": "text",
    "stream": "text",
    "event_ivoid": "text",
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
    "sender": "text",
    "received_at": "timestamp",
    "warning": "text",
    "hpx": "bigint",
    "original_type": "text",
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


_BYTES: Final = {"raw": "bytea", "original": "bytea", "digest": "bytea"}

_ORDER_LOCK: Final = 0x564F414C
"""Key of the advisory lock under which numbers of events are given out."""


def _columns(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


_NAMES: Final = ", ".join(_EVENT | _BYTES)
_VALUES: Final = ", ".join(
    "coalesce(xml, convert_from(raw, 'UTF8')) AS xml" if name == "xml" else name for name in _EVENT | _BYTES
)
_PARAM_NAMES: Final = ", ".join(name for name in _PARAM if name != "ivoid")

INSERT: Final = f"""
    WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock({_ORDER_LOCK})),
    given AS MATERIALIZED (
        SELECT ordinal, {_VALUES}
        FROM jsonb_to_recordset(%s) AS described (ordinal integer, {_columns(_EVENT)})
        JOIN unnest(%b::bytea[], %b::bytea[], %b::bytea[]) WITH ORDINALITY AS bytes ({", ".join(_BYTES)}, ordinal)
        USING (ordinal)
    ),
    stored AS (
        INSERT INTO alerts.voevent ({_NAMES})
        SELECT {_NAMES} FROM (SELECT given.* FROM locked, given ORDER BY ordinal) ordered
        ON CONFLICT (ivoid) DO NOTHING
        RETURNING event_id, ivoid
    ),
    param AS (
        INSERT INTO alerts.param (event_id, {_PARAM_NAMES})
        SELECT event_id, {_PARAM_NAMES}
        FROM jsonb_to_recordset(%s) AS described ({_columns(_PARAM)}) JOIN stored USING (ivoid)
    ),
    citation AS (
        INSERT INTO alerts.citation (event_id, ivoid, cited_ivoid, cite)
        SELECT event_id, ivoid, cited_ivoid, cite
        FROM jsonb_to_recordset(%s) AS described ({_columns(_CITATION)}) JOIN stored USING (ivoid)
    ),
    announced AS (SELECT pg_notify(%s, max(event_id)::text) FROM stored HAVING count(*) > 0)
    SELECT stored.event_id
    FROM given LEFT JOIN stored USING (ivoid) LEFT JOIN announced ON true
    ORDER BY ordinal
""".encode()  # noqa: S608 (our own words)
"""Stores packets of different identifiers that are not known, with all their parts, and announces the newest on a
channel. Gives for each packet in order the number of its event; null if one was known under its identifier.

Numbers are given out under a lock that is held until the transaction ends: a number that can be seen has no lower one
to come."""


def insert_values(arrivals: Sequence[Arrival], channel: str) -> tuple[object, ...]:
    """The parameters of INSERT."""
    packets = [arrival.packet for arrival in arrivals]
    params = [
        dict(
            zip(
                _PARAM,
                (packet.ivoid, place, param.group, param.name, param.value, param.number, param.unit, param.ucd),
                strict=True,
            )
        )
        for packet in packets
        for place, param in enumerate(packet.params, start=1)
    ]
    citations = [
        {"ivoid": packet.ivoid, "cited_ivoid": citation.ivoid, "cite": citation.cite}
        for packet in packets
        for citation in packet.citations
    ]
    return (
        Jsonb([{"ordinal": place} | _event(arrival) for place, arrival in enumerate(arrivals, start=1)]),
        [packet.raw for packet in packets],
        [None if arrival.original is None else arrival.original.data for arrival in arrivals],
        [arrival.digest for arrival in arrivals],
        Jsonb(params),
        Jsonb(citations),
        channel,
    )


def _event(arrival: Arrival) -> dict[str, object]:
    packet, where, original = arrival.packet, arrival.packet.where, arrival.original
    return {
        "ivoid": packet.ivoid,
        "role": packet.role,
        "version": packet.version,
        "stream": packet.stream,
        "event_ivoid": event_ivoid(packet),
        "author_ivoid": packet.author_ivoid,
        "author": packet.author,
        "author_time": _iso(packet.author_time),
        "concept": packet.concept,
        "description": packet.description,
        "event_time": _iso(where.time),
        "ra": where.ra,
        "dec": where.dec,
        "error_radius": where.error,
        "far": false_alarm_rate(packet.params),
        "xml": _text(packet),
        "received_from": arrival.received_from,
        "sender": arrival.sender,
        "received_at": _iso(arrival.received_at),
        "warning": arrival.warning,
        "hpx": None if where.ra is None or where.dec is None else int(hpx(where.ra, where.dec)),
        "original_type": None if original is None else original.media_type,
    }


def _text(packet: Packet) -> str | None:
    """The packet as text, by the encoding that it declares; None if that is UTF-8, which PostgreSQL reads itself."""
    encoding = packet.root.getroottree().docinfo.encoding or "utf-8"
    if encoding.lower() == "utf-8" and b"\0" not in packet.raw:
        return None  # it would be no XML if the bytes were anything else
    try:
        text = packet.raw.decode(encoding, "replace")
    except LookupError:  # libxml2 knows some that Python does not
        text = packet.raw.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
