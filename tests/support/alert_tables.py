"""Alerts in a test's database, written as rows: what is matched, without the packets around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from vo_service.sky.healpix import hpx
from voevent.match.maps import write_skymap
from voevent.skymap import SkyMap

Connection = psycopg.Connection[Any]

DEFINITIONS: Final = b"""
CREATE SCHEMA IF NOT EXISTS alerts;
CREATE TABLE IF NOT EXISTS alerts.voevent (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ivoid text NOT NULL UNIQUE, "role" text NOT NULL,
    version text NOT NULL, stream text NOT NULL, author_ivoid text, author text, author_time timestamp, concept text,
    description text, event_time timestamp, ra double precision, "dec" double precision, error_radius double precision,
    far double precision, xml text NOT NULL, received_from text NOT NULL, received_at timestamp NOT NULL,
    stored_at timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'), acknowledged_at timestamp,
    matched_at timestamp, warning text, hpx bigint, raw bytea NOT NULL, digest bytea NOT NULL);
CREATE INDEX IF NOT EXISTS voevent_time ON alerts.voevent (event_time);
CREATE TABLE IF NOT EXISTS alerts.citation (
    event_id bigint NOT NULL, ivoid text NOT NULL, cited_ivoid text NOT NULL, cite text NOT NULL);
CREATE TABLE IF NOT EXISTS alerts.skymap (
    event_id bigint NOT NULL, ivoid text NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
    density double precision NOT NULL, level double precision NOT NULL);
CREATE INDEX IF NOT EXISTS skymap_event ON alerts.skymap (event_id);
CREATE TABLE IF NOT EXISTS alerts.coincidence (
    coincidence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, rule text NOT NULL, first_ivoid text NOT NULL,
    "second" text NOT NULL, second_kind text NOT NULL, delta_t double precision, separation double precision,
    overlap double precision, containment double precision, p_value double precision, far double precision,
    revision integer NOT NULL, status text NOT NULL, found_at timestamp NOT NULL);
"""


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


def add_event(connection: Connection, event: Event) -> int:
    """Write an alert; gives its number."""
    index = None if event.ra is None or event.dec is None else int(hpx(event.ra, event.dec))
    row = connection.execute(
        'INSERT INTO alerts.voevent (ivoid, "role", version, stream, event_time, ra, "dec", error_radius, far, hpx,'
        " xml, raw, digest, received_from, received_at)"
        " VALUES (%s, %s, '2.0', %s, %s, %s, %s, %s, %s, %s, '', '', sha256(%s::bytea), 'test', now())"
        " RETURNING event_id",
        (event.ivoid, event.role, event.ivoid.split("#")[0], event.time, event.ra, event.dec, event.error, event.far,
         index, event.ivoid.encode()),
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
        'SELECT rule, first_ivoid, "second", second_kind, delta_t, separation, overlap, containment, p_value, far,'
        ' revision, status FROM alerts.coincidence ORDER BY rule, first_ivoid, second_kind, "second"'
    ).fetchall()
