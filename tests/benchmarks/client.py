"""A light HTTP/1.1 client on a blocking socket: what it measures is the server, not itself (about 40 us a request).

One client is for one thread. Bodies are counted and thrown away unless they are wanted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

CHUNK = 1 << 18
"""Bytes that are taken from the socket at once."""

BOUNDARY = "vo-service-benchmark"


class ClosedError(ConnectionError):
    """The server closed the connection before its answer was complete."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes
    ----------
    size
        Bytes of the body.
    first_byte, seconds
        Time [s] from before the connection was made, or the request was sent, to the first byte and to the last.
    body
        Empty if it was not kept.
    """

    status: int
    headers: Mapping[str, str]
    size: int
    first_byte: float
    seconds: float
    body: bytes


class Server:
    """A server's address, and the requests that are sent to it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._host = f"Host: {parts.netloc}\r\n"

    def get(self, path: str, **parameters: object) -> bytes:
        """A GET request."""
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        return f"GET {target} HTTP/1.1\r\n{self._host}\r\n".encode()

    def post(self, path: str, **parameters: object) -> bytes:
        """A POST request with a form."""
        return self._post(path, "application/x-www-form-urlencoded", urlencode(parameters).encode())

    def post_file(self, path: str, name: str, content: bytes, **parameters: object) -> bytes:
        """A POST request with a form and a VOTable."""
        parts = [_part(f'name="{key}"', str(value).encode()) for key, value in parameters.items()]
        kind = "\r\nContent-Type: application/x-votable+xml"
        parts.append(_part(f'name="{name}"; filename="{name}.vot"{kind}', content))
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        return self._post(path, f"multipart/form-data; boundary={BOUNDARY}", body)

    def tap(self, query: str, **parameters: object) -> bytes:
        """A request for a query, to be answered at once."""
        return self.post("/tap/sync", LANG="ADQL", QUERY=query, **parameters)

    def _post(self, path: str, kind: str, body: bytes) -> bytes:
        head = f"POST {path} HTTP/1.1\r\n{self._host}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _part(disposition: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


class Client:
    """Sends one request after the other, over one connection or over a new one each time.

    Parameters
    ----------
    source
        The address of this machine that it sends from: services count clients by it.
    """

    def __init__(
        self, server: Server, *, keep_alive: bool = True, timeout: float = 600.0, source: str = "127.0.0.1"
    ) -> None:
        self._server = server
        self._keep_alive = keep_alive
        self._timeout = timeout
        self._source = source
        self._socket: socket.socket | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, request: bytes, *, keep: Callable[[bytes], object] | bool = False) -> Reply:
        """Send a request and take its whole answer.

        `keep` says what happens to the body: True keeps it in the reply, a function gets its pieces.

        Raises OSError.
        """
        pieces: list[bytes] = []
        sink = keep if callable(keep) else pieces.append if keep else None
        started = time.perf_counter()
        reused = self._socket is not None
        try:
            status, headers, size, first = self._exchange(request, sink)
        except ConnectionError:
            # A server may close an idle connection at any time; who finds it closed asks again.
            self.close()
            if self._ended or not reused:
                raise
            status, headers, size, first = self._exchange(request, sink)
        if not self._keep_alive or headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, size, first - started, time.perf_counter() - started, b"".join(pieces))

    def open(self, request: bytes) -> socket.socket:
        """Send a request; gives the socket, for who reads the answer in a way of his own."""
        if self._socket is None:
            self._socket = socket.create_connection(
                self._server.address, timeout=self._timeout, source_address=(self._source, 0)
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        return self._socket

    def close(self) -> None:
        """Disconnect; the next request makes a new connection."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def end(self) -> None:
        """Make what waits for an answer fail; to be called from another thread."""
        self._ended = True
        connection = self._socket
        if connection is not None:
            with suppress(OSError):  # the server was faster
                connection.shutdown(socket.SHUT_RDWR)

    def _exchange(
        self, request: bytes, sink: Callable[[bytes], object] | None
    ) -> tuple[int, Mapping[str, str], int, float]:
        connection = self.open(request)
        head = _received(connection)
        first = time.perf_counter()
        while (end := head.find(b"\r\n\r\n")) < 0:
            head += _received(connection)
        headers = _headers(head[:end])
        body = _Chunked(sink) if "transfer-encoding" in headers else _Sized(int(headers["content-length"]), sink)
        body.feed(head[end + 4 :])
        while not body.complete:
            body.feed(_received(connection))
        return int(head[9:12]), headers, body.size, first


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(CHUNK)
    if not data:
        raise ClosedError("the server closed the connection")
    return data


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class _Sized:
    """A body whose length is known."""

    def __init__(self, length: int, sink: Callable[[bytes], object] | None) -> None:
        self.size = 0
        self._length = length
        self._sink = sink

    @property
    def complete(self) -> bool:
        return self.size >= self._length

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self._sink is not None:
            self._sink(data)


class _Chunked:
    """A body in chunks (RFC 9112, section 7.1), without trailers."""

    def __init__(self, sink: Callable[[bytes], object] | None) -> None:
        self.size = 0
        self.complete = False
        self._sink = sink
        self._line = b""
        self._left = 0
        self._last = False

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                at += self._take(data, at)
            else:
                end = data.find(b"\n", at)
                if end < 0:
                    self._line += data[at:]
                    return
                length = int((self._line + data[at:end]).split(b";")[0], 16)
                self._line = b""
                self._last = length == 0
                self._left, at = length + 2, end + 1

    def _take(self, data: bytes, at: int) -> int:
        """Some of a chunk, and of the end of line after it."""
        step = min(self._left, len(data) - at)
        content = max(0, min(step, self._left - 2))
        self.size += content
        if self._sink is not None and content:
            self._sink(data[at : at + content])
        self._left -= step
        self.complete = self._last and not self._left
        return step


def ask(server: Server, requests: Iterable[bytes], *, keep_alive: bool = True) -> list[Reply]:
    """The answers to requests, one after the other. Raises AssertionError for one that is not OK."""
    with Client(server, keep_alive=keep_alive) as client:
        replies = [client.send(request) for request in requests]
    refused = [reply.status for reply in replies if reply.status != 200]
    assert not refused, f"{len(refused)} of {len(replies)} requests were refused: HTTP {refused[0]}"
    return replies


def body_of(server: Server, request: bytes) -> bytes:
    """The body of an answer. Raises AssertionError, with what the server says, if it is not OK."""
    with Client(server) as client:
        reply = client.send(request, keep=True)
    assert reply.status == 200, f"HTTP {reply.status}: {reply.body[:2000].decode(errors='replace')}"
    return reply.body
