"""Matching of what is in the archive already: a replay of events, and rows that a table has got after the alerts.

A replay goes through the events in the order of their storage and takes each as it was when it came: it records the
numbers that were recorded then, for the rules of today. It publishes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import psycopg

from vo_service.catalog.model import Catalog, Table
from vo_service.catalog.store import read_catalog
from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.errors import ConfigurationError
from voevent.archive.store import AlertStore
from voevent.build import author_of
from voevent.configuration import alerts_file
from voevent.match.candidates import span_sql, table_of
from voevent.match.coincidence import Coincidence
from voevent.match.matching import match_new_rows
from voevent.match.online import keep_skymap, match_and_tell, publish
from voevent.match.publication import author_of_coincidences, note_published, publications
from voevent.match.record import note_failure, replace_inputs
from voevent.match.rules import Rule, TableEvents

Connection = psycopg.Connection[Any]

_BATCH: Final = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """Numbers of events that were looked at, and of coincidences that were found with them."""

    events: int
    coincidences: int


def rematch(
    access: Access, settings: Settings, *, since: datetime | None = None, until: datetime | None = None
) -> Replayed:
    """Match the events that were stored from one time to another (UTC, naive) anew, by the rules of the settings.

    Recorded coincidences get the numbers that come out; none is deleted.

    Raises ConfigurationError if the rules cannot be read, UnavailableError if the database is away.
    """
    rules = alerts_file(settings).rules
    author = author_of_coincidences(author_of(settings))
    events = coincidences = last = 0
    with connect(access.writer.conninfo) as connection:
        connection.autocommit = True
        catalog = read_catalog(connection)
        for last in _stored_between(connection, since, until):
            keep_skymap(connection, last)
            found, published = match_and_tell(connection, rules, catalog, author, last)
            note_published(connection, published)
            events += 1
            coincidences += len(found)
        _replace_later(connection, last)
    return Replayed(events, coincidences)


def _stored_between(connection: Connection, since: datetime | None, until: datetime | None) -> Iterator[int]:
    """Numbers of events, in order."""
    last = 0
    while rows := connection.execute(
        "SELECT event_id FROM alerts.voevent WHERE event_id > %s"
        " AND stored_at BETWEEN coalesce(%s::timestamp, '-infinity') AND coalesce(%s::timestamp, 'infinity')"
        " ORDER BY event_id LIMIT %s",
        (last, since, until, _BATCH),
    ).fetchall():
        yield from (event_id for (event_id,) in rows)
        last = rows[-1][0]


def _replace_later(connection: Connection, event_id: int) -> None:
    """What was replaced or retracted after an event is so again, in coincidences that were not known before."""
    rows = connection.execute(
        "SELECT DISTINCT event_id FROM alerts.citation WHERE event_id > %s ORDER BY event_id", (event_id,)
    ).fetchall()
    with connection.transaction():
        for (later,) in rows:
            replace_inputs(connection, later)


def current_transaction(access: Access) -> int:
    """Number of a transaction, to tell rows that come later by."""
    with connect(access.writer.conninfo) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::xid::text::bigint").fetchone()
    return int(row[0]) if row else 0


async def match_loaded(access: Access, settings: Settings, tables: Sequence[Table], after: int) -> int:
    """Match alerts with the rows that tables have got in transactions after one; gives the number of coincidences.

    Raises ConfigurationError if the rules cannot be read, UnavailableError if the database is away.
    """
    named = {f"{table.schema}.{table.name}".lower() for table in tables}
    rules = [
        rule
        for rule in alerts_file(settings).rules
        if isinstance(rule.against, TableEvents) and rule.against.table.lower() in named
    ]
    if not rules:
        return 0
    author = author_of_coincidences(author_of(settings))
    with connect(access.writer.conninfo) as connection:
        connection.autocommit = True
        catalog = read_catalog(connection)
        found = [match for rule in rules for match in _with_new_rows(connection, rule, catalog, after)]
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        published = publications(connection, rules, author, found, now=now)
        async with AlertStore(access, size=1) as store:
            await publish(store, published)
        note_published(connection, published)
    return len(found)


def _with_new_rows(connection: Connection, rule: Rule, catalog: Catalog, after: int) -> Sequence[Coincidence]:
    side = cast("TableEvents", rule.against)
    try:
        table = table_of(catalog, side)
    except ConfigurationError as error:
        log.error("The rule %s is left out: %s", rule.name, error)  # noqa: TRY400 (its message says all)
        note_failure(connection, rule.name, None, str(error))
        return ()
    row = connection.execute(span_sql(side, table, after).encode()).fetchone()
    if row is None or row[0] is None:
        return ()
    return match_new_rows(connection, [rule], catalog, side.table, row[0], row[1])
