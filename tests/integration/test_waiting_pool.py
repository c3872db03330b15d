"""A pool of connections: who waits for one can be cancelled, whenever the connection comes."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from vo_service.database.access import Access
from vo_service.database.waiting_pool import WaitingPool


async def test_a_cancellation_that_comes_with_the_connection_is_heard(access: Access) -> None:
    pool: WaitingPool[psycopg.AsyncConnection[Any]] = WaitingPool(
        access.writer.conninfo, min_size=1, max_size=1, timeout=20, open=False
    )
    async with pool:
        for turns in [*range(12)] * 3:
            held = await pool.getconn()
            waiting = asyncio.create_task(pool.getconn())
            await asyncio.sleep(0.01)
            await pool.putconn(held)
            for _ in range(turns):
                await asyncio.sleep(0)
            was_cancelled = waiting.cancel()
            await asyncio.wait({waiting})
            assert waiting.cancelled() == was_cancelled
            if not was_cancelled:
                await pool.putconn(waiting.result())
