"""What is wrong with a query, and where: said with the line in question and a caret below the place."""

from __future__ import annotations

from vo_service.errors import UsageError

_CONTEXT = 60
"""Characters of a long line shown on either side of the place."""


class AdqlError(UsageError):
    """A query that is not ADQL, or not supported.

    Attributes
    ----------
    line, column
        Place of the error in the query, from 1.
    problem
        What is wrong, without the place.
    """

    def __init__(self, problem: str, text: str, at: int, *, hint: str | None = None) -> None:
        """`at` is an offset in `text`; `hint` a sentence on how it could be meant."""
        at = min(at, len(text))
        before = text[:at]
        self.problem = _printable(problem)
        self.line = before.count("\n") + 1
        self.column = at - (before.rfind("\n") + 1) + 1
        told = f"{self.problem}. {_printable(hint)}" if hint else self.problem
        super().__init__(f"{told} (line {self.line}, column {self.column})\n{_excerpt(text, at)}")


def _excerpt(text: str, at: int) -> str:
    """The line around a place, and a caret below it."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    first, last = max(start, at - _CONTEXT), min(end, at + _CONTEXT)
    shown = ("... " if first > start else "") + text[first:last] + (" ..." if last < end else "")
    offset = at - first + (4 if first > start else 0)
    return _printable(shown) + "\n" + " " * offset + "^"


def _printable(text: str) -> str:
    """The text as any encoding, XML and terminal can bear it; of the same length, so that a caret keeps its place."""
    return "".join(c if c.isprintable() else " " for c in text)
