"""Workers on a real server: they run what is queued, stop when told, and what they leave behind is run by another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.database import SECRET, execute
from tests.support.jobs import Chores, job_context, new_job, wait_for, working
from vo_service.context import Context
from vo_service.database.access import Access
from vo_service.uws.phases import ENDED, Phase
from vo_service.uws.store import WORKER_LOCK

SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(' || %s || ')%%' AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def context(access: Access, tmp_path: Path) -> AsyncIterator[Context]:
    async with job_context(access, tmp_path) as context:
        yield context


@pytest.fixture
def kind() -> Chores:
    return Chores()


def files(context: Context) -> list[str]:
    return [str(path) for path in context.jobs.results.directory.rglob("*") if path.is_file()]


async def test_a_job_runs_to_completion(context: Context, kind: Chores) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, TEXT="abc", ROWS="3")
        job = await wait_for(context, kind, job_id, *ENDED)
    assert (job.phase, job.rows, job.attempt, job.error) == (Phase.COMPLETED, 3, 1, None)
    (result,) = job.results
    assert context.jobs.results.path(result).read_bytes() == b"abcabcabc"
    assert (result.size, result.media_type) == (9, "text/plain")
    assert job.started is not None
    assert job.ended is not None
    assert job.created <= job.started <= job.ended


async def test_jobs_that_were_queued_before_are_run_in_order(context: Context, kind: Chores) -> None:
    job_ids = [await new_job(context, kind) for _ in range(5)]
    async with working(context, kind):
        await wait_for(context, kind, job_ids[-1], Phase.COMPLETED)
    assert kind.begun == job_ids


async def test_a_failure_is_the_error_of_the_job(context: Context, kind: Chores) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, FAIL="no such table: pulsars")
        job = await wait_for(context, kind, job_id, *ENDED)
    assert (job.phase, job.error, job.results) == (Phase.ERROR, "no such table: pulsars", ())


async def test_what_nobody_expected_is_not_told(
    context: Context, kind: Chores, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, ROWS="many")
        job = await wait_for(context, kind, job_id, *ENDED)
        assert job.phase is Phase.ERROR
        assert "many" not in (job.error or "")
        assert "invalid literal" in caplog.text
        assert files(context) == []
        # The worker goes on.
        await wait_for(context, kind, await new_job(context, kind), Phase.COMPLETED)


async def test_a_job_that_takes_too_long_is_aborted(context: Context, kind: Chores, access: Access) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, seconds=1, SLEEP="301")
        job = await wait_for(context, kind, job_id, *ENDED)
    assert job.phase is Phase.ABORTED
    assert "1 second" in (job.error or "")
    assert execute(access.owner.conninfo, SLEEPING, "301") == [(0,)]


@pytest.mark.parametrize("how", ["abort", "delete"])
async def test_stopping_a_job_ends_its_query(context: Context, kind: Chores, access: Access, how: str) -> None:
    seconds = {"abort": "302.0", "delete": "303.0"}[how]
    async with working(context, kind):
        job_id = await new_job(context, kind, SLEEP=seconds)
        while execute(access.owner.conninfo, SLEEPING, seconds) != [(1,)]:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        assert await (context.jobs.store.abort(job_id) if how == "abort" else context.jobs.store.delete(job_id))
        # The worker takes the next when the query has ended.
        await wait_for(context, kind, await new_job(context, kind), Phase.COMPLETED)
        assert execute(access.owner.conninfo, SLEEPING, seconds) == [(0,)]
    if how == "abort":
        assert (await context.jobs.store.get(kind.name, job_id)).phase is Phase.ABORTED


async def test_a_worker_that_stops_gives_its_job_back(context: Context, kind: Chores, access: Access) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, SLEEP="304.0")
        await wait_for(context, kind, job_id, Phase.EXECUTING)
    job = await context.jobs.store.get(kind.name, job_id)
    assert (job.phase, job.attempt) == (Phase.QUEUED, 0)
    assert execute(access.owner.conninfo, SLEEPING, "304.0") == [(0,)]
    await context.jobs.store.abort(job_id)


async def test_a_worker_that_loses_its_session_begins_anew(context: Context, kind: Chores, access: Access) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind, SLEEP="2")
        await wait_for(context, kind, job_id, Phase.EXECUTING)
        execute(
            access.owner.conninfo,
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN vo_service.job j ON l.objid::bigint = j.worker"
            " WHERE l.classid::bigint = %s AND j.job_id = %s",
            WORKER_LOCK,
            job_id,
        )
        job = await wait_for(context, kind, job_id, *ENDED)
    assert (job.phase, len(kind.begun)) == (Phase.COMPLETED, 2)
    assert len(files(context)) == 1


async def test_expired_jobs_lose_their_files(context: Context, kind: Chores) -> None:
    async with working(context, kind):
        job_id = await new_job(context, kind)
        await wait_for(context, kind, job_id, Phase.COMPLETED)
        assert len(files(context)) == 1
        past = datetime.now(UTC) - timedelta(seconds=1)
        await context.jobs.store.change(job_id, within=Phase, destruction=past, attachments="my tables")
    async with working(context, kind):
        await wait_for(context, kind, job_id, Phase.ARCHIVED)
        while not kind.discarded:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
    assert files(context) == []
    assert kind.discarded == ["my tables"]


async def test_files_that_belong_to_no_job_are_removed(context: Context, kind: Chores) -> None:
    left, young = (context.jobs.results.directory / name for name in ("left", "young"))
    for directory in (left, young):
        directory.mkdir(parents=True)
        (directory / "result-1.txt.part").write_text("half")
    os.utime(left, (0, 0))
    async with working(context, kind):
        while left.exists():  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
    assert young.exists()


async def test_many_workers_share_the_queue(access: Access, tmp_path: Path, kind: Chores) -> None:
    async with AsyncExitStack() as stack:
        contexts = [await stack.enter_async_context(job_context(access, tmp_path)) for _ in range(3)]
        job_ids = [await new_job(contexts[0], kind) for _ in range(60)]
        for context in contexts:
            await stack.enter_async_context(working(context, kind))
        for job_id in job_ids:
            await wait_for(contexts[0], kind, job_id, Phase.COMPLETED)
    assert sorted(kind.begun) == sorted(job_ids)


# What a process that is killed was doing is done by another.

PROCESS = """
import asyncio, sys
from pathlib import Path
from tests.support.jobs import Chores, job_context
from vo_service.database.access import derive_access
from vo_service.uws.worker import Worker

async def main(conninfo, secret, state, name):
    async with job_context(derive_access(conninfo, secret), Path(state)) as context:
        print("ready", flush=True)
        await Worker(context, [Chores(name)]).run()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def process(access: Access, state: Path, kind: Chores) -> AsyncIterator[subprocess.Popen[str]]:
    """A worker in a process of its own."""
    arguments = [access.owner.conninfo, SECRET, str(state), kind.name]
    victim = subprocess.Popen(  # noqa: ASYNC220 (it is back at once)
        [sys.executable, "-c", PROCESS, *arguments], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert victim.stdout is not None
    try:
        assert await asyncio.to_thread(victim.stdout.readline) == "ready\n"
        yield victim
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()


async def test_the_job_of_a_killed_worker_is_run_by_another(
    context: Context, kind: Chores, access: Access, tmp_path: Path
) -> None:
    async with process(access, tmp_path, kind) as victim:
        job_id = await new_job(context, kind, SLEEP="1", TEXT="whole")
        later = await new_job(context, kind)
        await wait_for(context, kind, job_id, Phase.EXECUTING)
        left = context.jobs.results.directory / job_id / "result-1.txt.part"
        left.parent.mkdir(parents=True)
        left.write_text("half")
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        async with working(context, kind):
            job = await wait_for(context, kind, job_id, *ENDED)
            await wait_for(context, kind, later, Phase.COMPLETED)
    assert (job.phase, job.attempt) == (Phase.COMPLETED, 2)
    assert context.jobs.results.path(job.results[0]).read_text() == "whole"
    assert not left.exists()
    assert kind.begun == [job_id, later]


async def test_the_query_of_a_killed_worker_ends(
    context: Context, kind: Chores, access: Access, tmp_path: Path
) -> None:
    async with process(access, tmp_path, kind) as victim:
        job_id = await new_job(context, kind, SLEEP="305.0")
        while execute(access.owner.conninfo, SLEEPING, "305.0") != [(1,)]:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
    while execute(access.owner.conninfo, SLEEPING, "305.0") != [(0,)]:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.1)
    await context.jobs.store.abort(job_id)
