"""Fetching a file from an address that a client names, without becoming the client's arm into the own network.

Only http and https, and only public addresses of the internet: a host's name is resolved once, what it resolves to is
judged, and the connection goes to that very address (a second look-up could give another one). Every redirect is judged
in the same way. Proxies of the environment are not used, as they would do the look-up.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

from vo_service.errors import TooLargeError, UsageError

REDIRECTS = 5
"""Redirects that are followed."""

CHUNK_BYTES = 1 << 16

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may take.

    Attributes
    ----------
    size
        Bytes of the file.
    seconds
        From the beginning to the end, redirects included.
    private
        Whether addresses of the own network may be reached too.
    """

    size: int
    seconds: float
    private: bool = False


def fetch(url: str, target: Path, limits: FetchLimits, expect_wanted: Callable[[], None] = lambda: None) -> None:
    """Write what stands at a URL to a file.

    `expect_wanted` is called now and then, to raise an error when the file is not wanted any more.

    Raises UsageError if it cannot be had, TooLargeError if it is too large.
    """
    deadline = time.monotonic() + limits.seconds
    here = url
    for _ in range(REDIRECTS + 1):
        with _Connection(_expect_fetchable(here), deadline, limits) as connection:
            elsewhere = connection.save(target, expect_wanted)
        if elsewhere is None:
            return
        here = elsewhere
    raise UsageError(f"{url} cannot be fetched: more than {REDIRECTS} redirects lead to it")


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the internet at large, and so is every address that is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        wrapped = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if any(inner is not None and not is_public(inner) for inner in wrapped):
            return False
        if address.ipv4_mapped is not None:
            return True
        # All that has been allotted so far; so neither site-local (fec0::/10) nor IPv4-compatible (::/96) addresses.
        if address not in ipaddress.ip_network("2000::/3"):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _expect_fetchable(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        port_is_good = place.port is None or place.port > 0
    except ValueError:
        raise UsageError(f"{url[:200]} is not a URL") from None
    if place.scheme not in _PORTS:
        raise UsageError(f"{url[:200]}: expected http:// or https://, not {place.scheme or 'no'} URLs")
    if not place.hostname or not port_is_good or any(ord(character) <= 32 for character in url):
        raise UsageError(f"{url[:200]} is not a URL")
    if place.username is not None:
        raise UsageError(f"{url[:200]}: names and passwords are not accepted in URLs")
    return place


def _save(answer: http.client.HTTPResponse, file: BinaryIO, limit: int, expect_wanted: Callable[[], None]) -> None:
    """Write the body to a file. Raises TooLargeError, as soon as that is known."""
    size = int(answer.headers["Content-Length"] or 0)
    while True:
        if size > limit:
            raise TooLargeError(f"The uploaded files are too large: at most {limit:,} bytes are accepted in all")
        expect_wanted()
        chunk = answer.read1(CHUNK_BYTES)
        if not chunk:
            break
        file.write(chunk)
        size = max(size, file.tell())
    if answer.length:
        raise UsageError(f"The file ends {answer.length:,} bytes before its end")


class _Connection:
    """A connection to the host of a URL, cut at the deadline whatever happens on it."""

    def __init__(self, place: SplitResult, deadline: float, limits: FetchLimits) -> None:
        self._place = place
        self._url = place.geturl()
        self._deadline = deadline
        self._limits = limits
        self._host = place.hostname or ""
        self._port = place.port or _PORTS[place.scheme]
        self._socket: socket.socket | None = None
        self._http = http.client.HTTPConnection(self._host, self._port)

    def __enter__(self) -> _Connection:
        # A timeout bounds a single read; a server that sends a byte now and then would never meet one.
        self._watchdog = threading.Timer(max(self._deadline - time.monotonic(), 0), self._cut)
        self._watchdog.daemon = True
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._http.close()
        if self._socket is not None:
            self._socket.close()

    def save(self, target: Path, expect_wanted: Callable[[], None]) -> str | None:
        """Write the file that stands at the URL; gives the URL to look at instead, if there is a redirect."""
        try:
            with self._get() as answer:
                elsewhere: str | None = answer.headers["Location"]
                if elsewhere and answer.status in (301, 302, 303, 307, 308):
                    return urljoin(self._url, elsewhere)
                if answer.status != 200:
                    raise UsageError(f"{self._url} answers {answer.status} {answer.reason}")
                with target.open("wb") as file:
                    _save(answer, file, self._limits.size, expect_wanted)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._expect_in_time()
            raise UsageError(f"{self._url} cannot be fetched: {error or type(error).__name__}") from None
        # A connection that was cut looks like one that has ended where the length of the file is not known.
        self._expect_in_time()
        return None

    def _get(self) -> http.client.HTTPResponse:
        """Ask for the URL; gives the beginning of the answer."""
        self._http.sock = self._socket = self._connect()
        address = self._place.path or "/"
        query = f"?{self._place.query}" if self._place.query else ""
        self._http.request("GET", address + query, headers={"User-Agent": "vo-service", "Accept-Encoding": "identity"})
        return self._http.getresponse()

    def _connect(self) -> socket.socket:
        """A connection to the first address that answers, of those that the host has; all must be allowed."""
        problem: OSError | None = None
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for *_, address in found:
            self._expect_allowed(str(address[0]))
        for family, kind, protocol, _, address in found:
            plain = socket.socket(family, kind, protocol)
            plain.settimeout(max(self._deadline - time.monotonic(), 0.001))
            try:
                plain.connect(address)
                return self._secured(plain)
            except OSError as error:
                plain.close()
                problem = error
        raise problem or OSError("it has no address")

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._place.scheme == "http":
            return plain
        return ssl.create_default_context().wrap_socket(plain, server_hostname=self._host)

    def _expect_allowed(self, address: str) -> None:
        """Raises UsageError unless a connection may go to this address."""
        if not self._limits.private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise UsageError(f"{self._url} cannot be fetched: {self._host} is not a public address")

    def _expect_in_time(self) -> None:
        """Raises UsageError after the deadline."""
        if time.monotonic() >= self._deadline:
            raise UsageError(f"{self._url} cannot be fetched: it takes longer than {self._limits.seconds:g} seconds")

    def _cut(self) -> None:
        if self._socket is not None:
            # It may have been closed just now.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
