"""The web server process: a socket, the app, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vo_service import __version__
from vo_service.addresses import host_and_port
from vo_service.errors import ConfigurationError

KEEP_ALIVE = 75
"""Seconds for which a connection without requests is kept open: scripts that work on an answer come back on it."""

TAKEOVER = 5.0
"""Seconds in which the processes of a service that was killed have given up its port."""

GRACE = 5
"""Seconds that running answers are given to finish when the service is told to stop."""


def listen(host: str, port: int, patience: float = 0.0) -> socket.socket:
    """A listening TCP socket; taken before anything else is started, so that a port in use is noticed at once.

    It waits for a port in use so many seconds.

    Raises ConfigurationError if the address cannot be had.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"Cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
                ) from None
        time.sleep(0.1)


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def free_ports(host: str, wanted: Sequence[int]) -> list[int]:
    """Ports for another process to listen on: those that are wanted, and for each that is taken any free one.

    Raises ConfigurationError if the address cannot be had.
    """
    with ExitStack() as held:
        ports = []
        for port in wanted:
            try:
                listener = listen(host, port)
            except ConfigurationError:
                listener = listen(host, 0)
            ports.append(held.enter_context(listener).getsockname()[1])
    return ports


def address_of(listener: socket.socket) -> str:
    """The address to tell a person: http://host:port."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        host = socket.gethostname()
    return f"http://{host_and_port(host, port)}"


def run(
    app: Starlette,
    listener: socket.socket,
    *,
    on_ready: Callable[[], None],
    trusted_proxies: str = "",
) -> None:
    """Serve until SIGINT or SIGTERM; returns when all is closed.

    `trusted_proxies` are addresses and networks, separated by commas, whose X-Forwarded headers are believed.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        headers=[("Server", f"vo-service/{__version__}")],
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
        lifespan="on",
        forwarded_allow_ips=trusted_proxies,
    )
    _Server(config, on_ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is ready, once requests are being answered."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        # What was imported stays: the collector need not look at it again while clients wait.
        gc.collect()
        gc.freeze()
        self._on_ready()


class _Protocol(HttpToolsProtocol):
    """HTTP whose small answers leave in one piece: uvicorn writes head and body one after the other."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _Gathering(transport)))


class _Gathering:
    """A transport that sends together what is written in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever it has)
        return getattr(self._transport, name)
