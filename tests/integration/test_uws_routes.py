"""Jobs over HTTP, on the demo with its workers: every address, every refusal, real waiting, whole files."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lxml import etree

from tests.support.served import served
from tests.support.service import Service
from tests.support.xsd import complaints
from vo_service.database.access import Access

LIST = "/tap/async"
QUERY = "SELECT TOP 5 event_id, ra FROM demo.events ORDER BY event_id"
LARGE = "SELECT event_id, ra, dec, energy FROM demo.events"
ENDLESS = "SELECT COUNT(*) FROM demo.events AS a, demo.events AS b WHERE a.ra < b.dec"
ENDED = ("COMPLETED", "ERROR", "ABORTED")


@pytest.fixture
def jobs(demo_service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo_service.url, timeout=70) as client:
        yield client


def new(jobs: httpx.Client, query: str = QUERY, **parameters: str) -> str:
    """Post a query; gives the address of the job."""
    answer = jobs.post(LIST, data={"LANG": "ADQL", "QUERY": query, **parameters})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def ended(jobs: httpx.Client, job: str) -> etree._Element:
    """The job, when it has ended."""
    while (document := read(jobs, job, WAIT="60")).findtext("{*}phase") not in ENDED:
        pass
    return document


def read(jobs: httpx.Client, job: str, **parameters: str) -> etree._Element:
    answer = jobs.get(job, params=parameters)
    assert answer.status_code == 200, answer.text
    return etree.fromstring(answer.content)


def finished(jobs: httpx.Client, query: str = QUERY, **parameters: str) -> str:
    """A job that is COMPLETED."""
    job = new(jobs, query, PHASE="RUN", **parameters)
    assert ended(jobs, job).findtext("{*}phase") == "COMPLETED"
    return job


def message(answer: httpx.Response) -> str:
    """What a VOTable of an error says."""
    (info,) = etree.fromstring(answer.content).iterfind(".//{*}INFO")
    assert info.get("value") == "ERROR"
    return info.text or ""


def test_a_job_from_its_making_to_its_end(jobs: httpx.Client) -> None:
    job = new(jobs)
    assert jobs.get(f"{job}/phase").text == "PENDING"
    answer = jobs.post(f"{job}/phase", data={"PHASE": "RUN"})
    assert (answer.status_code, answer.headers["location"]) == (303, job)
    document = ended(jobs, job)
    assert document.findtext("{*}jobInfo/rowsWritten") == "5"
    (result,) = document.iterfind("{*}results/{*}result")
    address = result.get("{http://www.w3.org/1999/xlink}href")
    assert address == f"{job}/results/result"
    body = jobs.get(address or "")
    assert body.headers["content-type"] == result.get("mime-type") == "application/x-votable+xml"
    assert b'name="QUERY_STATUS" value="OK"' in body.content
    assert jobs.delete(job).headers["location"] == str(jobs.base_url.join(LIST))
    assert jobs.get(job).status_code == jobs.delete(job).status_code == jobs.get(f"{job}/phase").status_code == 404


def test_every_part_can_be_read(jobs: httpx.Client, shared: Path) -> None:
    job = finished(jobs, runid="mine")
    expected = {"phase": "COMPLETED", "executionduration": "3600", "quote": "", "owner": ""}
    for part, text in expected.items():
        answer = jobs.get(f"{job}/{part}")
        assert (answer.text, answer.headers["content-type"]) == (text, "text/plain; charset=utf-8")
    assert jobs.get(f"{job}/destruction").text.endswith("Z")
    for address in (LIST, job, f"{job}/parameters", f"{job}/results"):
        answer = jobs.get(address)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"].startswith("text/xml")
        assert complaints(answer.content, shared) == []
    assert read(jobs, job).findtext("{*}runId") == "mine"


def test_jobs_can_be_set_up_in_pieces(jobs: httpx.Client) -> None:
    job = jobs.post(LIST).headers["location"]
    for part, parameters in (
        ("parameters", {"QUERY": "SELECT nothing", "lang": "ADQL"}),
        ("", {"QUERY": QUERY, "RunID": "x"}),
        ("executionduration", {"EXECUTIONDURATION": "77"}),
        ("destruction", {"DESTRUCTION": "2001-01-01T00:00:00Z"}),
        ("destruction", {"DESTRUCTION": "9999-01-01T00:00:00Z"}),
    ):
        answer = jobs.post(f"{job}/{part}".rstrip("/"), data=parameters)
        assert (answer.status_code, answer.headers["location"]) == (303, job)
    document = read(jobs, job)
    assert [(p.get("id"), p.text) for p in document.iterfind("{*}parameters/*")] == [("lang", "ADQL"), ("QUERY", QUERY)]
    assert (document.findtext("{*}runId"), document.findtext("{*}executionDuration")) == ("x", "77")
    assert "2026" <= (document.findtext("{*}destruction") or "") < "9999"
    jobs.post(job, data={"PHASE": "RUN"})
    assert ended(jobs, job).findtext("{*}phase") == "COMPLETED"


def test_parameters_of_the_address_and_multipart_count_too(jobs: httpx.Client) -> None:
    answer = jobs.post(f"{LIST}?PHASE=RUN", files={"LANG": (None, "ADQL"), "QUERY": (None, QUERY)})
    assert ended(jobs, answer.headers["location"]).findtext("{*}phase") == "COMPLETED"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT energyy FROM demo.events", "Did you mean"),
        ("", "QUERY is missing"),
        ("SELECT 1/0 FROM demo.events", "zero"),
    ],
)
def test_an_error_is_told_twice(jobs: httpx.Client, query: str, told: str) -> None:
    job = new(jobs, query, PHASE="RUN")
    document = ended(jobs, job)
    assert document.findtext("{*}phase") == "ERROR"
    summary = document.findtext("{*}errorSummary/{*}message") or ""
    assert told in summary
    answer = jobs.get(f"{job}/error")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-votable+xml")
    assert message(answer) == summary
    missing = jobs.get(f"{job}/results/result")
    assert (missing.status_code, message(missing)) == (404, "The job is ERROR; it has no result result")


def test_a_running_query_is_aborted(jobs: httpx.Client) -> None:
    job = new(jobs, ENDLESS, PHASE="RUN")
    read(jobs, job, WAIT="60", PHASE="QUEUED")
    assert jobs.get(f"{job}/phase").text == "EXECUTING"
    assert jobs.post(f"{job}/phase", data={"PHASE": "ABORT"}).status_code == 303
    assert jobs.get(f"{job}/phase").text == "ABORTED"
    # Aborting again, as a client may that did not see the answer, changes nothing.
    assert jobs.post(f"{job}/phase", data={"PHASE": "ABORT"}).status_code == 303


def test_a_query_beyond_its_duration_is_aborted(jobs: httpx.Client) -> None:
    job = new(jobs, ENDLESS, PHASE="RUN", EXECUTIONDURATION="1")
    document = ended(jobs, job)
    assert document.findtext("{*}phase") == "ABORTED"
    assert "1 second" in message(jobs.get(f"{job}/error"))


@pytest.mark.parametrize("how", ["DELETE", "ACTION"])
def test_a_running_query_is_deleted(jobs: httpx.Client, how: str) -> None:
    job = new(jobs, ENDLESS, PHASE="RUN")
    read(jobs, job, WAIT="60", PHASE="QUEUED")
    answer = jobs.delete(job) if how == "DELETE" else jobs.post(job, data={"ACTION": "DELETE"})
    assert answer.status_code == 303
    assert jobs.get(job).status_code == 404
    finished(jobs)


def test_refusals_name_the_fault(jobs: httpx.Client) -> None:
    pending, done = new(jobs), finished(jobs)
    unknown = f"{LIST}/0123456789abcdef01234567"
    for answer, status, told in (
        (jobs.get(unknown), 404, "There is no job 0123456789abcdef01234567"),
        (jobs.post(f"{unknown}/phase", data={"PHASE": "RUN"}), 404, "There is no job"),
        (jobs.post(f"{pending}/phase", data={"PHASE": "GO"}), 400, "PHASE=GO: expected RUN or ABORT"),
        (jobs.post(f"{pending}/phase"), 400, "PHASE is missing"),
        (jobs.post(f"{pending}/executionduration", data={"EXECUTIONDURATION": "long"}), 400, "EXECUTIONDURATION=long"),
        (jobs.post(f"{pending}/destruction", data={"DESTRUCTION": "never"}), 400, "DESTRUCTION=never"),
        (jobs.post(pending, data={"ACTION": "KEEP"}), 400, "ACTION=KEEP: expected DELETE"),
        (jobs.post(f"{done}/phase", data={"PHASE": "RUN"}), 400, "The job is COMPLETED; this can be done only while"),
        (jobs.post(f"{done}/parameters", data={"QUERY": "x"}), 400, "The job is COMPLETED"),
        (jobs.post(done, data={"EXECUTIONDURATION": "5"}), 400, "The job is COMPLETED"),
        (jobs.get(f"{done}/results/other"), 404, "no result other"),
        (jobs.get(f"{done}/error"), 404, "no error"),
        (jobs.get(done, params={"WAIT": "soon"}), 400, "WAIT=soon"),
        (jobs.get(LIST, params={"PHASE": "DONE"}), 400, "PHASE=DONE"),
        (jobs.post(LIST, content=b"\xff", headers={"Content-Type": "application/json"}), 400, "cannot be read"),
        (jobs.post(LIST, data={"PHASE": "ABORT"}), 400, "expected PHASE=RUN"),
        (jobs.put(pending), 405, "PUT is not possible here"),
        (jobs.delete(LIST), 405, "DELETE is not possible here"),
        (jobs.post(f"{done}/results"), 405, "POST is not possible here"),
        (jobs.post(f"{done}/owner", data={"OWNER": "me"}), 405, "POST is not possible here"),
    ):
        assert (answer.status_code, told in message(answer)) == (status, True), (told, answer.text)
    assert jobs.get(f"{pending}/phase").text == "PENDING"


def test_the_list_can_be_filtered(jobs: httpx.Client) -> None:
    def listed(**parameters: str | list[str]) -> list[str | None]:
        document = etree.fromstring(jobs.get(LIST, params=parameters).content)
        return [reference.get("id") for reference in document]

    first, second, third = new(jobs), finished(jobs), new(jobs)
    ids = [address.rpartition("/")[2] for address in (first, second, third)]
    created = read(jobs, first).findtext("{*}creationTime") or ""
    assert listed()[:3] == ids[::-1]
    assert listed(LAST="2") == [ids[2], ids[1]]
    assert listed(AFTER=created) == [ids[2], ids[1]]
    assert listed(PHASE="PENDING", LAST="2") == [ids[2], ids[0]]
    assert listed(PHASE=["PENDING", "COMPLETED"], AFTER=created) == [ids[2], ids[1]]
    assert listed(PHASE="HELD") == []
    jobs.delete(third)
    assert listed(LAST="1") == [ids[1]]


def test_head_tells_what_get_would(jobs: httpx.Client) -> None:
    job = finished(jobs)
    for address in (LIST, job, f"{job}/phase", f"{job}/results", f"{job}/results/result"):
        head, get = jobs.head(address), jobs.get(address, headers={"Accept-Encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]


# Waiting


def test_waiting_ends_when_the_phase_changes(jobs: httpx.Client, demo_service: Service) -> None:
    job = new(jobs)
    found = []

    def wait() -> None:
        with httpx.Client(timeout=70) as other:
            found.append(etree.fromstring(other.get(job, params={"WAIT": "-1"}).content).findtext("{*}phase"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive()
    jobs.post(f"{job}/phase", data={"PHASE": "ABORT"})
    waiting.join(30)
    assert found == ["ABORTED"]


def test_waiting_ends_when_the_job_is_deleted(jobs: httpx.Client) -> None:
    job = new(jobs)
    deleting = threading.Timer(0.5, lambda: httpx.delete(job))
    deleting.start()
    assert jobs.get(job, params={"WAIT": "60"}).status_code == 404
    deleting.join()


def test_waiting_ends_after_its_time(jobs: httpx.Client) -> None:
    job = new(jobs)
    began = time.monotonic()
    assert read(jobs, job, WAIT="1").findtext("{*}phase") == "PENDING"
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("parameters", [{"WAIT": "-1", "PHASE": "EXECUTING"}, {"WAIT": "0"}, {"PHASE": "PENDING"}])
def test_nobody_waits_for_what_is_not_so(jobs: httpx.Client, parameters: dict[str, str]) -> None:
    """A job that is in another phase than was asked for is shown at once; the client's time would run out here."""
    with httpx.Client(timeout=20) as hasty:
        assert read(hasty, new(jobs), **parameters).findtext("{*}phase") == "PENDING"


def test_a_job_that_has_ended_is_shown_at_once(jobs: httpx.Client) -> None:
    with httpx.Client(timeout=20) as hasty:
        assert read(hasty, finished(jobs), WAIT="-1").findtext("{*}phase") == "COMPLETED"


# Files


def test_results_are_files(jobs: httpx.Client) -> None:
    result = f"{finished(jobs, RESPONSEFORMAT='csv')}/results/result"
    plain = {"Accept-Encoding": "identity"}
    whole = jobs.get(result, headers=plain)
    assert whole.headers["content-length"] == str(len(whole.content))
    assert whole.text.startswith("event_id,ra\n")
    assert 'filename="result.csv"' in whole.headers["content-disposition"]
    part = jobs.get(result, headers={**plain, "Range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, whole.content[3:10])
    assert part.headers["content-range"] == f"bytes 3-9/{len(whole.content)}"
    assert jobs.get(result, headers={"Range": "bytes=3-9"}).content == part.content
    assert jobs.get(result, headers={**plain, "Range": "bytes=99999-"}).status_code == 416
    changed = jobs.get(result, headers={**plain, "Range": "bytes=3-9", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, whole.content)


@pytest.mark.parametrize("query", [QUERY, LARGE])
def test_results_are_compressed_for_those_who_read_it(jobs: httpx.Client, query: str) -> None:
    result = f"{finished(jobs, query, RESPONSEFORMAT='csv')}/results/result"
    whole = jobs.get(result, headers={"Accept-Encoding": "identity"})
    with jobs.stream("GET", result, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == whole.content
    tags = [answer.headers["etag"] for answer in (whole, packed)]
    assert tags[0] != tags[1]
    for tag, coding in zip(tags, ("identity", "gzip"), strict=True):
        kept = jobs.get(result, headers={"Accept-Encoding": coding, "If-None-Match": f'"other", W/{tag}'})
        assert (kept.status_code, kept.content, kept.headers["etag"]) == (304, b"", tag)


def test_packed_formats_are_not_packed_again(jobs: httpx.Client) -> None:
    result = f"{finished(jobs, RESPONSEFORMAT='parquet')}/results/result"
    answer = jobs.get(result, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.content.startswith(b"PAR1")


@pytest.mark.parametrize("maxrec", ["0", "3"])
def test_overflow_is_told(jobs: httpx.Client, maxrec: str) -> None:
    job = finished(jobs, MAXREC=maxrec)
    assert b'name="QUERY_STATUS" value="OVERFLOW"' in jobs.get(f"{job}/results/result").content
    assert read(jobs, job).findtext("{*}jobInfo/rowsWritten") == maxrec


def test_deleting_removes_the_files(jobs: httpx.Client, demo_service: Service) -> None:
    job = finished(jobs)
    directory = demo_service.state / "jobs" / job.rpartition("/")[2]
    assert [path.name for path in directory.iterdir()] == ["result-1.vot"]
    jobs.delete(job)
    assert not directory.exists()


# Uploads


def test_uploads_stay_with_the_job(jobs: httpx.Client, demo_service: Service) -> None:
    query = "SELECT u.n, v.m FROM TAP_UPLOAD.u AS u, TAP_UPLOAD.v AS v"
    answer = jobs.post(
        LIST,
        data={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv", "UPLOAD": "u,param:a"},
        files={"a": b"n\n1\n"},
    )
    job = answer.headers["location"]
    # Another upload adds up; one of the same name takes the place of the first.
    jobs.post(f"{job}/parameters", data={"UPLOAD": "v,param:b;u,param:c"}, files={"b": b"m\n2\n", "c": b"n\n7\n"})
    jobs.post(f"{job}/phase", data={"PHASE": "RUN"})
    document = ended(jobs, job)
    assert document.findtext("{*}phase") == "COMPLETED", document.findtext("{*}errorSummary/{*}message")
    assert jobs.get(f"{job}/results/result").text.split() == ["n,m", "7,2"]
    assert jobs.delete(job).status_code == 303


def test_uploads_that_cannot_be_read_refuse_the_job(jobs: httpx.Client) -> None:
    answer = jobs.post(LIST, data={"UPLOAD": "u,param:a"}, files={"a": b"\0\1\2"})
    assert (answer.status_code, "UPLOAD u" in message(answer)) == (400, True)


def test_clients_have_a_limit_and_a_list_of_their_own(access: Access, tmp_path: Path) -> None:
    with served(access, jobs_per_client=2, state=tmp_path) as url:

        def post(client: str) -> httpx.Response:
            return httpx.post(f"{url}{LIST}", headers={"X-Forwarded-For": client})

        mine = [post("192.0.2.1").headers["location"] for _ in range(2)]
        refused = post("192.0.2.1")
        assert (refused.status_code, "2 jobs" in message(refused)) == (429, True)
        assert int(refused.headers["retry-after"]) > 0
        theirs = post("192.0.2.2").headers["location"]
        for client, jobs in (("192.0.2.1", mine[::-1]), ("192.0.2.2", [theirs]), ("192.0.2.3", [])):
            document = httpx.get(f"{url}{LIST}", headers={"X-Forwarded-For": client}).content
            found = [job.get("{http://www.w3.org/1999/xlink}href") for job in etree.fromstring(document)]
            assert found == jobs
        httpx.delete(mine[0])
        assert post("192.0.2.1").status_code == 303


# Workers


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_jobs_survive_the_death_of_all_workers(jobs: httpx.Client, demo_service: Service) -> None:
    finished(jobs)
    slow = "SELECT COUNT(*) FROM demo.events AS a, demo.events AS b WHERE a.ra < b.dec AND a.event_id < 100"
    addresses = [new(jobs, slow, PHASE="RUN") for _ in range(6)]
    for pid in demo_service.children("worker"):
        os.kill(pid, signal.SIGKILL)
    assert {ended(jobs, job).findtext("{*}phase") for job in addresses} == {"COMPLETED"}
