"""The phases of a job and the law of their succession (UWS 1.1, section 2.1.3)."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    """Made, not yet told to run."""
    QUEUED = "QUEUED"
    """Told to run, waits for a worker."""
    EXECUTING = "EXECUTING"
    """A worker runs it."""
    COMPLETED = "COMPLETED"
    """Its results are there."""
    ERROR = "ERROR"
    """It failed."""
    ABORTED = "ABORTED"
    """Stopped: by the client, or because its time was over."""
    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"
    """Its destruction time has come: the results are gone, the record is kept for a while."""


SUCCESSORS: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.QUEUED, Phase.ABORTED, Phase.ARCHIVED}),
    Phase.QUEUED: frozenset({Phase.EXECUTING, Phase.ABORTED, Phase.ARCHIVED}),
    # Back into the queue goes a job whose worker died or was stopped; what kills its worker each time ends as an error.
    Phase.EXECUTING: frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED, Phase.QUEUED, Phase.ARCHIVED}),
    Phase.COMPLETED: frozenset({Phase.ARCHIVED}),
    Phase.ERROR: frozenset({Phase.ARCHIVED}),
    Phase.ABORTED: frozenset({Phase.ARCHIVED}),
    Phase.ARCHIVED: frozenset(),
    # Phases of the standard that no job enters here: clients may ask for jobs that are in them.
    Phase.UNKNOWN: frozenset(),
    Phase.HELD: frozenset(),
    Phase.SUSPENDED: frozenset(),
}
"""The phases that may follow each phase. A job can be deleted in any of them."""

ACTIVE = frozenset({Phase.PENDING, Phase.QUEUED, Phase.EXECUTING})
"""Phases that a request with WAIT waits in (UWS 1.1, section 2.2.1.1)."""

ENDED = frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED})
"""Phases of a job that has run, or will never run, and is not yet archived."""


def predecessors(phase: Phase) -> frozenset[Phase]:
    """The phases that may come before a phase."""
    return frozenset(before for before, after in SUCCESSORS.items() if phase in after)
