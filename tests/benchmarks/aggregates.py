"""Aggregates over the whole table, and regions that are no cones: a polygon and a MOC."""

from __future__ import annotations

import math

import numpy as np

from tests.benchmarks import client, floors, judges
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Floor
from tests.benchmarks.suite import EVERYTHING, Suite

ORDER = 5
"""The HEALPix order of the map."""

POLYGON = np.array([(100.0, -10.0), (112.0, -12.0), (118.0, 0.0), (110.0, 9.0), (101.0, 4.0)])
"""A pentagon [deg] of 15 degrees across."""

MOC_ORDER, MOC_CELLS = 6, 1_500
"""A MOC of so many cells of an order, anywhere in the sky: 3 per cent of it."""

MAP = f"SELECT ivo_healpix_index({ORDER}, ra, dec) AS pixel, COUNT(*) AS n FROM {{table}} GROUP BY pixel"
COUNT = "SELECT COUNT(*) AS n FROM {table}"
EXTREMES = "SELECT MIN(dec) AS low, MAX(dec) AS high, AVG(ra) AS mean FROM {table}"
INSIDE = "SELECT * FROM {table} WHERE 1 = CONTAINS(POINT(ra, dec), {region})"


def measure(suite: Suite, events: Events) -> None:
    """Check and time all of them."""
    polygon = INSIDE.format(table=events.name, region=f"POLYGON({', '.join(map(str, POLYGON.ravel().tolist()))})")
    cells = np.sort(np.random.default_rng(2).choice(12 * 4**MOC_ORDER, MOC_CELLS, replace=False))
    moc = INSIDE.format(table=events.name, region=f"MOC('{MOC_ORDER}/{' '.join(map(str, cells.tolist()))}')")
    check_map(suite, events)
    check_aggregates(suite, events)
    check_region(suite, "polygon", polygon, events, judges.in_polygon(events, POLYGON))
    check_region(suite, "MOC", moc, events, judges.in_cells(events, MOC_ORDER, cells))
    for name, query in (("GROUP BY HEALPix", MAP), ("COUNT(*)", COUNT), ("MIN, MAX, AVG", EXTREMES)):
        time_query(suite, events, name, query.format(table=events.name))
    time_query(suite, events, "polygon of 15 deg", polygon)
    time_query(suite, events, f"MOC of {MOC_CELLS:,} cells", moc)


def check_map(suite: Suite, events: Events) -> None:
    """The number of events in every cell."""
    body = answer(suite, MAP.format(table=events.name))
    got = np.zeros(12 * 4**ORDER, np.int64)
    got[judges.csv_column(body, "pixel")] = judges.csv_column(body, "n")
    counted = np.bincount(judges.pixels(events, ORDER), minlength=len(got))
    suite.check("GROUP BY HEALPix, cells that differ", events, 0, int((got != counted).sum()))


def check_aggregates(suite: Suite, events: Events) -> None:
    """Number, extremes and mean."""
    number = judges.csv_column(answer(suite, COUNT.format(table=events.name)), "n")
    suite.check("COUNT(*)", events, events.rows, int(number[0]))
    body = answer(suite, EXTREMES.format(table=events.name))
    low, high, mean = (float(judges.csv_column(body, name)[0]) for name in ("low", "high", "mean"))
    dec = events.columns["dec"]
    suite.check("MIN and MAX", events, (float(dec.min()), float(dec.max())), (low, high))
    suite.check("AVG", events, True, math.isclose(mean, float(events.columns["ra"].mean()), rel_tol=1e-9))


def check_region(suite: Suite, name: str, query: str, events: Events, expected: judges.Ids) -> None:
    """The events in a region."""
    suite.check_ids(name, events, expected, judges.csv_column(answer(suite, query), "event_id"))


def answer(suite: Suite, query: str) -> bytes:
    """An answer in CSV."""
    return client.body_of(suite.server, suite.server.tap(query, RESPONSEFORMAT="csv", MAXREC=EVERYTHING))


def time_query(suite: Suite, events: Events, name: str, query: str) -> None:
    """Seconds of a query, and of its SQL alone."""
    request, sql = suite.server.tap(query, MAXREC=EVERYTHING), suite.statement(query).sql
    rounds, bare = [], []
    with suite.reader() as connection:
        for _ in suite.effort.rounds(events.rows):
            (reply,) = client.ask(suite.server, [request])
            rounds.append(reply.seconds)
            bare.append(floors.fetch(connection, sql))
    suite.note(name, events, "s", rounds, Floor("its SQL by psycopg", tuple(bare)), {"bytes": reply.size})
