"""Comet's plugin `vo-service`: hands every event of a Comet broker (3.1) to a vo-service, by `POST /voevent`.

    VO_SERVICE_VOEVENT_TOKEN=... twistd comet --receive ... --vo-service --vo-service-url=https://vo.example.org

An event is a file of the spool directory until the service has it, so that none is lost while the service is away; they
are sent one after the other, in the order in which Comet got them. One that the service refuses is kept in `refused`.
After a crash the last one may be sent twice, which the service notices.

This file is installed as `comet/plugins/vo_service.py`, where Comet finds it. It needs Comet and the standard library
only: beside a Comet without vo-service, it can be copied to `comet/plugins` in any directory of Python's path.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import comet.log
from comet.icomet import IHandler, IHasOptions
from twisted.internet import reactor
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from zope.interface import implementer

TOKEN_VARIABLE = "VO_SERVICE_VOEVENT_TOKEN"  # noqa: S105 (its name)
"""The token comes from the environment: options of a command can be read by everybody on the machine."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before an event that was not taken is sent again: from the first to the longest, doubled each time."""

TIMEOUT = 30.0
"""Seconds that the service may take for an answer."""

NEVER = (400, 409, 413)
"""What the service answers to events that it will not take the next time either."""


class Spool:
    """Events on the disk, in the order of their arrival."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._refused = directory / "refused"
        self._refused.mkdir(parents=True, exist_ok=True)
        self._last = 0

    def keep(self, raw: bytes) -> None:
        """Keep an event; when this returns, it is on the disk."""
        # A clock that is set back must not put an event before others.
        self._last = max(time.time_ns(), self._last + 1, self._newest() + 1)
        path = self.directory / f"{self._last:020d}.xml"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        self._sync()

    def waiting(self) -> list[Path]:
        """The events that are here, the oldest first."""
        return sorted(self.directory.glob("*.xml"))

    def refuse(self, path: Path) -> None:
        """Put an event aside that nobody takes."""
        path.rename(self._refused / path.name)

    def _newest(self) -> int:
        """Of those that were here before."""
        if self._last:
            return 0
        return max((int(path.stem) for path in self.waiting() if path.stem.isdigit()), default=0)

    def _sync(self) -> None:
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Sender(threading.Thread):
    """Sends what is in a spool, until the process ends; the events stay on the disk until they have arrived."""

    def __init__(self, spool: Spool, url: str, token: str, tell: Callable[[str], None]) -> None:
        super().__init__(name="vo-service", daemon=True)
        self._spool = spool
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/xml"}
        self._tell = tell
        self._news = threading.Event()

    def keep(self, raw: bytes) -> None:
        """Keep an event, and send it soon. Raises OSError."""
        self._spool.keep(raw)
        self._news.set()

    def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._news.clear()
            try:
                self._send_all()
            except (OSError, http.client.HTTPException, _NotTakenError) as error:
                self._tell(f"vo-service: events wait, sent again in {pause:g} s: {error}")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                self._news.wait()

    def _send_all(self) -> None:
        while paths := self._spool.waiting():
            with closing(self._connection()) as connection:
                for path in paths:
                    self._send(connection, path)

    def _connection(self) -> http.client.HTTPConnection:
        # Not urllib: it would follow a redirection with GET, and take the page there for an answer.
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT)

    def _send(self, connection: http.client.HTTPConnection, path: Path) -> None:
        connection.request("POST", f"{self._url.path.rstrip('/')}/voevent", path.read_bytes(), self._headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status in (200, 201) and _status(body) in ("accepted", "duplicate"):
            path.unlink()
        elif answer.status in NEVER:
            self._spool.refuse(path)
            self._tell(f"vo-service refused {path.name}: {answer.status} {body[:500].decode('utf-8', 'replace')}")
        else:
            raise _NotTakenError(f"{answer.status} {answer.reason}")


class _NotTakenError(Exception):
    """The service does not take the event now."""


def _status(body: bytes) -> object:
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return told.get("status") if isinstance(told, dict) else None


class _Event(Protocol):
    """comet.utility.xml.xml_document."""

    raw_bytes: bytes


@implementer(IPlugin, IHandler, IHasOptions)
class VoService:
    """What Comet calls."""

    name = "vo-service"

    def __init__(self) -> None:
        self._options = {"url": "http://127.0.0.1:8000", "spool": "vo-service-spool"}
        self._sender: Sender | None = None

    def get_options(self) -> list[tuple[str, str, str]]:
        """Names, defaults and meanings, which become `--vo-service-NAME`."""
        return [
            ("url", self._options["url"], f"Address of the vo-service; the token is taken from {TOKEN_VARIABLE}."),
            ("spool", self._options["spool"], "Directory for events that wait, of this Comet alone."),
        ]

    def set_option(self, name: str, value: str) -> None:
        """Comet sets all options of a plugin that is wanted, and only of those. Raises UsageError."""
        if name == "url" and not re.match(r"https?://[^/\s]+", value):
            raise UsageError(f"--vo-service-url: expected an address such as https://vo.example.org, got {value!r}")
        if not os.environ.get(TOKEN_VARIABLE):
            raise UsageError(f"--vo-service: expected the token of authors in the environment, as {TOKEN_VARIABLE}")
        self._options[name] = value
        # Not at once: threads do not survive that twistd becomes a daemon.
        reactor.callWhenRunning(self._started)

    def __call__(self, event: _Event) -> None:
        """Keep an event, to be sent by and by."""
        try:
            self._started().keep(event.raw_bytes)
        except OSError as error:
            comet.log.warn(f"vo-service: an event was LOST: {error}")
            raise

    def _started(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(
                Spool(Path(self._options["spool"]).absolute()),
                self._options["url"],
                os.environ[TOKEN_VARIABLE],
                lambda message: reactor.callFromThread(comet.log.warn, message),
            )
            self._sender.start()
        return self._sender


# What Comet finds.
vo_service = VoService()
