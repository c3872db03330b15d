"""Asynchronous queries by the clients that astronomers use, over the demo: pyvo and STILTS."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import pyvo
import requests
from astropy.table import Table

from tests.support.judges import stilts
from tests.support.service import Service

QUERY = "SELECT TOP 20 event_id, energy FROM demo.events ORDER BY energy DESC"
ENDLESS = "SELECT COUNT(*) FROM demo.events AS a, demo.events AS b WHERE a.ra < b.dec"


class KeepingSession(requests.Session):
    """Closes all answers at its end; pyvo leaves some open."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: list[requests.Response] = []

    def request(self, *args: Any, **options: Any) -> requests.Response:  # noqa: ANN401 (passed on as they are)
        answer = super().request(*args, **options)
        self._answers.append(answer)
        return answer

    def close(self) -> None:
        for answer in self._answers:
            answer.close()
        super().close()


@pytest.fixture
def tap(demo_service: Service) -> Iterator[pyvo.dal.TAPService]:
    with KeepingSession() as session:
        yield pyvo.dal.TAPService(f"{demo_service.url}/tap", session=session)


def test_pyvo_run_async_gives_what_search_gives(tap: pyvo.dal.TAPService) -> None:
    at_once, later = tap.search(QUERY).to_table(), tap.run_async(QUERY).to_table()
    assert len(later) == 20
    assert list(later["event_id"]) == list(at_once["event_id"])
    assert later["energy"].unit == at_once["energy"].unit


def test_pyvo_run_async_deletes_its_job(tap: pyvo.dal.TAPService) -> None:
    before = {job.jobid for job in tap.get_job_list()}
    tap.run_async(QUERY)
    assert {job.jobid for job in tap.get_job_list()} <= before


def test_pyvo_sees_overflow(tap: pyvo.dal.TAPService) -> None:
    result = tap.run_async("SELECT * FROM demo.events", maxrec=3)
    assert (len(result), result.query_status) == (3, "OVERFLOW")


def test_pyvo_leads_a_job_through_its_life(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job("SELECT 1 AS one FROM demo.events", maxrec=1)
    assert (job.phase, job.owner, job.quote) == ("PENDING", None, None)
    job.query = QUERY
    job.execution_duration = 100
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    job.destruction = later
    assert job.execution_duration.to_value("s") == 100
    assert job.destruction.to_datetime(timezone=UTC) == later
    job.run().wait()
    assert (job.phase, job.uws_version) == ("COMPLETED", "1.1")
    job.raise_if_error()
    assert job.result_uri == f"{job.url}/results/result"
    assert len(job.fetch_result()) == 1
    address = job.url
    job.delete()
    assert requests.get(address, timeout=60).status_code == 404


def test_pyvo_gets_the_message_of_a_bad_query(tap: pyvo.dal.TAPService) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match=r"(?is)energyy.*did you mean"):
        tap.run_async("SELECT energyy FROM demo.events")


def test_pyvo_aborts(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job(ENDLESS)
    job.run()
    job.abort()
    assert job.phase == "ABORTED"
    with pytest.raises(pyvo.dal.DALQueryError):
        job.raise_if_error()
    job.delete()


def test_pyvo_lists_jobs(tap: pyvo.dal.TAPService) -> None:
    jobs = [tap.submit_job(QUERY) for _ in range(3)]
    ids = [job.job_id for job in jobs]
    assert [job.jobid for job in tap.get_job_list(last=2)] == ids[:0:-1]
    assert [job.jobid for job in tap.get_job_list(phases=["PENDING"], last=3)] == ids[::-1]
    assert not set(ids) & {job.jobid for job in tap.get_job_list(phases=["COMPLETED", "ERROR"])}
    (whole,) = tap.get_job_list(last=1, short_description=False)
    assert [p.content for p in whole.parameters if p.id_ == "QUERY"] == [QUERY]
    created = tap.get_job(ids[0]).creationtime.to_datetime()
    assert [job.jobid for job in tap.get_job_list(after=created)] == ids[:0:-1]
    for job in jobs:
        job.delete()


def test_pyvo_uploads_with_a_job(tap: pyvo.dal.TAPService) -> None:
    mine = Table({"name": ["a", "b"], "number": np.array([1, 2], np.int64)})
    found = tap.run_async(
        "SELECT u.name FROM TAP_UPLOAD.mine AS u JOIN demo.events AS e ON e.event_id = u.number ORDER BY name",
        uploads={"mine": mine},
    )
    assert list(found["name"]) == ["a", "b"]


def test_stilts_tapquery(demo_service: Service) -> None:
    done = stilts("tapquery", f"tapurl={demo_service.url}/tap", f"adql={QUERY}", "sync=false", "ofmt=csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    expected = pyvo.dal.TAPService(f"{demo_service.url}/tap").search(QUERY)
    assert [int(row["event_id"]) for row in rows] == [int(n) for n in expected["event_id"]]
    assert "DELETED" in done.stderr


def test_stilts_tells_of_an_error(demo_service: Service) -> None:
    done = stilts("tapquery", f"tapurl={demo_service.url}/tap", "adql=SELECT nope FROM demo.events", "sync=false")
    assert done.returncode != 0
    assert "There is no column nope" in done.stderr


def test_stilts_resumes_a_job(demo_service: Service, tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job(QUERY)
    job.run()
    done = stilts("tapresume", f"joburl={job.url}", "ofmt=csv", "delete=now")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 21
