"""Alerts sent to a running service: kept once, told apart from others, found by TAP and cone search, streamed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime

import httpx
import psycopg
import pytest
import pyvo

from tests.support.alerts import AUTHOR
from tests.support.served import served
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.alert import Alert
from voevent.build import build_packet
from voevent.packet import read_packet

WORD = "of authors"
TOKEN = {"Authorization": f"Bearer {WORD}"}


@pytest.fixture(scope="module")
def url(access: Access) -> Iterator[str]:
    initialise(access, OWN)
    with served(access, voevent_token=WORD) as base:
        yield base


@pytest.fixture
def ivoid() -> str:
    return f"ivo://org.example/stream#{uuid.uuid4().hex[:12]}"


def sent(url: str, raw: bytes) -> tuple[int, dict[str, object]]:
    answer = httpx.post(f"{url}/voevent", content=raw, headers=TOKEN)
    return answer.status_code, answer.json()


def found(url: str, query: str) -> list[dict[str, object]]:
    return [dict(row) for row in pyvo.dal.TAPService(f"{url}/tap").search(query)]


def test_a_packet_is_kept_and_found(url: str, ivoid: str) -> None:
    raw = packet(ivoid, ra=77.36, dec=5.69, energy=120.0)
    status, told = sent(url, raw)
    assert (status, told["status"], told["ivoid"]) == (201, "accepted", ivoid)
    assert httpx.get(f"{url}/voevent/{ivoid.replace('#', '%23')}").content == raw
    (row,) = found(url, f"SELECT * FROM alerts.voevent WHERE ivoid = '{ivoid}'")
    assert (row["role"], row["ra"], row["dec"], row["error_radius"]) == ("test", 77.36, 5.69, 0.5)
    assert str(row["event_time"]) == "2026-11-21T09:59:30.5"
    assert row["far"] == pytest.approx(2 / (365.25 * 86400), rel=1e-12)
    stored = str(row["stored_at"])
    assert stored >= str(row["received_at"])
    # Times of the stages that follow are written together, a little later.
    deadline = time.monotonic() + 20
    while not (acknowledged := str(row["acknowledged_at"])) and time.monotonic() < deadline:
        time.sleep(0.1)
        (row,) = found(url, f"SELECT acknowledged_at FROM alerts.voevent WHERE ivoid = '{ivoid}'")
    assert acknowledged >= stored
    params = "alerts.param NATURAL JOIN alerts.voevent"
    (energy,) = found(url, f"SELECT number, unit FROM {params} WHERE ivoid = '{ivoid}' AND name = 'E'")
    assert (energy["number"], energy["unit"]) == (120.0, "TeV")
    cone = pyvo.dal.SCSService(f"{url}/scs/alerts/voevent?").search(pos=(77.36, 5.69), radius=0.1)
    assert ivoid in list(cone["ivoid"])


def test_the_same_packet_again_is_a_duplicate(url: str, ivoid: str) -> None:
    raw = packet(ivoid)
    assert sent(url, raw)[0] == 201
    status, told = sent(url, raw)
    assert (status, told["status"]) == (200, "duplicate")
    assert len(found(url, f"SELECT ivoid FROM alerts.voevent WHERE ivoid = '{ivoid}'")) == 1


def test_another_packet_under_the_same_identifier_is_a_conflict(url: str, ivoid: str, access: Access) -> None:
    first, second = packet(ivoid, energy=1.0), packet(ivoid, energy=2.0)
    sent(url, first)
    assert (sent(url, second)[0], sent(url, second)[1]["status"]) == (409, "conflict")
    assert httpx.get(f"{url}/voevent/{ivoid.replace('#', '%23')}").content == first
    with psycopg.connect(access.owner.conninfo) as connection:
        kept = connection.execute("SELECT raw FROM vo_service.alert_conflict WHERE ivoid = %s", (ivoid,)).fetchall()
    assert {bytes(raw) for (raw,) in kept} == {second}


def test_citations_are_kept(url: str, ivoid: str) -> None:
    update = f"{ivoid}-update"
    sent(url, packet(ivoid))
    sent(url, packet(update, cites=(ivoid, "supersedes")))
    (row,) = found(url, f"SELECT * FROM alerts.citation WHERE ivoid = '{update}'")
    assert (row["cited_ivoid"], row["cite"]) == (ivoid, "supersedes")


def test_events_are_replayed_and_follow(url: str, ivoid: str) -> None:
    number = sent(url, packet(ivoid))[1]["event_id"]
    assert isinstance(number, int)
    with httpx.stream("GET", f"{url}/voevent/stream", headers={"Last-Event-ID": str(number - 1)}) as stream:
        lines = stream.iter_lines()
        assert next_event(lines) == (number, ivoid)
        sent(url, packet(f"{ivoid}-2"))
        assert next_event(lines) == (number + 1, f"{ivoid}-2")


def next_event(lines: Iterator[str]) -> tuple[int, str]:
    number = -1
    for line in lines:
        if line.startswith("id: "):
            number = int(line.removeprefix("id: "))
        if line.startswith("data: "):
            return number, json.loads(line.removeprefix("data: "))["ivoid"]
    raise AssertionError("the stream ended")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"no XML", 400),
        (b"<a/>", 400),
        (b'<!DOCTYPE x [<!ENTITY e "ee">]><x>&e;</x>', 400),
        (b"<" + b"x" * 1_100_000, 413),
    ],
)
def test_what_is_no_packet_is_refused(url: str, raw: bytes, status: int) -> None:
    answer = httpx.post(f"{url}/voevent", content=raw, headers=TOKEN)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_only_authors_publish(url: str, ivoid: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.post(f"{url}/voevent", content=packet(ivoid), headers=headers).status_code == 403
    assert httpx.get(f"{url}/voevent/{ivoid.replace('#', '%23')}").status_code == 404


def test_a_citation_of_an_event_means_all_its_earlier_notices(url: str, access: Access) -> None:
    event = f"S{uuid.uuid4().hex[:10]}"
    alert = Alert(event=event, time=datetime(2026, 11, 21), written=datetime(2026, 11, 21, 0, 1), role="test")
    notices = [
        alert.model_copy(update={"edition": "1"}),
        alert.model_copy(update={"edition": "2", "kind": "supersedes"}),
        alert.model_copy(update={"edition": "3", "kind": "retraction"}),
        alert.model_copy(update={"edition": "4"}),
        alert.model_copy(update={"edition": "5", "kind": "retraction", "role": "observation"}),
    ]
    packets = [build_packet(notice, AUTHOR) for notice in notices]
    assert [sent(url, raw)[0] for raw in packets] == [201] * 5
    with psycopg.connect(access.owner.conninfo) as connection:
        rows = connection.execute(
            "SELECT ivoid, cited_ivoid, cite FROM alerts.cited WHERE kin AND cited_ivoid LIKE %s ORDER BY 1, 2",
            (f"%#{event}_%",),
        ).fetchall()
    first, second, third, *_ = (read_packet(raw).ivoid for raw in packets)
    # Not the notice that came afterwards; and a retraction of an observation says nothing of a test.
    assert rows == [
        (second, first, "supersedes"),
        (third, first, "retraction"),
        (third, second, "retraction"),
    ]
