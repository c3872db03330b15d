"""Our plugin in a real Comet 3.1: what its authors send is in our archive in the end, whoever was away meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

import voevent
from tests.support.service import running, state_directory
from tests.support.vtp import event

PROGRAMS = Path(sys.executable).parent
PLUGIN = Path(voevent.__file__).parent / "comet_plugin.py"
TOKEN = "a token of the tests"  # noqa: S105
PATIENCE = 60.0
"""Seconds after which a test gives up: far longer than anything takes."""


def free_ports(count: int) -> list[int]:
    """Ports for programs that cannot be told to take any free one."""
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never was so"
        time.sleep(0.05)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of Python's path with the plugin where the wheel puts it."""
    plugins = tmp_path / "site" / "comet" / "plugins"
    plugins.mkdir(parents=True)
    shutil.copy(PLUGIN, plugins / "vo_service.py")
    return tmp_path / "site"


class Comet:
    """A Comet broker that takes events from authors, with our plugin."""

    def __init__(self, directory: Path, site: Path, url: str) -> None:
        (self.port,) = free_ports(1)
        self.spool = directory / "spool"
        self.log = directory / "comet.log"
        self._site = site
        self._command = (
            str(PROGRAMS / "twistd"), "--nodaemon", f"--pidfile={directory / 'twistd.pid'}", "comet",
            "--local-ivo=ivo://org.example/comet", f"--eventdb={directory}", "--receive", f"--receive-port={self.port}",
            "--vo-service", f"--vo-service-url={url}", f"--vo-service-spool={self.spool}",
        )  # fmt: skip

    @contextmanager
    def running(self, end: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """It runs while the block does, and gets this signal at its end."""
        environment = {**os.environ, "PYTHONPATH": str(self._site), "VO_SERVICE_VOEVENT_TOKEN": TOKEN}
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            eventually(lambda: listens(self.port))
            yield
        finally:
            process.send_signal(end)
            process.wait(timeout=30)
        (self.spool.parent / "twistd.pid").unlink(missing_ok=True)

    def send(self, raw: bytes) -> None:
        """As an author, by Comet's own program; the event must be acknowledged."""
        path = self.spool.parent / "event.xml"
        path.write_bytes(raw)
        command = (str(PROGRAMS / "comet-sendvo"), "--host=127.0.0.1", f"--port={self.port}", f"--file={path}")
        subprocess.run(command, check=True, capture_output=True)

    def waiting(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.spool.glob("*.xml"))]


def archived(base: str, count: int) -> Sequence[bytes]:
    """The first events of the archive, in order."""
    found: list[bytes] = []
    with httpx.stream("GET", f"{base}/voevent/stream", params={"after": 0}, timeout=PATIENCE) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: "))["voevent"].encode())
                if len(found) == count:
                    break
    return found


def test_what_comet_gets_is_in_our_archive(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VO_SERVICE_VOEVENT_TOKEN", TOKEN)
    monkeypatch.setenv("VO_SERVICE_JOB_WORKERS", "0")
    (port,) = free_ports(1)
    comet = Comet(tmp_path, site, f"http://127.0.0.1:{port}")
    events = [event(str(number)) for number in range(5)]
    with state_directory() as state:
        # Our service is away, and Comet is killed.
        with comet.running(signal.SIGKILL):
            for raw in events[:3]:
                comet.send(raw)
            eventually(lambda: comet.waiting() == events[:3])
        with running("serve", state, ("--port", str(port))) as service, comet.running():
            assert archived(service.url, 3) == events[:3]
            comet.send(events[3])
            assert archived(service.url, 4) == events[:4]
            eventually(lambda: comet.waiting() == [])
        # Comet runs on while our service is away, and stops before it is back.
        with comet.running():
            comet.send(events[4])
            eventually(lambda: comet.waiting() == [events[4]])
            # What a crash between the answer and the deletion leaves; and an identifier that is used twice.
            (comet.spool / "00000000000000000001.xml").write_bytes(events[0])
            other = events[1].replace(b"energy", b"Energy")
            comet.send(other)
            with running("serve", state, ("--port", str(port))) as service:
                assert archived(service.url, 5) == events
                eventually(lambda: comet.waiting() == [])
                assert [path.read_bytes() for path in (comet.spool / "refused").iterdir()] == [other]
    said = comet.log.read_text()
    assert "events wait" in said
    assert "409" in said
    assert "LOST" not in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("url", "token", "problem"),
    [("vo.example.org", TOKEN, "expected an address such as"), ("http://127.0.0.1:1", "", "VO_SERVICE_VOEVENT_TOKEN")],
)
def test_comet_does_not_start_with_what_cannot_work(site: Path, url: str, token: str, problem: str) -> None:
    command = (str(PROGRAMS / "twistd"), "-n", "comet", "--receive", "--vo-service", f"--vo-service-url={url}")
    environment = {**os.environ, "PYTHONPATH": str(site), "VO_SERVICE_VOEVENT_TOKEN": token}
    done = subprocess.run(
        [*command, "--local-ivo=ivo://org.example/comet"],
        env=environment, cwd=site, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert problem in done.stdout + done.stderr
    assert not (site / "vo-service-spool").exists()
