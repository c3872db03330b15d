"""The table of jobs on a real server: order, law, fences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.support.database import execute
from tests.support.jobs import Chores, job_context, new_job
from vo_service.context import Context
from vo_service.database.access import Access
from vo_service.errors import NotFoundError
from vo_service.uws.model import Job, Result
from vo_service.uws.phases import Phase
from vo_service.uws.store import ATTEMPTS, WORKER_LOCK

RESULT = Result("result", "x/result-1.txt", "text/plain", 4)


@pytest.fixture
async def context(each_access: Access, tmp_path: Path) -> AsyncIterator[Context]:
    async with job_context(each_access, tmp_path) as context:
        yield context


@pytest.fixture
def kind() -> Chores:
    return Chores()


async def claimed(context: Context, kind: Chores, worker: int = -1) -> Job:
    """A new job that a worker has claimed, which does not live."""
    await new_job(context, kind)
    job = await context.jobs.store.claim(worker, [kind.name])
    assert job is not None
    return job


async def phase_of(context: Context, job: Job) -> Phase:
    return (await context.jobs.store.get(job.kind, job.id)).phase


async def test_a_job_is_as_it_was_made(context: Context, kind: Chores) -> None:
    job_id = await new_job(context, kind, queued=False, QUERY="SELECT 'é ☃ %s'", empty="")
    job = await context.jobs.store.get(kind.name, job_id)
    assert job.phase is Phase.PENDING
    assert job.parameters == (("QUERY", "SELECT 'é ☃ %s'"), ("empty", ""))
    assert job.created.utcoffset() == timedelta(0)
    assert (job.started, job.ended, job.results, job.attempt) == (None, None, (), 0)


async def test_jobs_of_other_kinds_are_not_there(context: Context, kind: Chores) -> None:
    job_id = await new_job(context, kind)
    with pytest.raises(NotFoundError, match=job_id):
        await context.jobs.store.get("other", job_id)
    assert await context.jobs.store.claim(-1, ["other"]) is None


async def test_jobs_are_claimed_in_the_order_of_being_queued(context: Context, kind: Chores) -> None:
    pending = [await new_job(context, kind, queued=False) for _ in range(3)]
    first = await new_job(context, kind)
    for job_id in reversed(pending):
        assert await context.jobs.store.queue(job_id)
    ahead = [(await context.jobs.store.get(kind.name, job_id)).jobs_ahead for job_id in (first, *reversed(pending))]
    assert [number - ahead[0] for number in ahead if number is not None and ahead[0] is not None] == [0, 1, 2, 3]
    order = [await context.jobs.store.claim(-1, [kind.name]) for _ in range(5)]
    assert [job and job.id for job in order] == [first, *reversed(pending), None]


async def test_no_job_is_claimed_twice(context: Context, kind: Chores) -> None:
    job_ids = {await new_job(context, kind) for _ in range(20)}
    jobs = await asyncio.gather(*(context.jobs.store.claim(-1, [kind.name]) for _ in range(40)))
    found = [job.id for job in jobs if job is not None]
    assert set(found) == job_ids
    assert len(found) == len(job_ids)


async def test_only_the_attempt_that_is_running_ends_a_job(context: Context, kind: Chores) -> None:
    job = await claimed(context, kind)
    store = context.jobs.store
    await store.requeue_lost()
    assert await store.claim(-2, [kind.name]) is not None
    assert not await store.complete(job, [RESULT], 1)
    assert not await store.fail(job, "too late")
    assert not await store.report(job, 7)
    assert not await store.give_back(job)
    second = replace(job, attempt=2, worker=-2)
    assert await store.complete(second, [RESULT], 1)
    assert not await store.complete(second, [RESULT], 1)
    done = await store.get(kind.name, job.id)
    assert (done.phase, done.results, done.rows) == (Phase.COMPLETED, (RESULT,), 1)


async def test_a_job_whose_worker_lives_is_left_alone(context: Context, kind: Chores, each_access: Access) -> None:
    number = await context.jobs.store.next_worker_number()
    with psycopg.connect(each_access.writer.conninfo, autocommit=True) as session:
        session.execute("SELECT pg_advisory_lock(%s, %s)", (WORKER_LOCK, number))
        job = await claimed(context, kind, number)
        assert job.id not in await context.jobs.store.requeue_lost()
    # The server notices the end of a session a bit later.
    while job.id not in await context.jobs.store.requeue_lost():  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.01)
    assert await phase_of(context, job) is Phase.QUEUED


async def test_a_lost_job_is_the_first_again(context: Context, kind: Chores) -> None:
    job = await claimed(context, kind)
    await new_job(context, kind)
    await context.jobs.store.requeue_lost()
    again = await context.jobs.store.claim(-1, [kind.name])
    assert again is not None
    assert (again.id, again.attempt) == (job.id, 2)


async def test_what_kills_its_workers_ends_as_an_error(context: Context, kind: Chores) -> None:
    job = await claimed(context, kind)
    for _ in range(ATTEMPTS):
        await context.jobs.store.requeue_lost()
        await context.jobs.store.claim(-1, [kind.name])
    ended = await context.jobs.store.get(kind.name, job.id)
    assert (ended.phase, ended.attempt) == (Phase.ERROR, ATTEMPTS)
    assert "died" in (ended.error or "")


async def test_a_job_given_back_has_not_been_attempted(context: Context, kind: Chores) -> None:
    job = await claimed(context, kind)
    assert await context.jobs.store.give_back(job)
    back = await context.jobs.store.get(kind.name, job.id)
    assert (back.phase, back.attempt, back.started) == (Phase.QUEUED, 0, None)


@pytest.mark.parametrize("queued", [False, True])
async def test_a_job_that_waits_is_aborted_at_once(context: Context, kind: Chores, queued: bool) -> None:
    job_id = await new_job(context, kind, queued=queued)
    assert await context.jobs.store.abort(job_id)
    assert (await context.jobs.store.get(kind.name, job_id)).phase is Phase.ABORTED
    assert not await context.jobs.store.abort(job_id)
    assert not await context.jobs.store.queue(job_id)
    assert await context.jobs.store.claim(-1, [kind.name]) is None


async def test_an_aborted_job_is_not_completed(context: Context, kind: Chores) -> None:
    job = await claimed(context, kind)
    assert await context.jobs.store.abort(job.id)
    assert not await context.jobs.store.is_running(job)
    assert not await context.jobs.store.complete(job, [RESULT], 1)
    assert await phase_of(context, job) is Phase.ABORTED


async def test_changes_are_made_within_phases_only(context: Context, kind: Chores) -> None:
    job_id = await new_job(context, kind, queued=False, a="1")
    store = context.jobs.store
    later = datetime.now(UTC) + timedelta(days=3)
    assert await store.change(
        job_id, within=[Phase.PENDING], parameters=(("b", "2"),), run_id="mine", execution_seconds=5, destruction=later
    )
    await store.queue(job_id)
    assert not await store.change(job_id, within=[Phase.PENDING], parameters=(("c", "3"),))
    job = await store.get(kind.name, job_id)
    assert (job.parameters, job.run_id, job.execution_seconds, job.destruction) == ((("b", "2"),), "mine", 5, later)


async def test_the_list_is_the_clients_own(context: Context, kind: Chores) -> None:
    store = context.jobs.store
    jobs = [await new_job(context, kind, queued=False) for _ in range(4)]
    await store.queue(jobs[1])
    everything = await store.references(kind.name, "client", phases=Phase, after=None, last=None)
    assert [job.id for job in everything] == jobs[::-1]
    assert await store.references(kind.name, "somebody", phases=Phase, after=None, last=None) == []
    queued = await store.references(kind.name, "client", phases=[Phase.QUEUED], after=None, last=None)
    assert [job.id for job in queued] == [jobs[1]]
    newer = await store.references(kind.name, "client", phases=Phase, after=everything[2].created, last=None)
    assert [job.id for job in newer] == [jobs[3], jobs[2]]
    last = await store.references(kind.name, "client", phases=Phase, after=None, last=1)
    assert [job.id for job in last] == [jobs[3]]
    assert await store.count(kind.name, "client") == 4


async def test_expired_jobs_are_archived_then_forgotten(context: Context, kind: Chores) -> None:
    store = context.jobs.store
    job = await claimed(context, kind)
    past = datetime.now(UTC) - timedelta(seconds=1)
    await store.change(job.id, within=Phase, destruction=past, attachments="tables")
    assert (job.id, kind.name, "tables") in await store.archive_expired()
    assert job.id not in [found[0] for found in await store.archive_expired()]
    archived = await store.get(kind.name, job.id)
    assert (archived.phase, archived.results, archived.attachments) == (Phase.ARCHIVED, (), None)
    assert not await store.complete(job, [RESULT], 1)
    assert await store.count(kind.name, "client") == 0
    assert sorted(await store.missing([job.id, "x"])) == sorted([job.id, "x"])
    await store.forget_archived(timedelta(days=1))
    await store.get(kind.name, job.id)
    await store.forget_archived(timedelta(0))
    with pytest.raises(NotFoundError):
        await store.get(kind.name, job.id)


async def test_the_reader_sees_no_jobs(context: Context, each_access: Access) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(each_access.reader.conninfo, "SELECT * FROM vo_service.job")
