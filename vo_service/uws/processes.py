"""Workers as processes: what runs in one, and what starts several and starts those again that die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vo_service.config import Settings
from vo_service.context import open_context
from vo_service.database.access import Access
from vo_service.database.pools import Database
from vo_service.uws.kind import JobKind
from vo_service.uws.worker import Worker

STOP_SECONDS = 10
"""Seconds that a worker is given to put its job back into the queue."""

RESTART_SECONDS = 1.0
"""Seconds until a worker that has died is started again; doubled each time it dies at once, up to `RESTART_LIMIT`."""

RESTART_LIMIT = 60.0

HEALTHY_SECONDS = 30.0
"""Seconds after which a worker that dies has not died at once."""

NICENESS = 5
"""By how much workers are nicer to other processes of the machine than the service."""

log = logging.getLogger(__name__)


def run_worker(settings: Settings, access: Access, kinds: Sequence[JobKind], *, until_eof: bool = False) -> None:
    """Run jobs in this process until SIGINT or SIGTERM; with `until_eof` also until standard input ends."""
    # Requests that somebody waits for come first.
    os.nice(NICENESS)
    asyncio.run(_work(settings, access, kinds, until_eof=until_eof))


async def _work(settings: Settings, access: Access, kinds: Sequence[JobKind], *, until_eof: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if until_eof:
        # Whoever started this process holds the other end, which the system closes when that process ends, however.
        loop.add_reader(sys.stdin, stopped.set)
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
    with worker_processes(settings, number):
        stopped.wait()


@contextmanager
def worker_processes(settings: Settings, number: int) -> Iterator[None]:
    """So many worker processes while the block runs. They are stopped at its end, and do not outlive this process."""
    command = [sys.executable, "-m", "vo_service", "worker", "--state", str(settings.state), "--supervised"]
    keepers = [_Keeper(command) for _ in range(number)]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.stop()
        for keeper in keepers:
            keeper.join()


class _Keeper:
    """A thread that keeps one process running."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="keeper of a worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the process to end."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                # One that is only starting ends at once.
                self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended; kill it if it does not."""
        self._thread.join(STOP_SECONDS)
        if self._process is not None and self._process.poll() is None:
            log.warning("A worker does not stop; its job is run again later")
            self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        pause = RESTART_SECONDS
        while True:
            with self._lock:
                if self._stopped.is_set():
                    return
                self._process = self._start()
            began = time.monotonic()
            with self._process:
                status = self._process.wait()
            if self._stopped.is_set():
                return
            pause = RESTART_SECONDS if time.monotonic() - began > HEALTHY_SECONDS else min(2 * pause, RESTART_LIMIT)
            log.warning("A worker ended (status %s); another is started in %g seconds", status, pause)
            self._stopped.wait(pause)

    def _start(self) -> subprocess.Popen[bytes]:
        # Ctrl-C in the terminal is for the process that was started there; it tells this one.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 (our own)
