"""How much work is done at once, for all clients and for each of them; the rest waits a little, or is sent away."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from vo_service.database.lanes import RETRY_AFTER
from vo_service.errors import TooManyRequestsError

_IPV6_CLIENT = 64
"""Bits of an IPv6 address that belong to one client: networks of this size are given to households and hosts."""


class Quota:
    """Slots for pieces of work.

    Parameters
    ----------
    total, per_client
        Slots in all, and those that one client may have of them.
    patience
        Seconds that a client waits for a slot. Who waits longest comes first, but a client whose own slots are taken
        holds up nobody else.
    """

    def __init__(self, *, total: int, per_client: int, patience: float) -> None:
        self._total = total
        self._per_client = per_client
        self._patience = patience
        self._taken: Counter[str] = Counter()
        # Who has a slot or waits for one, in the order of arrival. A turn that is done, and not cancelled, is a slot.
        self._line: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, client: str) -> AsyncIterator[None]:
        """Hold a slot while the block runs. Raises TooManyRequestsError if there is none in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((client, turn))
        try:
            self._admit()
            await self._wait(client, turn)
            yield
        finally:
            self._leave(client, turn)

    async def _wait(self, client: str, turn: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            raise self._refusal(client) from None

    def _admit(self) -> None:
        """Give slots to those who wait, as far as there are any."""
        for client, turn in self._line:
            if not turn.done() and self._taken.total() < self._total and self._taken[client] < self._per_client:
                self._taken[client] += 1
                turn.set_result(None)

    def _leave(self, client: str, turn: asyncio.Future[None]) -> None:
        self._line.remove((client, turn))
        if not turn.cancelled():
            self._taken[client] -= 1
            self._taken += Counter()  # without the clients that have none
        self._admit()

    def _refusal(self, client: str) -> TooManyRequestsError:
        if self._taken[client] >= self._per_client:
            what = f"{self._per_client} of your queries are running, as many as one client may run at once"
        else:
            what = f"{self._total} queries are running, as many as the service runs at once"
        return TooManyRequestsError(f"{what}; try again in a moment", retry_after=RETRY_AFTER)


def client_of(request: Request) -> str:
    """What tells the client of a request from others: its address, of IPv6 the network.

    Addresses that proxies forward have been taken into account by the server, if it was told to trust the proxy.
    """
    if request.client is None:
        return ""
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return request.client.host
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_CLIENT), strict=False))
