"""Requests to the service under test: what is answered, whatever its status."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Final, cast
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import Request, urlopen

from vo_service import __version__
from vo_service.addresses import has_uri_characters
from vo_service.validation.findings import BrokenError, NoAnswerError

TIMEOUT: Final = 60.0
"""Seconds without a byte after which there is no answer."""

LARGEST: Final = 1 << 28
"""Bytes of an answer that are read at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP, redirects followed."""

    url: str
    status: int
    headers: Message
    body: bytes

    @property
    def media_type(self) -> str:
        """Type and subtype in lower case, without parameters."""
        return self.headers.get_content_type() if "Content-Type" in self.headers else ""


def ask(
    url: str,
    parameters: Mapping[str, str] | None = None,
    *,
    form: Mapping[str, str] | None = None,
    accept: str = "*/*",
    largest: int = LARGEST,
) -> Answer:
    """GET a URL with parameters, or POST a form to it.

    Raises BrokenError if there is no answer (NoAnswerError), or a larger one.
    """
    address = with_parameters(url, parameters or {})
    if parts_of(address).scheme not in ("http", "https"):
        raise BrokenError(address, "expected an address of http or https")
    headers = {"User-Agent": f"vo-service/{__version__} (IVOA-Test)", "Accept": accept}
    try:
        request = Request(address, urlencode(form).encode() if form is not None else None, headers)  # noqa: S310
        with _opened(request) as answer:
            # A body that goes on for ever is not read to its end.
            body: bytes = answer.read(largest + 1)
            status = answer.status or 0
            received = answer.headers
    except (OSError, HTTPException, ValueError) as error:
        raise NoAnswerError(address, f"expected an answer, found {error or type(error).__name__}") from None
    if len(body) > largest == LARGEST:
        raise BrokenError(address, f"expected at most {LARGEST:,} bytes, found more")
    return Answer(address, status, received, body[:largest])


def document(url: str, parameters: Mapping[str, str] | None = None, *, accept: str = "*/*") -> Answer:
    """An answer with status 200. Raises BrokenError if it has another."""
    answer = ask(url, parameters, accept=accept)
    if answer.status != 200:
        raise BrokenError(answer.url, f"expected status 200, found {answer.status}")
    return answer


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """A URL, or the beginning of one that ends in `?` or `&`, with parameters."""
    if not parameters:
        return url
    separator = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode(parameters)}"


def parts_of(url: str) -> SplitResult:
    """The parts of a URL. Raises BrokenError if it is none."""
    if not has_uri_characters(url):
        raise BrokenError(url, "expected a URL in the characters of RFC 3986, others percent-encoded, found this")
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read only now
    except ValueError as error:
        raise BrokenError(url, f"expected a URL, found this: {error}") from None
    return parts


def expect_listening(url: str) -> None:
    """Raises BrokenError unless a connection to host and port of a URL can be made."""
    place = parts_of(url)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout=10).close()
    except (OSError, ValueError) as error:  # ValueError: no name of a host
        raise BrokenError(url, f"expected a server that accepts connections, found {error}") from None


def _opened(request: Request) -> HTTPResponse | HTTPError:
    try:
        return cast("HTTPResponse", urlopen(request, timeout=TIMEOUT))  # noqa: S310 (http or https)
    except HTTPError as error:
        return error
