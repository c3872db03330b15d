"""The table of jobs, `vo_service.job`: every question to it and every change of it, each in one statement.

Changes of the phase name the phases that the law allows before it (`phases.predecessors`): of two that come at once,
one finds the job as it must be, the other does not.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from vo_service.database.access import Access
from vo_service.database.failures import UNREACHABLE
from vo_service.database.waiting_pool import WaitingPool
from vo_service.errors import NotFoundError, UnavailableError
from vo_service.uws.model import Job, JobReference, Pairs, Result
from vo_service.uws.phases import Phase, predecessors

CHANNEL = "vo_job"
"""NOTIFY channel on which new phases of jobs, and their deletion, are announced (`schema.sql`)."""

DELETED = "DELETED"
"""What is announced in the place of a phase when a job is deleted."""

WORKER_LOCK = 0x564F534A
"""First key of the advisory locks that show which workers live; the second is the worker's number (`schema.sql`)."""

ATTEMPTS = 3
"""Times that a job is begun: one that has ended so many workers is not given to another."""

POOL_SIZE = 4
"""Connections at most, per process. A statement takes a fraction of a millisecond."""

POOL_TIMEOUT = 10.0
"""Seconds that a statement waits for one of them."""

_Connection = psycopg.AsyncConnection[DictRow]


class JobStore:
    """The jobs of all protocols. Its methods raise UnavailableError when the database is away."""

    def __init__(self, access: Access) -> None:
        self._pool: WaitingPool[_Connection] = WaitingPool(
            access.writer.conninfo,
            connection_class=psycopg.AsyncConnection[DictRow],
            name="jobs",
            min_size=1,
            max_size=POOL_SIZE,
            timeout=POOL_TIMEOUT,
            kwargs={"autocommit": True, "row_factory": dict_row},
            check=WaitingPool.check_connection,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    # What clients ask for

    async def create(
        self,
        kind: str,
        client: str,
        parameters: Pairs,
        *,
        execution_seconds: int,
        destruction: datetime,
        run_id: str | None = None,
        attachments: str | None = None,
        queued: bool = False,
    ) -> str:
        """A new job, in the queue if it is to run at once; gives its id, which nobody can guess."""
        job_id = secrets.token_hex(12)
        await self._execute(
            """INSERT INTO vo_service.job (job_id, kind, client, phase, run_id, parameters, attachments,
                   execution_seconds, destruction_at, queue_number)
               VALUES (%(id)s, %(kind)s, %(client)s, %(phase)s, %(run_id)s, %(parameters)s, %(attachments)s,
                   %(seconds)s, %(destruction)s,
                   CASE WHEN %(phase)s = 'QUEUED' THEN nextval('vo_service.job_queue_number') END)""",
            {
                "id": job_id,
                "kind": kind,
                "client": client,
                "phase": Phase.QUEUED if queued else Phase.PENDING,
                "run_id": run_id,
                "parameters": Jsonb(parameters),
                "attachments": attachments,
                "seconds": execution_seconds,
                "destruction": destruction,
            },
        )
        return job_id

    async def get(self, kind: str, job_id: str) -> Job:
        """The job of an id. Raises NotFoundError."""
        rows = await self._rows(
            """SELECT job.*, CASE WHEN phase = 'QUEUED' THEN
                    (SELECT count(*) FROM vo_service.job AS other
                     WHERE other.phase = 'QUEUED' AND other.queue_number < job.queue_number) END AS jobs_ahead
                FROM vo_service.job WHERE kind = %(kind)s AND job_id = %(id)s""",
            {"kind": kind, "id": job_id},
        )
        if not rows:
            raise NotFoundError(f"There is no job {job_id[:60]}; it may have been deleted")
        return _job(rows[0])

    async def count(self, kind: str, client: str) -> int:
        """How many jobs a client has, archived ones left out."""
        rows = await self._rows(
            "SELECT count(*) AS n FROM vo_service.job WHERE kind = %(kind)s AND client = %(client)s"
            " AND phase <> 'ARCHIVED'",
            {"kind": kind, "client": client},
        )
        return int(rows[0]["n"])

    async def references(
        self, kind: str, client: str, *, phases: Iterable[Phase], after: datetime | None, last: int | None
    ) -> list[JobReference]:
        """The jobs of a client that are in any of the phases, newest first."""
        rows = await self._rows(
            """SELECT job_id, phase, run_id, created_at FROM vo_service.job
               WHERE kind = %(kind)s AND client = %(client)s AND phase = ANY (%(phases)s)
                   AND (%(after)s::timestamptz IS NULL OR created_at > %(after)s)
               ORDER BY created_at DESC, job_id LIMIT %(last)s""",
            {"kind": kind, "client": client, "phases": list(phases), "after": after, "last": last},
        )
        return [JobReference(row["job_id"], Phase(row["phase"]), row["run_id"], row["created_at"]) for row in rows]

    async def change(
        self, job_id: str, *, within: Iterable[Phase], parameters: Pairs | None = None, attachments: str | None = None,
        run_id: str | None = None, execution_seconds: int | None = None, destruction: datetime | None = None,
    ) -> bool:  # fmt: skip
        """Change what is given of a job that is in one of the phases; False if it is in none of them."""
        return await self._changes(
            """UPDATE vo_service.job SET parameters = coalesce(%(parameters)s::jsonb, parameters),
                   attachments = coalesce(%(attachments)s::text, attachments),
                   run_id = coalesce(%(run_id)s::text, run_id),
                   execution_seconds = coalesce(%(seconds)s::integer, execution_seconds),
                   destruction_at = coalesce(%(destruction)s::timestamptz, destruction_at)
               WHERE job_id = %(id)s AND phase = ANY (%(within)s)""",
            {
                "id": job_id,
                "within": list(within),
                "parameters": None if parameters is None else Jsonb(parameters),
                "attachments": attachments,
                "run_id": run_id,
                "seconds": execution_seconds,
                "destruction": destruction,
            },
        )

    async def queue(self, job_id: str) -> bool:
        """Put a new job at the end of the queue; False if it is not PENDING."""
        return await self._changes(
            """UPDATE vo_service.job SET phase = 'QUEUED', queue_number = nextval('vo_service.job_queue_number')
               WHERE job_id = %(id)s AND phase = 'PENDING'""",
            {"id": job_id},
        )

    async def abort(self, job_id: str) -> bool:
        """End a job, whether it runs or not; False if it has ended already."""
        return await self._changes(
            """UPDATE vo_service.job SET phase = 'ABORTED', ended_at = clock_timestamp()
               WHERE job_id = %(id)s AND phase = ANY (%(before)s)""",
            {"id": job_id, "before": list(predecessors(Phase.ABORTED))},
        )

    async def delete(self, job_id: str) -> bool:
        """Forget a job; False if that has been done."""
        return await self._changes("DELETE FROM vo_service.job WHERE job_id = %(id)s", {"id": job_id})

    # What workers do

    async def claim(self, worker: int, kinds: Sequence[str]) -> Job | None:
        """The job that is first in the queue, now EXECUTING by this worker; None if there is none."""
        rows = await self._rows(
            """UPDATE vo_service.job SET phase = 'EXECUTING', worker = %(worker)s, attempt = attempt + 1,
                    started_at = clock_timestamp(), rows_written = NULL
                WHERE job_id = (SELECT job_id FROM vo_service.job WHERE phase = 'QUEUED' AND kind = ANY (%(kinds)s)
                    ORDER BY queue_number LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING *""",
            {"worker": worker, "kinds": list(kinds)},
        )
        return _job(rows[0]) if rows else None

    async def is_running(self, job: Job) -> bool:
        """Whether the job is still this attempt's."""
        return bool(
            await self._rows(
                """SELECT FROM vo_service.job
                   WHERE job_id = %(id)s AND attempt = %(attempt)s AND worker = %(worker)s AND phase = 'EXECUTING'""",
                _attempt(job),
            )
        )

    async def complete(self, job: Job, results: Sequence[Result], rows: int | None) -> bool:
        """COMPLETED, with these results; False if the job is not this attempt's any more."""
        found = [
            {"name": result.name, "file": result.file, "media_type": result.media_type, "size": result.size}
            for result in results
        ]
        return await self._end(job, Phase.COMPLETED, None, results=Jsonb(found), rows=rows)

    async def fail(self, job: Job, message: str, phase: Phase = Phase.ERROR) -> bool:
        """Ended without results, for the reason given: ERROR or ABORTED; False as for `complete`."""
        return await self._end(job, phase, message)

    async def give_back(self, job: Job) -> bool:
        """Into the queue again, at its old place, as its worker stops; this does not count as an attempt."""
        return await self._changes(
            """UPDATE vo_service.job SET phase = 'QUEUED', started_at = NULL, attempt = attempt - 1
               WHERE job_id = %(id)s AND attempt = %(attempt)s AND worker = %(worker)s AND phase = 'EXECUTING'""",
            _attempt(job),
        )

    async def report(self, job: Job, rows: int) -> bool:
        """How many rows have been written so far."""
        return await self._changes(
            """UPDATE vo_service.job SET rows_written = %(rows)s
               WHERE job_id = %(id)s AND attempt = %(attempt)s AND worker = %(worker)s AND phase = 'EXECUTING'""",
            {**_attempt(job), "rows": rows},
        )

    async def next_worker_number(self) -> int:
        """A number for a worker that no other has."""
        return int((await self._rows("SELECT nextval('vo_service.worker_number') AS n", {}))[0]["n"])

    async def requeue_lost(self) -> list[str]:
        """Put jobs whose worker has died into the queue again, at their old place; gives their ids.

        Those that have been begun too often become errors.
        """
        rows = await self._rows(
            """UPDATE vo_service.job SET
                    phase = CASE WHEN attempt < %(attempts)s THEN 'QUEUED' ELSE 'ERROR' END,
                    started_at = CASE WHEN attempt < %(attempts)s THEN NULL ELSE started_at END,
                    ended_at = CASE WHEN attempt < %(attempts)s THEN NULL ELSE clock_timestamp() END,
                    error = CASE WHEN attempt < %(attempts)s THEN NULL ELSE %(message)s END
                WHERE phase = 'EXECUTING' AND NOT EXISTS (SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND classid::bigint = %(lock)s AND objid::bigint = job.worker)
                RETURNING job_id""",
            {
                "lock": WORKER_LOCK,
                "attempts": ATTEMPTS,
                "message": f"The job was begun {ATTEMPTS} times, and each time the process that ran it died",
            },
        )
        return [row["job_id"] for row in rows]

    async def archive_expired(self) -> list[tuple[str, str, str | None]]:
        """Make jobs whose destruction time has come ARCHIVED; gives id, kind and attachments of each."""
        rows = await self._rows(
            """WITH expired AS (SELECT job_id, attachments FROM vo_service.job
                   WHERE destruction_at < clock_timestamp() AND phase <> 'ARCHIVED' FOR UPDATE SKIP LOCKED)
               UPDATE vo_service.job SET phase = 'ARCHIVED', archived_at = clock_timestamp(), results = '[]',
                   ended_at = coalesce(ended_at, clock_timestamp()), attachments = NULL
               FROM expired WHERE job.job_id = expired.job_id
               RETURNING job.job_id, job.kind, expired.attachments""",
            {},
        )
        return [(row["job_id"], row["kind"], row["attachments"]) for row in rows]

    async def forget_archived(self, retention: timedelta) -> None:
        """Delete the records of jobs that have been archived for some time."""
        await self._execute(
            "DELETE FROM vo_service.job WHERE phase = 'ARCHIVED' AND archived_at < clock_timestamp() - %(retention)s",
            {"retention": retention},
        )

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        """Those of the ids that are of no job, or of one that has been archived."""
        rows = await self._rows(
            """SELECT id FROM unnest(%(ids)s::text[]) AS id WHERE NOT EXISTS
                   (SELECT FROM vo_service.job WHERE job_id = id AND phase <> 'ARCHIVED')""",
            {"ids": list(job_ids)},
        )
        return [row["id"] for row in rows]

    # Within

    async def _end(
        self, job: Job, phase: Phase, error: str | None, results: Jsonb | None = None, rows: int | None = None
    ) -> bool:
        return await self._changes(
            """UPDATE vo_service.job SET phase = %(phase)s, error = %(error)s, ended_at = clock_timestamp(),
                   results = coalesce(%(results)s::jsonb, '[]'),
                   rows_written = coalesce(%(rows)s::bigint, rows_written)
               WHERE job_id = %(id)s AND attempt = %(attempt)s AND worker = %(worker)s AND phase = 'EXECUTING'""",
            {
                **_attempt(job),
                "phase": phase,
                "error": error,
                "results": results,
                "rows": rows,
            },
        )

    async def _changes(self, statement: LiteralString, values: dict[str, Any]) -> bool:
        """Whether a statement found the row that it was to change."""
        return await self._execute(statement, values) > 0

    async def _execute(self, statement: LiteralString, values: dict[str, Any]) -> int:
        async with self._connection() as connection:
            return (await connection.execute(statement, values)).rowcount

    async def _rows(self, statement: LiteralString, values: dict[str, Any]) -> list[DictRow]:
        async with self._connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout):
            raise UnavailableError(UNREACHABLE) from None


def _attempt(job: Job) -> dict[str, Any]:
    return {"id": job.id, "attempt": job.attempt, "worker": job.worker}


def _job(row: DictRow) -> Job:
    return Job(
        id=row["job_id"],
        kind=row["kind"],
        phase=Phase(row["phase"]),
        run_id=row["run_id"],
        parameters=tuple((name, value) for name, value in row["parameters"]),
        attachments=row["attachments"],
        created=row["created_at"],
        started=row["started_at"],
        ended=row["ended_at"],
        execution_seconds=row["execution_seconds"],
        destruction=row["destruction_at"],
        attempt=row["attempt"],
        worker=row["worker"],
        rows=row["rows_written"],
        results=tuple(Result(**result) for result in row["results"]),
        error=row["error"],
        jobs_ahead=row.get("jobs_ahead"),
    )
