"""The composition root: protocols and pages become one Starlette application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from conesearch.protocol import ConeSearch
from datalink.protocol import DataLink
from registry_records.protocol import RegistryRecords
from tap.protocol import Tap
from vo_service.config import Settings
from vo_service.context import open_context
from vo_service.coverage.protocol import CoverageMaps
from vo_service.database.access import Access
from vo_service.database.init import Published
from vo_service.database.pools import Database
from vo_service.obscore.protocol import ObsCore
from vo_service.protocol import ServiceProtocol
from vo_service.uws.kind import JobKind
from vo_service.web.pages import routes as page_routes
from voevent.protocol import VoEvent

PROTOCOLS: tuple[ServiceProtocol, ...] = (
    ConeSearch(),
    Tap(),
    DataLink(),
    CoverageMaps(),
    ObsCore(),
    VoEvent(),
    RegistryRecords((ConeSearch(), Tap(), DataLink())),
)
"""The protocols that the service speaks, in the order in which pages show them."""

OWN: tuple[Published, ...] = tuple(published for protocol in PROTOCOLS for published in protocol.own)
"""The service's own schemas that are published."""

JOB_KINDS: tuple[JobKind, ...] = tuple(kind for protocol in PROTOCOLS for kind in protocol.jobs)
"""The kinds of jobs that workers run."""

# Aladin Lite and other pages read answers from any origin; nothing here depends on cookies.
_CORS = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
    allow_headers=["*"],
    expose_headers=[
        "Accept-Ranges",
        "Content-Disposition",
        "Content-Length",
        "Content-Range",
        "ETag",
        "Link",
        "Location",
        "Repr-Digest",
        "Retry-After",
    ],
)


def create_app(settings: Settings, access: Access) -> Starlette:
    """The whole service over one database, which is running and up to date."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_context(settings, Database(access, settings)) as context, AsyncExitStack() as stack:
            for protocol in PROTOCOLS:
                app.router.routes.extend(await stack.enter_async_context(protocol.serving(context)))
            app.router.routes.extend(page_routes(context, PROTOCOLS))
            yield

    return Starlette(lifespan=lifespan, middleware=[_CORS])
