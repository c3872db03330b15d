"""The broker: two ports, and connections to other brokers.

    async with Broker(settings, accept=accept, since=since) as broker:
        await broker.broadcast(events)

`accept` takes in what authors and other brokers send; what is stored is given to `broadcast`, for the subscribers.
The broker itself keeps nothing: what it must not lose is in the archive.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from vo_service.config import Settings, split_list
from vo_service.errors import ConfigurationError
from voevent.archive.store import StoredEvent
from voevent.vtp.authors import Authors
from voevent.vtp.judging import Accept
from voevent.vtp.networks import Networks
from voevent.vtp.subscribers import Since, Subscribers, SubscriberState
from voevent.vtp.upstream import Address, LastOf, Upstream

_BACKLOG: Final = 1_024
"""Connections that the system keeps until they are accepted: subscribers come back all at once."""

_FAREWELL: Final = 10.0
"""Seconds for conversations with authors to end when the broker stops."""


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """What is to be seen of a subscription to another broker; `counts` as in `Upstream.counts`."""

    address: str
    connected: bool
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What is to be seen of a broker from outside.

    Attributes
    ----------
    answers
        Conversations with authors, by what came of them (`Authors.answers`).
    dropped
        Subscribers that were cut off, by reason.
    """

    authors: int
    answers: dict[str, int]
    subscribers: list[SubscriberState]
    dropped: dict[str, int]
    upstreams: list[UpstreamState]


class Broker:
    """A VTP broker, which runs inside `async with`.

    Parameters
    ----------
    settings
        Those that begin with `voevent_`, and the authority of its identifier `ivo://AUTHORITY/vtp`.
    accept
        Takes in a packet; when it returns, an accepted one is safe.
    since
        The stored events from a position on, for subscribers who want to catch up.
    last_of
        Gives the identifier of the last event of an upstream broker, from which on it is asked for more.
    acknowledged
        Is told the number of each event whose acknowledgement was sent to its author.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        accept: Accept,
        since: Since | None = None,
        last_of: LastOf | None = None,
        acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings
        self.ivoid = f"ivo://{settings.authority}/vtp"
        self._authors = Authors(
            self.ivoid,
            accept,
            size_limit=settings.voevent_size_limit,
            timeout=settings.voevent_timeout,
            admits=Networks(settings.voevent_author_allow).__contains__,
            limit=settings.voevent_authors_limit,
            acknowledged=acknowledged,
        )
        self._subscribers = Subscribers(
            self.ivoid,
            queue_limit=settings.voevent_queue_limit,
            admits=Networks(settings.voevent_subscriber_allow).__contains__,
            limit=settings.voevent_subscribers_limit,
            since=since,
        )
        self._upstreams = [
            Upstream(
                Address.parse(address),
                self.ivoid,
                accept,
                size_limit=settings.voevent_size_limit,
                tls=lambda: client_context(settings),
                last_of=last_of,
                strict=settings.voevent_upstream_strict,
            )
            for address in split_list(settings.voevent_upstreams)
        ]
        self._running = AsyncExitStack()
        self.author_port = settings.voevent_author_port
        """The port that authors connect to; known inside `async with`."""
        self.subscriber_port = settings.voevent_subscriber_port

    async def __aenter__(self) -> Self:
        """Listen. Raises ConfigurationError if a port or a certificate cannot be used."""
        async with AsyncExitStack() as starting:
            await self._listen(starting)
            tasks = [asyncio.create_task(self._subscribers.keep_alive(self._settings.voevent_alive_interval))]
            tasks += [asyncio.create_task(upstream.follow()) for upstream in self._upstreams]
            starting.push_async_callback(_stop, tasks)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def broadcast(self, events: Sequence[StoredEvent]) -> None:
        """Send stored events to all who want them; in the order of their numbers, also from call to call."""
        await self._subscribers.broadcast(events)

    def resume(self, unsent_after: int | None) -> None:
        """Send the events after this one to all who connect from now on, until told None: they were not sent before."""
        self._subscribers.unsent_after = unsent_after

    def state(self) -> BrokerState:
        """What is to be seen from outside."""
        return BrokerState(
            authors=len(self._authors.tasks),
            answers=dict(self._authors.answers),
            subscribers=self._subscribers.state(),
            dropped=dict(self._subscribers.dropped),
            upstreams=[UpstreamState(str(u.address), u.connected, dict(u.counts)) for u in self._upstreams],
        )

    async def _listen(self, running: AsyncExitStack) -> None:
        settings = self._settings
        tls = None if settings.voevent_tls_certificate is None else server_context(settings, authors=False)
        author_tls = None if tls is None else server_context(settings, authors=True)
        handshake = None if tls is None else settings.voevent_timeout
        host = settings.voevent_host
        try:
            subscribers = await asyncio.get_running_loop().create_server(
                self._subscribers.protocol,
                host,
                settings.voevent_subscriber_port,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=handshake,
            )
            running.callback(self._subscribers.close)
            running.callback(subscribers.close)
            authors = await asyncio.start_server(
                self._authors.serve,
                host,
                settings.voevent_author_port,
                backlog=_BACKLOG,
                ssl=author_tls,
                ssl_handshake_timeout=handshake,
            )
            running.push_async_callback(self._close_authors, authors)
        except OSError as error:
            raise ConfigurationError(f"The VOEvent broker cannot listen on {host}: {error.strerror or error}") from None
        self.author_port = authors.sockets[0].getsockname()[1]
        self.subscriber_port = subscribers.sockets[0].getsockname()[1]

    async def _close_authors(self, server: asyncio.Server) -> None:
        """Take no more events, and let those that have come be answered."""
        server.close()
        if self._authors.tasks:
            _, pending = await asyncio.wait(self._authors.tasks, timeout=_FAREWELL)
            await _stop(list(pending))


def server_context(settings: Settings, *, authors: bool) -> ssl.SSLContext:
    """TLS for a port; authors must show a certificate if the settings name who signs those.

    Raises ConfigurationError for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, settings)
    if authors and settings.voevent_tls_authors is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.voevent_tls_authors)
    return context


def client_context(settings: Settings) -> ssl.SSLContext:
    """TLS to an upstream broker, whose name must be in its certificate. Raises ConfigurationError."""
    context = ssl.create_default_context()
    if settings.voevent_tls_upstreams is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, settings.voevent_tls_upstreams)
    if settings.voevent_tls_certificate is not None:
        _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    if settings.voevent_tls_certificate is None:
        return
    try:
        context.load_cert_chain(settings.voevent_tls_certificate, settings.voevent_tls_key)
    except OSError as error:
        raise ConfigurationError(
            f"{settings.voevent_tls_certificate}: no usable certificate and key: {error}"
        ) from None


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    try:
        context.load_verify_locations(authorities)
    except OSError as error:
        raise ConfigurationError(f"{authorities}: no usable certificates: {error}") from None


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
