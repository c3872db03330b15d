"""The parameters of a request (DALI 1.1, section 3): read from query and form, whatever their spelling and order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.requests import Request

from vo_service.dali.forms import decode_urlencoded, read_form
from vo_service.errors import UsageError

_SEXAGESIMAL = re.compile(r"\d\s*[:h°]\s*\d|\d\s+\d")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class RepeatedError(UsageError):
    """A parameter is given more than once with different values: which one is meant nobody can tell."""


class Parameters:
    """Parameters by name, letter case of names ignored; values as sent, blank ones included.

    `pairs` are all of them as they were sent, `files` the files that came with them, by the exact names of their parts.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], files: Mapping[str, Path] | None = None) -> None:
        self.pairs = tuple(pairs)
        self.files = files or {}
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

        Raises RepeatedError if it is given more than once with different values.
        """
        values = self.all(name)
        if len(set(values)) > 1:
            raise RepeatedError(f"{name.upper()} is given {len(values)} times with different values; expected one")
        return values[0] if values else None

    def number(self, name: str, low: float, high: float) -> float:
        """The value of a parameter that is a number from `low` to `high`. Raises UsageError."""
        text = (self.one(name) or "").strip()
        expected = f"expected a number from {low:g} to {high:g}"
        if not text:
            raise UsageError(f"{name} is missing: {expected}, in decimal degrees")
        if _SEXAGESIMAL.search(text):
            raise UsageError(f"{name}={text[:60]}: {expected}, in decimal degrees, not sexagesimal")
        # What Python takes for a number beyond this (1_0, nan, infinity, other digits) is none here.
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not low <= value <= high:
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
        value = int(text) if re.fullmatch(r"\s*[+-]?\d{1,1000}\s*", text, re.ASCII) else None
        if value is None or value < low or (high is not None and value > high):
            raise UsageError(f"{name}={text.strip()[:60]}: {expected}")
        return value


async def read_parameters(request: Request, *, file_limit: int | None = None) -> Parameters:
    """The parameters of a GET, HEAD or POST request; those of the query and of the form together.

    `file_limit` is the number of bytes that files in the form may have in all; without it they are left out. The
    endpoint removes them when the request has been answered.

    Raises UsageError if they cannot be decoded, TooLargeError if there is too much of them.
    """
    pairs = decode_urlencoded(request.scope["query_string"])
    if request.method != "POST":
        return Parameters(pairs)
    form = await read_form(request, file_limit)
    return Parameters(pairs + form.pairs, form.files)
