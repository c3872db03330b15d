"""Coincidences in the table alerts.coincidence, and what becomes of them when an input is replaced or retracted.

Only packets of the same stream and role replace or retract each other. What was stored after the event that is looked
at does not count: a replay sees what was known then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg

from voevent.match.coincidence import VOEVENT, Coincidence

Connection = psycopg.Connection[Any]

_LOCK: Final = 0x564F4D43
"""Key of the advisory lock under which coincidences are written."""

_STATUS: Final = {"supersedes": "superseded", "retraction": "retracted"}

_CITE: Final = r"lower(btrim(c.cite, E' \t\r\n'))"

_CITATIONS: Final = f"""
    SELECT citing.event_id, citing.ivoid, c.cited_ivoid, {_CITE} AS cite
    FROM alerts.citation c
    JOIN alerts.voevent citing USING (event_id)
    JOIN alerts.voevent cited ON cited.ivoid = c.cited_ivoid AND cited.ivoid <> citing.ivoid
     AND cited.stream = citing.stream AND cited."role" = citing."role"
"""  # noqa: S608 (our own words)


def lock(connection: Connection) -> None:
    """Wait until no other transaction writes coincidences; held to the end of this one."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def status_of(connection: Connection, ivoid: str, event_id: int) -> str:
    """What an alert was when the event of this number had been stored: current, superseded or retracted."""
    query = f"SELECT cite FROM ({_CITATIONS}) c WHERE cited_ivoid = %s AND event_id <= %s"  # noqa: S608 (our own words)
    found = {_STATUS.get(cite) for (cite,) in connection.execute(query.encode(), (ivoid, event_id)).fetchall()}
    return "retracted" if "retracted" in found else "superseded" if "superseded" in found else "current"


def is_retraction(connection: Connection, event_id: int) -> bool:
    """Whether an event retracts another."""
    query = f"SELECT FROM alerts.citation c WHERE event_id = %s AND {_CITE} = 'retraction' LIMIT 1"
    return connection.execute(query.encode(), (event_id,)).fetchone() is not None


def earlier_versions(connection: Connection, ivoid: str, event_id: int) -> int:
    """Number of packets that an alert supersedes, directly or not, of those stored up to the event of this number."""
    query = f"""
        WITH RECURSIVE version (ivoid) AS (
            SELECT %s::text
            UNION SELECT cited.ivoid FROM version v
            JOIN alerts.voevent citing ON citing.ivoid = v.ivoid
            JOIN alerts.citation c ON c.event_id = citing.event_id AND {_CITE} = 'supersedes'
            JOIN alerts.voevent cited
              ON cited.ivoid = c.cited_ivoid AND cited.event_id <= %s
             AND cited.stream = citing.stream AND cited."role" = citing."role")
        SELECT count(*) - 1 FROM version"""  # noqa: S608 (our own words)
    row = connection.execute(query.encode(), (ivoid, event_id)).fetchone()
    return int(row[0]) if row else 0


def replace_inputs(connection: Connection, event_id: int) -> None:
    """Coincidences of the alerts that an event supersedes or retracts are marked as such."""
    query = f"""
        UPDATE alerts.coincidence k SET status = %s FROM ({_CITATIONS}) c
        WHERE c.event_id = %s AND c.cite = %s AND k.status <> 'retracted'
          AND (k.first_ivoid = c.cited_ivoid OR (k.second_kind = %s AND k."second" = c.cited_ivoid))"""  # noqa: S608
    for cite, status in _STATUS.items():
        connection.execute(query.encode(), (status, event_id, cite, VOEVENT))


def record(connection: Connection, coincidences: Iterable[Coincidence]) -> None:
    """Write coincidences; one that is known gets the numbers anew, its status stays."""
    with connection.cursor() as cursor:
        for found in coincidences:
            values = {name: getattr(found, name) for name in Coincidence.__dataclass_fields__}
            cursor.execute(_UPDATE, values)
            if cursor.rowcount == 0:
                cursor.execute(_INSERT, values)


_UPDATE: Final = b"""UPDATE alerts.coincidence
    SET delta_t = %(delta_t)s, separation = %(separation)s, overlap = %(overlap)s, containment = %(containment)s,
        p_value = %(p_value)s, far = %(far)s, revision = %(revision)s
    WHERE rule = %(rule)s AND first_ivoid = %(first_ivoid)s AND second_kind = %(second_kind)s
      AND "second" = %(second)s"""

_INSERT: Final = b"""INSERT INTO alerts.coincidence
        (rule, first_ivoid, "second", second_kind, delta_t, separation, overlap, containment, p_value, far, revision,
         status, found_at)
    VALUES (%(rule)s, %(first_ivoid)s, %(second)s, %(second_kind)s, %(delta_t)s, %(separation)s, %(overlap)s,
        %(containment)s, %(p_value)s, %(far)s, %(revision)s, 'current', clock_timestamp() AT TIME ZONE 'UTC')"""
