"""The XML documents of jobs: by the IVOA's schema, and read back by pyvo."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pyvo.io import uws

from tests.support.xsd import complaints
from vo_service.uws.documents import iso, job_document, jobs_document, parameters_document, results_document
from vo_service.uws.model import Job, JobReference, Result
from vo_service.uws.phases import Phase

URL = "http://vo.example.org/tap/async/abc"
NOON = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

PENDING = Job(
    id="abc", kind="tap", phase=Phase.PENDING, run_id=None, parameters=(), attachments=None, created=NOON, started=None,
    ended=None, execution_seconds=60, destruction=NOON + timedelta(days=1), attempt=0, worker=None, rows=None,
    results=(), error=None,
)  # fmt: skip
QUEUED = replace(PENDING, phase=Phase.QUEUED, jobs_ahead=3, run_id="mine & yours")
EXECUTING = replace(
    PENDING, phase=Phase.EXECUTING, started=NOON, attempt=2, worker=7, rows=1_000,
    parameters=(("QUERY", "SELECT 'a < b & \x01 ☃'\nFROM t"), ("Odd name", ""), ("QUERY", "twice")),
)  # fmt: skip
COMPLETED = replace(
    EXECUTING, phase=Phase.COMPLETED, ended=NOON + timedelta(seconds=5),
    results=(Result("result", "abc/result-2.vot", "application/x-votable+xml", 2**40),),
)  # fmt: skip
FAILED = replace(EXECUTING, phase=Phase.ERROR, ended=NOON, error='no "pulsars" <here>')
ARCHIVED = replace(COMPLETED, phase=Phase.ARCHIVED, results=())
EVERY = (PENDING, QUEUED, EXECUTING, COMPLETED, FAILED, ARCHIVED)
LIST = [JobReference(f"j{phase}", phase, "r" if phase == Phase.ERROR else None, NOON) for phase in Phase]


def parsed(job: Job) -> Any:  # noqa: ANN401 (pyvo has no types)
    """A job as pyvo reads it."""
    return uws.parse_job(io.BytesIO(job_document(job, URL)))


def elements(document: bytes, name: str) -> list[etree._Element]:
    return etree.fromstring(document).findall(f".//{{*}}{name}")


@pytest.mark.parametrize("job", EVERY, ids=lambda job: job.phase)
def test_jobs_are_valid(job: Job, shared: Path) -> None:
    assert complaints(job_document(job, URL), shared) == []
    assert complaints(parameters_document(job), shared) == []
    assert complaints(results_document(job, URL), shared) == []


@pytest.mark.parametrize("jobs", [LIST, []])
def test_lists_are_valid(jobs: list[JobReference], shared: Path) -> None:
    assert complaints(jobs_document(jobs, URL), shared) == []


@pytest.mark.parametrize("job", EVERY, ids=lambda job: job.phase)
def test_what_is_not_known_is_nil(job: Job) -> None:
    document = job_document(job, URL)
    for name, value in (("ownerId", None), ("quote", None), ("startTime", job.started), ("endTime", job.ended)):
        (element,) = elements(document, name)
        assert (element.get(NIL) == "true", not element.text) == (value is None, value is None), name


def test_a_job_says_what_it_is() -> None:
    job = parsed(COMPLETED)
    assert (job.jobid, job.phase, job.version) == ("abc", "COMPLETED", "1.1")
    assert job.creationtime.to_datetime(timezone=UTC) == NOON
    assert job.starttime.to_datetime(timezone=UTC) == NOON
    assert job.endtime.to_datetime(timezone=UTC) == NOON + timedelta(seconds=5)
    assert job.destruction.to_datetime(timezone=UTC) == NOON + timedelta(days=1)
    assert job.executionduration.to_value("s") == 60
    (result,) = job.results
    assert (result.id_, result.href, result.size) == ("result", f"{URL}/results/result", 2**40)
    assert [(p.id_, p.content) for p in job.parameters] == [
        ("QUERY", "SELECT 'a < b & \ufffd ☃'\nFROM t"), ("Odd name", ""), ("QUERY", "twice"),
    ]  # fmt: skip


def test_an_error_has_its_message() -> None:
    assert parsed(FAILED).errorsummary.message.content == 'no "pulsars" <here>'
    (summary,) = elements(job_document(FAILED, URL), "errorSummary")
    assert (summary.get("type"), summary.get("hasDetail")) == ("fatal", "true")


def test_information_on_progress() -> None:
    def told(job: Job) -> dict[str, str | None]:
        (info,) = elements(job_document(job, URL), "jobInfo")
        return {str(child.tag): child.text for child in info}

    assert told(PENDING) == {}
    assert told(QUEUED) == {"jobsAhead": "3"}
    assert told(COMPLETED) == {"elapsed": "5.000", "attempt": "2", "rowsWritten": "1000"}
    assert float(told(EXECUTING)["elapsed"] or 0) > 0


def test_a_list_names_each_job() -> None:
    jobs = list(uws.parse_job_list(io.BytesIO(jobs_document(LIST, "http://vo.example.org/tap/async"))))
    assert [(job.jobid, job.phase) for job in jobs] == [(f"j{phase}", phase.value) for phase in Phase]
    references = elements(jobs_document(LIST, "http://vo.example.org/tap/async"), "jobref")
    hrefs = [reference.get("{http://www.w3.org/1999/xlink}href") for reference in references]
    assert hrefs == [f"http://vo.example.org/tap/async/j{phase}" for phase in Phase]


def test_times_are_utc() -> None:
    assert iso(NOON.astimezone(timezone(timedelta(hours=-3)))) == "2026-01-31T12:00:00.250000Z"
