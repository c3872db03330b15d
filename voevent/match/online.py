"""Matching of events as they are stored: a consumer of the outbox, as sinks are, so that a slow match holds up nobody.

    every stored event, in order -> its sky map kept -> matched by all rules -> coincidences published

The place in the outbox moves on when all of it is done. What a crash leaves half done is done again and comes out the
same: maps and coincidences are replaced, packets have identifiers that follow from what they tell of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg

from vo_service.catalog.live import LiveCatalog
from vo_service.catalog.model import Catalog
from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.failures import UNREACHABLE, connect, is_lost
from vo_service.database.pools import Database
from vo_service.errors import UnavailableError
from voevent.archive.store import AlertStore, StoredEvent
from voevent.build import Author, author_of
from voevent.configuration import alerts_file
from voevent.convert.igwn import skymap_in
from voevent.match.candidates import ORIGIN
from voevent.match.coincidence import Coincidence
from voevent.match.maps import write_skymap
from voevent.match.matching import match_event
from voevent.match.publication import Publication, author_of_coincidences, note_published, publications
from voevent.match.rules import Alerts, Rule
from voevent.pipeline import Source, accept
from voevent.publish.news import listening
from voevent.publish.outbox import Since, run_sink
from voevent.skymap import SkyMapError
from voevent.skymap_fits import read_skymap

Connection = psycopg.Connection[Any]

NAME: Final = "matching"
"""Under which its place in the outbox is kept."""

REST: Final = 0.1
"""Seconds between two looks for new events: to look at several at once costs as little as to look at one."""

log = logging.getLogger(__name__)


async def run_matching(settings: Settings, access: Access) -> None:
    """Match events as they are stored, without end. A database that is away is waited for.

    Raises ConfigurationError if the file of alerts cannot be used, UnavailableError if the database is away at first.
    """
    rules = alerts_file(settings).rules
    async with (
        Database(access, settings) as database,
        AlertStore(access) as store,
        listening(database) as news,
        LiveCatalog(database) as catalog,
    ):
        matching = Matching(settings, access, rules, store, lambda: catalog.current)
        try:
            await run_sink(matching, store, news)
        finally:
            matching.close()


class Matching:
    """The sink that matches; `catalog` gives what is published at the moment."""

    name = NAME
    since: Since = "newest"

    def __init__(
        self,
        settings: Settings,
        access: Access,
        rules: Sequence[Rule],
        store: AlertStore,
        catalog: Callable[[], Catalog],
    ) -> None:
        self._rules = rules
        self._store = store
        self._catalog = catalog
        self._author = author_of_coincidences(author_of(settings))
        self._database = _Reconnecting(access)

    async def deliver_all(self, events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        """Match events, and publish what comes of it. Raises UnavailableError if the database is away."""
        concerned = await asyncio.to_thread(self._concerned, events)
        await asyncio.to_thread(self._done, [event.event_id for event in events if event.event_id not in concerned])
        for event_id in concerned:
            await self.deliver(event_id)
            yield event_id
        yield events[-1].event_id
        await asyncio.sleep(REST)

    async def deliver(self, event_id: int) -> None:
        """Match one event. Done again, it gives the same."""
        published = await asyncio.to_thread(self._match, event_id)
        await publish(self._store, published)
        await asyncio.to_thread(self._done, [event_id], published)

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _concerned(self, events: Sequence[StoredEvent]) -> list[int]:
        """Those of the events that there is something to do about, in order: most are of streams that no rule names."""
        with self._database.connection() as connection:
            rows = connection.execute(_DESCRIBED, ([event.event_id for event in events],)).fetchall()
        return [event_id for event_id, stream, is_special in rows if is_special or self._names(stream)]

    def _names(self, stream: str) -> bool:
        return any(
            side.includes(stream)
            for rule in self._rules
            for side in (rule.alerts, rule.against)
            if isinstance(side, Alerts)
        )

    def _match(self, event_id: int) -> list[Publication]:
        with self._database.connection() as connection:
            keep_skymap(connection, event_id)
            _, published = match_and_tell(connection, self._rules, self._catalog(), self._author, event_id)
            return published

    def _done(self, event_ids: Sequence[int], published: Sequence[Publication] = ()) -> None:
        with self._database.connection() as connection, connection.transaction():
            note_published(connection, published)
            connection.execute(_MATCHED, (event_ids,))


_DESCRIBED: Final = b"""
    SELECT event_id, stream,
        original IS NOT NULL OR EXISTS (SELECT FROM alerts.citation c WHERE c.event_id = v.event_id)
    FROM alerts.voevent v WHERE event_id = ANY (%s) ORDER BY event_id"""
"""Events with their streams, and whether they may have a map, or replace others."""

_MATCHED: Final = b"""UPDATE alerts.voevent SET matched_at = clock_timestamp() AT TIME ZONE 'UTC'
    WHERE event_id = ANY (%s) AND matched_at IS NULL"""


def match_and_tell(
    connection: Connection, rules: Sequence[Rule], catalog: Catalog, author: Author, event_id: int
) -> tuple[Sequence[Coincidence], list[Publication]]:
    """Match an event and record what is found; gives that, and the packets that tell of it."""
    row = connection.execute("SELECT stored_at FROM alerts.voevent WHERE event_id = %s", (event_id,)).fetchone()
    if row is None:
        return (), []
    now: datetime = row[0]
    found = match_event(connection, rules, catalog, event_id)
    return found, publications(connection, rules, author, found, now=now, event_id=event_id)


async def publish(store: AlertStore, published: Sequence[Publication]) -> None:
    """Take in the packets of coincidences, as those of any author. Raises UnavailableError."""
    for one in published:
        if one.raw is not None:
            verdict = await accept(one.raw, Source("author", ORIGIN), store)
            if verdict.status in ("invalid", "conflict"):
                log.error("A coincidence was not published: %s", verdict.reason)


def keep_skymap(connection: Connection, event_id: int) -> None:
    """Keep the sky map that came with an event, if one did. If it cannot be used, the event's warning says so."""
    row = connection.execute(
        "SELECT ivoid, original FROM alerts.voevent v WHERE event_id = %s AND original IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM alerts.skymap s WHERE s.event_id = v.event_id)",
        (event_id,),
    ).fetchone()
    if row is None or (file := skymap_in(bytes(row[1]))) is None:
        return
    try:
        skymap = read_skymap(file)
    except SkyMapError as error:
        log.warning("%s: %s", row[0], error)
        connection.execute(_WARN, {"event_id": event_id, "message": str(error)})
        return
    with connection.transaction():
        write_skymap(connection, event_id, row[0], skymap)


_WARN: Final = b"""UPDATE alerts.voevent SET warning = concat_ws('; ', warning, %(message)s::text)
    WHERE event_id = %(event_id)s AND position(%(message)s::text IN coalesce(warning, '')) = 0"""


class _Reconnecting:
    """One connection that is opened when it is needed, and again after it was lost."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, in autocommit. Raises UnavailableError if it is lost, or cannot be had."""
        if self._open is None:
            self._open = connect(self._access.writer.conninfo)
            self._open.autocommit = True
        try:
            yield self._open
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self.close()
            raise UnavailableError(UNREACHABLE) from None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
