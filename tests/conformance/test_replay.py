"""Recorded traffic of STILTS, TOPCAT, pyvo and taplint, sent again.

Status, Location and Content-Type are those that the clients got from the service that they were recorded with, but
where that service was wrong, or had what we have not (`expected`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.service import Service, running, state_directory

DESCRIPTION = """
name: ev
tables:
  - name: events
    primaryKey: event_id
    position: {}
    columns:
      - {name: event_id, datatype: long, "ivoa:ucd": meta.id;meta.main}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra;meta.main}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec;meta.main}
      - {name: energy, datatype: float, "ivoa:unit": TeV, "ivoa:ucd": em.energy}
"""
EVENTS = "event_id,ra,dec,energy\n" + "".join(f"{i},{i % 360},{i % 180 - 89.5},{i}\n" for i in range(500))

OTHERS = {
    "%2C+sourcerd": "",
    "source_table": "obs_title",
    "s_pixel_scale": "s_resolution",
    "obs_creator_did": "obs_creator_name",
}
"""Columns of TAP_SCHEMA and ivoa.ObsCore that only the recorded service has, where clients found and asked for them;
and what stands for them."""

ENDED = ("COMPLETED", "ERROR", "ABORTED")
"""Phases of jobs that have ended."""


class Exchange(NamedTuple):
    """A request, and what was answered to it."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    location: str | None
    media_type: str


def exchanges(path: Path) -> Iterator[Exchange]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        record: dict[str, Any] = json.loads(line)
        answer = record["resp"]
        yield Exchange(
            number, record["m"], record["path"], record["req"], record["body"] or "",
            record["status"], answer.get("Location"), answer.get("Content-Type", "").partition(";")[0],
        )  # fmt: skip


def conversations(path: Path) -> dict[str, list[Exchange]]:
    """The exchanges by what the client was asked to do; the recording marks where that begins."""
    found: dict[str, list[Exchange]] = {}
    name = path.stem
    for exchange in exchanges(path):
        if exchange.path.startswith("/MARK/"):
            name = exchange.path.removeprefix("/MARK/")
        else:
            found.setdefault(name, []).append(exchange)
    return found


def whole(exchange: Exchange) -> bytes:
    """The body; of long ones only the beginning was kept: an empty table of the columns that were kept stands in."""
    body = exchange.body
    boundary = re.search(r'boundary="?([^"]+)', exchange.headers.get("Content-Type", ""))
    if boundary and not body.rstrip().endswith(f"--{boundary[1]}--"):
        body = body[: body.rindex("<DATA>")] if "<DATA>" in body else body[: body.rindex("</FIELD>") + 8]
        needed = {"lon", "lat"} if "u.lon" in body else set()
        fields = "".join(f'<FIELD datatype="double" name="{name}"/>' for name in sorted(needed))
        end = "<DATA><TABLEDATA></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
        body = f"{body}{fields}{end}\r\n--{boundary[1]}--\r\n"
    return body.encode()


class Replay:
    """Sends exchanges to our service; knows which of our jobs stands for which of theirs."""

    def __init__(self, base: str, client: httpx.Client) -> None:
        self._base = base
        self._client = client
        self._jobs: dict[str, str] = {}

    def check(self, asked: Exchange) -> None:
        """Send a request; the answer must be equal to the recorded one, as far as `expected` says."""
        path = self._ours(asked.path)
        if re.search(r"/(results/result|error)$", path):
            self._await_end(path)
        answer = self._send(asked, path)
        where = f"line {asked.number}: {asked.method} {path} {asked.body[:200]}: {answer.text[:500]}"
        status, media_type = expected(asked)
        assert answer.status_code == status, where
        if asked.location is not None:
            self._check_location(asked, answer)
        elif status == 200:
            assert answer.headers["content-type"].partition(";")[0] == media_type, where

    def _ours(self, path: str) -> str:
        path = path.replace("/__system__/tap/run/", "/tap/").replace("/ev/q/cone/scs.xml", "/scs/ev/events")
        for theirs, ours in (OTHERS | self._jobs).items():
            path = path.replace(theirs, ours)
        return path

    def _send(self, asked: Exchange, path: str) -> httpx.Response:
        kept = ("Content-Type", "Accept", "Accept-Encoding", "User-Agent")
        headers = {name: asked.headers[name] for name in kept if name in asked.headers}
        body = whole(asked)
        for theirs, ours in OTHERS.items():
            body = body.replace(theirs.encode(), ours.encode())
        return self._client.request(asked.method, self._base + path, headers=headers, content=body or None)

    def _check_location(self, asked: Exchange, answer: httpx.Response) -> None:
        """A new job's address names it; every other leads to a job that is known, or to their list."""
        theirs = str(asked.location).rpartition("/tap/run/async")[2]
        found = re.fullmatch(re.escape(self._base) + r"/tap/async(/[^/]+)?", answer.headers["location"])
        assert found
        if asked.method == "POST" and asked.path == "/tap/async":
            assert found[1]
            self._jobs[theirs] = found[1]
        assert (found[1] or "") == self._jobs.get(theirs, "")

    def _await_end(self, path: str) -> None:
        """Clients ask until a job has ended; ours may take another time than theirs did."""
        phase = re.sub(r"/(results/result|error)$", "/phase", path)
        deadline = time.monotonic() + 60
        while self._client.get(self._base + phase).text not in ENDED:
            assert time.monotonic() < deadline, f"{path}: the job does not end"
            time.sleep(0.05)


def expected(asked: Exchange) -> tuple[int, str]:
    """Status and type of the answer: those recorded, with these differences."""
    if asked.path == "/tap/examples":
        return 200, "text/html"  # there were none
    if "tap_schema.groups" in asked.path:
        return 400, ""  # a table that only the recorded service has
    if asked.path.startswith("/tap/sync") and asked.media_type == "text/xml":
        return 400, ""  # errors had the status of success
    if asked.path.endswith("/error"):
        return asked.status, "application/x-votable+xml"  # errors are VOTables
    return asked.status, asked.media_type


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The demo, and beside it the table that the recorded service had."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "events.yaml").write_text(DESCRIPTION)
    (folder / "events.csv").write_text(EVENTS)
    with state_directory() as state, running("demo", state) as demo:
        done = demo.run("ingest", str(folder / "events.yaml"), str(folder / "events.csv"))
        assert done.returncode == 0, done.stderr
        yield demo


@pytest.mark.timeout(300)
def test_what_clients_were_asked_to_do(service: Service, shared: Path) -> None:
    found = conversations(shared / "conformance" / "clients" / "http_clients.jsonl")
    assert len(found) > 20
    with httpx.Client(timeout=90) as client:
        replay = Replay(service.url, client)
        for name, conversation in found.items():
            for exchange in conversation:
                try:
                    replay.check(exchange)
                except AssertionError as error:
                    raise AssertionError(f"{name}, {error}") from error


@pytest.mark.timeout(300)
def test_all_that_taplint_asks(service: Service, shared: Path) -> None:
    with httpx.Client(timeout=90) as client:
        replay = Replay(service.url, client)
        for exchange in exchanges(shared / "conformance" / "clients" / "http_taplint_vs_dachs.jsonl"):
            replay.check(exchange)
