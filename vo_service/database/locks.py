"""Locks on files of the state directory, by which processes agree on who starts, uses and stops what.

They are flock(2) locks: the system releases them when a process ends, however it ends. Each lock belongs to the open
file, so that two holders in one process exclude each other too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vo_service.errors import ConfigurationError, ServiceError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock alone; wait for it if need be."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def service_lock(state: Path, command: str) -> Iterator[None]:
    """Be the one service on a state directory while the block runs; `command` tells others what holds it.

    Raises ServiceError that names the holder if there is one already.
    """
    make_directory(state)
    path = state / "service.lock"
    with _opened(path) as descriptor:
        if not try_exclusive(descriptor):
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            raise ServiceError(
                f"A service is running on the state directory {state} already: {holder}."
                " Stop it first, or give this one a directory of its own with --state"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} ({command})\n".encode(), 0)
        yield


class Users:
    """Counts the users of something shared between processes, by a shared lock of each on one file.

    Not safe by itself: `join` and `leave` are to be called while holding one `exclusive` lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def join(self) -> None:
        """Become a user."""
        self._descriptor = _open(self._path)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Be a user no longer. True if there is no other."""
        if self._descriptor is None:
            return False
        try:
            return try_exclusive(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def try_exclusive(descriptor: int) -> bool:
    """Take the lock alone if nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_directory(path: Path) -> None:
    """Make a directory and those above it that are missing, open to be entered by all (whatever the umask).

    Raises ConfigurationError if that is not possible.
    """
    try:
        for directory in (*reversed(path.parents), path):
            if not directory.exists():
                directory.mkdir(exist_ok=True)
                directory.chmod(0o755)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot make the state directory {path}: {error.strerror}; choose another with --state"
        ) from None


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"Cannot write in the state directory: {path}: {error.strerror}") from None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
