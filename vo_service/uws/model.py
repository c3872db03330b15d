"""A job as the table `vo_service.job` holds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from vo_service.uws.phases import Phase

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A file that a job left.

    Attributes
    ----------
    name
        What it is called in addresses: "result".
    file
        Its path, relative to the directory of results.
    size
        Bytes.
    """

    name: str
    file: str
    media_type: str
    size: int

    @property
    def extension(self) -> str:
        """Of the file's name, with the dot."""
        return PurePosixPath(self.file).suffix


@dataclass(frozen=True, slots=True)
class JobReference:
    """What the list of jobs tells of each."""

    id: str
    phase: Phase
    run_id: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A job. Times are UTC.

    Attributes
    ----------
    kind
        Name of the `JobKind` that it belongs to.
    parameters
        Names and values as they were sent, in order; without those that UWS itself defines.
    attachments
        What the kind of job keeps for it; None for nothing.
    execution_seconds
        Seconds that it may run.
    attempt
        How often a worker has begun it.
    worker
        Number of the worker that runs it, or ran it last.
    rows
        Rows written so far; None where rows have not been counted.
    error
        Why it ended without results.
    jobs_ahead
        Jobs before it in the queue; None unless it is QUEUED.
    """

    id: str
    kind: str
    phase: Phase
    run_id: str | None
    parameters: Pairs
    attachments: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    execution_seconds: int
    destruction: datetime
    attempt: int
    worker: int | None
    rows: int | None
    results: tuple[Result, ...]
    error: str | None
    jobs_ahead: int | None = None
