"""What growth costs: cone searches and matches as a table becomes larger, and as the order of its rows is lost.

    python -m tests.benchmarks.growth load  STATE --rows 100000000      (ten minutes and 13 GB at 100 million)
    python -m tests.benchmarks.growth curve STATE --rows 1000000 10000000 100000000 [--cold]
    python -m tests.benchmarks.growth decay STATE --rows 10000000 --days 1 10 50 [--recluster]

Events are uniform on the sky; the tables are called growth.events_1m and so on. `decay` appends days of 100,000
events, each in order of itself as `vo-service ingest --append` stores them, and measures when there are as many as
`--days` says. With `--cold` the database is restarted and its files are put out of the page cache before each radius.

Cells of a radius are the time of a cone search [ms] over HTTP and that of its statement in the database, each as median
(tenth percentile), and the pages that the statement reads.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import hpgeom
import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from conesearch.query import cone_statement
from conesearch.request import ConeRequest
from tests.support.service import running
from vo_service.catalog.model import Position, Table
from vo_service.catalog.store import read_catalog
from vo_service.config import load_settings
from vo_service.database.access import Access, open_database
from vo_service.formats.registry import find_format
from vo_service.ingest.recluster import measure

RADII = {0.1: 200, 1.0: 100, 5.0: 10, 20.0: 3}
"""Radius of cones [deg], and how many are asked for."""

COLD_RADII = {0.1: 30, 1.0: 30, 5.0: 15}

MAXREC = 100_000
DAY = 100_000
PART = 10_000_000
POSITIONS = 10_000

DESCRIPTION = """
name: growth
tables:
  - name: {name}
    primaryKey: event_id
    epoch: mjd
    position: {{ra: ra, dec: dec}}
    columns:
      - {{name: event_id, datatype: long, "ivoa:ucd": meta.id;meta.main, nullable: false}}
      - {{name: ra, datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}}
      - {{name: dec, datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}}
      - {{name: mjd, datatype: double, "ivoa:ucd": time.epoch, "ivoa:unit": d}}
      - {{name: energy, datatype: float, "ivoa:ucd": phys.energy, "ivoa:unit": GeV}}
      - {{name: nhit, datatype: int, "ivoa:ucd": meta.number}}
      - {{name: beta, datatype: float, "ivoa:ucd": stat.error;pos.eq, "ivoa:unit": deg}}
"""


def named(rows: int) -> str:
    """The name of the table with so many rows."""
    return f"events_{rows // 1_000_000}m"


def events(rows: int, first: int, part: int = 0, parts: int = 1) -> pa.Table:
    """Events on one of so many equal parts of the sky, in HEALPix order; `hpx` comes last."""
    random = np.random.default_rng(first)
    whole = 12 * 4**29
    hpx = np.sort(random.integers(whole * part // parts, whole * (part + 1) // parts, rows))
    ra, dec = hpgeom.pixel_to_angle(1 << 29, hpx, nest=True)
    return pa.table(
        {
            "event_id": np.arange(first, first + rows),
            "ra": ra,
            "dec": dec,
            "mjd": random.uniform(54129.0, 58118.0, rows),
            "energy": (10.0 ** random.normal(3.5, 0.7, rows)).astype(np.float32),
            "nhit": (random.poisson(30, rows) + 20).astype(np.int32),
            "beta": np.clip(random.gamma(4.0, 0.12, rows), 0.05, None).astype(np.float32),
            "hpx": hpx,
        }
    )


def load(state: Path, rows: int) -> None:
    """Load a table in parts of the sky one after the other: together they are in order."""
    parts = max(1, rows // PART)
    with tempfile.TemporaryDirectory() as directory:
        description, file = Path(directory) / "growth.yaml", Path(directory) / "events.parquet"
        description.write_text(DESCRIPTION.format(name=named(rows)), encoding="utf-8")
        for part in range(parts):
            size = rows // parts
            pa.parquet.write_table(events(size, 1 + part * size, part, parts).drop(["hpx"]), file)
            more = ["--append"] if part else []
            words = ["ingest", "--state", str(state), str(description), str(file), *more]
            subprocess.run([sys.executable, "-m", "vo_service", *words], check=True)


def centres(number: int, seed: int) -> list[tuple[float, float]]:
    """Places uniform on the sky [deg]."""
    random = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, number)))
    return list(zip(random.uniform(0, 360, number).tolist(), dec.tolist(), strict=True))


def ms(seconds: list[float]) -> str:
    """The median [ms], and the tenth percentile: what remains of it on a machine with nothing else to do."""
    low = sorted(seconds)[len(seconds) // 10]
    return f"{1e3 * statistics.median(seconds):.2f} ({1e3 * low:.2f})"


class Measured:
    """A table, asked through the running service and, for what it reads, in the database."""

    def __init__(self, client: httpx.Client, access: Access, table: Table) -> None:
        self.client, self.access, self.table = client, access, table

    def cone(self, ra: float, dec: float, radius: float) -> float:
        """Seconds of a cone search."""
        started = time.perf_counter()
        answer = self.client.get(
            f"/scs/{self.table.path}", params={"RA": ra, "DEC": dec, "SR": radius, "MAXREC": MAXREC}
        )
        answer.raise_for_status()
        return time.perf_counter() - started

    def cones(self, radius: float, number: int, seed: int) -> list[float]:
        return [self.cone(ra, dec, radius) for ra, dec in centres(number, seed)]

    def in_database(self, radius: float, number: int) -> tuple[list[float], float]:
        """Of a cone's statement alone: the times [s], and the median of pages read of the table and its index."""
        times, pages = [], []
        with psycopg.connect(self.access.writer.conninfo) as connection:
            for ra, dec in centres(number, 99):
                request = ConeRequest(ra, dec, radius, 2, MAXREC, find_format(None))
                statement = cone_statement(self.table, Position("ra", "dec"), request)
                text = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement.sql}"
                plan = (connection.execute(text.encode(), statement.parameters or None).fetchone() or ())[0][0]
                times.append(plan["Execution Time"] / 1e3)
                pages.append(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
        return times, statistics.median(pages)

    def scatter(self) -> str:
        """On how many pages 1,000 neighbouring rows lie."""
        with psycopg.connect(self.access.writer.conninfo) as connection:
            return f"{measure(connection, self.table).pages:.1f}"

    def tap(self, query: str, files: dict[str, Any] | None = None) -> tuple[float, str]:
        """Seconds of a query, and its one value."""
        started = time.perf_counter()
        data = {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv", **({"UPLOAD": "t,param:t"} if files else {})}
        answer = self.client.post("/tap/sync", data=data, files=files)
        answer.raise_for_status()
        return time.perf_counter() - started, answer.text.split()[-1]

    def match(self) -> tuple[float, str]:
        """Seconds and pairs of a match with uploaded positions within 0.1 degrees."""
        upload = io.StringIO()
        writer = csv.writer(upload)
        writer.writerows([("ra", "dec"), *centres(POSITIONS, 5)])
        query = (
            f"SELECT COUNT(*) AS n FROM TAP_UPLOAD.t u JOIN {self.table.full_name} e"
            " ON 1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(u.ra, u.dec, 0.1))"
        )
        return self.tap(query, {"t": ("t.csv", upload.getvalue(), "text/csv")})

    def groups(self) -> float:
        """Seconds to count the rows in each cell of order 5."""
        counts = f"SELECT ivo_healpix_index(5, ra, dec) AS h, COUNT(*) AS n FROM {self.table.full_name} GROUP BY h"
        return self.tap(f"SELECT MAX(n) AS n FROM ({counts}) AS g")[0]


@contextmanager
def served(state: Path, rows: int) -> Iterator[Measured]:
    """A service on the state, warmed up."""
    with running("serve", state) as service, open_database(load_settings(state=state)) as access:
        with psycopg.connect(access.writer.conninfo) as connection:
            table = read_catalog(connection).table("growth", named(rows))
        if table is None:
            raise SystemExit(f"load growth.{named(rows)} first")
        with httpx.Client(base_url=service.url, timeout=600) as client:
            measured = Measured(client, access, table)
            measured.cones(0.1, 20, 7)
            yield measured


def forget(state: Path) -> None:
    """Put the database's files out of the page cache. Nobody may use it at the moment."""
    os.sync()
    for path in (state / "postgres").rglob("base/*/*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def show(cells: Iterable[str]) -> None:
    """Print a line of a table, each cell as soon as it is known."""
    for cell in cells:
        print(cell, end=" | ", flush=True)
    print(flush=True)


def warm(measured: Measured) -> Iterator[str]:
    """For each radius the time of a cone [ms], that of its statement in the database, and the pages read."""
    for radius, number in RADII.items():
        times = measured.cones(radius, number, 1)
        in_database, pages = measured.in_database(radius, number)
        yield f"{ms(times)}, {ms(in_database)}, {pages:.0f} p"


def heavy(measured: Measured) -> Iterator[str]:
    """Seconds of a match and its pairs, seconds to count the rows of each cell."""
    seconds, pairs = measured.match()
    yield f"{seconds:.2f}"
    yield pairs
    yield f"{measured.groups():.2f}"


def curve(state: Path, sizes: list[int], *, cold: bool) -> None:
    """Cones, matches and groups at each size."""
    show(["rows", *map(str, RADII), "match [s]", "pairs", "groups [s]"])
    for rows in sizes:
        with served(state, rows) as measured:
            show(chain([str(rows)], warm(measured), heavy(measured)))
        if cold:
            show(chain([f"{rows} cold"], cold_cones(state, rows)))


def cold_cones(state: Path, rows: int) -> Iterator[str]:
    """Median time [ms] of cones whose pages are on disk; 0.1 degrees are asked for first, to warm up the rest."""
    for radius, number in COLD_RADII.items():
        forget(state)
        with served(state, rows) as measured:
            yield ms(measured.cones(radius, number, 3))


def append_day(connection: psycopg.Connection[Any], name: str, number: int) -> None:
    """100,000 events, in order of themselves behind all others."""
    day = events(DAY, 1_000_000_000 + number * DAY)
    text = io.BytesIO()
    pa.csv.write_csv(day, text, pa.csv.WriteOptions(include_header=False))
    with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT csv)".encode()) as copy:
        copy.write(text.getvalue())
    connection.commit()


def decay(state: Path, rows: int, days: list[int], *, again: bool) -> None:
    """Cones as days are appended, and what reclustering costs and gives back."""
    show(["days", "share", "append a day [s]", "pages of 1,000 neighbours", *map(str, RADII)])
    for number in days:
        took = append_until(state, rows, number)
        with served(state, rows) as measured:
            print(
                number, f"{number * DAY / rows:.1%}", measured.scatter(), *warm(measured), took, sep=" | ", flush=True
            )
    if again:
        with served(state, rows) as measured:
            recluster_beside(measured, state, rows)
            show(chain(["reclustered", "", "", measured.scatter()], warm(measured)))


def recluster_beside(measured: Measured, state: Path, rows: int) -> None:
    """Recluster the table while it is asked for cones of 1 degree."""
    before = measured.cones(1.0, 50, 1)
    started = time.perf_counter()
    words = ["recluster", "--state", str(state), f"growth.{named(rows)}"]
    process = subprocess.Popen([sys.executable, "-m", "vo_service", *words])
    times: list[float] = []
    while process.poll() is None:
        times += measured.cones(1.0, 10, len(times))
    print(
        f"{time.perf_counter() - started:.0f} s; cones of 1 degree before {ms(before)}, meanwhile {ms(times)}", end=""
    )
    print(f" and at most {1e3 * max(times):.0f} ms", flush=True)


def append_until(state: Path, rows: int, days: int) -> str:
    """Append days until there are so many; gives the mean time of one [s]."""
    with open_database(load_settings(state=state)) as access, psycopg.connect(access.writer.conninfo) as connection:
        name = f"growth.{named(rows)}"
        (stored,) = connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() or (0,)
        present = (stored - rows) // DAY
        started = time.perf_counter()
        for number in range(present, days):
            append_day(connection, name, number)
        seconds = time.perf_counter() - started
        connection.execute(f"ANALYZE {name}".encode())
    return f"{seconds / (days - present):.2f}" if days > present else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "curve", "decay"])
    parser.add_argument("state", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--days", type=int, nargs="*", default=[0, 1, 10, 50])
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--recluster", action="store_true")
    parser.add_argument("--radii", type=float, nargs="+", choices=list(RADII), help="those of these radii only")
    options = parser.parse_args()
    for radius in set(RADII) - set(options.radii or RADII):
        del RADII[radius]
    work: dict[str, Callable[[], None]] = {
        "load": lambda: load(options.state, options.rows[0]),
        "curve": lambda: curve(options.state, options.rows, cold=options.cold),
        "decay": lambda: decay(options.state, options.rows[0], options.days, again=options.recluster),
    }
    work[options.what]()


if __name__ == "__main__":
    main()
