"""What strangers may send: each gets a document that says what is wrong, and the service goes on."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.service import Service

QUERIES = {
    "SQL in a string": ("SELECT TOP 1 event_id FROM demo.events WHERE 'x'' OR 1=1 --' = 'y'", 200),
    "backslash in a string": (r"SELECT TOP 1 event_id FROM demo.events WHERE '\' <> 'y'", 200),
    "dollar quotes": ("SELECT $$x$$ FROM demo.events", 400),
    "SQL in an alias": ('SELECT TOP 1 event_id AS "x"";DROP TABLE demo.events;--" FROM demo.events', 200),
    "SQL in a name": ('SELECT "ra"", pg_sleep(9)--" FROM demo.events', 400),
    "an alias of 500 letters": (f'SELECT TOP 1 ra AS "{"x" * 500}" FROM demo.events', 200),
    "a per cent sign": ("SELECT TOP 1 ra FROM demo.events WHERE '%s%(x)s' <> 'y'", 200),
    "second statement": ("SELECT ra FROM demo.events; DROP TABLE demo.events", 400),
    "comment": ("SELECT /* x */ ra FROM demo.events", 400),
    "pg_sleep": ("SELECT pg_sleep(10) FROM demo.events", 400),
    "pg_read_file": ("SELECT pg_read_file('/etc/passwd') FROM demo.events", 400),
    "set_config": ("SELECT set_config('statement_timeout', '0', false) FROM demo.events", 400),
    "pg_catalog": ("SELECT * FROM pg_catalog.pg_authid", 400),
    "information_schema": ("SELECT * FROM information_schema.tables", 400),
    "our own tables": ("SELECT * FROM vo_service.published_table", 400),
    "system columns": ("SELECT ctid, xmin FROM demo.events", 400),
    "the index column": ("SELECT hpx FROM demo.events", 400),
    "whole rows": ("SELECT e FROM demo.events AS e", 400),
    "casts of PostgreSQL": ("SELECT ra::text FROM demo.events", 400),
    "deep nesting": ("SELECT ra FROM demo.events WHERE " + "(" * 3000 + "1=1" + ")" * 3000, 400),
    "deep subqueries": ("SELECT a FROM " + "(SELECT a FROM " * 200 + "x" + ") AS x" * 200, 400),
    "a long sum": ("SELECT TOP 1 ra FROM demo.events WHERE 0 < " + "+".join(["1"] * 20_000), 400),
    "a long list": ("SELECT TOP 1 ra FROM demo.events WHERE event_id IN (" + ",".join(["7"] * 50_000) + ")", 200),
    "10 MB": ("SELECT ra FROM demo.events WHERE ra IN (" + "1," * 5_000_000 + "1)", 413),
    "division by zero": ("SELECT 1/(event_id - event_id) FROM demo.events", 400),
    "overflow": ("SELECT EXP(event_id) FROM demo.events", 400),
    "logarithm of a negative": ("SELECT LOG(-event_id) FROM demo.events", 400),
    "arc cosine of two": ("SELECT ACOS(2) FROM demo.events", 400),
    "huge number": ("SELECT TOP 1 ra FROM demo.events WHERE event_id < 1e400", 400),
    "huge integer": ("SELECT TOP 1 ra FROM demo.events WHERE event_id < 99999999999999999999999", 200),
    "huge TOP": ("SELECT TOP 99999999999999999999 ra FROM demo.events", 400),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries(demo_service: Service, name: str) -> None:
    query, status = QUERIES[name]
    started = time.monotonic()
    answer = httpx.post(f"{demo_service.url}/tap/sync", data={"LANG": "ADQL", "QUERY": query}, timeout=60)
    assert answer.status_code == status, answer.text[-1000:]
    assert answer.headers["content-type"] == "application/x-votable+xml"
    if status != 200:
        assert 'value="ERROR"' in answer.text
        for secret in ("Traceback", "psycopg", "/home", "postgresql", "published_table WHERE"):
            assert secret not in answer.text
    assert time.monotonic() - started < 60


def raw(service: Service, data: bytes) -> bytes:
    """Send bytes as they are; what comes back until the other side closes or five seconds pass."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
    return received


REQUESTS = {
    "broken UTF-8": b"GET /tap/sync?LANG=ADQL&QUERY=%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "raw bytes in the address": b"GET /tap/sync?QUERY=\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "NUL": b"GET /tap/sync?LANG=ADQL&QUERY=a%00b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "repeated parameter": b"GET /tap/sync?LANG=ADQL&QUERY=a&QUERY=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "path traversal": b"GET /static/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "encoded path traversal": b"GET /static/..%2f..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_raw_requests(demo_service: Service, name: str) -> None:
    answer = raw(demo_service, REQUESTS[name])
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
    assert b"root:" not in answer


def test_the_data_are_still_there(demo_service: Service) -> None:
    parameters = {"LANG": "ADQL", "QUERY": "SELECT COUNT(*) AS n FROM demo.events", "RESPONSEFORMAT": "csv"}
    assert httpx.get(f"{demo_service.url}/tap/sync", params=parameters).text.split() == ["n", "100000"]
