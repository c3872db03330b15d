"""TAP over a real socket: streams, limits, formats, what clients send."""

from __future__ import annotations

import csv
import gzip
import io
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import psycopg
import pytest
from astropy.io.votable import parse as parse_votable
from psycopg import sql

from tests.support.database import new_database
from tests.support.served import served
from vo_service.catalog.model import Column, Schema, Table
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.database.access import Access
from vo_service.database.execute import FRESH_SECONDS
from vo_service.database.init import initialise

ROWS = 300_000
TABLE = Table("t", "numbers", (Column("n", "int"), Column("x", "double"), Column("size", "char", "*")), rows=ROWS)


@pytest.fixture(scope="module")
def access(server: Access) -> Iterator[Access]:
    with new_database(server) as access:
        initialise(access)
        with psycopg.connect(access.writer.conninfo) as connection:
            connection.execute("CREATE SCHEMA t")
            connection.execute(
                "CREATE TABLE t.numbers AS SELECT i::int4 AS n, i / 3.0::float8 AS x, 'row ' || i AS size"
                f" FROM generate_series(1, {ROWS}) i"
            )
            _publish(connection, access, TABLE)
        yield access


@pytest.fixture(scope="module")
def url(access: Access) -> Iterator[str]:
    with served(access, sync_timeout=3) as url:
        yield url


def _publish(connection: psycopg.Connection[Any], access: Access, table: Table) -> None:
    reader = sql.Identifier(access.reader.name)
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA t TO {}").format(reader))
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA t TO {}").format(reader))
    publish_schema(connection, Schema("t", ()))
    publish_table(connection, table)


def get(url: str, query: str, **parameters: str) -> httpx.Response:
    return httpx.get(f"{url}/tap/sync", params={"LANG": "ADQL", "QUERY": query, **parameters}, timeout=60)


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


ALL = "SELECT n, x FROM t.numbers"

SLOW = "SELECT COUNT(*) AS c FROM t.numbers AS a JOIN t.numbers AS b ON SIN(a.x) + COS(b.x) > 5"


@pytest.mark.parametrize("name", ["votable/b2", "votable/td"])
def test_all_rows_arrive(url: str, name: str) -> None:
    answer = get(url, f"{ALL} WHERE n <= 20000", RESPONSEFORMAT=name)
    table = parse_votable(io.BytesIO(answer.content)).get_first_table().array
    assert sorted(table["n"]) == list(range(1, 20001))


def test_a_stream_of_many_batches(url: str) -> None:
    found = rows_of(get(url, ALL, RESPONSEFORMAT="csv"))
    assert len(found) == ROWS
    assert sum(int(row["n"]) for row in found) == ROWS * (ROWS + 1) // 2


def test_the_first_byte_comes_before_the_last_row(url: str) -> None:
    """The server cannot send all rows while nobody reads; the head is there all the same."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        path = "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": ALL, "RESPONSEFORMAT": "votable/td"})
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"<VOTABLE" in connection.recv(65536) + connection.recv(65536)


def running_queries(access: Access) -> int:
    with psycopg.connect(access.owner.conninfo) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active'"
            " AND backend_type = 'client backend'",
            (access.reader.name,),
        ).fetchone()
    return int(row[0]) if row else 0


def wait_for_queries(access: Access, number: int, seconds: float) -> None:
    """Wait until so many queries run; fails if they do not in time."""
    deadline = time.monotonic() + seconds
    while (found := running_queries(access)) != number and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found == number


def test_a_client_that_leaves_ends_its_query(url: str, access: Access) -> None:
    address = urlsplit(url)
    wait_for_queries(access, 0, 10)
    for query in (SLOW, "SELECT a.n FROM t.numbers AS a, t.numbers AS b"):
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
            path = "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": query})
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wait_for_queries(access, 1, 10)
        wait_for_queries(access, 0, 2)


def test_a_query_that_takes_too_long(url: str) -> None:
    answer = get(url, SLOW)
    assert answer.status_code == 400
    assert "took longer than 3 seconds" in answer.text


def test_an_error_after_the_first_rows_is_told_at_the_end(url: str) -> None:
    query = f"SELECT 1 / (n - {ROWS - 10}) AS y FROM t.numbers"
    answer = get(url, query, RESPONSEFORMAT="votable/td")
    assert answer.status_code == 200
    infos = parse_votable(io.BytesIO(answer.content)).resources[0].infos
    assert [info.value for info in infos if info.name == "QUERY_STATUS"] == ["OK", "ERROR"]
    with pytest.raises(httpx.RemoteProtocolError):
        get(url, query, RESPONSEFORMAT="csv")


@pytest.mark.parametrize(
    ("query", "maxrec", "rows", "overflow"),
    [
        (ALL, "5", 5, True),
        ("SELECT TOP 5 n FROM t.numbers", "5", 5, False),
        ("SELECT TOP 9 n FROM t.numbers", "5", 5, True),
        ("SELECT TOP 3 n FROM t.numbers", "5", 3, False),
        (ALL, "0", 0, True),
    ],
)
def test_maxrec(url: str, query: str, maxrec: str, rows: int, overflow: bool) -> None:
    answer = get(url, query, MAXREC=maxrec)
    assert len(parse_votable(io.BytesIO(answer.content)).get_first_table().array) == rows
    assert (b'value="OVERFLOW"' in answer.content) is overflow
    assert (b"# OVERFLOW" in get(url, query, MAXREC=maxrec, RESPONSEFORMAT="csv").content) is overflow


def test_gzip(url: str) -> None:
    path = "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": ALL, "RESPONSEFORMAT": "csv"})
    with httpx.stream("GET", url + path, headers={"Accept-Encoding": "gzip"}, timeout=60) as answer:
        data = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(data).count(b"\n") == ROWS + 1


def test_what_old_and_odd_clients_send(url: str) -> None:
    aladin = {
        "REQUEST": "doQuery",
        "lang": "ADQL",
        "query": "SELECT TOP 2 n FROM t.numbers",
        "FORMAT": "application/x-votable+xml;serialization=TABLEDATA",
        "MAXREC": "2000000000",
        "DUMMY": "1",
    }
    for answer in (
        httpx.post(f"{url}/tap/sync", data=aladin),
        httpx.post(f"{url}/tap/sync", files={name: (None, value) for name, value in aladin.items()}),
    ):
        assert answer.headers["content-type"] == aladin["FORMAT"]
        assert answer.text.count("<TR>") == 2


def test_names_of_results_are_those_of_the_catalogue(url: str) -> None:
    (row,) = rows_of(get(url, 'SELECT TOP 1 N, "size", COUNT(*) AS "Number" FROM T.NUMBERS GROUP BY n, "size"',
                         RESPONSEFORMAT="csv"))  # fmt: skip
    assert list(row) == ["n", "size", "Number"]


def test_a_new_table_is_seen_without_a_restart(url: str, access: Access) -> None:
    query = "SELECT y FROM t.later"
    assert "There is no table t.later" in get(url, query).text
    with psycopg.connect(access.writer.conninfo) as connection:
        connection.execute("CREATE TABLE t.later AS SELECT 7::int4 AS y")
        _publish(connection, access, Table("t", "later", (Column("y", "int"),)))
    deadline = time.monotonic() + 5
    while (answer := get(url, query, RESPONSEFORMAT="csv")).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rows_of(answer) == [{"y": "7"}]
    assert httpx.get(f"{url}/tap/tables/t.later").status_code == 200


def test_availability_tells_the_truth(server: Access) -> None:
    with new_database(server) as access:
        initialise(access)
        with served(access, busy_timeout=1) as url:
            assert ">true<" in httpx.get(f"{url}/tap/availability").text
            with psycopg.connect(server.owner.conninfo, autocommit=True) as connection:
                connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(
                    sql.Identifier(access.database)))  # fmt: skip
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                                   (access.database,))  # fmt: skip
            time.sleep(FRESH_SECONDS)
            assert ">false<" in httpx.get(f"{url}/tap/availability").text
            answer = get(url, "SELECT * FROM TAP_SCHEMA.tables")
            assert answer.status_code == 503
            assert "cannot be reached" in answer.text
