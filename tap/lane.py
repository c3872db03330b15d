"""The lane of heavy queries: so many at once, fewer of one client, and fewer still that compute.

Small queries never come here; nor do cone searches, pages and metadata. So none of them waits for heavy ones, and the
processors are not divided among more of those than they can carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import Request

from vo_service.config import Settings
from vo_service.dali.quota import Quota, client_of


class HeavyLane:
    """The lane of one process."""

    def __init__(self, settings: Settings) -> None:
        self._places = Quota(
            total=settings.queries_limit, per_client=settings.queries_per_client, patience=settings.busy_timeout
        )
        self._turns = asyncio.Semaphore(settings.queries_computing)

    @asynccontextmanager
    async def place(self, request: Request) -> AsyncIterator[Place]:
        """What a query may take while the block runs, and gives back at its end."""
        async with AsyncExitStack() as taken:
            yield Place(self._places, self._turns, client_of(request), taken)


class Place:
    """The place of one query, as soon as it takes it."""

    def __init__(self, places: Quota, turns: asyncio.Semaphore, client: str, taken: AsyncExitStack) -> None:
        self._places = places
        self._turns = turns
        self._client = client
        self._taken = taken
        self._is_taken = False

    async def take(self) -> None:
        """Wait for the place, unless it is taken already. Raises TooManyRequestsError if there is none in time."""
        if not self._is_taken:
            await self._taken.enter_async_context(self._places.slot(self._client))
            self._is_taken = True

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Compute while the block runs: up to the first rows. Then the client, who fetches them, sets the pace."""
        await self.take()
        async with self._turns:
            yield
