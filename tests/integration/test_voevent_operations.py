"""What operators see: metrics, the live page, logs, and the broker inside the demo."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.browser import running_browser
from tests.support.database import SECRET, execute, new_database
from tests.support.served import served
from tests.support.service import COMMAND, state_directory
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.database.pools import Database
from vo_service.logs import JsonFormatter
from voevent.broker import running_broker
from voevent.operations.latency import BOUNDS, Histogram
from voevent.operations.state import read_states, report_broker, report_state

TOKEN = "a token of the tests"  # noqa: S105
ANSWERS = ("accepted", "duplicate", "conflict")
T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test gives up: far longer than anything takes."""


@pytest.fixture
def alerts(server: Access) -> Iterator[Access]:
    """A database without any alert."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


@contextmanager
def broker_beside(access: Access) -> Iterator[tuple[int, int]]:
    """A broker that reports its state, in a thread; gives the ports of authors and subscribers."""
    ports: list[tuple[int, int]] = []
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        settings = load_settings(voevent_author_port=0, voevent_subscriber_port=0)
        async with running_broker(settings, access) as broker:
            reporting = asyncio.create_task(report_broker(access, broker))
            ports.append((broker.author_port, broker.subscriber_port))
            ready.set()
            while not stop.is_set():  # noqa: ASYNC110 (set by another thread)
                await asyncio.sleep(0.05)
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield ports[0]
    finally:
        stop.set()
        thread.join()


def submit(port: int, raw: bytes) -> bytes:
    """What a broker answers to an author."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(struct.pack(">I", len(raw)) + raw)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer[4:]


def eventually(look: Callable[[], T | None]) -> T:
    """The first value that is something. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError


def metrics(base: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples, by name and labels, as the parser of Prometheus' own library reads them."""
    answer = httpx.get(f"{base}/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {
        (sample.name.removeprefix("vo_service_alerts_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def sample(base: str, name: str, **labels: str) -> float | None:
    return metrics(base).get((name, frozenset(labels.items())))


def ivoid() -> str:
    return f"ivo://org.example/stream#{uuid.uuid4().hex[:12]}"


def test_a_broker_at_work_in_metrics(alerts: Access) -> None:
    with served(alerts) as base:
        # Nobody reports yet.
        assert sample(base, "newest_event") == 0
        assert sample(base, "subscribers") is None
        with broker_beside(alerts) as (author_port, subscriber_port):
            eventually(lambda: sample(base, "process_up", process="broker"))
            first = packet(ivoid(), role="observation")
            with socket.create_connection(("127.0.0.1", subscriber_port)):
                for raw in (first, packet(ivoid()), first):
                    submit(author_port, raw)
                submit(author_port, first.replace(b"A. Author", b"B. Author"))
                eventually(lambda: sample(base, "latency_seconds_count", stage="sent") == 2)
                eventually(lambda: sample(base, "subscribers") == 1)
            found = metrics(base)
            execute(alerts.owner.conninfo, "INSERT INTO vo_service.alert_sink (name, last_event) VALUES ('slow', 0)")
            eventually(lambda: sample(base, "sink_behind_events", sink="slow") == 2)
            eventually(lambda: sample(base, "subscribers") == 0)
        stopped = eventually(lambda: sample(base, "process_up", process="broker") == 0)
        assert stopped
        assert sample(base, "subscribers") is None
    assert found["events_total", frozenset({("role", "observation"), ("source", "tcp")})] == 1
    assert found["events_total", frozenset({("role", "test"), ("source", "tcp")})] == 1
    answers = {answer: found["author_answers_total", frozenset({("answer", answer)})] for answer in ANSWERS}
    assert answers == {"accepted": 2, "duplicate": 1, "conflict": 1}
    assert found["conflicts_total", frozenset()] == 1
    assert found["newest_event", frozenset()] >= 2
    assert found["process_age_seconds", frozenset({("process", "broker")})] > 0
    for stage in ("stored", "acknowledged", "sent"):
        assert found["latency_seconds_bucket", frozenset({("stage", stage), ("le", "+Inf")})] == 2
        assert 0 <= found["latency_seconds_sum", frozenset({("stage", stage)})] < PATIENCE
    assert "127.0.0.1" not in str(found), "metrics name nobody"


def test_bins_hold_what_is_not_above_their_ends() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.0011, 1e9, -0.5):
        histogram.add(seconds)
    assert histogram.counts == [2, 1] + [0] * (len(BOUNDS) - 2) + [1]
    assert histogram.sum == pytest.approx(1e9)


async def test_a_state_survives_a_database_that_is_away(alerts: Access, settings: Settings) -> None:
    number = 0

    def snapshot() -> dict[str, Any]:
        nonlocal number
        number += 1
        return {"number": number}

    async def reported(above: int) -> int:
        async with asyncio.timeout(PATIENCE), Database(alerts, settings) as database:
            while True:
                async with database.writer() as connection:
                    states = await read_states(connection)
                if states and states[0].state["number"] > above:
                    assert not states[0].stale
                    return int(states[0].state["number"])
                await asyncio.sleep(0.02)

    reporting = asyncio.create_task(report_state(alerts, "some", snapshot, interval=0.02))
    try:
        first = await reported(0)
        execute(
            alerts.owner.conninfo,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        second = await reported(first + 5)
        execute(alerts.owner.conninfo, f"ALTER ROLE {alerts.writer.name} NOLOGIN")
        execute(alerts.owner.conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = %s", alerts.writer.name)  # fmt: skip
        await asyncio.sleep(0.2)
        execute(alerts.owner.conninfo, f"ALTER ROLE {alerts.writer.name} LOGIN")
        assert await reported(second + 5) > second
        assert not reporting.done()
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


async def test_a_state_that_cannot_be_told_ends_nothing(alerts: Access, settings: Settings) -> None:
    states: list[dict[str, Any]] = [{"number": object()}, {"number": 2}]
    reporting = asyncio.create_task(report_state(alerts, "odd", lambda: states.pop(0) if states else {}, interval=0.02))
    try:
        async with asyncio.timeout(PATIENCE), Database(alerts, settings) as database, database.writer() as connection:
            while not await read_states(connection):  # noqa: ASYNC110 (another process would write it)
                await asyncio.sleep(0.02)
        assert not reporting.done()
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def test_persons_are_shown_only_to_those_with_the_token(alerts: Access) -> None:
    execute(
        alerts.owner.conninfo,
        "INSERT INTO vo_service.alert_sink (name, last_event, last_error) VALUES ('hook', 0, 'secret.example away')",
    )
    with served(alerts, voevent_token=TOKEN) as base, broker_beside(alerts) as (_, subscriber_port):
        page = f"{base}/voevent/broker"
        with socket.create_connection(("127.0.0.1", subscriber_port)):
            shown = eventually(lambda: json_of(page)["subscribers"])
            assert (shown[0]["address"], shown[0]["ivoid"], shown[0]["filters"]) == (None, None, None)
            for public in (httpx.get(page).text, httpx.get(f"{page}?format=json").text):
                assert "127.0.0.1" not in public.replace(base, "")
                assert "secret.example" not in public
            whole = json_of(page, TOKEN)
            assert whole["subscribers"][0]["address"] == "127.0.0.1"
            assert whole["sinks"][0]["last_error"] == "secret.example away"
        assert httpx.get(page, headers={"Authorization": "Bearer another"}).status_code == 403
        refused = httpx.get(f"{page}?format=xml")
        assert refused.status_code == 400
        assert "expected html or json" in refused.text


def json_of(page: str, token: str | None = None) -> dict[str, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer: dict[str, Any] = httpx.get(f"{page}?format=json", headers=headers).raise_for_status().json()
    return answer


def test_the_page_renews_itself_in_a_browser(alerts: Access) -> None:
    with (
        served(alerts, voevent_token=TOKEN) as base,
        broker_beside(alerts) as (author_port, subscriber_port),
        running_browser() as browser,
    ):
        eventually(lambda: json_of(f"{base}/voevent/broker")["processes"])

        def row_of(table: str) -> Any:  # noqa: ANN401 (whatever the script makes)
            selector = f"[...document.querySelectorAll('table[data-rows={table}] tbody tr')]"
            return browser.evaluate(f"{selector}.map(r => [...r.cells].map(c => c.textContent))")

        browser.open(f"{base}/voevent/broker", width=320)
        assert row_of("processes")[0][:2] == ["broker", "up"]
        assert row_of("answers") == [["none"]]
        assert browser.evaluate("document.documentElement.scrollWidth") <= 320
        tree = browser.evaluate("document.querySelectorAll('table').length")
        submit(author_port, packet(ivoid()))
        eventually(lambda: row_of("answers") == [["accepted", "1"]])
        eventually(lambda: ["test", "tcp", "1"] in row_of("events"))
        with socket.create_connection(("127.0.0.1", subscriber_port)):
            eventually(lambda: row_of("subscribers")[0][1:2] == ["–"])
            browser.evaluate(f"document.getElementById('token').value = '{TOKEN}'")
            eventually(lambda: row_of("subscribers")[0][1:2] == ["127.0.0.1"])
        browser.evaluate("document.getElementById('token').value = 'wrong'")
        eventually(lambda: "not the token" in browser.evaluate("document.getElementById('notice').textContent"))
        assert browser.evaluate("document.querySelectorAll('table').length") == tree
        requested = [event["request"]["url"] for event in browser.happened("Network.requestWillBeSent")]
        assert all(url.startswith(base) for url in requested)


# The broker inside the demo, and logs: the real command.


@contextmanager
def running_program(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A `vo-service` command until the block ends; gives the process, and the lines of its errors as they come."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    errors: list[str] = []
    assert process.stderr is not None
    reading = threading.Thread(target=errors.extend, args=(process.stderr,))
    reading.start()
    try:
        yield process, errors
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        finally:
            process.kill()
            reading.join()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def said(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """What a program says on standard output."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if match := re.search(pattern, line):
            return match
    raise AssertionError("".join(lines))


def test_the_demo_has_a_broker_even_where_the_ports_are_taken() -> None:
    with (
        state_directory() as state,
        socket.create_server(("127.0.0.1", 0)) as taken,
        running_program(
            *("demo", "--port=0", f"--state={state}"),
            VO_SERVICE_VOEVENT_AUTHOR_PORT=str(taken.getsockname()[1]),
            VO_SERVICE_VOEVENT_SUBSCRIBER_PORT="0",
        ) as (demo, _),
    ):
        base = said(demo, r"https?://[\w.:-]+:\d+")[0]
        author_port = int(said(demo, r"authors at 127\.0\.0\.1:(\d+), subscribers at 127\.0\.0\.1:\d+")[1])
        assert author_port != taken.getsockname()[1]
        raw = packet(ivoid())
        eventually(lambda: listens(author_port))
        with httpx.stream("GET", f"{base}/voevent/stream", timeout=PATIENCE) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            assert b'role="ack"' in submit(author_port, raw)
            data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["voevent"] == raw.decode()
        demo.kill()
        # Nobody is left who holds the port.
        eventually(lambda: not listens(author_port))


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("form", ["json", "text"])
def test_logs_of_the_broker(alerts: Access, form: str) -> None:
    environment = {
        "VO_SERVICE_DATABASE_URL": alerts.owner.conninfo,
        "VO_SERVICE_ROLE_SECRET": SECRET,
        "VO_SERVICE_LOG_FORMAT": form,
        "VO_SERVICE_LOG_LEVEL": "info",
    }
    with (
        state_directory() as state,
        running_program("broker", "--author-port=0", "--subscriber-port=0", f"--state={state}", **environment) as (
            broker,
            errors,
        ),
    ):
        port = int(said(broker, r"Authors at 127\.0\.0\.1:(\d+)")[1])
        raw = packet(ivoid())
        name = re.search(rb'ivorn="([^"]+)"', raw)
        assert name is not None
        other = name[1].decode()
        submit(port, raw)
        submit(port, raw.replace(b"A. Author", b"B. Author"))
        submit(port, b"<no/>")
        eventually(lambda: [line for line in errors if "another packet" in line])
        eventually(lambda: [line for line in errors if "Refused a packet" in line])
    if form == "text":
        assert any(re.match(r"\d{4}-\d\d-\d\d [\d:,]+ WARNING voevent\.\w+: .*another packet", line) for line in errors)
        return
    lines = [json.loads(line) for line in errors]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    (conflict,) = (line for line in lines if "another packet" in line["message"])
    assert (conflict["level"], conflict["ivoid"], conflict["source"]) == ("warning", other, "tcp:127.0.0.1")
    assert isinstance(conflict["event_id"], int)
    assert datetime.fromisoformat(conflict["time"]).utcoffset() == timedelta(0)
    (refused,) = (line for line in lines if line["message"].startswith("Refused a packet"))
    assert (refused["level"], refused["source"]) == ("info", "tcp:127.0.0.1")


def test_an_error_is_one_line_of_json() -> None:
    error = ValueError("two\nlines")
    record = logging.LogRecord("name", logging.ERROR, "path", 1, "It %s", ("failed",), (ValueError, error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read = json.loads(line)
    assert (read["message"], read["level"]) == ("It failed", "error")
    assert read["traceback"].endswith("ValueError: two\nlines")


def test_an_alert_is_published_from_a_file_and_once(alerts: Access, tmp_path: Path) -> None:
    """The notice says no time of its own: the packets that are made of it differ, the notice does not."""
    notice = tmp_path / "alert.json"
    notice.write_text(json.dumps({"event": "NU-1", "role": "test"}))
    environment = {"VO_SERVICE_DATABASE_URL": alerts.owner.conninfo, "VO_SERVICE_ROLE_SECRET": SECRET}
    with state_directory() as state:

        def publish() -> subprocess.CompletedProcess[str]:
            command = [*COMMAND, "publish", str(notice), f"--state={state}"]
            return subprocess.run(
                command,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )

        first = publish()
        assert (first.returncode, first.stdout) == (0, "ivo://localhost.demo/alerts#NU-1_test is published.\n")
        again = publish()
        assert (again.returncode, again.stdout) == (0, "ivo://localhost.demo/alerts#NU-1_test was already published.\n")
        notice.write_text(json.dumps({"event": "NU-1", "role": "test", "far": 1e-9}))
        other = publish()
        assert (other.returncode, other.stdout) == (1, "")
        assert "Not published (conflict)" in other.stderr
    assert execute(alerts.owner.conninfo, "SELECT count(*) FROM alerts.voevent") == [(1,)]
