"""Server settings of the embedded PostgreSQL, from the memory and processors of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MB = 1024**2
GB = 1024**3

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2, seen from inside a container
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


def machine_memory() -> int:
    """Bytes of memory that this process may use: of the machine, or of its container if that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [int(text) for path in _CGROUP_LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    return min(physical, *limits) if limits else physical


def machine_processors() -> int:
    """Processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def server_settings(memory: int, processors: int) -> dict[str, str]:
    """PostgreSQL settings for a machine of `memory` bytes that also runs the service and the page cache.

    The shares follow the PostgreSQL manual (chapters 19.4 and 19.7) for a machine of mixed use.
    """
    return {
        "listen_addresses": "",
        # 31 at most for each process that answers requests (docs/operations.md), of which there is one per processor.
        "max_connections": str(120 + 40 * processors),
        "timezone": "UTC",
        # A quarter of the memory, touched page by page as data are read: a small catalogue never fills it.
        "shared_buffers": _size(memory // 4, at_least=32 * MB, at_most=8 * GB),
        "effective_cache_size": _size(memory * 3 // 4, at_least=128 * MB, at_most=1024 * GB),
        "work_mem": _size(memory // 256, at_least=8 * MB, at_most=256 * MB),
        "maintenance_work_mem": _size(memory // 16, at_least=64 * MB, at_most=2 * GB),
        # There is no replica. A table that is filled by the transaction that made it then needs no log at all, which
        # is the limit of loading otherwise.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        # Queries are short or read much and compute little: compiling them costs more than it saves.
        "jit": "off",
        "random_page_cost": "1.1",
        "max_worker_processes": str(8 + processors),
        "max_parallel_workers": str(max(processors // 2, 1)),
        "max_parallel_workers_per_gather": str(min(processors // 2, 4)),
        "max_parallel_maintenance_workers": str(min(processors // 2, 4)),
        # Queries of a service that was killed end soon after it; only Linux can notice.
        **({"client_connection_check_interval": "1s"} if sys.platform == "linux" else {}),
    }


def _size(value: int, *, at_least: int, at_most: int) -> str:
    return f"{min(max(value, at_least), at_most) // MB}MB"
