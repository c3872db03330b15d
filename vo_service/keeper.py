"""Processes beside a service: started with it, started again when they die, and ended with it, however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket

from vo_service.config import Settings

STOP_SECONDS = 10
"""Seconds that a process is given to end in good order."""

RESTART_SECONDS = 1.0
"""Seconds until a process that has died is started again; doubled each time it dies at once, up to `RESTART_LIMIT`."""

RESTART_LIMIT = 60.0

HEALTHY_SECONDS = 30.0
"""Seconds after which a process that dies has not died at once."""

log = logging.getLogger(__name__)


@contextmanager
def kept_running(
    settings: Settings, command: str, *options: str, number: int = 1, sockets: Sequence[socket] = ()
) -> Iterator[None]:
    """So many processes `vo-service COMMAND` with the same settings while the block runs.

    They get the option --supervised, which says: `end_with_keeper`. They inherit `sockets`, by the same descriptors.
    """
    words = [sys.executable, "-m", "vo_service", command, "--state", str(settings.state), "--supervised", *options]
    keepers = [_Keeper(command, words, [each.fileno() for each in sockets]) for _ in range(number)]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.stop()
        for keeper in keepers:
            keeper.join()


def end_with_keeper() -> None:
    """From now on, this process gets SIGTERM when the one that keeps it ends, even if that is killed.

    That one holds the other end of standard input here, which the system closes then.
    """
    # A thread notices it also while modules are imported, when no event loop runs yet: a process that waited with it
    # would hold the sockets that it has inherited, and a service that is started anew would find its port taken.
    threading.Thread(target=_await_end, name="end with the keeper", daemon=True).start()


def _await_end() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class _Keeper:
    """A thread that keeps one process running."""

    def __init__(self, name: str, command: Sequence[str], inherited: Sequence[int]) -> None:
        self._name = name
        self._command = command
        self._inherited = inherited
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"keeper of a {name}", daemon=True)
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
            log.warning("A %s does not stop, and is killed; what it did not finish is done later", self._name)
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
            log.warning("A %s ended (status %s); another is started in %g seconds", self._name, status, pause)
            self._stopped.wait(pause)

    def _start(self) -> subprocess.Popen[bytes]:
        # Ctrl-C in the terminal is for the process that was started there; it tells this one.
        return subprocess.Popen(  # noqa: S603 (our own)
            self._command, stdin=subprocess.PIPE, start_new_session=True, pass_fds=self._inherited
        )
