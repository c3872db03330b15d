"""The files of jobs: written under a temporary name, renamed when they are whole, so that what can be read is whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vo_service.threads import in_thread
from vo_service.uws.model import Job, Result

THREAD_BYTES = 100_000
"""Bytes from which a piece is written in a thread: the disk may be slow."""

ORPHAN_SECONDS = 86_400
"""Age of a directory that belongs to no job from which it is removed; young ones may be of a job being deleted."""


class ResultStore:
    """The directory of results: one directory for each job that has any."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, result: Result) -> Path:
        """Where a result is."""
        return self.directory / result.file

    async def remove(self, job_id: str) -> None:
        """Remove all files of a job, as far as there are any."""
        await asyncio.to_thread(shutil.rmtree, self.directory / job_id, ignore_errors=True)

    def orphans(self) -> list[str]:
        """Names of old directories: if there are no jobs of that name, a process died before it could remove them."""
        if not self.directory.is_dir():
            return []
        oldest = time.time() - ORPHAN_SECONDS
        return [entry.name for entry in os.scandir(self.directory) if entry.is_dir() and entry.stat().st_mtime < oldest]


class Output:
    """What one attempt at a job writes: its results, and how far it is."""

    def __init__(self, store: ResultStore, job: Job) -> None:
        self._store = store
        self._job = job
        self.rows: int | None = None
        """Rows written so far; for whoever asks how the job is getting on."""
        self.results: list[Result] = []

    @asynccontextmanager
    async def result(self, name: str, media_type: str, extension: str) -> AsyncIterator[ResultFile]:
        """A file to be written within the block; a result of the job if the block ends well, else removed.

        `extension` is that of the file's name, without the dot.
        """
        # Attempts have files of their own: a worker that was taken for dead may still be writing to another.
        relative = f"{self._job.id}/{name}-{self._job.attempt}.{extension}"
        path = self._store.directory / relative
        part = path.with_name(f"{path.name}.part")
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        try:
            with part.open("wb") as opened:
                file = ResultFile(opened)
                yield file
                await in_thread(file.flush)
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self.results.append(Result(name, relative, media_type, file.size))

    def remove(self) -> None:
        """Remove what this attempt has written."""
        for result in self.results:
            self._store.path(result).unlink(missing_ok=True)
        # Other attempts may have files there, or the job has been deleted, and the directory too.
        with suppress(OSError):
            (self._store.directory / self._job.id).rmdir()


class ResultFile:
    """A result while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        self.size += len(data)
        if len(data) < THREAD_BYTES:
            self._file.write(data)
        else:
            await in_thread(self._file.write, data)

    def flush(self) -> None:
        """See that all is on the disk: a job that is called complete must be so after a power failure too."""
        self._file.flush()
        os.fsync(self._file.fileno())
