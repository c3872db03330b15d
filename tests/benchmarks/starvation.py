"""What small requests suffer while the service has heavy work to do, or clients that do not read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.benchmarks import client
from tests.benchmarks.client import Client
from tests.benchmarks.cones import path
from tests.benchmarks.crowd import in_background, open_loop
from tests.benchmarks.events import Events, positions
from tests.benchmarks.floors import percentile
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
        probe(suite, events, f"nothing, {name}", requests)
        with in_background(suite.server, suite.server.tap(SLOW.format(table=events.name)), JOINS) as outcomes:
            time.sleep(min(1.0, suite.effort.seconds(SECONDS)))
            running = joins_running(suite)
            probe(suite, events, f"{JOINS} slow joins, {name}", requests, {"running": running, "joins": outcomes})
        wait_until_idle(suite)
    beside_slow_reader(suite, events, probes["cone"])


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


def probe(
    suite: Suite, events: Events, name: str, requests: list[bytes], details: Mapping[str, object] | None = None
) -> None:
    """One client that asks without pause for a time, over one connection; at least once."""
    seconds: list[float] = []
    until = time.perf_counter() + suite.effort.seconds(SECONDS)
    with Client(suite.server) as asking:
        while not seconds or time.perf_counter() < until:
            reply = asking.send(requests[len(seconds) % len(requests)])
            assert reply.status == 200, f"{name}: HTTP {reply.status}"
            seconds.append(reply.seconds)
    for which in (50.0, 99.0):
        suite.note(
            f"{name} p{which:.0f}",
            events,
            "ms",
            [percentile(seconds, which)],
            details={"asked": len(seconds), **(details or {})},
        )


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
    everything = suite.server.tap(f"SELECT * FROM {events.name}", MAXREC=EVERYTHING)
    for name in ("no reader", "slow reader"):
        with slow_reader(suite, everything if name == "slow reader" else None) as taken:
            load = open_loop(suite.server, requests, rate=RATE, seconds=seconds)
        assert load.latencies, load.failed
        details = {"failed": load.failed, "client_cores": load.client_share, "taken_bytes": taken[0]}
        for which in (50.0, 99.0):
            suite.note(
                f"{name}, cone p{which:.0f}", events, "ms", [percentile(load.latencies, which)],
                details=details,
            )  # fmt: skip


@contextmanager
def slow_reader(suite: Suite, request: bytes | None) -> Iterator[list[int]]:
    """A client that reads an answer slowly until the block ends; gives the bytes that it has taken."""
    taken = [0]
    if request is None:
        yield taken
        return
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
