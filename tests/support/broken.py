"""A real HTTP server before a real service, that hands on what the service answers, and breaks one thing of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Break = Callable[[str, bytes], "bytes | int"]
"""From the path with query, or the form of a POST, and the body to another body, or to a status without one."""

_KEPT = ("content-type", "link", "location")


@contextmanager
def broken(url: str, change: Break) -> Iterator[str]:
    """Serve what the service at a URL serves, as if it were here, after `change`; gives the address."""
    client = httpx.Client(timeout=60)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._hand_on(client.get(url + self.path, headers={"Accept": self.headers["Accept"]}), self.path)

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"Content-Type": self.headers["Content-Type"]}
            self._hand_on(client.post(url + self.path, content=form, headers=headers), f"{self.path}?{form.decode()}")

        def _hand_on(self, answer: httpx.Response, asked: str) -> None:
            here = f"http://127.0.0.1:{self.server.server_address[1]}"  # type: ignore[index]
            changed = change(asked, answer.content.replace(url.encode(), here.encode()))
            status, body = (changed, b"") if isinstance(changed, int) else (answer.status_code, changed)
            self.send_response(status)
            for name in _KEPT:
                if name in answer.headers:
                    self.send_header(name, answer.headers[name].replace(url, here))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
