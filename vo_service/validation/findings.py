"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from vo_service.errors import ServiceError

Kind = Literal["CHECKED", "ERROR", "WARNING", "SKIPPED"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    kind
        CHECKED says what was looked at; SKIPPED what could not be, and why.
    address
        URL or identifier of what it is about.
    message
        What was expected and what was found.
    number
        Of CHECKED: how many things were looked at.
    """

    kind: Kind
    area: str
    address: str
    message: str
    number: int = 0

    def __str__(self) -> str:
        if self.kind == "CHECKED":
            return _plain(f"checked {self.number} {self.message}")
        return _plain(f"{self.kind} {self.area} {self.address}: {self.message}")


def _plain(text: str) -> str:
    """One line, and nothing that a terminal would take for more than text: much of it comes from outside."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


class BrokenError(ServiceError):
    """Something is so wrong with what stands at an address that nothing more can be said of it."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(message)
        self.address = address


class NoAnswerError(BrokenError):
    """Nothing answers at an address."""


def expected(address: str, what: str, found: object) -> BrokenError:
    """The error that ends a check."""
    return BrokenError(address, f"expected {what}, found {found}")


@dataclass(frozen=True, slots=True)
class Area:
    """Makes the findings of an area; `name` is the first word of its lines."""

    name: str

    def checked(self, number: int, what: str) -> Finding:
        return Finding("CHECKED", self.name, "", what, number)

    def error(self, address: str, message: str) -> Finding:
        return Finding("ERROR", self.name, address, message)

    def warning(self, address: str, message: str) -> Finding:
        return Finding("WARNING", self.name, address, message)

    def skipped(self, address: str, message: str) -> Finding:
        return Finding("SKIPPED", self.name, address, message)

    def guarded(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings of one check; what keeps it from going on is an error, and other checks go on."""
        try:
            yield from findings
        except BrokenError as error:
            yield self.error(error.address, error.message)
