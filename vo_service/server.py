"""The web server process: a socket, the app, and an orderly end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import uvicorn
from starlette.applications import Starlette

from vo_service import __version__
from vo_service.addresses import host_and_port
from vo_service.errors import ConfigurationError

GRACE = 5
"""Seconds that running answers are given to finish when the service is told to stop."""


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; taken before anything else is started, so that a port in use is noticed at once.

    Raises ConfigurationError if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from None
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


def run(app: Starlette, listener: socket.socket, *, on_ready: Callable[[], None], trusted_proxies: str = "") -> None:
    """Serve until SIGINT or SIGTERM; returns when all is closed.

    `trusted_proxies` are addresses and networks, separated by commas, whose X-Forwarded headers are believed.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        headers=[("Server", f"vo-service/{__version__}")],
        timeout_graceful_shutdown=GRACE,
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
        if self.started:
            self._on_ready()
