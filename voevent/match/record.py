"""Coincidences in the table alerts.coincidence, and what becomes of them when an input is replaced or retracted.

Only packets of the same stream and role replace or retract each other. What was stored after the event that is looked
at does not count: a replay sees what was known then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg

from vo_service.sky.healpix import hpx
from voevent.match.coincidence import VOEVENT, Coincidence

Connection = psycopg.Connection[Any]

_LOCK: Final = 0x564F4D43
"""Key of the advisory lock under which coincidences are written."""

_STATUS: Final = {"supersedes": "superseded", "retraction": "retracted"}

_CITE: Final = r"lower(btrim(c.cite, E' \t\r\n'))"

CITATIONS: Final = "SELECT event_id, ivoid, cited_ivoid, cite FROM alerts.cited WHERE kin"
"""What replaces or retracts what, of all that is stored."""


def lock(connection: Connection) -> None:
    """Wait until no other transaction writes coincidences; held to the end of this one."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def status_of(connection: Connection, ivoid: str, event_id: int) -> str:
    """What an alert was when the event of this number had been stored: current, superseded or retracted."""
    query = f"SELECT cite FROM ({CITATIONS}) c WHERE cited_ivoid = %s AND event_id <= %s"  # noqa: S608 (our own words)
    found = {_STATUS.get(cite) for (cite,) in connection.execute(query.encode(), (ivoid, event_id)).fetchall()}
    return "retracted" if "retracted" in found else "superseded" if "superseded" in found else "current"


def is_retraction(connection: Connection, event_id: int) -> bool:
    """Whether an event retracts another."""
    query = f"SELECT FROM alerts.citation c WHERE event_id = %s AND {_CITE} = 'retraction' LIMIT 1"
    return connection.execute(query.encode(), (event_id,)).fetchone() is not None


def earlier_versions(connection: Connection, ivoid: str, event_id: int) -> int:
    """Number of packets that an alert replaces or follows, directly or not, of those stored up to an event's number."""
    query = """
        WITH RECURSIVE version (ivoid) AS (
            SELECT %s::text
            UNION SELECT c.cited_ivoid FROM version v
            JOIN alerts.cited c ON c.ivoid = v.ivoid AND c.kin AND c.cite IN ('supersedes', 'followup')
             AND c.cited_event_id <= %s)
        SELECT count(*) - 1 FROM version"""
    row = connection.execute(query.encode(), (ivoid, event_id)).fetchone()
    return int(row[0]) if row else 0


def replace_inputs(connection: Connection, event_id: int) -> None:
    """Coincidences of the alerts that an event supersedes or retracts are marked as such."""
    query = f"""
        UPDATE alerts.coincidence k SET status = %s FROM ({CITATIONS}) c
        WHERE c.event_id = %s AND c.cite = %s AND k.status <> 'retracted'
          AND (k.alert_ivoid = c.cited_ivoid OR (k.counterpart_kind = %s AND k.counterpart = c.cited_ivoid))"""  # noqa: S608
    for cite, status in _STATUS.items():
        connection.execute(query.encode(), (status, event_id, cite, VOEVENT))


def inputs_of(connection: Connection, ivoid: str) -> frozenset[tuple[str, str]]:
    """What a packet that tells of a coincidence was made of, through all stages: tables, and keys or ivoids in them."""
    rows = connection.execute(_INPUTS, (ivoid, VOEVENT, VOEVENT)).fetchall()
    return frozenset((kind, key) for kind, key in rows)


_INPUTS: Final = b"""
    WITH RECURSIVE input (kind, key) AS (
        SELECT 'alerts.voevent', %s::text
        UNION SELECT part.* FROM input i
        JOIN alerts.coincidence k ON i.kind = %s AND k.published_ivoid = i.key,
        LATERAL (VALUES (%s, k.alert_ivoid), (k.counterpart_kind, k.counterpart)) part)
    SELECT kind, key FROM input"""


def note_failure(connection: Connection, rule: str, event_id: int | None, message: str) -> None:
    """Keep that a rule could not be used, on an event or on a table's new rows, for the operator."""
    connection.execute(
        "INSERT INTO vo_service.alert_rule AS r (name, failures, last_event, last_error) VALUES (%s, 1, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET failures = r.failures + 1, last_event = excluded.last_event,"
        " last_error = excluded.last_error, failed_at = now()",
        (rule, event_id, message),
    )


def record(connection: Connection, coincidences: Iterable[Coincidence]) -> None:
    """Write coincidences; one that is known gets the numbers anew, its status stays."""
    with connection.cursor() as cursor:
        cursor.executemany(_RECORD, [_values(found) for found in coincidences])


_KEY: Final = ("rule", "alert_ivoid", "counterpart_kind", "counterpart")

_NUMBERS: Final = ("delta_t", "separation", "overlap", "containment", "p_value", "far", "revision")

_PLACE: Final = ("ra", "dec", "r50", "r90", "hpx")

_GIVEN: Final = (*_KEY, *_NUMBERS, *_PLACE)

_RECORD: Final = f"""
    INSERT INTO alerts.coincidence ({", ".join(f'"{name}"' for name in _GIVEN)}, status, found_at)
    VALUES ({", ".join(["%s"] * len(_GIVEN))}, 'current', clock_timestamp() AT TIME ZONE 'UTC')
    ON CONFLICT ({", ".join(_KEY)})
    DO UPDATE SET {", ".join(f'"{name}" = excluded."{name}"' for name in (*_NUMBERS, *_PLACE))}""".encode()  # noqa: S608


def _values(found: Coincidence) -> tuple[object, ...]:
    """Values in the order of _GIVEN."""
    place = found.place
    where = (
        (None,) * len(_PLACE)
        if place is None
        else (place.ra, place.dec, place.r50, place.r90, int(hpx(place.ra, place.dec)))
    )
    return (*(getattr(found, name) for name in (*_KEY, *_NUMBERS)), *where)
