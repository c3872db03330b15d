"""Sources for tests, read into a real archive from the cluster for tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from pydantic import TypeAdapter

from tests.support.kafka import PATIENCE, Kafka
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access
from voevent.archive.store import AlertStore
from voevent.sources.running import Sources
from voevent.sources.settings import SourceSettings

SETTINGS: TypeAdapter[SourceSettings] = TypeAdapter(SourceSettings)


def source(kafka: Kafka, **fields: object) -> SourceSettings:
    """A source at the cluster for tests, which has neither TLS nor passwords, and holds back answers that are empty."""
    options = {"bootstrap.servers": kafka.bootstrap, "security.protocol": "plaintext", "fetch.wait.max.ms": 50}
    return SETTINGS.validate_python({"name": uuid.uuid4().hex, "start": "oldest", "options": options, **fields})


@asynccontextmanager
async def reading(access: Access, *sources: SourceSettings, settings: Settings | None = None) -> AsyncIterator[Sources]:
    """Sources that are read while the block runs."""
    async with AlertStore(access) as store:
        running = Sources(settings or load_settings(authority="org.example"), sources, store, access)
        task = asyncio.create_task(running.run())
        try:
            yield running
        finally:
            assert not task.done(), task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is to come."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (what is waited for may be in another process)
            await asyncio.sleep(0.02)


def counted(sources: Sources, **counts: int) -> Callable[[], bool]:
    """Whether the sources have counted this, all together."""
    return lambda: all(sum(state.counts.get(key, 0) for state in sources.state()) >= n for key, n in counts.items())


def rows(access: Access, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a query finds in the archive."""
    with psycopg.connect(access.owner.conninfo) as connection:
        return connection.execute(query.encode(), values).fetchall()


def events(access: Access, topic: str) -> list[tuple[str, str, bytes | None, str | None]]:
    """Ivoid, role, original and its type of the events of a topic, in the order of their storage."""
    return [
        (ivoid, role, None if original is None else bytes(original), kind)
        for ivoid, role, original, kind in rows(
            access,
            'SELECT ivoid, "role", original, original_type FROM alerts.voevent WHERE received_from = %s'
            " ORDER BY event_id",
            f"kafka:{topic}",
        )
    ]


def new_topic(prefix: str) -> str:
    """The name of a topic that no other test has."""
    return f"{prefix}.{uuid.uuid4().hex[:12]}"
