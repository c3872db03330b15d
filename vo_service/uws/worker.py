"""A worker: takes jobs from the queue, one after the other, and runs each to its end.

    session   one connection: holds the lock that shows that the worker lives, hears of new and changed jobs
    jobs      claim the first of the queue - run it - write down how it ended
    tidying   jobs of dead workers go back into the queue, what is past its time is destroyed

When the session's connection is lost, so is the lock: others may take the job that is running, so it is cancelled here,
and the worker begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql

from vo_service.context import Context
from vo_service.dali.errors import message_of
from vo_service.errors import QueryTimeoutError, UnavailableError
from vo_service.uws.kind import JobKind
from vo_service.uws.model import Job
from vo_service.uws.phases import Phase
from vo_service.uws.results import Output
from vo_service.uws.store import CHANNEL, DELETED, WORKER_LOCK

TIDY_SECONDS = 5.0
"""Seconds between looks for what dead workers left and what is past its time."""

REPORT_SECONDS = 1.0
"""Seconds between reports of how far a job is."""

RECONNECT_SECONDS = 2.0
"""Seconds until a worker that lost the database tries again."""

_STOPPED = (Phase.ABORTED, Phase.ARCHIVED, DELETED)
"""What is announced of a job that is not to run any longer."""

log = logging.getLogger(__name__)

_Session = psycopg.AsyncConnection[tuple[object, ...]]


class Worker:
    """Runs jobs of some kinds until it is cancelled; then the job in hand goes back into the queue."""

    def __init__(self, context: Context, kinds: Sequence[JobKind]) -> None:
        self._context = context
        self._store = context.jobs.store
        self._kinds = {kind.name: kind for kind in kinds}
        self._number = 0
        self._wake = asyncio.Event()
        self._running: tuple[str, asyncio.Task[None]] | None = None

    async def run(self) -> None:
        """Work without end. A database that is away is waited for."""
        while True:
            try:
                async with self._session() as session, asyncio.TaskGroup() as group:
                    group.create_task(self._hear(session))
                    group.create_task(self._tidy())
                    group.create_task(self._work())
            except* (psycopg.OperationalError, UnavailableError) as group_error:
                log.warning("The worker lost the database: %s", group_error.exceptions[0])
            await asyncio.sleep(RECONNECT_SECONDS)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[_Session]:
        """The connection that stands for the life of the worker."""
        self._number = await self._store.next_worker_number()
        conninfo = self._context.database.writer_conninfo
        # The name is for operators: what runs where.
        name = f"vo-service worker {socket.gethostname()} {os.getpid()}"
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True, application_name=name) as session:
            # When the worker's machine vanishes, the server is to notice within a minute.
            await session.execute("SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10")
            await session.execute("SELECT pg_advisory_lock(%s, %s)", (WORKER_LOCK, self._number))
            await session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            yield session

    async def _hear(self, session: _Session) -> None:
        """Wake up for jobs that are queued; stop the running one when its client or its time ends it."""
        async for notification in session.notifies():
            job_id, _, event = notification.payload.partition(" ")
            if event == Phase.QUEUED:
                self._wake.set()
            elif event in _STOPPED and self._running is not None and self._running[0] == job_id:
                self._running[1].cancel()
        raise psycopg.OperationalError("the connection was closed")

    async def _work(self) -> None:
        # What a dead worker left comes before what is behind it in the queue.
        await self._requeue_lost()
        while True:
            self._wake.clear()
            job = await self._claim()
            if job is not None:
                await self._do(job)
            else:
                await self._wake.wait()

    async def _claim(self) -> Job | None:
        """The first job of the queue. It goes back if the worker stops before it has begun."""
        claiming = asyncio.create_task(self._store.claim(self._number, list(self._kinds)))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.gather(claiming, return_exceptions=True)
            if claiming.exception() is None and (job := claiming.result()) is not None:
                await self._store.give_back(job)
            raise

    async def _do(self, job: Job) -> None:
        """Run a job, and write down how it ended. It ends before its time if it is stopped, or the worker is."""
        results = self._context.jobs.results
        if job.attempt > 1:
            # What a worker that died has left.
            await results.remove(job.id)
        output = Output(results, job)
        running = asyncio.create_task(self._run(job, output))
        self._running = (job.id, running)
        try:
            # It may have been stopped after it was claimed, but before `_hear` knew of it.
            if await self._store.is_running(job):
                await asyncio.wait({running})
        finally:
            self._running = None
            running.cancel()
            await _to_its_end(self._close(job, running, output))

    async def _run(self, job: Job, output: Output) -> None:
        reporting = asyncio.create_task(self._report(job, output))
        try:
            async with asyncio.timeout(job.execution_seconds):
                await self._kinds[job.kind].run(job, self._context, output)
        finally:
            reporting.cancel()

    async def _close(self, job: Job, running: asyncio.Task[None], output: Output) -> None:
        await asyncio.gather(running, return_exceptions=True)
        is_kept = False
        try:
            is_kept = await self._write_down(job, running, output)
        finally:
            if not is_kept:
                output.remove()

    async def _write_down(self, job: Job, running: asyncio.Task[None], output: Output) -> bool:
        """How a job ended; gives whether its results are kept. A job that is not ours any more is left alone."""
        if running.cancelled():
            # If it was not the job that was stopped, then the worker is.
            await self._store.give_back(job)
            return False
        match running.exception():
            case None:
                return await self._store.complete(job, output.results, output.rows)
            case TimeoutError() | QueryTimeoutError():
                message = f"The job took longer than {job.execution_seconds} seconds, its limit"
                await self._store.fail(job, message, Phase.ABORTED)
            case Exception() as error if not isinstance(error, UnavailableError):
                await self._store.fail(job, message_of(error))
            case error:
                # The database is away, which is not the job's fault. The worker begins anew, and the job too.
                raise error
        return False

    async def _report(self, job: Job, output: Output) -> None:
        """Tell now and then how many rows have been written."""
        told = None
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if output.rows is not None and output.rows != told:
                told = output.rows
                await self._store.report(job, told)

    async def _requeue_lost(self) -> None:
        for job_id in await self._store.requeue_lost():
            log.warning("The worker of job %s has died", job_id)

    async def _tidy(self) -> None:
        """Look after the jobs of all workers; each worker does, so that it does not matter which one lives."""
        orphans = await asyncio.to_thread(self._context.jobs.results.orphans)
        for job_id in await self._store.missing(orphans):
            await self._context.jobs.results.remove(job_id)
        retention = timedelta(seconds=self._context.settings.job_record_lifetime)
        while True:
            await self._requeue_lost()
            for job_id, kind, attachments in await self._store.archive_expired():
                await self._context.jobs.results.remove(job_id)
                if attachments is not None and kind in self._kinds:
                    await self._kinds[kind].discard(attachments, self._context)
            await self._store.forget_archived(retention)
            # Not all workers at the same moment.
            await asyncio.sleep(TIDY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do work; also who is cancelled waits for its end."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
