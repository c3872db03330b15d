"""How a pass refuses a query: with what is wrong and where. The pipeline turns it into an AdqlError with the text."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 300
"""Characters of a message at most: names that are quoted in it can be of any length."""

_LONGEST_NAME = 100
"""Characters of a name that is worth comparing with others."""


class RefusedError(Exception):
    """A query that cannot be carried out; `at` is an offset in its text, `hint` a sentence on how it could be meant."""

    def __init__(self, problem: str, at: int, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem if len(problem) <= _LONGEST else f"{problem[:_LONGEST]}..."
        self.at = at
        self.hint = hint


def not_supported(what: str, at: int) -> RefusedError:
    """For parts of the language that are to come."""
    return RefusedError(f"{what} is not supported yet", at)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names what is like `name`, if anything is."""
    if len(name) > _LONGEST_NAME:
        return None
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)]
    if not close:
        return None
    return f"Did you mean {' or '.join(close)}?"
