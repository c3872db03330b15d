"""Cross-matches: events with positions that are uploaded, and with those of another table."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from astropy.io.votable import from_table
from astropy.table import Table

from tests.benchmarks import client, floors, judges
from tests.benchmarks.client import Client
from tests.benchmarks.events import Events, make_sources
from tests.benchmarks.figures import Floor
from tests.benchmarks.loading import prepare
from tests.benchmarks.suite import EVERYTHING, Suite

QUERY = "SELECT s.event_id AS source, e.event_id FROM {sources} AS s JOIN {events} AS e ON {condition}"
CONDITION = "1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(s.ra, s.dec, {radius}))"


def measure(suite: Suite, events: Events) -> None:
    """A hundredth as many positions as there are events, within a tenth of a degree."""
    sources = make_sources(max(100, events.rows // 100))
    radius = 0.1 if events.rows >= 1_000_000 else 2.0  # a few events have no neighbours
    prepare(suite, sources)
    expected = judges.pairs(events, sources, radius)
    uploaded, published = (
        QUERY.format(sources=name, events=events.name, condition=CONDITION.format(radius=radius))
        for name in ("TAP_UPLOAD.sources", sources.name)
    )
    by_upload = suite.server.post_file(
        "/tap/sync", "sources", votable(sources), LANG="ADQL", QUERY=uploaded, UPLOAD="sources,param:sources",
        MAXREC=EVERYTHING,
    )  # fmt: skip
    by_table = suite.server.tap(published, MAXREC=EVERYTHING)
    ways = ((f"{sources.rows:,} uploaded rows", by_upload), (f"{sources.rows:,} rows of a table", by_table))
    for name, request in ways:
        suite.check(f"{name}, pairs and sum of events", events, expected, answered(suite, request))
    with suite.reader() as connection:
        sql = suite.statement(published).sql
        times: dict[str, list[float]] = {}
        for _ in suite.effort.rounds(events.rows):
            for name, request in ways:
                (reply,) = client.ask(suite.server, [request])
                times.setdefault(name, []).append(reply.seconds)
            times.setdefault("floor", []).append(floors.fetch(connection, sql))
    floor = Floor("the SQL of the match with a table", tuple(times.pop("floor")))
    for name, rounds in times.items():
        suite.note(name, events, "s", rounds, floor, {"pairs": expected[0]})


def answered(suite: Suite, request: bytes) -> tuple[int, int]:
    """The number of pairs of an answer, as it comes by default (BINARY2), and the sum of their events' numbers."""
    file: Path = suite.files / "pairs"
    with Client(suite.server) as asking, file.open("wb") as sink:
        reply = asking.send(request, keep=sink.write)
    assert reply.status == 200, file.read_bytes()[:2000]
    found = judges.binary2(file, [("source", np.dtype(">i8")), ("event_id", np.dtype(">i8"))])["event_id"]
    file.unlink()
    return len(found), int(found.sum())


def votable(sources: Events) -> bytes:
    """Positions as a VOTable in BINARY2."""
    table = Table(sources.columns, units={"ra": "deg", "dec": "deg"})
    sink = io.BytesIO()
    from_table(table).to_xml(sink, tabledata_format="binary2")
    return sink.getvalue()
