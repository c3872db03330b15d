"""Alerts in a test's database, written as rows: what is matched, without the packets around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from vo_service.sky.healpix import hpx
from voevent.match.maps import write_skymap
from voevent.skymap import SkyMap

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Event:
    """An alert to write; `cites` are pairs (ivoid, cite)."""

    ivoid: str
    time: datetime | None = None
    ra: float | None = None
    dec: float | None = None
    error: float | None = None
    far: float | None = None
    role: str = "observation"
    cites: tuple[tuple[str, str], ...] = ()
    skymap: SkyMap | None = None
    about: str | None = None
    """Identifier of the event, if it is not that of the notice."""


def add_event(connection: Connection, event: Event) -> int:
    """Write an alert; gives its number."""
    index = None if event.ra is None or event.dec is None else int(hpx(event.ra, event.dec))
    row = connection.execute(
        'INSERT INTO alerts.voevent (ivoid, "role", version, stream, event_ivoid, event_time, ra, "dec", error_radius,'
        " far, hpx, xml, raw, digest, received_from, received_at)"
        " VALUES (%s, %s, '2.0', %s, %s, %s, %s, %s, %s, %s, %s, '', '', sha256(%s::bytea), 'test', now())"
        " RETURNING event_id",
        (event.ivoid, event.role, event.ivoid.split("#")[0], event.about or event.ivoid, event.time, event.ra,
         event.dec, event.error, event.far, index, event.ivoid.encode()),
    ).fetchone()  # fmt: skip
    assert row is not None
    event_id = int(row[0])
    for ivoid, cite in event.cites:
        connection.execute(
            "INSERT INTO alerts.citation (event_id, ivoid, cited_ivoid, cite) VALUES (%s, %s, %s, %s)",
            (event_id, event.ivoid, ivoid, cite),
        )
    if event.skymap is not None:
        write_skymap(connection, event_id, event.ivoid, event.skymap)
    return event_id


def coincidences(connection: Connection) -> list[tuple[Any, ...]]:
    """All that is recorded, but for when."""
    return connection.execute(
        "SELECT rule, alert_ivoid, counterpart, counterpart_kind, delta_t, separation, overlap, containment, p_value,"
        ' far, revision, status, ra, "dec", r50, r90 FROM alerts.coincidence'
        " ORDER BY rule, alert_ivoid, counterpart_kind, counterpart"
    ).fetchall()
