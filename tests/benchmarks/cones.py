"""Cone searches: one client with new connections and with one that is kept, and eight clients."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.benchmarks import client, floors, judges
from tests.benchmarks.crowd import closed_loop
from tests.benchmarks.events import Events, positions
from tests.benchmarks.figures import one_after_the_other, percentile
from tests.benchmarks.suite import Suite

REQUESTS = {0.1: 500, 1.0: 500, 5.0: 200, 20.0: 50}
"""Radii [deg], and requests of one client in a round."""

CLIENTS = 8
SECONDS = 2.0
"""Seconds of each round of eight clients."""

CHECKED = ((83.63, 22.01), (0.0, 0.0), (359.99, -45.0), (10.0, 90.0), (200.0, -89.95))
"""Centres [deg] of the searches that are compared with brute force."""

EMPTY = "bare SQL and an empty answer"


def measure(suite: Suite, events: Events) -> None:
    """Check and time all radii."""
    for radius in REQUESTS:
        for ra, dec in CHECKED:
            check(suite, events, ra, dec, radius)
    for radius, requests in REQUESTS.items():
        one_client(suite, events, radius, suite.effort.count(requests if events.rows <= 1_000_000 else requests // 4))
        eight_clients(suite, events, radius)


def check(suite: Suite, events: Events, ra: float, dec: float, radius: float) -> None:
    """Compare one search with brute force."""
    request = suite.server.get(path(events), RA=ra, DEC=dec, SR=radius, RESPONSEFORMAT="csv", MAXREC=events.rows)
    got = judges.csv_column(client.body_of(suite.server, request), "event_id")
    suite.check_ids(f"{radius:g} deg at {ra}, {dec}", events, judges.in_cone(events, ra, dec, radius), got)


def path(events: Events) -> str:
    """Where the table's cone search is."""
    return f"/scs/bench/{events.table}"


def searches(suite: Suite, events: Events, radius: float, number: int) -> tuple[list[bytes], list[floors.Values]]:
    """Requests for cones anywhere, and the parameters of the same searches by SQL."""
    centres = np.column_stack(positions(number, suite.random)).tolist()
    requests = [suite.server.get(path(events), RA=ra, DEC=dec, SR=radius) for ra, dec in centres]
    return requests, [floors.cone_values(ra, dec, radius) for ra, dec in centres]


def one_client(suite: Suite, events: Events, radius: float, number: int) -> None:
    """Latencies: of the service, of the bare SQL, and of an empty answer, in turn."""
    sql = floors.CONE.format(table=events.name)
    times: dict[tuple[str, float], list[float]] = {}
    for _ in suite.effort.rounds(events.rows):
        requests, values = searches(suite, events, radius, number)
        empty = [suite.empty.get("/")] * number
        bare = floors.latencies(suite.access.reader.conninfo, sql, values)
        for name, keep_alive in (("new connections", False), ("kept connection", True)):
            asked = partial(client.ask, keep_alive=keep_alive)
            seconds = [reply.seconds for reply in asked(suite.server, requests)]
            least = [reply.seconds for reply in asked(suite.empty, empty)]
            for which in (50.0, 99.0):
                times.setdefault((name, which), []).append(percentile(seconds, which))
                times.setdefault((f"{name} bare", which), []).append(percentile(bare, which))
                times.setdefault((f"{name} empty", which), []).append(percentile(least, which))
    for name in ("new connections", "kept connection"):
        for which in (50.0, 99.0):
            parts = times[f"{name} bare", which], times[f"{name} empty", which]
            floor = one_after_the_other(EMPTY, "ms", *parts)
            suite.note(
                f"{radius:g} deg, {name}, p{which:.0f}",
                events,
                "ms",
                times[name, which],
                floor,
                {"bare_sql": parts[0], "empty_answer": parts[1]},
            )
        ratios = [high / low for low, high in zip(times[name, 50.0], times[name, 99.0], strict=True)]
        suite.note(f"{radius:g} deg, {name}, p99 of p50", events, "times", ratios)


def eight_clients(suite: Suite, events: Events, radius: float) -> None:
    """Answers a second, likewise."""
    sql = floors.CONE.format(table=events.name)
    seconds = suite.effort.seconds(SECONDS)
    rates, bare, empty, shares, failed = [], [], [], [], 0
    for _ in suite.effort.rounds(events.rows):
        requests, values = searches(suite, events, radius, 1_000)
        load = closed_loop(suite.server, requests, clients=CLIENTS, seconds=seconds)
        assert load.latencies, load.failed
        failed += load.failed.total()
        rates.append(load.rate)
        shares.append(load.client_share)
        bare.append(floors.rate(suite.access.reader.conninfo, sql, values, connections=CLIENTS, seconds=seconds / 2))
        empty.append(closed_loop(suite.empty, [suite.empty.get("/")], clients=CLIENTS, seconds=seconds / 2).rate)
    suite.note(
        f"{radius:g} deg, {CLIENTS} clients",
        events,
        "answers/s",
        rates,
        one_after_the_other(EMPTY, "answers/s", bare, empty),
        {"bare_sql": bare, "empty_answer": empty, "client_cores": shares, "failed": failed},
    )
