"""Limits on queries: how many at once, for how long, and what clients are told."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from lxml import etree

from tap.capabilities import tap_capabilities
from tests.support.database import SECRET, execute, new_database
from tests.support.judges import votlint_complaints
from tests.support.served import served
from tests.support.service import running, state_directory
from vo_service.config import load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.vosi.capabilities import capabilities_document

SMALL = "SELECT TOP 1 table_name FROM tap_schema.tables"
QUICK = "SELECT COUNT(*) AS n FROM tap_schema.schemas AS a, tap_schema.schemas AS b, tap_schema.schemas AS c"
"""A query that may be heavy, as far as one can tell beforehand."""

ENDLESS = "SELECT COUNT(*) AS n FROM " + ", ".join(f"tap_schema.columns AS t{i}" for i in range(8))


@pytest.fixture(scope="module")
def own(server: Access) -> Iterator[Access]:
    with new_database(server) as access:
        initialise(access)
        yield access


def ask(url: str, query: str, client: str = "192.0.2.1") -> httpx.Response:
    """A query of a client at this address, as a trusted proxy forwards it."""
    headers = {"X-Forwarded-For": client}
    return httpx.get(f"{url}/tap/sync", params={"LANG": "ADQL", "QUERY": query}, headers=headers, timeout=60)


def running_queries(access: Access) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query ~ 't7'"
    ((count,),) = execute(access.owner.conninfo, query + " AND pid <> pg_backend_pid()", access.database)
    return int(count)


def until(access: Access, count: int) -> None:
    deadline = time.monotonic() + 30
    while running_queries(access) != count:
        assert time.monotonic() < deadline, "the queries did not start or end"
        time.sleep(0.02)


@contextmanager
def busy(access: Access, url: str, count: int, client: str = "192.0.2.1") -> Iterator[None]:
    """Queries of a client that run until the block ends, when the client leaves."""
    address = urlsplit(url)
    target = f"/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': ENDLESS})}"
    request = f"GET {target} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
    before = running_queries(access)
    sockets = [socket.create_connection((str(address.hostname), int(address.port or 0))) for _ in range(count)]
    try:
        for connection in sockets:
            connection.sendall(request)
        until(access, before + count)
        yield
    finally:
        for connection in sockets:
            connection.close()


def test_a_client_has_its_share_and_leaves_the_others_theirs(own: Access) -> None:
    with (
        served(own, busy_timeout=0.5, queries_limit=3, queries_per_client=2, queries_computing=3) as url,
        busy(own, url, 2),
    ):
        refused = ask(url, QUICK)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "2 of your queries are running, as many as one client may run at once" in refused.text
        assert 'name="QUERY_STATUS" value="ERROR"' in refused.text
        assert ask(url, SMALL).status_code == 200
        assert ask(url, QUICK, "192.0.2.2").status_code == 200
        with busy(own, url, 1, "192.0.2.2"):
            refused = ask(url, QUICK, "192.0.2.3")
            assert refused.status_code == 429
            assert ask(url, SMALL).status_code == 200
            assert "3 queries are running, as many as the service runs at once" in refused.text
            # Other work goes on: metadata, pages and cones do not take part.
            assert httpx.get(f"{url}/tap/tables").status_code == 200
        until(own, 2)
        assert ask(url, QUICK, "192.0.2.3").status_code == 200


def test_a_refusal_is_a_valid_document(own: Access, tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(own, busy_timeout=0.2, queries_per_client=1) as url, busy(own, url, 1):
        path = tmp_path_factory.mktemp("refusal") / "refusal.xml"
        path.write_bytes(ask(url, QUICK).content)
        assert votlint_complaints(str(path)) == []


def test_who_leaves_makes_room_at_once(own: Access) -> None:
    """The next query waits for the slot, and gets it when the client before it goes."""
    with served(own, busy_timeout=30, queries_per_client=1) as url, ThreadPoolExecutor(1) as thread:
        with busy(own, url, 1):
            waiting = thread.submit(ask, url, QUICK)
            time.sleep(0.3)
            assert not waiting.done()
        assert waiting.result(timeout=20).status_code == 200
    until(own, 0)


def test_short_queries_in_any_number_wait_for_each_other(own: Access) -> None:
    with served(own, queries_per_client=1) as url, ThreadPoolExecutor(16) as threads:
        answers = threads.map(lambda _: ask(url, QUICK).status_code, range(60))
        assert set(answers) == {200}


def test_a_query_that_takes_too_long_is_told_of_async(own: Access) -> None:
    with served(own, sync_timeout=0.5) as url:
        answer = ask(url, ENDLESS)
    assert answer.status_code == 400
    assert "took longer than 0.5 seconds" in answer.text
    assert "/tap/async" in answer.text
    until(own, 0)


def test_capabilities_tell_the_limits() -> None:
    settings = load_settings(
        sync_timeout=7, async_timeout=11, async_timeout_limit=13, job_lifetime=17, job_lifetime_limit=19,
        maxrec_default=23, maxrec_limit=29, queries_per_client=3, queries_limit=5, busy_timeout=2.5,
        upload_limit_rows=31, upload_limit_bytes=37,
    )  # fmt: skip
    document = etree.fromstring(capabilities_document(tap_capabilities("http://localhost/tap", settings)))
    capability = document.find("capability[@standardID='ivo://ivoa.net/std/TAP']")
    assert capability is not None
    told = {
        limit: (capability.findtext(f"{limit}/default"), capability.findtext(f"{limit}/hard"))
        for limit in ("retentionPeriod", "executionDuration", "outputLimit", "uploadLimit")
    }
    assert told == {
        "retentionPeriod": ("17", "19"),
        "executionDuration": ("11", "13"),
        "outputLimit": ("23", "29"),
        "uploadLimit": ("31", "37"),
    }
    assert re.findall(r"[\d.]*\d", str(capability.findtext("description"))) == ["7", "3", "5", "2.5", "429"]


@pytest.mark.parametrize(("trusted", "status"), [("", 429), ("127.0.0.1", 200)])
def test_forwarded_addresses_count_only_from_trusted_proxies(
    own: Access, monkeypatch: pytest.MonkeyPatch, trusted: str, status: int
) -> None:
    for name, value in (
        ("DATABASE_URL", own.owner.conninfo),
        ("ROLE_SECRET", SECRET),
        ("TRUSTED_PROXIES", trusted),
        ("QUERIES_PER_CLIENT", "1"),
        ("BUSY_TIMEOUT", "0.5"),
    ):
        monkeypatch.setenv(f"VO_SERVICE_{name}", value)
    with state_directory() as state, running("serve", state) as service, busy(own, service.url, 1):
        assert ask(service.url, QUICK, "192.0.2.9").status_code == status
