"""The broker as a process: everything about alerts that is neither HTTP nor arithmetic.

    authors, other brokers, streams -> archive -> subscribers (VTP), sinks

The archive is between the two, so that events which arrive by HTTP, or by another process, reach all of them as well.
Matching (voevent.match.online) has a process of its own: what it computes would hold up the sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.pools import Database
from voevent.archive.insertion import Original
from voevent.archive.stamps import Stamps, stamping
from voevent.archive.store import AlertStore
from voevent.configuration import alerts_file
from voevent.match.online import NAME as MATCHING
from voevent.operations.state import report_broker
from voevent.pipeline import Source, Verdict, accept
from voevent.publish.news import listening
from voevent.publish.outbox import run_sink
from voevent.publish.sinks import make_sinks
from voevent.publish.vtp import Replay, VtpPublishing
from voevent.sources.running import Sources
from voevent.vtp.server import Broker

RESTART_SECONDS: Final = 5.0
"""Seconds until a part that has failed by a fault of ours is started again."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def running_broker(settings: Settings, access: Access) -> AsyncIterator[Broker]:
    """A broker that listens while the block runs, with all that the file of alerts names; over a database that is up
    to date.

    Raises ConfigurationError if a port, a certificate or the file of alerts cannot be used, UnavailableError if the
    database is away.
    """
    configured = alerts_file(settings)
    async with (
        Database(access, settings) as database,
        AlertStore(access) as store,
        stamping(store) as stamps,
        listening(database) as news,
    ):
        broker = _broker(settings, store, stamps)
        sources = Sources(settings, configured.sources, store, access)
        publishing = await VtpPublishing.begin(broker, store, stamps)
        await store.position(MATCHING)  # what is stored from now on is matched
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "subscribers": partial(publishing.run, news),
            "sources": sources.run,
            "report": partial(report_broker, access, broker, sources),
        }
        for sink in make_sinks(settings, configured.sinks):
            parts[f"sink {sink.name}"] = partial(run_sink, sink, store, news)
        async with broker, asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_keep_running(name, run)) for name, run in parts.items()]
            try:
                yield broker
            finally:
                for part in running:
                    part.cancel()


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part until it ends; a fault of ours in one is no reason to stop the others."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("The broker's part %s has failed; it starts again", name)
            await asyncio.sleep(RESTART_SECONDS)
        else:
            return


def _broker(settings: Settings, store: AlertStore, stamps: Stamps) -> Broker:
    async def take_in(raw: bytes, source: Source) -> Verdict:
        return await accept(raw, source, store)

    def acknowledged(event_id: int) -> None:
        stamps.note("acknowledged", event_id)

    return Broker(settings, accept=take_in, since=Replay(store).since, last_of=store.last_of, acknowledged=acknowledged)


async def publish_packet(raw: bytes, access: Access, original: Original | None = None) -> Verdict:
    """Take in one packet of an author who has the database at hand, and the notice that it was made of."""
    async with AlertStore(access) as store:
        return await accept(raw, Source("author", "publish"), store, original)
