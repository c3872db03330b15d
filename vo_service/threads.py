"""Work that would hold up the event loop, in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_BYTES = 300_000
"""Size from which rows are worked on in a thread: 4,000 of an event list. With less, the event loop is held up for a
millisecond or two; threads that take turns with it would cost as much."""


async def worked(size: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function that works on so many bytes of rows."""
    return function(*args, **kwargs) if size < THREAD_BYTES else await in_thread(function, *args, **kwargs)


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
