"""When records changed, in the database (`vo_service.registry_record`): read, and kept for those of the service itself.

Those of tables are dated by triggers in `schema.sql`, in the transaction that publishes or withdraws a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

Connection = psycopg.Connection[Any]

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A record's key, when it was made, when it last changed, and whether it is deleted."""

    key: str
    created: datetime
    datestamp: datetime
    deleted: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Which records are wanted: those that changed from `since` on and before `before`, after a place in the list.

    The list is in the order of their datestamps: what changes while somebody reads it moves to its end and is not lost.
    """

    since: datetime = BEGINNING
    before: datetime = END
    after: tuple[datetime, str] = (BEGINNING, "")


_ROWS = "SELECT resource_key, created, datestamp, deleted FROM vo_service.registry_record"


def read_stamps(connection: Connection, span: Span, limit: int) -> list[Stamp]:
    """The first records of a span."""
    rows = connection.execute(
        f"{_ROWS} WHERE datestamp >= %s AND datestamp < %s AND (datestamp, resource_key) > (%s, %s)"
        " ORDER BY datestamp, resource_key LIMIT %s",
        (span.since, span.before, *span.after, limit),
    ).fetchall()
    return [_stamp(row) for row in rows]


def count_stamps(connection: Connection, span: Span) -> int:
    """How many records there are in a span, wherever in the list somebody is."""
    row = connection.execute(
        "SELECT count(*) FROM vo_service.registry_record WHERE datestamp >= %s AND datestamp < %s",
        (span.since, span.before),
    ).fetchone()
    return 0 if row is None else int(row[0])


def read_stamp(connection: Connection, key: str) -> Stamp | None:
    """That of one record, letter case ignored; None if there has never been such a record."""
    if "\0" in key:  # PostgreSQL has no such text
        return None
    row = connection.execute(f"{_ROWS} WHERE lower(resource_key) = lower(%s)", (key,)).fetchone()
    return None if row is None else _stamp(row)


def earliest(connection: Connection) -> datetime:
    """When the record changed that has not changed for the longest time."""
    row = connection.execute("SELECT min(datestamp) FROM vo_service.registry_record").fetchone()
    return row[0].astimezone(UTC) if row is not None and row[0] is not None else BEGINNING


def catalog_version(connection: Connection) -> int:
    """The version of the catalogue that the stamps belong to, if it is read in the same transaction."""
    row = connection.execute("SELECT version FROM vo_service.catalog_version").fetchone()
    return 0 if row is None else int(row[0])


def keep_services(connection: Connection, keys: Sequence[str], digest: str) -> None:
    """Enter the service's own records, mark those that it no longer has, and date all anew if the `digest` has changed.

    The digest is one of all that records are made of beside the catalogue. A repetition changes nothing.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO vo_service.registry_record AS r (resource_key) VALUES (%s) ON CONFLICT (lower(resource_key))"
            " DO UPDATE SET deleted = false, datestamp = EXCLUDED.datestamp WHERE r.deleted",
            [(key,) for key in keys],
        )
    connection.execute(
        "UPDATE vo_service.registry_record SET deleted = true, datestamp = date_trunc('second', clock_timestamp())"
        " WHERE strpos(resource_key, '/') = 0 AND resource_key <> ALL (%s) AND NOT deleted",
        (list(keys),),
    )
    known = connection.execute("SELECT digest FROM vo_service.registry_state").fetchone()
    if known == (digest,):
        return
    connection.execute(
        "INSERT INTO vo_service.registry_state (digest) VALUES (%s)"
        " ON CONFLICT (only_row) DO UPDATE SET digest = EXCLUDED.digest",
        (digest,),
    )
    if known is not None:
        connection.execute(
            "UPDATE vo_service.registry_record SET datestamp = date_trunc('second', clock_timestamp())"
            " WHERE NOT deleted"
        )


def _stamp(row: tuple[Any, ...]) -> Stamp:
    key, created, datestamp, deleted = row
    return Stamp(key, created.astimezone(UTC), datestamp.astimezone(UTC), deleted)
