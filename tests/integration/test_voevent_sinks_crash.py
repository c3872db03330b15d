"""Processes that deliver are killed: every event arrives, and only what was unconfirmed may do so again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.database import execute
from tests.support.kafka import Kafka
from tests.support.receivers import Request, receiver
from tests.support.sinks import (
    SECRET,
    SETTINGS,
    begun,
    delivering,
    new_ivoid,
    new_name,
    process,
    put,
    reached,
    state,
    until,
)
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.archive.store import AlertStore

COUNT = 200
KILLS = (40, 90, 150)
"""The process is killed when the receiver has had so many requests, and 50 more events are there each time."""


@pytest.fixture(scope="module", autouse=True)
def _tables(access: Access) -> None:
    initialise(access, OWN)


async def test_a_webhook_has_every_event_and_at_most_the_unconfirmed_twice(access: Access) -> None:
    def slowly(request: Request) -> int:
        time.sleep(0.005)
        return 200

    with receiver() as hook:
        hook.answer = slowly
        fields = {"kind": "webhook", "name": new_name(), "url": hook.url, "secret": SECRET}
        ivoids = await put_while_killed(access, fields, lambda kill: len(hook.ledger) >= kill)
        seen = Counter(request.ivoid for request in hook.ledger)
        assert set(seen) == set(ivoids)
        again = [ivoid for ivoid, times in seen.items() if times > 1]
        assert len(hook.ledger) - COUNT == len(again) <= len(KILLS)
        assert len({request.headers["webhook-id"] for request in hook.ledger}) == COUNT


async def test_kafka_has_every_event_once(access: Access, kafka: Kafka) -> None:
    topic = new_name()
    fields = {"kind": "kafka", "name": new_name(), "bootstrap": kafka.bootstrap, "tls": False, "topic_json": topic}
    ivoids = await put_while_killed(access, fields, lambda kill: True)
    assert Counter((m.key or b"").decode() for m in kafka.messages(topic, COUNT)) == Counter(ivoids)


async def put_while_killed(access: Access, fields: dict[str, Any], due: Callable[[int], bool]) -> list[str]:
    """Take in events while a process delivers them, which is killed when it is due; gives their identifiers."""
    ivoids = [new_ivoid() for _ in range(COUNT)]
    async with AlertStore(access) as store:
        for kill, some in zip(KILLS, batched(ivoids), strict=False):
            with process(access, fields) as running:
                await begun(access, fields["name"])
                await put_all(store, some)
                await until(lambda kill=kill: due(kill))  # type: ignore[misc]
                running.kill()
                running.wait()
        with process(access, fields):
            await reached(access, fields["name"], await put_all(store, batched(ivoids)[-1]))
    return ivoids


def batched(ivoids: list[str]) -> list[list[str]]:
    """One for each life of the process."""
    length = COUNT // (len(KILLS) + 1)
    return [ivoids[begin : begin + length] for begin in range(0, COUNT, length)]


async def put_all(store: AlertStore, ivoids: list[str]) -> int:
    """Take in events; gives the number of the last."""
    return [await put(store, packet(ivoid)) for ivoid in ivoids][-1]


async def test_kafka_has_once_what_was_confirmed_and_not_noted(access: Access, kafka: Kafka) -> None:
    """As after a kill between the two: the place of the sink is older than what is in the topic."""
    topic, ivoids = new_name(), [new_ivoid() for _ in range(120)]
    settings = SETTINGS.validate_python(
        {"kind": "kafka", "name": new_name(), "bootstrap": kafka.bootstrap, "tls": False, "topic_json": topic}
    )
    async with delivering(access, settings) as store:
        begin, _, _ = state(access, settings.name) or (0, 0, None)
        await reached(access, settings.name, await put_all(store, ivoids[:100]))
    back = "UPDATE vo_service.alert_sink SET last_event = %s WHERE name = %s"
    execute(access.owner.conninfo, back, begin, settings.name)
    async with delivering(access, settings) as store:
        await reached(access, settings.name, await put_all(store, ivoids[100:]))
    assert Counter((m.key or b"").decode() for m in kafka.messages(topic, 120)) == Counter(ivoids)
