"""What small requests suffer while the service has heavy work to do, or clients that do not read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.benchmarks import client
from tests.benchmarks.client import Client
from tests.benchmarks.cones import path
from tests.benchmarks.crowd import in_background, open_loop
from tests.benchmarks.events import Events, positions
from tests.benchmarks.figures import Floor, percentile
from tests.benchmarks.suite import EVERYTHING, Suite

JOINS = 20
SECONDS = 8.0
"""Seconds of each probe beside the joins."""

SLOW = (
    "SELECT COUNT(*) AS n FROM {table} AS a JOIN {table} AS b ON a.beta + b.beta < a.event_id - b.event_id"
    " WHERE a.event_id <= 6000 AND b.event_id <= 6000"
)
"""A join of 36 million pairs, which no index helps."""

READ_BYTES, READ_INTERVAL = 1_000, 0.1
"""A client that reads 10 kB a second."""

RATE, RATE_SECONDS = 200.0, 10.0
"""Cone searches a second beside it, and for how long."""


def measure(suite: Suite, events: Events) -> None:
    """Small requests alone, beside joins, and beside a slow reader."""
    probes = {"cone": cones(suite, events, 500), "availability": [suite.server.get("/tap/availability")]}
    check(suite, events, probes)
    for name, requests in probes.items():
        alone = probe(suite, requests)
        with in_background(suite.server, suite.server.tap(SLOW.format(table=events.name)), JOINS) as outcomes:
            time.sleep(suite.effort.seconds(1.0))
            running = joins_running(suite)
            beside = probe(suite, requests)
        wait_until_idle(suite)
        tell(suite, events, f"{JOINS} slow joins, {name}", alone, beside, {"running": running, "joins": dict(outcomes)})
    beside_slow_reader(suite, events, probes["cone"])


def tell(
    suite: Suite,
    events: Events,
    name: str,
    alone: Sequence[float],
    beside: Sequence[float],
    details: Mapping[str, object],
) -> None:
    """Keep the latencies [s] beside a load, with those without it as their floor."""
    for which in (50.0, 99.0):
        floor = Floor("the same without the load", (percentile(alone, which),))
        asked = {"asked": len(beside), "asked_alone": len(alone), **details}
        suite.note(f"{name} p{which:.0f}", events, "ms", [percentile(beside, which)], floor, asked)


def check(suite: Suite, events: Events, probes: dict[str, list[bytes]]) -> None:
    """What is asked is answered while nothing else is."""
    for name, requests in probes.items():
        body = client.body_of(suite.server, requests[0])
        mark = b"available>true<" if name == "availability" else b'value="OK"'
        suite.check(f"{name} is answered", events, True, mark in body)


def cones(suite: Suite, events: Events, number: int) -> list[bytes]:
    """Searches of half a degree anywhere."""
    centres = zip(*(place.tolist() for place in positions(number, suite.random)), strict=True)
    return [suite.server.get(path(events), RA=ra, DEC=dec, SR=0.5) for ra, dec in centres]


def probe(suite: Suite, requests: list[bytes]) -> list[float]:
    """Latencies [s] of one client that asks without pause for a time, over one connection; at least once."""
    seconds: list[float] = []
    until = time.perf_counter() + suite.effort.seconds(SECONDS)
    with Client(suite.server) as asking:
        while not seconds or time.perf_counter() < until:
            reply = asking.send(requests[len(seconds) % len(requests)])
            assert reply.status == 200, f"HTTP {reply.status}"
            seconds.append(reply.seconds)
    return seconds


def joins_running(suite: Suite) -> int:
    """How many of the joins the database works on at this moment."""
    with suite.reader() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = current_user"
            " AND pid <> pg_backend_pid() AND leader_pid IS NULL"
        ).fetchone()
    return row[0] if row else 0


def wait_until_idle(suite: Suite) -> None:
    """Wait until the database has ended what nobody waits for any more."""
    give_up = time.monotonic() + 60
    while joins_running(suite):
        assert time.monotonic() < give_up, "queries of clients that left are still running"
        time.sleep(0.05)


def beside_slow_reader(suite: Suite, events: Events, requests: list[bytes]) -> None:
    """Cone searches by the clock, alone and while a download is held open."""
    seconds = suite.effort.seconds(RATE_SECONDS)
    alone = open_loop(suite.server, requests, rate=RATE, seconds=seconds)
    with slow_reader(suite, suite.server.tap(f"SELECT * FROM {events.name}", MAXREC=EVERYTHING)) as taken:
        beside = open_loop(suite.server, requests, rate=RATE, seconds=seconds)
    assert alone.latencies, alone.failed
    assert beside.latencies, beside.failed
    details = {"failed": dict(beside.failed), "client_cores": beside.client_share, "taken_bytes": taken[0]}
    tell(suite, events, "slow reader, cone", alone.latencies, beside.latencies, details)


@contextmanager
def slow_reader(suite: Suite, request: bytes) -> Iterator[list[int]]:
    """A client that reads an answer slowly until the block ends; gives the bytes that it has taken."""
    taken = [0]
    stopped = threading.Event()

    def read(connection: socket.socket) -> None:
        while not stopped.wait(READ_INTERVAL):
            taken[0] += len(connection.recv(READ_BYTES))

    with Client(suite.server) as asking:
        reading = threading.Thread(target=read, args=(asking.open(request),))
        reading.start()
        try:
            time.sleep(0.5)
            yield taken
        finally:
            stopped.set()
            reading.join()
