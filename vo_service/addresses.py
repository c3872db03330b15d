"""Addresses on the web as they may be written: in the characters of a URI, all others percent-encoded (RFC 3986)."""

from __future__ import annotations

import re
from typing import Final

_UNIT: Final = r"[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}"

_WEB_URL: Final = re.compile(
    rf"https?://((?:(?!@){_UNIT})*@)?(\[[0-9A-Fa-f:.]+\]|(?:(?![:@]){_UNIT})+)(:\d{{1,5}})?(/(?:{_UNIT}|/)*)?"
    rf"(?P<query>\?(?:{_UNIT}|[/?])*)?(?P<fragment>\#(?:{_UNIT}|[/?])*)?"
)

_URI: Final = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?:{_UNIT}|[/?#\[\]])+")


def host_and_port(host: str, port: int) -> str:
    """As they stand in a URI: an address of IPv6 is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_web_url(text: str) -> bool:
    """Whether a text is a URI of http or https, with a host."""
    return _WEB_URL.fullmatch(text) is not None


def is_web_root(text: str) -> bool:
    """Whether a text is one that paths can be added to: without query and fragment."""
    match = _WEB_URL.fullmatch(text)
    return match is not None and match["query"] is None and match["fragment"] is None


def has_uri_characters(text: str) -> bool:
    """Whether a text has a scheme and no characters but those of a URI."""
    return _URI.fullmatch(text) is not None
