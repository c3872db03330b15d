"""Sinks that run over a database of the test.

python -m tests.support.sinks SETTINGS      runs one in a process of its own, over the database $SINKS_DATABASE
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tests.support.database import SECRET as DATABASE_SECRET
from tests.support.database import execute
from tests.support.receivers import PATIENCE
from vo_service.config import load_settings
from vo_service.database.access import Access, derive_access
from vo_service.database.pools import Database
from voevent.archive.store import AlertStore
from voevent.pipeline import Source, accept
from voevent.publish.news import listening
from voevent.publish.outbox import run_sink
from voevent.publish.settings import SinkSettings
from voevent.publish.sinks import make_sinks

SETTINGS: TypeAdapter[SinkSettings] = TypeAdapter(SinkSettings)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"  # noqa: S105 (of the tests)


def new_name() -> str:
    """A name that nothing else has."""
    return f"sink-{uuid.uuid4().hex[:12]}"


def new_ivoid() -> str:
    """An identifier that nothing else has."""
    return f"ivo://org.example/sinks#{uuid.uuid4().hex[:12]}"


def webhook(url: str, **fields: Any) -> SinkSettings:  # noqa: ANN401
    """Settings of a webhook."""
    return SETTINGS.validate_python({"kind": "webhook", "name": new_name(), "url": url, "secret": SECRET, **fields})


@asynccontextmanager
async def delivering(access: Access, *sinks: SinkSettings) -> AsyncIterator[AlertStore]:
    """Run sinks while the block runs; when it begins, each has its place."""
    settings = load_settings(public_url="https://vo.example.org")
    async with Database(access, settings) as database, AlertStore(access) as store, listening(database) as news:
        made = make_sinks(settings, sinks)
        running = [asyncio.create_task(run_sink(sink, store, news)) for sink in made]
        try:
            for sink in sinks:
                await begun(access, sink.name)
            yield store
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def put(store: AlertStore, raw: bytes) -> int:
    """Take in a packet; gives the event's number."""
    verdict = await accept(raw, Source("author", "test"), store)
    assert verdict.event_id is not None, verdict
    return verdict.event_id


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def state(access: Access, name: str) -> tuple[int, int, str | None] | None:
    """Last event, failures and last error of a sink; None if it has never run."""
    query = "SELECT last_event, failures, last_error FROM vo_service.alert_sink WHERE name = %s"
    rows = execute(access.owner.conninfo, query, name)
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


async def begun(access: Access, name: str) -> None:
    """Wait until a sink has a place."""
    await until(lambda: state(access, name) is not None)


async def reached(access: Access, name: str, event_id: int) -> None:
    """Wait until a sink has all events up to one."""
    await until(lambda: (state(access, name) or (-1,))[0] == event_id)


def failures(access: Access, name: str) -> int:
    """How often a sink has failed since it has last delivered anything."""
    return (state(access, name) or (0, 0))[1]


def last_error(access: Access, name: str) -> str:
    """What a sink failed at last."""
    return str((state(access, name) or (0, 0, ""))[2])


def given_up(access: Access, name: str) -> list[tuple[int, str]]:
    """Events that a sink does not get, and why."""
    query = "SELECT event_id, reason FROM vo_service.alert_undelivered WHERE sink = %s ORDER BY event_id"
    return [(number, reason) for number, reason in execute(access.owner.conninfo, query, name)]


@contextmanager
def process(access: Access, sink: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sink, as the file of alerts describes it, in a process that is killed at the end of the block."""
    environment = {**os.environ, "SINKS_DATABASE": access.owner.conninfo}
    command = [sys.executable, "-m", "tests.support.sinks", json.dumps(sink)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment) as running:
        try:
            yield running
        finally:
            running.kill()


async def main() -> None:
    """Run a sink without end."""
    access = derive_access(os.environ["SINKS_DATABASE"], DATABASE_SECRET)
    async with delivering(access, SETTINGS.validate_python(json.loads(sys.argv[1]))):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
