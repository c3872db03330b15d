"""Matching of events as they are stored: a consumer of the outbox, as sinks are, so that a slow match holds up nobody.

    every stored event, in order -> its sky map kept -> matched by all rules -> coincidences published

The place in the outbox moves on when all of it is done. What a crash leaves half done is done again and comes out the
same: maps and coincidences are replaced, packets have identifiers that follow from what they tell of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
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
from voevent.convert.igwn import skymap_in
from voevent.match.candidates import ORIGIN
from voevent.match.coincidence import Coincidence
from voevent.match.maps import write_skymap
from voevent.match.matching import match_event
from voevent.match.publication import Publication, author_of_coincidences, note_published, publications
from voevent.match.rules import Rule
from voevent.pipeline import Source, accept
from voevent.publish.news import News
from voevent.publish.outbox import run_sink
from voevent.skymap import SkyMapError
from voevent.skymap_fits import read_skymap

Connection = psycopg.Connection[Any]

NAME: Final = "matching"
"""Under which its place in the outbox is kept."""

log = logging.getLogger(__name__)


async def run_matching(
    settings: Settings, access: Access, database: Database, rules: Sequence[Rule], store: AlertStore, news: News
) -> None:
    """Match events as they are stored, without end. A database that is away is waited for."""
    async with LiveCatalog(database) as catalog:
        matching = Matching(settings, access, rules, store, lambda: catalog.current)
        try:
            await run_sink(matching, store, news)
        finally:
            matching.close()


class Matching:
    """The sink that matches; `catalog` gives what is published at the moment."""

    name = NAME

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

    async def deliver(self, event: StoredEvent) -> None:
        """Match an event, and publish what comes of it. Raises UnavailableError if the database is away."""
        published = await asyncio.to_thread(self._match, event.event_id)
        await publish(self._store, published)
        await asyncio.to_thread(self._done, event.event_id, published)

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _match(self, event_id: int) -> list[Publication]:
        with self._database.connection() as connection:
            keep_skymap(connection, event_id)
            _, published = match_and_tell(connection, self._rules, self._catalog(), self._author, event_id)
            return published

    def _done(self, event_id: int, published: Sequence[Publication]) -> None:
        with self._database.connection() as connection, connection.transaction():
            note_published(connection, published)
            connection.execute(_MATCHED, (event_id,))


_MATCHED: Final = b"""UPDATE alerts.voevent SET matched_at = clock_timestamp() AT TIME ZONE 'UTC'
    WHERE event_id = %s AND matched_at IS NULL"""


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
