"""What a process needs to deal with jobs: their table, their changes, their files."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from vo_service.config import Settings
from vo_service.database.pools import Database
from vo_service.uws.changes import JobChanges
from vo_service.uws.results import ResultStore
from vo_service.uws.store import JobStore


class Jobs:
    """Open inside `async with`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.store = JobStore(database.access)
        self.changes = JobChanges(database)
        self.results = ResultStore(settings.results_directory)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.store)
        await self._stack.enter_async_context(self.changes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
