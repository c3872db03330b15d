"""The Transient Name Server as a source, played by a server of our own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.database import new_database
from tests.support.sources import SETTINGS, counted, reading, rows, until
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.sources.settings import SourceSettings

NOW = datetime(2026, 3, 1, 12, 0, 30)
"""The time by the server's clock."""


class Server:
    """Objects with the times since which they are public, and what has been asked."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[datetime, dict[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.port = 0

    def add(self, name: str, public: datetime, **more: object) -> None:
        found = {"objname": name, "name_prefix": "AT", "objid": 1000, "radeg": 94.3, "decdeg": -7.8}
        self.objects[name] = (public, found | {"discoverydate": "2026-03-01 11:00:00.000", "object_type": None} | more)

    def answer(self, what: str, data: dict[str, Any]) -> object:
        if what == "object":
            return self.objects[data["objname"]][1]
        since = datetime.fromisoformat(data["public_timestamp"])
        public = [name for name, (moment, _) in self.objects.items() if moment >= since]
        return [{"objname": name, "prefix": "AT", "objid": 1000} for name in public]

    def since(self) -> list[str]:
        """The times that searches have named."""
        return [data["public_timestamp"] for what, data, _ in self.asked if what == "search"]


@pytest.fixture
def tns() -> Iterator[Server]:
    """The server, running."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            what, data = self.path.removeprefix("/api/get/"), json.loads(form["data"][0])
            state.asked.append((what, data, f"{form['api_key'][0]} {self.headers['User-Agent']}"))
            status, headers = state.refusals.pop(0) if state.refusals else (200, {})
            body = json.dumps({"id_code": 200, "id_message": "OK", "data": state.answer(what, data)}).encode()
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.send_header("Date", format_datetime(NOW.replace(tzinfo=UTC), usegmt=True))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


@pytest.fixture
def archive(server: Access) -> Iterator[Access]:
    """An archive of each test's own."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


def source(tns: Server, **fields: object) -> SourceSettings:
    described = {"name": "tns", "kind": "tns", "bot_id": 42, "bot_name": "us", "api_key": "secret", "interval": 0.1}
    since = {"url": f"http://127.0.0.1:{tns.port}", "since": NOW - timedelta(hours=1)}
    return SETTINGS.validate_python(described | since | fields)


def events(access: Access) -> list[tuple[str, dict[str, Any]]]:
    found = rows(access, "SELECT ivoid, original FROM alerts.voevent ORDER BY event_id")
    return [(ivoid, json.loads(bytes(original))) for ivoid, original in found]


async def test_objects_become_events_once(archive: Access, tns: Server) -> None:
    tns.add("2026abc", NOW - timedelta(minutes=10))
    tns.add("2026old", NOW - timedelta(days=10))
    async with reading(archive, source(tns)) as sources:
        await until(lambda: len(tns.since()) >= 3)
        assert sources.state()[0].counts == {"accepted": 1}
        # Since the last answer, by the clock of the server; what is of that second comes again.
        assert tns.since()[:3] == ["2026-03-01 11:00:30", "2026-03-01 12:00:29", "2026-03-01 12:00:29"]
        tns.add("2026abd", NOW)
        await until(counted(sources, accepted=2, duplicate=1))
    ((first, original), (second, _)) = events(archive)
    assert "ivo://org.example/tns#2026abc" in first
    assert "ivo://org.example/tns#2026abd" in second
    assert original == tns.objects["2026abc"][1]
    assert rows(archive, "SELECT DISTINCT received_from FROM alerts.voevent") == [(f"tns:127.0.0.1:{tns.port}",)]


async def test_it_names_itself_as_a_bot(archive: Access, tns: Server) -> None:
    async with reading(archive, source(tns)):
        await until(lambda: bool(tns.asked))
    assert tns.asked[0][2] == 'secret tns_marker{"tns_id": 42, "type": "bot", "name": "us"}'


async def test_it_goes_on_where_it_was(archive: Access, tns: Server) -> None:
    async with reading(archive, source(tns)):
        await until(lambda: len(tns.since()) >= 2)
    tns.asked.clear()
    async with reading(archive, source(tns)):
        await until(lambda: bool(tns.asked))
    assert tns.since()[0] == "2026-03-01 12:00:29"


async def test_it_waits_when_it_is_asked_to(archive: Access, tns: Server) -> None:
    tns.add("2026abe", NOW)
    tns.refusals.append((429, {"x-rate-limit-reset": "1"}))
    async with reading(archive, source(tns)) as sources:
        await until(counted(sources, accepted=1))
        assert sources.state()[0].last_error is None
    assert len(set(tns.since()[:2])) == 1


async def test_what_it_does_not_understand_it_reports_and_asks_again(archive: Access, tns: Server) -> None:
    tns.add("2026abf", NOW)
    tns.refusals.append((401, {}))
    async with reading(archive, source(tns)) as sources:
        await until(lambda: sources.state()[0].last_error is not None)
        assert sources.state()[0].last_error == "search: TNS answers 401 Unauthorized"
        await until(counted(sources, accepted=1))
        assert sources.state()[0].connected
