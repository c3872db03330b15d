"""All records, made at the moment of the request from the catalogue, the settings and the protocols."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from registry_records.names import (
    AUTHORITY,
    ORGANISATION,
    REGISTRY,
    STREAM,
    TAP,
    service_keys,
    table_key,
    table_of,
)
from registry_records.record import Dates, Record
from registry_records.services import ALERTS, authority, organisation, registry, stream, tap_service
from registry_records.stamps import Connection, Stamp, catalog_version, keep_services
from registry_records.tables import table_record
from registry_records.voresource import voresource, written
from vo_service import __version__
from vo_service.catalog.model import Catalog, Table
from vo_service.context import Context
from vo_service.coverage.model import Coverage
from vo_service.coverage.store import coverage_of
from vo_service.database.failures import connect
from vo_service.protocol import Registered
from vo_service.vosi.capabilities import Capability

CONNECTIONS = 4
"""Connections to the database that the registry has at once, per process."""

_OF_SERVICE = {AUTHORITY: authority, ORGANISATION: organisation, REGISTRY: registry}

T = TypeVar("T")


class Records:
    """Makes records."""

    def __init__(self, context: Context, protocols: Sequence[Registered]) -> None:
        self.context = context
        self.settings = context.settings
        self._protocols = protocols
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What a query reads, in one snapshot of the database; the catalogue is then at least as new as that.

        Raises UnavailableError.
        """
        async with self._turns:
            result, version = await asyncio.to_thread(self._read, query)
        if self.context.catalog.version < version:
            await self.context.live_catalog.refresh()
        return result

    def _read(self, query: Callable[[Connection], T]) -> tuple[T, int]:
        with connect(self.context.database.writer_conninfo) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return query(connection), catalog_version(connection)

    async def keep_services(self) -> None:
        """See that the records of the service itself are known, and dated anew when anything in them has changed."""
        keys = service_keys(self.settings)
        digest = self._digest(keys)

        def write() -> None:
            with connect(self.context.database.writer_conninfo) as connection:
                keep_services(connection, keys, digest)
                connection.commit()

        await asyncio.to_thread(write)

    def _digest(self, keys: Iterable[str]) -> str:
        """Of the records of the service itself but for what they say of tables: nothing but settings and software."""
        dates = Dates(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
        base = self.settings.public_url or ""
        shared = self._shared_capabilities(base)
        documents = (self._service(key, Catalog(), dates, base, shared) for key in keys)
        parts = (__version__, *(written(voresource(record)).decode() for record in documents))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def is_there(self, stamp: Stamp) -> bool:
        """Whether a record that is not marked as deleted can be made: its table may have gone a moment ago."""
        if stamp.deleted:
            return False
        return "/" not in stamp.key or table_of(self.context.catalog, stamp.key) is not None

    async def coverages(self, stamps: Sequence[Stamp]) -> Mapping[str, Coverage]:
        """By their keys, what the tables of records cover."""
        tables = [table for stamp in stamps if (table := table_of(self.context.catalog, stamp.key)) is not None]
        if not tables:
            return {}
        return await self.read(lambda connection: {table_key(t): coverage_of(connection, t) for t in tables})

    async def record(self, stamp: Stamp, base: str, coverages: Mapping[str, Coverage]) -> Record | None:
        """The record of a stamp; None if it is deleted, or its table has gone a moment ago."""
        dates = Dates(stamp.created, stamp.datestamp)
        catalog = self.context.catalog
        if stamp.deleted:
            return None
        if "/" in stamp.key:
            table = table_of(catalog, stamp.key)
            if table is None:
                return None
            return table_record(
                table,
                self.settings,
                catalog,
                dates,
                base,
                capabilities=await self._table_capabilities(table, base),
                coverage=coverages.get(table_key(table)),
            )
        alerts = catalog.table(ALERTS, "voevent")
        shared = self._shared_capabilities(base) if stamp.key == TAP else ()
        if stamp.key == STREAM and alerts is not None:
            shared = await self._table_capabilities(alerts, base)
        return self._service(stamp.key, catalog, dates, base, shared)

    def _service(
        self, key: str, catalog: Catalog, dates: Dates, base: str, capabilities: Sequence[Capability]
    ) -> Record:
        if key == TAP:
            return tap_service(self.settings, catalog, dates, base, capabilities)
        if key == STREAM:
            return stream(self.settings, catalog, dates, base, capabilities)
        return _OF_SERVICE[key](self.settings, dates, base)

    def _shared_capabilities(self, base: str) -> tuple[Capability, ...]:
        return tuple(
            capability
            for protocol in self._protocols
            for capability in protocol.shared_capabilities(self.context, base)
        )

    async def _table_capabilities(self, table: Table, base: str) -> tuple[Capability, ...]:
        found: list[Capability] = []
        for protocol in self._protocols:
            found += await protocol.table_capabilities(table, self.context, base)
        return tuple(found)
