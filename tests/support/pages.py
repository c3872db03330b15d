"""Pages of a catalogue of our own, with names and texts that a web page must not fall for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from vo_service.catalog.live import LiveCatalog
from vo_service.catalog.model import Catalog, Column, Person, Position, Resource, Schema, Table
from vo_service.catalog.tap_schema import TABLES as TAP_SCHEMA_TABLES
from vo_service.config import Settings
from vo_service.context import Context
from vo_service.database.access import derive_access
from vo_service.database.init import Published
from vo_service.database.pools import Database
from vo_service.uws.jobs import Jobs
from vo_service.web.links import Link
from vo_service.web.pages import routes

HOSTILE = "<script>alert('x')</script>\"&amp;"

COLUMNS = (
    Column("event_id", "long", ucd="meta.id;meta.main", description="Number", indexed=True),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension"),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", description="Declination"),
    Column("observed", "char", arraysize="*", xtype="timestamp", description=HOSTILE),
)

RESOURCE = Resource(
    title="Candidates",
    description="First paragraph.\n\nSecond paragraph.",
    creators=(Person("Josiah Carberry", orcid="0000-0002-1825-0097", affiliation="Brown"), Person("A. N. Other")),
    publisher="The Press",
    contact=Person("Desk", email="desk@example.org"),
    subjects=("neutrinos",),
    license="CC-BY-4.0",
    license_url="https://creativecommons.org/licenses/by/4.0/",
    doi="10.5281/zenodo.1234567",
    reference_url="https://example.org/data",
    citation="Carberry 2026",
    date="2026-11-21",
    version="1.10",
    waveband=("Neutrino",),
    simulated=True,
)

EVENTS = Table(
    "demo", "events", COLUMNS, "All of them", position=Position("ra", "dec"), primary_key="event_id", rows=123456,
    resource=RESOURCE,
)  # fmt: skip
HOSTILE_TABLE = replace(
    EVENTS,
    schema=f"s/{HOSTILE}",
    name=f"t/../{HOSTILE}",
    description=HOSTILE,
    position=None,
    rows=1,
    resource=Resource(
        title=HOSTILE,
        creators=(Person(HOSTILE, orcid="javascript:alert(1)", email=HOSTILE),),
        license="own",
        license_url="javascript:alert(2)",
        doi="javascript:alert(3)",
        reference_url="javascript:alert(4)",
        citation=HOSTILE,
    ),
)
CATALOG = Catalog(
    (
        Schema("demo", (EVENTS,), "A sample"),
        Schema(HOSTILE_TABLE.schema, (HOSTILE_TABLE,), HOSTILE),
        Schema("tap_schema", TAP_SCHEMA_TABLES),
    )
)

PAGES = (
    "/",
    "/table/demo/events",
    f"/table/{quote(HOSTILE_TABLE.schema, safe='')}/{quote(HOSTILE_TABLE.name, safe='')}",
)
"""Addresses of pages of this catalogue."""


class Queries:
    """A protocol with one address for all tables."""

    name = "tap"
    jobs = ()

    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield ()

    def links(self, table: Table) -> Sequence[Link]:
        return (
            Link("Rows", f"tap/sync?QUERY={quote(table.full_name)}&MAXREC=10", table.full_name),
            Link("Queries", "tap", kind="endpoint"),
        )


class Cones:
    """A protocol with an address per table that has positions."""

    name = "scs"
    jobs = ()

    own: Sequence[Published] = ()

    @asynccontextmanager
    async def serving(self, context: Context) -> AsyncIterator[Sequence[BaseRoute]]:
        yield ()

    def links(self, table: Table) -> Sequence[Link]:
        return (Link("Cones", f"scs/{table.schema}/{table.name}?", kind="endpoint"),) if table.position else ()


def pages_app(catalog: Catalog, settings: Settings) -> Starlette:
    """The pages alone, without the protocols; no database is asked."""
    database = Database(derive_access("postgresql://owner:password@nowhere/database"), settings)
    live = LiveCatalog(database)
    live.current = catalog
    context = Context(settings=settings, database=database, live_catalog=live, jobs=Jobs(database, settings))
    return Starlette(routes=routes(context, (Cones(), Queries())))
