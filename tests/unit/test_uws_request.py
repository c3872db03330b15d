"""What clients ask of jobs: the parameters of UWS 1.1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vo_service.config import load_settings
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.uws.phases import Phase
from vo_service.uws.request import WAIT_LIMIT, read_job_request, read_list_request, read_wait

SETTINGS = load_settings(async_timeout=60, async_timeout_limit=600, job_lifetime=3600, job_lifetime_limit=86_400)


def given(**values: str) -> Parameters:
    return Parameters(list(values.items()))


def test_controls_are_apart_from_the_jobs_own_parameters() -> None:
    asked = read_job_request(
        given(LANG="ADQL", Phase="run", runId="r1", ExecutionDuration="5", query="SELECT 1"), SETTINGS
    )
    assert asked.parameters == (("LANG", "ADQL"), ("query", "SELECT 1"))
    assert (asked.run, asked.abort, asked.delete, asked.run_id, asked.execution_seconds) == (
        True, False, False, "r1", 5,
    )  # fmt: skip


@pytest.mark.parametrize(("asked", "seconds"), [("0", 600), ("1", 1), ("600", 600), ("601", 600), (" 7 ", 7)])
def test_durations_have_a_limit(asked: str, seconds: int) -> None:
    assert read_job_request(given(EXECUTIONDURATION=asked), SETTINGS).execution_seconds == seconds


def test_destruction_is_neither_past_nor_too_late() -> None:
    now = datetime.now(UTC)

    def read(text: str) -> datetime:
        time = read_job_request(given(DESTRUCTION=text), SETTINGS).destruction
        assert time is not None
        return time

    soon = now + timedelta(hours=2)
    assert read(soon.isoformat()) == soon
    assert read(soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ")) == soon
    assert read(soon.replace(tzinfo=None).isoformat()) == soon
    assert read("2001-01-01") >= now
    assert read("9999-12-31T23:59:59Z") <= datetime.now(UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"PHASE": "START"}, "PHASE=START: expected RUN or ABORT"),
        ({"ACTION": "DESTROY"}, "ACTION=DESTROY: expected DELETE"),
        ({"EXECUTIONDURATION": "-1"}, "EXECUTIONDURATION=-1: expected an integer, 0 or more"),
        ({"EXECUTIONDURATION": "1.5"}, "EXECUTIONDURATION=1.5"),
        ({"DESTRUCTION": "tomorrow"}, "DESTRUCTION=tomorrow: expected a time in UTC"),
        ({"DESTRUCTION": "0001-01-01T00:00:00+23:00"}, "DESTRUCTION=0001"),
        ({"PHASE": "RUN", "phase": "ABORT"}, "PHASE is given 2 times"),
    ],
)
def test_faults_are_named(parameters: dict[str, str], fault: str) -> None:
    with pytest.raises(UsageError) as error:
        read_job_request(given(**parameters), SETTINGS)
    assert fault in error.value.message


def test_lists() -> None:
    everything = read_list_request(given())
    assert (everything.after, everything.last) == (None, None)
    assert everything.phases == frozenset(Phase) - {Phase.ARCHIVED}
    some = read_list_request(
        Parameters([("PHASE", "ARCHIVED"), ("phase", "error"), ("AFTER", "2026-01-31T12:00:00.000001Z"), ("LAST", "3")])
    )
    assert some.phases == {Phase.ARCHIVED, Phase.ERROR}
    assert (some.after, some.last) == (datetime(2026, 1, 31, 12, 0, 0, 1, UTC), 3)


@pytest.mark.parametrize("parameters", [{"PHASE": "DONE"}, {"AFTER": "noon"}, {"LAST": "-1"}, {"LAST": "few"}])
def test_faults_of_lists_are_named(parameters: dict[str, str]) -> None:
    ((name, value),) = parameters.items()
    with pytest.raises(UsageError, match=f"{name}={value}: expected"):
        read_list_request(given(**parameters))


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 0), ("0", 0), ("7", 7), ("-1", WAIT_LIMIT), ("-5", WAIT_LIMIT), ("99999999999", WAIT_LIMIT)],
)
def test_waits_have_a_limit(asked: str | None, seconds: int) -> None:
    assert read_wait(given(**({} if asked is None else {"WAIT": asked}))).seconds == seconds


def test_waits_for_a_phase() -> None:
    assert read_wait(given(WAIT="1", PHASE="executing")).phase is Phase.EXECUTING
    with pytest.raises(UsageError, match="PHASE=RUNNING"):
        read_wait(given(WAIT="1", PHASE="RUNNING"))
    with pytest.raises(UsageError, match=r"WAIT=1\.5"):
        read_wait(given(WAIT="1.5"))
