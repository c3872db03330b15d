"""Small work: a query for one row, fifty clients at once, and an asynchronous job."""

from __future__ import annotations

import re
import time

from tests.benchmarks import client, judges
from tests.benchmarks.client import Client
from tests.benchmarks.crowd import closed_loop
from tests.benchmarks.events import Events, positions
from tests.benchmarks.figures import one_after_the_other, percentile
from tests.benchmarks.floors import latencies, rate
from tests.benchmarks.suite import Suite

REQUESTS = 300
JOBS = 20
CLIENTS = 50
SECONDS = 3.0


def measure(suite: Suite, events: Events) -> None:
    """Time all of it."""
    one_row(suite, events)
    crowds(suite, events)
    jobs(suite, events)


def top_1(events: Events) -> str:
    return f"SELECT TOP 1 * FROM {events.name}"


def one_row(suite: Suite, events: Events) -> None:
    """A query for one row, a whole request with a new connection each time."""
    request = suite.server.tap(top_1(events))
    sql, number = suite.statement(top_1(events)).sql, suite.effort.count(REQUESTS)
    check_top_1(suite, events)
    rounds, bare, empty = [], [], []
    for _ in range(suite.effort.repeats):
        replies = client.ask(suite.server, [request] * number, keep_alive=False)
        rounds.append(percentile([reply.seconds for reply in replies], 50))
        bare.append(percentile(latencies(suite.access.reader.conninfo, sql, [()] * number), 50))
        replies = client.ask(suite.empty, [suite.empty.get("/")] * number, keep_alive=False)
        empty.append(percentile([reply.seconds for reply in replies], 50))
    suite.note("TOP 1", events, "ms", rounds, one_after_the_other("bare SQL and an empty answer", "ms", bare, empty))


def check_top_1(suite: Suite, events: Events) -> None:
    """The row must be one of the events, with its place in the sky."""
    body = client.body_of(suite.server, suite.server.tap(top_1(events), RESPONSEFORMAT="csv"))
    number, *place = (judges.csv_column(body, name)[0] for name in ("event_id", "ra", "dec"))
    expected = [float(events.columns[name][number - 1]) for name in ("ra", "dec")]
    suite.check("TOP 1", events, expected, [float(value) for value in place])


def crowds(suite: Suite, events: Events) -> None:
    """Fifty clients that ask for one row, or for a cone of a degree."""
    centres = zip(*(place.tolist() for place in positions(500, suite.random)), strict=True)
    cones = [
        f"SELECT * FROM {events.name} WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, 1))" for ra, dec in centres
    ]
    check_cone(suite, events)
    for name, queries in (("TOP 1", [top_1(events)]), ("1 deg by TAP", cones)):
        seconds, requests = suite.effort.seconds(SECONDS), [suite.server.tap(query) for query in queries]
        sql, conninfo = suite.statement(queries[0]).sql, suite.access.reader.conninfo
        rates, shares, failed, bare, empty = [], [], 0, [], []
        for _ in range(suite.effort.repeats):
            load = closed_loop(suite.server, requests, clients=CLIENTS, seconds=seconds)
            assert load.latencies, load.failed
            rates.append(load.rate)
            shares.append(load.client_share)
            failed += load.failed.total()
            bare.append(rate(conninfo, sql, [()], connections=8, seconds=seconds / 3))
            empty.append(closed_loop(suite.empty, [suite.empty.get("/")], clients=CLIENTS, seconds=seconds / 3).rate)
        floor = one_after_the_other("bare SQL and an empty answer", "answers/s", bare, empty)
        details = {"client_cores": shares, "failed": failed, "bare_sql": bare, "empty_answer": empty}
        suite.note(f"{CLIENTS} clients, {name}", events, "answers/s", rates, floor, details)


def check_cone(suite: Suite, events: Events) -> None:
    """Compare a cone by TAP with brute force."""
    query = f"SELECT event_id FROM {events.name} WHERE DISTANCE(ra, dec, 83.63, 22.01) <= 1"
    body = client.body_of(suite.server, suite.server.tap(query, RESPONSEFORMAT="csv"))
    suite.check_ids(
        "1 deg by TAP", events, judges.in_cone(events, 83.63, 22.01, 1), judges.csv_column(body, "event_id")
    )


def jobs(suite: Suite, events: Events) -> None:
    """The time of a trivial job, from POST to COMPLETED."""
    seconds = [job(suite, events) for _ in range(suite.effort.count(JOBS))]
    bare = latencies(suite.access.reader.conninfo, suite.statement(top_1(events)).sql, [()] * len(seconds))
    empty = [reply.seconds for reply in client.ask(suite.empty, [suite.empty.get("/")] * len(seconds))]
    floor = one_after_the_other("bare SQL and two empty answers", "s", bare, empty, empty)
    suite.note("job, POST to COMPLETED", events, "s", seconds, floor)


def job(suite: Suite, events: Events) -> float:
    """One job, waited for as UWS 1.1 offers it (section 2.2.1.1); its answer is the row that was asked for."""
    server = suite.server
    with Client(server) as asking:
        started = time.perf_counter()
        made = asking.send(server.post("/tap/async", LANG="ADQL", QUERY=top_1(events), PHASE="RUN"))
        assert made.status == 303, made
        address = "/tap/async/" + made.headers["location"].rsplit("/", 1)[1]
        body = asking.send(server.get(address, WAIT=30), keep=True).body
        seconds = time.perf_counter() - started
        found = re.search(rb"phase>\s*(\w+)\s*<", body)
        suite.check("job", events, "COMPLETED", found and found[1].decode())
        result = asking.send(server.get(f"{address}/results/result"))
        suite.check("result of a job", events, 200, result.status)
        asking.send(server.post(address, ACTION="DELETE"))
    return seconds
