"""The parameters of a request (DALI 1.1, section 3): read from query and form, whatever their spelling and order."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from python_multipart.exceptions import MultipartParseError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vo_service.errors import TooLargeError, UsageError

BODY_LIMIT = 20_000_000
"""Bytes of a request's body at most; queries are refused far below by the parser, with a better message."""


class Parameters:
    """Parameters by name, letter case of names ignored; values as sent, blank ones included."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if "\0" in value:
                raise UsageError(f"{name} contains a NUL character")
            self._values.setdefault(name.upper(), []).append(value)

    def all(self, name: str) -> list[str]:
        """Every value of a parameter that may be repeated."""
        return self._values.get(name.upper(), [])

    def one(self, name: str) -> str | None:
        """The value of a parameter; None if it is absent.

        Raises UsageError if it is given more than once with different values: which one is meant nobody can tell.
        """
        values = self.all(name)
        if len(set(values)) > 1:
            raise UsageError(f"{name.upper()} is given {len(values)} times with different values; expected one")
        return values[0] if values else None

    def number(self, name: str, low: float, high: float) -> float:
        """The value of a parameter that is a number from `low` to `high`. Raises UsageError."""
        text = (self.one(name) or "").strip()
        expected = f"expected a number from {low:g} to {high:g}"
        if not text:
            raise UsageError(f"{name} is missing: {expected}, in decimal degrees")
        if re.search(r"\d[: ]\d", text):
            raise UsageError(f"{name}={text}: {expected}, in decimal degrees, not sexagesimal")
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"{name}={text[:60]}: {expected}") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError(f"{name}={text[:60]}: {expected}")
        return value

    def integer(self, name: str, *, low: int, high: int | None = None, default: int) -> int:
        """The value of a parameter that is an integer not below `low`; `default` if it is absent. Raises UsageError."""
        text = self.one(name)
        if text is None or not text.strip():
            return default
        expected = (
            f"expected an integer, {low} or more" if high is None else f"expected an integer from {low} to {high}"
        )
        if not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text, re.ASCII):
            raise UsageError(f"{name}={text[:60]}: {expected}")
        value = int(text)
        if value < low or (high is not None and value > high):
            raise UsageError(f"{name}={value}: {expected}")
        return value


async def read_parameters(request: Request) -> Parameters:
    """The parameters of a GET, HEAD or POST request; those of the query and of the form together.

    Raises UsageError if they cannot be decoded, TooLargeError if the body is too large.
    """
    pairs = _decode(request.scope["query_string"].decode("latin-1"))
    if request.method == "POST":
        pairs += await _form(request)
    return Parameters(pairs)


async def _form(request: Request) -> list[tuple[str, str]]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request)
    body = await _body(request)
    if kind == "application/x-www-form-urlencoded":
        return _decode(body.decode("latin-1"))
    if body.strip():
        raise UsageError(
            f"A body of type {kind or 'unknown'} cannot be read; expected application/x-www-form-urlencoded or"
            " multipart/form-data"
        )
    return []


async def _multipart(request: Request) -> list[tuple[str, str]]:
    parser = MultiPartParser(request.headers, _limited(request), max_part_size=BODY_LIMIT)
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, UnicodeDecodeError) as error:
        raise UsageError(f"The form cannot be read: {getattr(error, 'message', error)}") from None
    try:
        return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    finally:
        await form.close()


async def _body(request: Request) -> bytes:
    return b"".join([chunk async for chunk in _limited(request)])


async def _limited(request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN202
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise TooLargeError(f"The request's body is too large: at most {BODY_LIMIT:,} bytes are accepted")
        yield chunk


def _decode(text: str) -> list[tuple[str, str]]:
    """Pairs of a urlencoded text, blank values kept; strict UTF-8."""
    pairs = []
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        pairs.append((_unquote(name, "The name of a parameter"), _unquote(value, name)))
    return pairs


def _unquote(text: str, what: str) -> str:
    raw = re.sub(
        rb"%([0-9a-fA-F]{2})",
        lambda match: bytes([int(match[1], 16)]),
        text.replace("+", " ").encode("latin-1"),
    )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is not UTF-8: byte {error.start + 1} is {raw[error.start]:#04x}") from None
