"""The floors: the same work done by PostgreSQL alone, and an answer without any work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, Format, PGconn

from tests.benchmarks.client import Server
from vo_service.config import load_settings
from vo_service.database.account import server_account
from vo_service.database.binaries import find_binaries
from vo_service.sky.cover import cone_cover

CONE = """
SELECT e.*, degrees(2 * asin(sqrt(h))) AS distance
FROM unnest($1::int8[], $2::int8[]) g (low, high)
CROSS JOIN LATERAL (
  SELECT * FROM {table} WHERE hpx >= g.low AND hpx < g.high OFFSET 0
) e
CROSS JOIN LATERAL (
  SELECT least(1, sin(radians(e.dec - $4::float8) / 2) ^ 2
    + cos(radians(e.dec)) * cos(radians($4::float8)) * sin(radians(e.ra - $3::float8) / 2) ^ 2)
) d (h)
WHERE h <= sin(radians($5::float8) / 2) ^ 2
ORDER BY distance
"""
"""A cone search by hand: ranges of the index, haversines, the nearest first."""

Values = Sequence[bytes]

ROOT: Final = Path(__file__).resolve().parents[2]


def cone_values(ra: float, dec: float, radius: float) -> Values:
    """The parameters of a cone search, as they are sent."""
    ranges = cone_cover(ra, dec, radius).all_ranges()
    low, high = (("{" + ",".join(map(str, ends.tolist())) + "}").encode() for ends in ranges.T)
    return low, high, repr(ra).encode(), repr(dec).encode(), repr(radius).encode()


class Prepared:
    """A prepared statement in a connection of its own, run through psycopg's wrapper of libpq; rows stay bytes."""

    def __init__(self, conninfo: str, sql: str) -> None:
        self._connection = PGconn.connect(conninfo.encode())
        self._connection.prepare(b"floor", sql.encode())

    def run(self, values: Values) -> int:
        """Run it; gives the number of rows."""
        result = self._connection.exec_prepared(b"floor", values, result_format=Format.BINARY)
        assert result.status == ExecStatus.TUPLES_OK, result.error_message
        return result.ntuples

    def close(self) -> None:
        self._connection.finish()


@contextmanager
def prepared(conninfo: str, sql: str, number: int = 1) -> Iterator[list[Prepared]]:
    """So many connections with a prepared statement."""
    statements = [Prepared(conninfo, sql) for _ in range(number)]
    try:
        yield statements
    finally:
        for statement in statements:
            statement.close()


def latencies(conninfo: str, sql: str, values: Sequence[Values]) -> list[float]:
    """Times [s] of a prepared statement in one connection, run once for each set of values."""
    with prepared(conninfo, sql) as (statement,):
        statement.run(values[0])
        return [timed(partial(statement.run, given)) for given in values]


def rate(conninfo: str, sql: str, values: Sequence[Values], *, connections: int, seconds: float) -> float:
    """Runs a second of a prepared statement in several connections at once."""
    numbers = count()
    done: list[int] = []

    def work(statement: Prepared, until: float) -> None:
        runs = 0
        while time.perf_counter() < until:
            statement.run(values[next(numbers) % len(values)])
            runs += 1
        done.append(runs)

    with prepared(conninfo, sql, connections) as statements:
        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(one, started + seconds)) for one in statements]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - started)


def timed(work: Callable[[], object]) -> float:
    """The time [s] that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fetch(connection: psycopg.Connection[tuple[object, ...]], sql: str) -> float:
    """The time [s] of a query whose rows are taken by binary COPY, as bytes."""

    def run() -> None:
        with connection.cursor().copy(f"COPY ({sql}) TO STDOUT (FORMAT binary)".encode()) as copy:
            for _ in copy:
                pass

    return timed(run)


def psql(state: Path) -> Path:
    """The client program of the PostgreSQL that the service in a state directory uses."""
    settings = load_settings(state=state)
    account = server_account(settings.postgres_user)
    return find_binaries(settings, account, state / "postgres" / "programs").program("psql")


def psql_copy(program: Path, conninfo: str, sql: str, format_: Literal["binary", "csv"]) -> float:
    """The time [s] that psql takes to copy the rows of a query to nowhere, itself included."""
    parts = conninfo_to_dict(conninfo)
    password = {"PGPASSWORD": str(parts.pop("password"))}
    plain = make_conninfo("", **parts)
    command = [str(program), "-X", "-q", "-d", plain, "-c", f"COPY ({sql}) TO STDOUT (FORMAT {format_})"]
    return timed(lambda: subprocess.run(command, env=os.environ | password, stdout=subprocess.DEVNULL, check=True))


@contextmanager
def empty_server() -> Iterator[Server]:
    """A process that answers everything with the same few bytes: uvicorn and an ASGI application of two lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.empty"], cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    try:
        yield Server(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
