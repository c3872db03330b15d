"""Work that would hold up the event loop, in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_ROWS = 5_000
"""Rows from which work on a batch is done in a thread. With less, the event loop is held up for a millisecond or two;
threads that take turns with it would cost as much."""


async def worked(rows: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function that works on so many rows."""
    return function(*args, **kwargs) if rows < THREAD_ROWS else await in_thread(function, *args, **kwargs)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function that runs in a thread. Also who is cancelled waits for its end.

    So nothing that the thread works on is closed under its hands.
    """
    working = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise
