"""Whole tables by TAP, in every format: rows a second, the first byte, and the memory that it takes."""

from __future__ import annotations

from typing import Final, Literal

from tests.benchmarks import judges
from tests.benchmarks.client import Client, Reply
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Floor
from tests.benchmarks.floors import psql, psql_copy
from tests.benchmarks.memory import Peak, peak_memory, postmaster
from tests.benchmarks.suite import EVERYTHING, Suite
from vo_service.formats.base import Format
from vo_service.formats.registry import FORMATS
from vo_service.formats.votable import VOTable

SLOW: Final = {"votable tabledata", "json", "html", "txt"}
"""Formats of which no more than a million rows are asked for at once: they are text, and long."""

SLOW_ROWS = 1_000_000

TEXT: Final = SLOW | {"csv", "tsv"}
"""Formats whose floor is COPY as CSV; that of the others is COPY in binary."""

Copied = Literal["binary", "csv"]


def kind_of(format_: Format) -> str:
    """The format's name here."""
    return f"votable {format_.serialization.lower()}" if isinstance(format_, VOTable) else format_.aliases[0]


def measure(suite: Suite, events: Events) -> None:
    """Check and time all formats."""
    with peak_memory(suite.service.pid, postmaster(suite.service.state)) as at_rest:
        pass
    suite.note("memory before the first", events, "MB", [at_rest.service])
    floors = floors_of(suite, events)
    for format_ in FORMATS:
        kind = kind_of(format_)
        rows = min(events.rows, SLOW_ROWS) if kind in SLOW else events.rows
        request = suite.server.tap(
            f"SELECT TOP {rows} * FROM {events.name}", RESPONSEFORMAT=format_.mime_type, MAXREC=EVERYTHING
        )
        check(suite, events, kind, rows, request)
        replies, peak = answers(suite, events, request)
        floor = floors["csv" if kind in TEXT else "binary", rows]
        details = {"rows": rows, "bytes": replies[0].size}
        suite.note(kind, events, "rows/s", [rows / reply.seconds for reply in replies], floor, details)
        suite.note(f"{kind}, first byte", events, "ms", [reply.first_byte * 1000 for reply in replies])
        more = {"all_processes": peak.service_all, "database": peak.database}
        suite.note(f"{kind}, memory", events, "MB", [peak.service], details=more)


def check(suite: Suite, events: Events, kind: str, rows: int, request: bytes) -> None:
    """Read an answer by other means, and compare it with the events.

    Which rows TOP gives is not said: if it is not all of them, their number alone is compared.
    """
    file = suite.files / "answer"
    with Client(suite.server) as client, file.open("wb") as sink:
        reply = client.send(request, keep=sink.write)
    assert reply.status == 200, file.read_bytes()[:2000]
    got = judges.ids_of(kind, file)
    file.unlink()
    expected = rows, int(events.ids.sum()) if rows == events.rows else got[1]
    suite.check(f"{kind}, rows and sum of identifiers", events, expected, got)


def answers(suite: Suite, events: Events, request: bytes) -> tuple[list[Reply], Peak]:
    """The replies of all rounds, and the highest memory meanwhile."""
    with Client(suite.server) as client, peak_memory(suite.service.pid, postmaster(suite.service.state)) as peak:
        return [client.send(request) for _ in suite.effort.few_rounds(events.rows)], peak


def floors_of(suite: Suite, events: Events) -> dict[tuple[Copied, int], Floor]:
    """The floors of all formats, by what is copied and how many rows of it."""
    wanted: set[tuple[Copied, int]] = {("binary", events.rows), ("csv", events.rows)}
    wanted.add(("csv", min(events.rows, SLOW_ROWS)))
    return {(format_, rows): copied(suite, events, rows, format_) for format_, rows in sorted(wanted)}


def copied(suite: Suite, events: Events, rows: int, format_: Copied) -> Floor:
    """Rows a second that psql copies."""
    sql, program = suite.statement(f"SELECT TOP {rows} * FROM {events.name}").sql, psql(suite.service.state)
    conninfo = suite.access.reader.conninfo
    seconds = [psql_copy(program, conninfo, sql, format_) for _ in suite.effort.few_rounds(events.rows)]
    return Floor(f"psql COPY {format_}", tuple(rows / each for each in seconds))
