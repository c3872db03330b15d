"""Receivers of alerts on real sockets, for tests of sinks: an HTTP server that keeps a ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 60.0
"""Seconds after which a test gives up: far longer than anything takes."""


@dataclass(frozen=True)
class Request:
    """What was posted."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def ivoid(self) -> str:
        """Of the event, in our JSON; other bodies have none."""
        return self.body.decode().partition('"ivoid": "')[2].partition('"')[0]


@dataclass
class Receiver:
    """A server that writes down each request before it answers; `answer` tells the status of the answer."""

    url: str = ""
    ledger: list[Request] = field(default_factory=list)
    answer: Callable[[Request], int] = lambda request: 204
    location: str | None = None

    def wait(self, enough: Callable[[list[Request]], bool]) -> list[Request]:
        """Wait until the ledger has enough."""
        deadline = time.monotonic() + PATIENCE
        while not enough(self.ledger):
            assert time.monotonic() < deadline, f"only {len(self.ledger)} requests"
            time.sleep(0.005)
        return list(self.ledger)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on a free port of the loopback interface."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, dict(self.headers.items()), body)
            state.ledger.append(request)
            status = state.answer(request)
            self.send_response(status)
            if state.location is not None:
                self.send_header("Location", state.location)
            if status == 204:
                self.end_headers()
                return
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"why so")

        def do_GET(self) -> None:
            state.ledger.append(Request(self.path, {}, b"GET"))
            self.send_error(405)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (so it is called there)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}/alerts?by=test"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
