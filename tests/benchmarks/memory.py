"""What processes take: the highest memory of the service's and of PostgreSQL's while something runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

INTERVAL = 0.02
"""Seconds between two looks."""

FAMILY_LOOKS = 25
"""Looks after which new processes are looked for."""

PROC: Final = Path("/proc")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The highest memory of the processes that something looks at, in MB.

    Attributes
    ----------
    service
        Resident memory of the largest process of the service: the one that answers.
    service_all
        That of all its processes together: jobs and alerts have some of their own.
    database
        Memory of PostgreSQL's processes that is theirs alone, without the shared buffers.
    """

    def __init__(self) -> None:
        self.service = self.service_all = self.database = 0.0

    def look(self, service: Sequence[int], database: Sequence[int]) -> None:
        sizes = [_resident(pid) for pid in service]
        self.service = max(self.service, *sizes)
        self.service_all = max(self.service_all, sum(sizes))
        self.database = max(self.database, sum(map(_private, database)))


@contextmanager
def peak_memory(service: int, database: int) -> Iterator[Peak]:
    """Look at two process trees, by the ids of their roots, while the block runs."""
    peak = Peak()
    stopped = threading.Event()

    def watch() -> None:
        for number in count():
            if number % FAMILY_LOOKS == 0:
                families = process_tree(service), process_tree(database)
            peak.look(*families)
            if stopped.wait(INTERVAL):
                break

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        stopped.set()
        watching.join()


def process_tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for children in (PROC / str(pid) / "task").glob("*/children"):
            with suppress(OSError):
                todo += map(int, children.read_text().split())
    return found


def postmaster(state: Path) -> int:
    """The first process of the embedded PostgreSQL of a state directory."""
    return int((state / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def _resident(pid: int) -> float:
    with suppress(OSError):
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE / 1e6
    return 0.0


def _private(pid: int) -> float:
    with suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
