"""A running service: the real command, a real database, a real socket. One per test session."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "vo_service")
START_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """A service under test: its base address (no trailing slash) and its state directory."""

    url: str
    state: Path
    pid: int

    def children(self, command: str) -> list[int]:
        """The processes `vo-service COMMAND` that it has started. Needs /proc."""
        children = Path(f"/proc/{self.pid}/task").glob("*/children")
        found = [int(pid) for path in children for pid in path.read_text().split()]
        return [pid for pid in found if f"\0{command}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `vo-service` command on the same state."""
        return run_command(*arguments, "--state", str(self.state))


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `vo-service` command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def state_directory() -> Iterator[Path]:
    """An empty state directory that the server's system user can enter, also when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="vo-service-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(command: str, state: Path, options: Sequence[str] = ()) -> Iterator[Service]:
    """Run `vo-service demo` or `serve` on a free port until the block ends; then Ctrl-C it and see that it ends."""
    process = subprocess.Popen(
        [*COMMAND, command, "--state", str(state), "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Service(_await_address(process), state, process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _await_address(process: subprocess.Popen[str]) -> str:
    """The address that the service prints when it is ready."""
    assert process.stdout is not None
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if match := re.search(r"https?://[\w.\[\]:-]+:\d+", line):
                return match.group()
    finally:
        watchdog.cancel()
    raise AssertionError("the service did not start: " + "".join(said))


@pytest.fixture(scope="session")
def demo_service() -> Iterator[Service]:
    """The demo with its simulated sample, as on a machine with two processors."""
    with state_directory() as state, running("demo", state, ("--workers", "2")) as service:
        yield service
