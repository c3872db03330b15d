"""Lanes: so many connections of one kind, and no more; who finds all of them busy waits a little, or is sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from vo_service.errors import TooManyRequestsError

RETRY_AFTER = 5
"""Seconds after which a client that was sent away, as all is busy, is told to try again."""

Connection = TypeVar("Connection")


class Lane(Generic[Connection]):
    """At most `size` connections at once, made when they are needed; those that are given back are used again.

    Parameters
    ----------
    patience
        Seconds that a request waits for a connection.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def acquire(self) -> Connection:
        """A connection; to be given back by `keep` or `discard`.

        Raises TooManyRequestsError if none becomes free in time, and what `connect` raises.
        """
        await self._enter()
        if self._idle:
            return self._idle.pop()
        try:
            return await self._connect()
        except BaseException:
            self._free.release()
            raise

    def keep(self, connection: Connection) -> None:
        """Give back a connection that can run another query."""
        self._idle.append(connection)
        self._free.release()

    def discard(self) -> None:
        """Give up a connection, which the caller has closed."""
        self._free.release()

    def take_idle(self) -> list[Connection]:
        """The connections that nobody uses, to be closed."""
        idle, self._idle = self._idle, []
        return idle

    async def _enter(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise TooManyRequestsError(
                f"{self._size} queries are running, as many as the service runs at once; try again in a moment",
                retry_after=RETRY_AFTER,
            ) from None
