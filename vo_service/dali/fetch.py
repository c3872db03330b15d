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
    for _ in range(REDIRECTS + 1):
        expect_wanted()
        place = _expect_fetchable(url)
        with _Connection(place, deadline, limits) as connection:
            try:
                answer = connection.get()
                if answer.status in (301, 302, 303, 307, 308) and answer.headers["Location"]:
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise UsageError(f"{url} answers {answer.status} {answer.reason}")
                with target.open("wb") as file:
                    _save(answer, file, limits.size, expect_wanted)
                connection.expect_in_time()
                return
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.expect_in_time()
                raise UsageError(f"{url} cannot be fetched: {error or type(error).__name__}") from None
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
        self._deadline = deadline
        self._limits = limits
        self._host = place.hostname or ""
        self._port = place.port or _PORTS[place.scheme]
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

    def get(self) -> http.client.HTTPResponse:
        """Ask for the URL; gives the beginning of the answer."""
        self._http.sock = self._connect()
        address = self._place.path or "/"
        query = f"?{self._place.query}" if self._place.query else ""
        self._http.request("GET", address + query, headers={"User-Agent": "vo-service", "Accept-Encoding": "identity"})
        return self._http.getresponse()

    def expect_in_time(self) -> None:
        """Raises UsageError after the deadline."""
        if time.monotonic() >= self._deadline:
            raise UsageError(
                f"{self._place.geturl()} cannot be fetched: it takes longer than {self._limits.seconds:g} seconds"
            )

    def _connect(self) -> socket.socket:
        """A connection to the first address that answers, of those that the host has and that may be reached."""
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            if not self._limits.private and not is_public(ipaddress.ip_address(str(address[0]).partition("%")[0])):
                raise UsageError(f"{self._place.geturl()} cannot be fetched: {self._host} is not a public address")
        problem: OSError | None = None
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

    def _cut(self) -> None:
        open_socket = self._http.sock
        if open_socket is not None:
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It was closed just now.
                return
