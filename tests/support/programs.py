"""The programs that operators run, over a database of their own: started, killed, started again at the same ports."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.service import COMMAND, START_SECONDS, state_directory
from vo_service.app import OWN
from vo_service.config import load_settings
from vo_service.database.access import derive_access
from vo_service.database.embedded import embedded_server
from vo_service.database.init import initialise

TOKEN = "a token of the tests"  # noqa: S105


@dataclass(frozen=True)
class Site:
    """A state directory with an embedded server in it, which runs as long as the test wants."""

    state: Path
    conninfo: str

    @property
    def postmaster(self) -> int:
        """Process of the server."""
        return int((self.state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives, asked by the owner outside a transaction."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    async def revive(self) -> None:
        """Start the server again, as any command on the state directory does."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "init", "--state", str(self.state), env=environment({}), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0


@contextmanager
def site() -> Iterator[Site]:
    """A new one, with all tables and nothing in them."""
    with state_directory() as state:
        settings = load_settings(state=state).model_copy(update={"database_url": None, "role_secret": None})
        with embedded_server(settings) as conninfo:
            initialise(derive_access(conninfo), OWN)
            yield Site(state, conninfo)


def environment(options: Mapping[str, object]) -> dict[str, str]:
    """That of a program: settings of the test alone, on the embedded server. By default one process answers."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("VO_SERVICE_") or name == "VO_SERVICE_POSTGRES_BIN"
    }
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",
        "VO_SERVICE_WORKERS": "1",
        **{f"VO_SERVICE_{name.upper()}": str(value) for name, value in options.items()},
    }


class Program:
    """`vo-service broker` or `serve`: it takes the same ports each time that it is started.

    Its log is a file of its own in the state directory, all starts together.
    """

    def __init__(self, place: Site, command: str, /, **options: object) -> None:
        self._command = command
        self._state = place.state
        self._log = place.state / f"{command}-{uuid.uuid4().hex[:8]}.log"
        # A file, no pipe: processes beside it would hold the other end too, and asyncio waits for its closing.
        self._said = self._log.with_suffix(".out")
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.ports: list[int] = []
        """Those that it has said to listen at, in that order."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def start(self) -> None:
        """Start it and wait until it listens."""
        options = self._options | self._fixed()
        arguments = ("--port", str(self.ports[0] if self.ports else 0)) if self._command == "serve" else ()
        with self._log.open("ab") as log, self._said.open("wb") as said:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, self._command, "--state", str(self._state), *arguments,
                env=environment(options), stdout=said, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            while self._process.returncode is None:
                whole = self._said.read_text().rpartition("\n")[0]
                if ports := re.findall(r"127\.0\.0\.1:(\d+)", whole):
                    self.ports = [int(port) for port in ports]
                    return
                await asyncio.sleep(0.02)
        raise AssertionError(f"{self._command} did not start: {self.log[-2000:]}")

    def _fixed(self) -> dict[str, object]:
        if self._command != "broker":
            return {}
        author, subscriber = self.ports[:2] or (0, 0)
        return {"voevent_author_port": author, "voevent_subscriber_port": subscriber}

    async def kill(self) -> None:
        """`kill -9`."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As Ctrl-C does."""
        await self._end(signal.SIGINT)

    async def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
            try:
                await asyncio.wait_for(self._process.wait(), 30)
            finally:
                if self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()

    @property
    def memory(self) -> int:
        """Bytes that it holds in memory now (VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@asynccontextmanager
async def running(place: Site, command: str = "broker", /, **options: object) -> AsyncIterator[Program]:
    """A program that runs at the beginning of the block and is ended after it."""
    program = Program(place, command, **options)
    await program.start()
    try:
        yield program
    finally:
        await program.stop()
