"""Several processes that answer requests on one socket: each alone suffices, and they live and die together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import programs
from tests.support.service import Service, running, state_directory

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")

CONE = "/scs/demo/events?RA=77&DEC=5&SR=5&MAXREC=10"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with state_directory() as state, running("demo", state, ("--workers", "2")) as service:
        yield service


def others(service: Service) -> list[int]:
    """The processes that answer beside the one that was started."""
    return service.children("answer")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(service: Service, seconds: float = 2.0) -> bool:
    try:
        return httpx.get(service.url + CONE, timeout=seconds).status_code == 200
    except httpx.HTTPError:
        return False


def test_either_process_answers_alone(service: Service) -> None:
    until(lambda: len(others(service)) == 1)
    (other,) = others(service)
    os.kill(service.pid, signal.SIGSTOP)
    try:
        # It may be starting still.
        until(lambda: answers(service))
    finally:
        os.kill(service.pid, signal.SIGCONT)
    os.kill(other, signal.SIGSTOP)
    try:
        until(lambda: answers(service))
    finally:
        os.kill(other, signal.SIGCONT)


def test_a_process_that_dies_is_replaced_and_nobody_notices(service: Service) -> None:
    until(lambda: len(others(service)) == 1)
    (dead,) = others(service)
    os.kill(dead, signal.SIGKILL)
    assert all(answers(service, 30) for _ in range(20))
    until(lambda: others(service) not in ([], [dead]))


def test_a_job_of_one_process_is_known_to_all(service: Service) -> None:
    """No request needs the process that answered the one before."""
    parameters = {"LANG": "ADQL", "QUERY": "SELECT TOP 1 * FROM demo.events", "PHASE": "RUN"}
    for _ in range(4):
        job = httpx.post(f"{service.url}/tap/async", data=parameters).headers["location"]
        assert "COMPLETED" in httpx.get(job, params={"WAIT": "60"}, timeout=70).text
        assert httpx.get(f"{job}/results/result").status_code == 200


def test_no_process_has_imported_pandas(service: Service) -> None:
    """All of them have made Arrow arrays by now."""
    processes = [service.pid, *others(service), *service.children("worker")]
    assert len(processes) > 2
    assert not any("pandas" in Path(f"/proc/{pid}/maps").read_text() for pid in processes)


async def test_those_that_only_start_leave_the_port_when_the_first_is_killed() -> None:
    with programs.site() as place:
        async with programs.running(place, "serve", workers=3, job_workers=0) as service:
            await service.kill()
            await service.start()


def test_all_end_with_the_first(service: Service) -> None:
    """The last test of this service."""
    until(lambda: len(others(service)) == 1)
    family = others(service)
    os.kill(service.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in family))
    # The database, which nobody has stopped, is whole; the command that finds it so stops it.
    assert "demo.events" in service.run("list").stdout
