"""Workers as processes: what runs in one, and what keeps several running."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Sequence

from vo_service.config import Settings
from vo_service.context import open_context
from vo_service.database.access import Access
from vo_service.database.pools import Database
from vo_service.keeper import kept_running
from vo_service.uws.kind import JobKind
from vo_service.uws.worker import Worker

NICENESS = 5
"""By how much workers are nicer to other processes of the machine than the service."""


def run_worker(settings: Settings, access: Access, kinds: Sequence[JobKind]) -> None:
    """Run jobs in this process until SIGINT or SIGTERM."""
    # Requests that somebody waits for come first.
    os.nice(NICENESS)
    asyncio.run(_work(settings, access, kinds))


async def _work(settings: Settings, access: Access, kinds: Sequence[JobKind]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with open_context(settings, Database(access, settings)) as context:
        worker = asyncio.create_task(Worker(context, kinds).run())
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({worker, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (worker, waiting):
            task.cancel()
        await asyncio.wait({worker, waiting})
        if not worker.cancelled():
            worker.result()


def supervise_workers(settings: Settings, number: int) -> None:
    """Keep so many worker processes running until SIGINT or SIGTERM."""
    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    with kept_running(settings, "worker", number=number):
        stopped.wait()
