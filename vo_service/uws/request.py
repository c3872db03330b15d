"""What a client asks of jobs: the parameters that UWS 1.1 defines, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vo_service.config import Settings
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.uws.model import Pairs
from vo_service.uws.phases import Phase

CONTROLS = frozenset({"PHASE", "ACTION", "RUNID", "DESTRUCTION", "EXECUTIONDURATION"})
"""Parameters that UWS itself defines for POST; all others are those of the job."""

WAIT_LIMIT = 60
"""Seconds that a request may wait; proxies and clients give up on longer ones."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a POST asks for. What it does not speak of is None, or False.

    Attributes
    ----------
    parameters
        Names and values for the job itself.
    execution_seconds, destruction
        As asked for, but not beyond the limits of the service, nor in the past.
    """

    parameters: Pairs
    run_id: str | None
    execution_seconds: int | None
    destruction: datetime | None
    run: bool
    abort: bool
    delete: bool


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which jobs a list is to show: those in any of the phases, made after a time, the newest `last` of them."""

    phases: frozenset[Phase]
    after: datetime | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """How many seconds to wait while a job is in a phase; None for the phase that it is found in."""

    seconds: int
    phase: Phase | None


def read_job_request(parameters: Parameters, settings: Settings) -> JobRequest:
    """The request that a POST makes. Raises UsageError that names the parameter at fault."""
    phase = (parameters.one("PHASE") or "").upper()
    if phase not in ("", "RUN", "ABORT"):
        raise UsageError(f"PHASE={phase[:60]}: expected RUN or ABORT")
    action = (parameters.one("ACTION") or "").upper()
    if action not in ("", "DELETE"):
        raise UsageError(f"ACTION={action[:60]}: expected DELETE")
    return JobRequest(
        parameters=tuple((name, value) for name, value in parameters.pairs if name.upper() not in CONTROLS),
        run_id=parameters.one("RUNID"),
        execution_seconds=_execution_seconds(parameters, settings),
        destruction=_destruction(parameters, settings),
        run=phase == "RUN",
        abort=phase == "ABORT",
        delete=action == "DELETE",
    )


def read_list_request(parameters: Parameters) -> ListRequest:
    """The request for a list (UWS 1.1, section 2.2.2.2). Jobs that are ARCHIVED are shown to who asks for them."""
    phases = frozenset(_phase(value) for value in parameters.all("PHASE") if value.strip())
    last = parameters.integer("LAST", low=0, default=0)
    return ListRequest(
        phases=phases or frozenset(Phase) - {Phase.ARCHIVED},
        after=_time(parameters, "AFTER"),
        last=last or None,
    )


def read_wait(parameters: Parameters) -> Wait:
    """How long a GET is to wait (UWS 1.1, section 2.2.1.1); any negative number means as long as possible."""
    phase = parameters.one("PHASE")
    seconds = parameters.integer("WAIT", low=-(10**9), default=0)
    return Wait(WAIT_LIMIT if seconds < 0 else min(seconds, WAIT_LIMIT), _phase(phase) if phase else None)


def _execution_seconds(parameters: Parameters, settings: Settings) -> int | None:
    if parameters.one("EXECUTIONDURATION") is None:
        return None
    # 0 asks for no limit.
    asked = parameters.integer("EXECUTIONDURATION", low=0, default=0)
    return min(asked, settings.async_timeout_limit) or settings.async_timeout_limit


def _destruction(parameters: Parameters, settings: Settings) -> datetime | None:
    asked = _time(parameters, "DESTRUCTION")
    now = datetime.now(UTC)
    return asked and max(now, min(asked, now + timedelta(seconds=settings.job_lifetime_limit)))


def _phase(value: str) -> Phase:
    try:
        return Phase(value.strip().upper())
    except ValueError:
        raise UsageError(f"PHASE={value[:60]}: expected one of {', '.join(Phase)}") from None


def _time(parameters: Parameters, name: str) -> datetime | None:
    text = parameters.one(name)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{name}={text[:60]}: expected a time in UTC, such as 2026-01-31T12:00:00Z") from None
