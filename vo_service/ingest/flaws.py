"""What is wrong with the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Flaws:
    """Collects the rows of a batch that cannot be loaded, and why."""

    def __init__(self, rows: int) -> None:
        self.bad: Mask = np.zeros(rows, dtype=bool)
        """True for rows that something is wrong with."""
        self._found: list[tuple[Mask, Callable[[int], str]]] = []

    def add(self, mask: Mask, reason: Callable[[int], str]) -> None:
        """Something is wrong with the rows where `mask` is true; `reason` says what, given the place of a row."""
        if mask.any():
            self.bad |= mask
            self._found.append((mask, reason))

    def first(self, count: int) -> Iterator[tuple[int, str]]:
        """Place of the first so many bad rows, and what was first found wrong with each."""
        for place in np.flatnonzero(self.bad)[:count].tolist():
            yield place, next(reason(place) for mask, reason in self._found if mask[place])
