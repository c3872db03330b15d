"""Jobs for tests: a kind that does what its parameters say, and workers of it in the event loop of the test."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vo_service.catalog.model import Column
from vo_service.config import load_settings
from vo_service.context import Context, open_context
from vo_service.dali.parameters import Parameters
from vo_service.database.access import Access
from vo_service.database.execute import stream
from vo_service.database.pools import Database
from vo_service.database.statement import Statement
from vo_service.errors import QueryError
from vo_service.uws.model import Job
from vo_service.uws.phases import Phase
from vo_service.uws.results import Output
from vo_service.uws.worker import Worker


@dataclass
class Chores:
    """Jobs that sleep for SLEEP seconds in the database and then write TEXT, ROWS times; FAIL makes an error."""

    name: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    accumulated: frozenset[str] = frozenset({"KEEP"})
    begun: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    async def attach(self, parameters: Parameters, attachments: str | None, context: Context) -> str | None:
        kept = [*json.loads(attachments or "[]"), *parameters.all("KEEP")]
        return json.dumps(kept) if kept else None

    async def run(self, job: Job, context: Context, output: Output) -> None:
        self.begun.append(job.id)
        parameters = Parameters(job.parameters)
        if seconds := parameters.one("SLEEP"):
            await self._sleep(seconds, context)
        if message := parameters.one("FAIL"):
            raise QueryError(message)
        async with output.result("result", "text/plain", "txt") as file:
            for number in range(int(parameters.one("ROWS") or 1)):
                await file.write((parameters.one("TEXT") or "done").encode())
                output.rows = number + 1

    async def _sleep(self, seconds: str, context: Context) -> None:
        sql = f"SELECT 1::bigint AS n FROM pg_catalog.pg_sleep({float(seconds)})"
        async with stream(context.database, Statement(sql, (Column("n", "long"),)), timeout=600) as batches:
            async for _ in batches:
                pass

    async def discard(self, attachments: str, context: Context) -> None:
        self.discarded.append(attachments)


@asynccontextmanager
async def job_context(access: Access, state: Path, **options: object) -> AsyncIterator[Context]:
    """A context of its own, with results below `state`."""
    settings = load_settings(state=state, busy_timeout=2, reader_pool_size=2, stream_pool_size=2, **options)
    async with open_context(settings, Database(access, settings)) as context:
        yield context


@asynccontextmanager
async def working(context: Context, kind: Chores) -> AsyncIterator[asyncio.Task[None]]:
    """A worker while the block runs."""
    task = asyncio.create_task(Worker(context, [kind]).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def new_job(context: Context, kind: Chores, *, queued: bool = True, seconds: int = 60, **parameters: str) -> str:
    """A job with these parameters; gives its id."""
    return await context.jobs.store.create(
        kind.name,
        "client",
        tuple(parameters.items()),
        execution_seconds=seconds,
        destruction=datetime.now(UTC) + timedelta(days=1),
        queued=queued,
    )


async def wait_for(context: Context, kind: Chores, job_id: str, *phases: Phase) -> Job:
    """The job, once it is in one of the phases."""
    with context.jobs.changes.of(job_id) as changed:
        while (job := await context.jobs.store.get(kind.name, job_id)).phase not in phases:
            changed.clear()
            await asyncio.wait([asyncio.create_task(changed.wait())], timeout=0.5)
        return job
