"""The times at which events come through the stages after their storage, noted a little later and many at once.

A time that a crash takes is no loss; that nobody waits for it to be written is a gain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from vo_service.errors import UnavailableError
from voevent.archive.store import AlertStore, Stage

PAUSE: Final = 0.5
"""Seconds between two writings."""

MOST: Final = 100_000
"""Times that wait at most; while the database is away, later ones are not noted."""

log = logging.getLogger(__name__)


class Stamps:
    """Times that wait to be written."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store
        self._times: dict[Stage, dict[int, datetime]] = {"acknowledged": {}, "sent": {}, "matched": {}}

    def note(self, stage: Stage, event_id: int) -> None:
        """An event has just come so far; only the first time counts."""
        times = self._times[stage]
        if len(times) < MOST:
            times.setdefault(event_id, datetime.now(UTC).replace(tzinfo=None))

    async def write(self) -> None:
        """Write all times that are waiting."""
        waiting, self._times = self._times, {stage: {} for stage in self._times}
        if not any(waiting.values()):
            return
        try:
            await self._store.stamp(waiting)
        except UnavailableError as error:
            log.warning("Times of events were not noted: %s", error)


@asynccontextmanager
async def stamping(store: AlertStore) -> AsyncIterator[Stamps]:
    """Stamps that are written while the block runs, and at its end."""
    stamps = Stamps(store)
    writing = asyncio.create_task(_write_often(stamps))
    try:
        yield stamps
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await stamps.write()


async def _write_often(stamps: Stamps) -> None:
    while True:
        await asyncio.sleep(PAUSE)
        await stamps.write()
