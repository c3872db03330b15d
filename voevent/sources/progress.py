"""How far sources have read, and what they could not use: in the database, as the events are.

A position is written after what came before it was stored: a source that dies reads some messages again, whose events
are known then. What cannot be converted is kept whole in `vo_service.alert_refused`, which nothing empties but the
operator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import psycopg

from vo_service.database.access import Access
from vo_service.database.failures import UNREACHABLE
from vo_service.database.waiting_pool import WaitingPool
from vo_service.errors import UnavailableError

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that could not be used.

    Attributes
    ----------
    part, position
        Where in the stream it is.
    """

    part: str
    position: str
    data: bytes
    reason: str


class Progress:
    """Positions and refused messages of all sources; open inside `async with`. Raises UnavailableError."""

    def __init__(self, access: Access) -> None:
        self._pool: WaitingPool[_Connection] = WaitingPool(
            access.writer.conninfo, name="sources", min_size=1, max_size=2, open=False
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def positions(self, source: str) -> dict[str, str]:
        """The position that a source reads next, for each part of its stream."""
        async with self._transaction() as connection:
            cursor = await connection.execute(
                "SELECT part, next_position FROM vo_service.alert_source WHERE name = %s", (source,)
            )
            return dict(await cursor.fetchall())

    async def advance(self, source: str, positions: Mapping[str, str]) -> None:
        """Note the positions to read next."""
        async with self._transaction() as connection:
            # What a crash takes of these is read again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                "INSERT INTO vo_service.alert_source (name, part, next_position)"
                " SELECT %s, * FROM unnest(%s::text[], %s::text[])"
                " ON CONFLICT (name, part) DO UPDATE SET next_position = excluded.next_position, updated_at = now()",
                (source, list(positions), list(positions.values())),
            )

    async def refuse(self, source: str, refused: Refused) -> None:
        """Keep a message that cannot be used; once, however often it is read."""
        async with self._transaction() as connection:
            await connection.execute(
                "INSERT INTO vo_service.alert_refused (source, part, position, digest, data, reason)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    source,
                    refused.part,
                    _storable(refused.position),
                    sha256(refused.data).digest(),
                    refused.data,
                    _storable(refused.reason),
                ),
            )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.OperationalError:
            raise UnavailableError(UNREACHABLE) from None


def _storable(text: str) -> str:
    """Without what PostgreSQL has no place for in a text: what a message says may be part of the reason."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()
