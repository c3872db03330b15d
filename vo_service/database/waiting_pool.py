"""A pool of connections for which one can wait and be cancelled."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

C = TypeVar("C", bound="psycopg.AsyncConnection[Any]")


class WaitingPool(AsyncConnectionPool[C]):
    """Psycopg's pool, but a cancellation is never lost.

    It waits by `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes together with the connection.
    A task of a group that is to end would then go on, and its group wait for ever.
    """

    async def getconn(self, timeout: float | None = None) -> C:  # noqa: ASYNC109 (as the pool has it)
        """As psycopg's."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine runs in a task)
        before = task.cancelling()
        connection: C = await super().getconn(timeout)
        if task.cancelling() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection
