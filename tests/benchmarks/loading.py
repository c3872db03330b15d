"""Loads: `vo-service ingest` of a file in each format, from the start of the command to its end."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg

from tests.benchmarks.client import Client
from tests.benchmarks.events import SCHEMA, Events, description, write
from tests.benchmarks.figures import Floor
from tests.benchmarks.floors import timed
from tests.benchmarks.suite import Suite
from vo_service.catalog.description import load_description
from vo_service.ingest.load import load

FORMATS = ("csv", "fits", "parquet")


def measure(suite: Suite, events: Events) -> None:
    """Load the events from each format; the table of the last load stays."""
    rates: dict[str, list[float]] = {}
    published = is_published(suite, events)
    for suffix in FORMATS:
        file = write(events, suite.files / f"{events.table}.{suffix}")
        for number in suite.effort.few_rounds(events.rows):
            if published or number or rates:
                succeed(suite, "drop", events.name)
            rates.setdefault(suffix, []).append(events.rows / timed(partial(publish, suite, events, file)))
        suite.check(f"{suffix}, loaded", events, in_memory(events), in_database(suite, events))
        file.unlink()
    floor = Floor("COPY of ready rows, and the index", tuple(ready_rows(suite, events)))
    for suffix, rounds in rates.items():
        suite.note("fits file" if suffix == "fits" else f"{suffix} file", events, "rows/s", rounds, floor)


def publish(suite: Suite, events: Events, file: Path) -> None:
    """Publish a table with the rows of a file."""
    yaml = suite.files / f"{events.table}.yaml"
    yaml.write_text(description(events))
    succeed(suite, "ingest", str(yaml), str(file))


def prepare(suite: Suite, events: Events) -> None:
    """Publish a table without measuring it, unless it is there already; the service knows of it afterwards."""
    if not is_published(suite, events):
        file = write(events, suite.files / f"{events.table}.parquet")
        yaml = suite.files / f"{events.table}.yaml"
        yaml.write_text(description(events))
        load(suite.access, load_description(yaml), [file])
        file.unlink()
    request = suite.server.get(f"/scs/{SCHEMA}/{events.table}/availability")
    give_up = time.monotonic() + 30
    with Client(suite.server) as client:
        while (status := client.send(request).status) != 200:
            assert time.monotonic() < give_up, f"{events.name} was published, but the service says HTTP {status}"
            time.sleep(0.05)


def is_published(suite: Suite, events: Events) -> bool:
    """Whether the table is there."""
    with suite.reader() as connection:
        return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (events.name,)).fetchone() == (True,)


def succeed(suite: Suite, *arguments: str) -> None:
    """Run a command of the service on its state."""
    done = suite.service.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def in_memory(events: Events) -> tuple[int, int, int]:
    """The number of rows and sums of exact numbers."""
    return events.rows, int(events.ids.sum()), int(events.columns["nhit"].sum())


def in_database(suite: Suite, events: Events) -> tuple[int, ...]:
    """The same of the table."""
    with suite.reader() as connection:
        row = connection.execute(
            f"SELECT count(*), sum(event_id)::int8, sum(nhit)::int8 FROM {events.name}".encode()
        ).fetchone()
    assert row is not None
    return row


def ready_rows(suite: Suite, events: Events) -> Iterator[float]:
    """Rows a second of COPY from memory into an empty table, in the order of the index, and of making the index."""
    with psycopg.connect(suite.access.writer.conninfo, autocommit=True) as connection:
        rows = io.BytesIO()
        with connection.cursor().copy(f"COPY {events.name} TO STDOUT (FORMAT binary)".encode()) as out:
            for block in out:
                rows.write(block)

        def fill() -> None:
            connection.execute(f"CREATE TABLE {events.name}_floor (LIKE {events.name})".encode())
            with connection.cursor().copy(f"COPY {events.name}_floor FROM STDIN (FORMAT binary)".encode()) as into:
                rows.seek(0)
                while block := rows.read(1 << 20):
                    into.write(block)
            connection.execute(f"CREATE INDEX ON {events.name}_floor (hpx)".encode())

        for _ in suite.effort.few_rounds(events.rows):
            seconds = timed(fill)
            connection.execute(f"DROP TABLE {events.name}_floor".encode())
            yield events.rows / seconds
