"""Requests that wait until a job changes: one connection listens for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from vo_service.database.pools import Database
from vo_service.uws.store import CHANNEL


class JobChanges:
    """Tells who waits for a job that it has changed. Open inside `async with`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    @contextmanager
    def of(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each change of a job while the block runs; the caller clears it."""
        if self._follower is None:
            # Only now: processes in which nobody waits need no connection for it.
            self._follower = asyncio.create_task(self._follow(), name="job follower")
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        try:
            yield event
        finally:
            events = self._waiting[job_id]
            events.remove(event)
            if not events:
                del self._waiting[job_id]

    async def _follow(self) -> None:
        async for payload in self._database.listen(CHANNEL):
            # Without a payload, as it comes at first, anything may have changed.
            job_ids = [payload.partition(" ")[0]] if payload else list(self._waiting)
            for job_id in job_ids:
                for event in self._waiting.get(job_id, ()):
                    event.set()
