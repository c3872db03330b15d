"""The processes of a deployment: workers beside a service, and what becomes of jobs when processes are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.service import COMMAND, running, state_directory

QUERY = {"LANG": "ADQL", "QUERY": "SELECT TOP 5 event_id FROM demo.events", "RESPONSEFORMAT": "csv", "PHASE": "RUN"}


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def ended(job: str) -> str:
    """The phase of a job that has left the queue and is done."""
    while (phase := phase_of(httpx.get(f"{job}?WAIT=60", timeout=70).text)) in ("QUEUED", "EXECUTING"):
        pass
    return phase


def phase_of(document: str) -> str:
    found = re.search("<uws:phase>(.*)</uws:phase>", document)
    assert found is not None, document
    return found[1]


@contextmanager
def workers(state: Path, number: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*COMMAND, "worker", "--jobs", str(number), "--state", str(state)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has collected yet is in the state Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_jobs_outlive_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VO_SERVICE_JOB_WORKERS", "0")
    with state_directory() as state:
        with running("demo", state) as service:
            jobs = [httpx.post(f"{service.url}/tap/async", data=QUERY).headers["location"] for _ in range(3)]
            with workers(state, 2) as keeper:
                assert {ended(job) for job in jobs} == {"COMPLETED"}
                started = children(keeper.pid)
                assert len(started) == 2
                keeper.send_signal(signal.SIGINT)
                assert keeper.wait(timeout=60) == 0
                assert all(gone(pid) for pid in started)
            waiting = httpx.post(f"{service.url}/tap/async", data=QUERY).headers["location"]
            with workers(state, 1) as keeper:
                assert ended(waiting) == "COMPLETED"
                started = children(keeper.pid)
                keeper.kill()
                keeper.wait()
                while not all(gone(pid) for pid in started):
                    time.sleep(0.01)
            queued = httpx.post(f"{service.url}/tap/async", data=QUERY).headers["location"]
            os.kill(service.pid, signal.SIGKILL)
        monkeypatch.setenv("VO_SERVICE_JOB_WORKERS", "1")
        with running("serve", state) as service:
            for job in (*jobs, waiting, queued):
                address = f"{service.url}/tap/async/{job.rpartition('/')[2]}"
                assert ended(address) == "COMPLETED"
                assert len(httpx.get(f"{address}/results/result").text.splitlines()) == 6
