"""Cone searches: one client with new connections and with one that is kept, and eight clients."""

from __future__ import annotations

import numpy as np

from tests.benchmarks import client, floors, judges
from tests.benchmarks.crowd import closed_loop
from tests.benchmarks.events import Events, positions
from tests.benchmarks.figures import one_after_the_other, percentile
from tests.benchmarks.suite import Suite

REQUESTS = {0.1: 500, 1.0: 500, 5.0: 200, 20.0: 50}
"""Radii [deg], and requests of one client in a round."""

CONNECTIONS = {"new connections": False, "kept connection": True}

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
        number = suite.effort.count(requests if events.rows <= 1_000_000 else requests // 4)
        for connections in CONNECTIONS:
            one_client(suite, events, radius, connections, number)
        eight_clients(suite, events, radius)


def check(suite: Suite, events: Events, ra: float, dec: float, radius: float) -> None:
    """Compare one search, and what its floor finds, with brute force."""
    expected = judges.in_cone(events, ra, dec, radius)
    with floors.prepared(suite.access.reader.conninfo, floors.CONE.format(table=events.name)) as (statement,):
        found = statement.run(floors.cone_values(ra, dec, radius))
    suite.check(f"{radius:g} deg at {ra}, {dec}, bare SQL", events, len(expected), found)
    request = suite.server.get(path(events), RA=ra, DEC=dec, SR=radius, RESPONSEFORMAT="csv", MAXREC=events.rows)
    got = judges.csv_column(client.body_of(suite.server, request), "event_id")
    suite.check_ids(f"{radius:g} deg at {ra}, {dec}", events, expected, got)


def path(events: Events) -> str:
    """Where the table's cone search is."""
    return f"/scs/bench/{events.table}"


def searches(suite: Suite, events: Events, radius: float, number: int) -> tuple[list[bytes], list[floors.Values]]:
    """Requests for cones anywhere, and the parameters of the same searches by SQL."""
    centres = np.column_stack(positions(number, suite.random)).tolist()
    requests = [suite.server.get(path(events), RA=ra, DEC=dec, SR=radius) for ra, dec in centres]
    return requests, [floors.cone_values(ra, dec, radius) for ra, dec in centres]


def one_client(suite: Suite, events: Events, radius: float, connections: str, number: int) -> None:
    """Latencies: of the service, of the bare SQL, and of an empty answer, in turn."""
    sql, keep_alive = floors.CONE.format(table=events.name), CONNECTIONS[connections]
    measured = []
    for _ in suite.effort.rounds(events.rows):
        requests, values = searches(suite, events, radius, number)
        by_sql = floors.latencies(suite.access.reader.conninfo, sql, values)
        empty = client.ask(suite.empty, [suite.empty.get("/")] * number, keep_alive=keep_alive)
        asked = client.ask(suite.server, requests, keep_alive=keep_alive)
        measured.append(([reply.seconds for reply in asked], by_sql, [reply.seconds for reply in empty]))
    for which in (50.0, 99.0):
        times, bare, least = zip(*([percentile(each, which) for each in one] for one in measured), strict=True)
        floor, details = one_after_the_other(EMPTY, "ms", bare, least), {"bare_sql": bare, "empty_answer": least}
        suite.note(f"{radius:g} deg, {connections}, p{which:.0f}", events, "ms", times, floor, details)
    ratios = [percentile(times, 99) / percentile(times, 50) for times, _, _ in measured]
    suite.note(f"{radius:g} deg, {connections}, p99 of p50", events, "times", ratios)


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
