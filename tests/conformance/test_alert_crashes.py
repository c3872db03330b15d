"""`kill -9` of the broker, of the web service and of PostgreSQL, at each stage of an alert's way and under load.

The books are kept by `tests.support.ledger`: nothing that was acknowledged is lost, nothing is stored twice, and each
subscriber who comes back has everything, in order. What is printed (`pytest -s`) are the books' totals.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.support.ledger import Author, Ledger, Send, Subscriber, by_http, by_vtp, check, stored
from tests.support.programs import TOKEN, Program, Site, running, site
from tests.support.vtp import connected, eventually
from voevent.archive import insertion
from voevent.vtp.messages import Message

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
    pytest.mark.timeout(120),
]

ORDER_LOCK = insertion._ORDER_LOCK


@pytest.fixture
def place() -> Iterator[Site]:
    with site() as place:
        yield place


@asynccontextmanager
async def together(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Some things that go on while the block runs. One that fails is heard of."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


@asynccontextmanager
async def load(place: Site, broker: Program, *sends: Send, subscribers: int = 3) -> AsyncIterator[Ledger]:
    """Authors who publish without pause, and subscribers who come back; at the end the books are balanced."""
    ledger = Ledger()
    audience = [Subscriber(place, broker) for _ in range(subscribers)]
    async with together(*(subscriber.listen() for subscriber in audience)):
        stopping = asyncio.Event()
        authors = [asyncio.create_task(Author(ledger, send).publish(stopping)) for send in sends]
        try:
            yield ledger
        finally:
            stopping.set()
        await asyncio.wait_for(asyncio.gather(*authors), 60)
        await eventually(lambda: all({*s.got} >= {*ledger.sent.values()} for s in audience))
    print(f"\n  {check(ledger, place, audience)}")


async def more(ledger: Ledger, count: int) -> None:
    """Waits until so many more events have been acknowledged."""
    wanted = len(ledger.acknowledged()) + count
    await eventually(lambda: len(ledger.acknowledged()) >= wanted)


async def test_the_broker_is_killed_again_and_again(place: Site) -> None:
    async with running(place) as broker, load(place, broker, *[by_vtp(broker)] * 4) as ledger:
        for _ in range(2):
            await more(ledger, 15)
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311
            await broker.kill()
            await broker.start()
        await more(ledger, 20)


# Stages, one by one. The broker is made to wait where it is to be killed.


def waiting(place: Site, event: str) -> list[int]:
    """The sessions that store events, and wait for this."""
    rows = place.rows(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = %s AND query LIKE '%%WITH locked AS%%'"
        " AND pid <> pg_backend_pid()",
        event,
    )
    return [pid for (pid,) in rows]


async def die(broker: Program, place: Site, event: str) -> None:
    """The broker is killed, and its sessions with it: what they were told they would else do to its end."""
    await broker.kill()
    for session in waiting(place, event):
        place.rows("SELECT pg_terminate_backend(%s)", session)
    await eventually(lambda: not waiting(place, event))


async def no_commit_ends(place: Site) -> None:
    """Until `commits_end`, what is committed is on the disk, and its session waits: for a standby that there is not."""
    set_option(place, "synchronous_standby_names", "nobody")
    await eventually(lambda: bool(waiting(place, "SyncRep")))


async def commits_end(place: Site) -> None:
    set_option(place, "synchronous_standby_names", "")
    await eventually(lambda: not waiting(place, "SyncRep"))


def set_option(place: Site, name: str, value: str) -> None:
    place.rows(f"ALTER SYSTEM SET {name} = '{value}'")
    place.rows("SELECT pg_reload_conf()")


@pytest.fixture
async def replicated(place: Site) -> Site:
    """A server that could have a standby."""
    set_option(place, "wal_level", "replica")
    set_option(place, "max_wal_senders", "1")
    os.kill(place.postmaster, signal.SIGINT)
    await eventually(lambda: not answers(place))
    await place.revive()
    return place


async def test_killed_before_it_stores(place: Site) -> None:
    async with running(place) as broker, load(place, broker, by_vtp(broker), by_vtp(broker)) as ledger:
        await more(ledger, 5)
        with psycopg.connect(place.conninfo) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (ORDER_LOCK,))
            await eventually(lambda: bool(waiting(place, "advisory")))
            before = stored(place)
            await die(broker, place, "advisory")
        assert stored(place) == before
        await broker.start()
        await more(ledger, 5)


async def test_killed_in_the_middle_of_a_transaction(place: Site) -> None:
    async with running(place) as broker, load(place, broker, by_vtp(broker), by_vtp(broker)) as ledger:
        await more(ledger, 5)
        with psycopg.connect(place.conninfo) as connection:
            # Parameters cannot be written: not all of the packet, at least.
            connection.execute("LOCK TABLE alerts.param IN EXCLUSIVE MODE")
            await eventually(lambda: bool(waiting(place, "relation")))
            before = stored(place)
            await die(broker, place, "relation")
        assert stored(place) == before
        await broker.start()
        await more(ledger, 5)
    assert place.rows("SELECT DISTINCT count(*) FROM alerts.param GROUP BY event_id") == [(2,)]


async def test_killed_while_its_order_waits(place: Site) -> None:
    """What the database was told it does to its end, though nobody hears of it any more; but if that takes longer than
    a second, it finds out that nobody is there, and leaves it. Either way the author asks again."""
    async with running(place) as broker, load(place, broker, by_vtp(broker), by_vtp(broker)) as ledger:
        await more(ledger, 5)
        with psycopg.connect(place.conninfo) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (ORDER_LOCK,))
            await eventually(lambda: bool(waiting(place, "advisory")))
            await broker.kill()
        await eventually(lambda: not waiting(place, "advisory"))
        unanswered = stored(place).keys() - ledger.acknowledged()
        await broker.start()
        await more(ledger, 5)
        await eventually(lambda: all(ledger.answers[ivoid][-1] == "known" for ivoid in unanswered))


async def unheard(ledger: Ledger, place: Site) -> set[str]:
    """Events that are stored, of which their authors do not know; waits until there is one."""
    await eventually(lambda: bool(stored(place).keys() - ledger.acknowledged()))
    return stored(place).keys() - ledger.acknowledged()


async def test_killed_between_storing_and_acknowledging(replicated: Site) -> None:
    """The database has the event on its disk, and the broker waits to hear so: for a standby that there is not."""
    place = replicated
    async with running(place) as broker, load(place, broker, by_vtp(broker), by_vtp(broker)) as ledger:
        await more(ledger, 5)
        await no_commit_ends(place)
        await broker.kill()
        await commits_end(place)
        unanswered = await unheard(ledger, place)
        await broker.start()
        await more(ledger, 5)
        await eventually(lambda: all(ledger.answers[ivoid][-1] == "known" for ivoid in unanswered))


async def test_killed_while_it_sends(place: Site) -> None:
    """A subscriber stops to read in the middle of an event: the broker dies with the rest in its hands."""
    ledger = Ledger()
    audience = [Subscriber(place, broker := Program(place, "broker")), Subscriber(place, broker)]
    await broker.start()
    try:
        author = Author(ledger, by_vtp(broker), padding=900_000)
        async with connected(broker.ports[1]) as stalled, together(*(each.listen() for each in audience)):
            await stalled.transport_message()
            stalled.send(Message("authenticate", "ivo://org.example/x", "ivo://org.example/y", (("since", "0"),)))
            await author.event()
            assert [await stalled.receive()] == [*ledger.sent.values()]
            stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(6):
                await author.event()
            await eventually(lambda: {*audience[0].got} == {*ledger.sent.values()})
            await broker.kill()
            stalled.writer.transport.resume_reading()  # type: ignore[attr-defined]
            while not await stalled.closed():
                pass
            await broker.start()
            late = Subscriber(place, broker)
            audience.append(late)
            async with together(late.listen()):
                await eventually(lambda: all({*each.got} == {*ledger.sent.values()} for each in audience))
    finally:
        await broker.stop()
    print(f"\n  {check(ledger, place, audience)}")


async def test_killed_while_a_subscriber_catches_up(place: Site) -> None:
    ledger = Ledger()
    async with running(place) as broker:
        author = Author(ledger, by_vtp(broker), padding=20_000)
        for _ in range(150):
            await author.event()
        late = Subscriber(place, broker, pause=0.02)
        async with together(late.listen()):
            for share in (10, 60, 110):
                await eventually(lambda share=share: len(late.got) >= share)  # type: ignore[misc]
                await broker.kill()
                await broker.start()
            await author.event()
            # Not their number: an event that comes before the request for older ones is read comes twice.
            await eventually(lambda: {*late.got} == {*ledger.sent.values()})
    print(f"\n  {check(ledger, place, [late])}")


# PostgreSQL.


async def test_the_database_is_killed_and_comes_back(place: Site) -> None:
    async with running(place) as broker, load(place, broker, *[by_vtp(broker)] * 4) as ledger:
        for _ in range(2):
            await more(ledger, 20)
            postmaster = place.postmaster
            os.kill(postmaster, signal.SIGKILL)
            await eventually(lambda: not answers(place))
            await place.revive()
            assert place.postmaster != postmaster
            await more(ledger, 20)


async def test_a_process_of_the_database_is_killed(place: Site) -> None:
    """PostgreSQL then ends all sessions, and recovers by itself."""
    async with running(place) as broker, load(place, broker, *[by_vtp(broker)] * 4) as ledger:
        for _ in range(2):
            await more(ledger, 20)
            sessions = place.rows(
                "SELECT pid FROM pg_stat_activity WHERE usename LIKE '%%_writer' AND backend_type = %s",
                "client backend",
            )
            os.kill(sessions[0][0], signal.SIGKILL)
            await more(ledger, 20)


async def test_the_database_is_killed_before_it_tells_that_it_has_stored(replicated: Site) -> None:
    place = replicated
    async with running(place) as broker, load(place, broker, by_vtp(broker), by_vtp(broker)) as ledger:
        await more(ledger, 5)
        await no_commit_ends(place)
        os.kill(place.postmaster, signal.SIGKILL)
        await eventually(lambda: not answers(place))
        (place.state / "postgres" / "data" / "postgresql.auto.conf").unlink()
        await place.revive()
        await more(ledger, 5)


def answers(place: Site) -> bool:
    """Whether the database does."""
    try:
        place.rows("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


# The web service.


async def test_the_web_service_is_killed_again_and_again(place: Site) -> None:
    async with (
        running(place) as broker,
        running(place, "serve", voevent_token=TOKEN, job_workers=0) as service,
        load(place, broker, *[by_http(service)] * 3, by_vtp(broker)) as ledger,
    ):
        for _ in range(2):
            await more(ledger, 20)
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311
            await service.kill()
            await service.start()
        await more(ledger, 20)


async def test_the_web_service_is_killed_before_it_answers(replicated: Site) -> None:
    """What it had stored reaches subscribers by the broker all the same."""
    place = replicated
    async with (
        running(place) as broker,
        running(place, "serve", voevent_token=TOKEN, job_workers=0) as service,
        load(place, broker, by_http(service)) as ledger,
    ):
        await more(ledger, 3)
        await no_commit_ends(place)
        await service.kill()
        await commits_end(place)
        await service.start()
        await more(ledger, 3)
        await eventually(lambda: any("known" in heard for heard in ledger.answers.values()))
