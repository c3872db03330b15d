"""Slots for work: how many there are, who gets the next one, and that none is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from vo_service.dali.quota import Quota, client_of
from vo_service.database.lanes import RETRY_AFTER
from vo_service.errors import TooManyRequestsError


def quota(total: int = 3, per_client: int = 2, patience: float = 60) -> Quota:
    return Quota(total=total, per_client=per_client, patience=patience)


class Worker:
    """Holds a slot from when it gets one until it is told to end."""

    def __init__(self, slots: Quota, client: str) -> None:
        self.works = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._run(slots, client))

    async def _run(self, slots: Quota, client: str) -> None:
        async with slots.slot(client):
            self.works.set()
            await self.end.wait()


@asynccontextmanager
async def workers(slots: Quota, clients: str) -> AsyncIterator[list[Worker]]:
    """One worker per letter, a client each."""
    hired = [Worker(slots, client) for client in clients]
    await turns()
    yield hired
    for worker in hired:
        worker.task.cancel()
    await asyncio.gather(*(worker.task for worker in hired), return_exceptions=True)


async def turns() -> None:
    """Let everybody do what they can do."""
    for _ in range(20):
        await asyncio.sleep(0)


def working(hired: list[Worker]) -> list[int]:
    return [number for number, worker in enumerate(hired) if worker.works.is_set()]


async def test_a_client_that_wants_more_holds_up_nobody() -> None:
    async with workers(quota(), "aaab") as hired:
        assert working(hired) == [0, 1, 3]


async def test_the_total_is_not_exceeded() -> None:
    async with workers(quota(), "abcd") as hired:
        assert working(hired) == [0, 1, 2]


async def test_a_slot_that_becomes_free_goes_to_who_waits_longest() -> None:
    async with workers(quota(total=2, per_client=1), "abaccb") as hired:
        assert working(hired) == [0, 1]
        hired[1].end.set()
        await turns()
        assert working(hired) == [0, 1, 3]
        hired[0].end.set()
        await turns()
        assert working(hired) == [0, 1, 2, 3]


async def test_who_leaves_gives_the_slot_away_at_once() -> None:
    async with workers(quota(total=1), "abcd") as hired:
        hired[1].task.cancel()  # while it waits
        hired[0].task.cancel()  # while it works
        await turns()
        assert working(hired) == [0, 2]


async def test_work_that_fails_gives_its_slot_back() -> None:
    slots = quota(total=1)
    for error in (ValueError, TimeoutError):
        with pytest.raises(error):
            async with slots.slot("a"):
                raise error
    async with workers(slots, "a") as hired:
        assert working(hired) == [0]


async def test_patience_ends() -> None:
    slots = quota(patience=0.05)
    async with workers(slots, "aa"):
        with pytest.raises(TooManyRequestsError, match=r"^2 of your queries are running") as caught:
            async with slots.slot("a"):
                pytest.fail("there is no slot")
        assert caught.value.headers() == {"Retry-After": str(RETRY_AFTER)}
        async with workers(slots, "b"):
            with pytest.raises(TooManyRequestsError, match=r"^3 queries are running"):
                async with slots.slot("c"):
                    pytest.fail("there is no slot")
        async with slots.slot("c"):
            pass


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["end", "leave", "stay"])), max_size=30))
def test_no_slot_is_lost_or_made(story: list[tuple[str, str]]) -> None:
    async def run() -> None:
        slots = quota()
        hired: list[Worker] = []
        async with AsyncExitStack() as stack:
            for client, act in story:
                hired += await stack.enter_async_context(workers(slots, client))
                if act == "leave":
                    hired[-1].task.cancel()
                elif act == "end" and (busy := [hired[i] for i in working(hired) if not hired[i].task.done()]):
                    busy[0].end.set()
                await turns()
                busy = [hired[i] for i in working(hired) if not hired[i].task.done()]
                assert len(busy) <= 3
        async with workers(slots, "aab") as last:
            assert working(last) == [0, 1, 2]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("::ffff:192.0.2.7", 4711), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 4711), "2001:db8:1:2::/64"),
        (("testclient", 4711), "testclient"),
        (None, ""),
    ],
)
def test_clients_are_told_apart_by_address(address: tuple[str, int] | None, client: str) -> None:
    assert client_of(Request({"type": "http", "headers": [], "client": address})) == client
