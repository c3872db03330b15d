"""What is measured: a figure with all its rounds, beside its floor and its budget; and checks of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

import numpy as np

Unit = Literal["ms", "s", "answers/s", "rows/s", "MB", "times"]

RATES: Final[tuple[Unit, ...]] = ("answers/s", "rows/s")
"""Units of which more is better; of the others less is."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What could be had at best: the same work without the service, in the unit of the figure."""

    name: str
    rounds: tuple[float, ...]

    @property
    def value(self) -> float:
        return median(self.rounds)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity.

    Attributes
    ----------
    section, name
        What was measured, the same in every run.
    rows
        Rows of the table.
    rounds
        The values of all rounds; the median is reported.
    details
        What else was seen: rows and bytes of the answer, the share of a core that the clients took, ...
    """

    section: str
    name: str
    rows: int
    unit: Unit
    rounds: tuple[float, ...]
    floor: Floor | None = None
    budget: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return median(self.rounds)

    @property
    def of_floor(self) -> float | None:
        """How many times slower than the floor; 1 is as fast."""
        return None if self.floor is None else self._ratio(self.floor.value)

    @property
    def of_budget(self) -> float | None:
        """How much of the budget it takes; above 1 the budget is missed."""
        return None if self.budget is None else self._ratio(self.budget)

    def _ratio(self, reference: float) -> float:
        return reference / self.value if self.unit in RATES else self.value / reference


@dataclass(frozen=True, slots=True)
class Check:
    """An answer beside what brute force gives."""

    section: str
    name: str
    rows: int
    expected: object
    got: object

    @property
    def passed(self) -> bool:
        return self.expected == self.got


class WrongAnswerError(AssertionError):
    """An answer is not what brute force gives: nothing of it is timed."""


def one_after_the_other(name: str, unit: Unit, *parts: Sequence[float]) -> Floor:
    """The floor of work that is made of parts, none of which can be spared: times add up, rates accordingly."""
    if unit in RATES:
        return Floor(name, tuple(1 / sum(1 / rate for rate in rates) for rates in zip(*parts, strict=False)))
    return Floor(name, tuple(map(sum, zip(*parts, strict=False))))


def percentile(seconds: Sequence[float], which: float) -> float:
    """A percentile of times [s], in milliseconds."""
    return float(np.percentile(seconds, which)) * 1000
