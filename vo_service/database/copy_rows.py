"""The fields of the rows of PostgreSQL's binary COPY, found by numpy: no step is taken per row.

A row is the number of its fields (int16), and for each field its length (int32; -1 is NULL) and its value. (PostgreSQL
manual, COPY, "Binary Format".)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vo_service.database.copy_messages import Bytes, Positions, gather


@dataclass(frozen=True)
class Scattered:
    """One field of each row, wherever its values are.

    Attributes
    ----------
    data
        All bytes, at least 8.
    at
        Where the values begin; ascending.
    lengths
        Their lengths in bytes; -1 for NULL.
    """

    data: Bytes
    at: Positions
    lengths: npt.NDArray[np.int32]

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_] | None:
        """Which values are not NULL; None if all are."""
        valid = self.lengths >= 0
        return None if valid.all() else valid

    @property
    def ends(self) -> Positions:
        """Where the values end."""
        return self.at + np.maximum(self.lengths, 0)

    def numbers(self, kind: str, at: int = 0) -> npt.NDArray[Any]:
        """The numbers, of a type of numpy, that begin `at` bytes after the beginning of each value; 0 for NULL."""
        if self.valid is None:
            return gather(self.data, self.at + at, kind)
        numbers = gather(self.data, np.where(self.valid, self.at + at, 0), kind)
        numbers[~self.valid] = 0
        return numbers

    def are_of(self, length: int) -> bool:
        """Whether all values but NULLs are of this length."""
        alike = self.lengths == length
        return bool((alike if self.valid is None else alike | ~self.valid).all())


@dataclass(frozen=True)
class Even:
    """One field of each row, where all rows are alike: `count` values `step` bytes apart, none of them NULL."""

    data: Bytes
    first: int
    step: int
    count: int
    length: int
    valid: None = None

    @property
    def at(self) -> Positions:
        """Where the values begin."""
        return self.first + self.step * np.arange(self.count)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Their lengths in bytes."""
        return np.full(self.count, self.length, np.int32)

    @property
    def ends(self) -> Positions:
        """Where the values end."""
        return self.at + self.length

    def numbers(self, kind: str, at: int = 0) -> npt.NDArray[Any]:
        """As `Scattered.numbers`."""
        found = np.ndarray((self.count,), f">{kind}", self.data, self.first + at, (self.step,))
        return found.astype(f"={kind}")

    def are_of(self, length: int) -> bool:
        """Whether all values are of this length."""
        return self.length == length


Values: TypeAlias = Scattered | Even


def fields(data: Bytes, rows: Positions, count: int) -> list[Values]:
    """The values of each of so many columns, in rows that begin at these positions, of which there is at least one."""
    return _fields_alike(data, rows, count) or _fields_unlike(data, rows, count)


def _fields_alike(data: Bytes, rows: Positions, count: int) -> list[Values] | None:
    """The fields of rows that all have the first one's lengths; None if they do not, or there are NULLs."""
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 1
    if not (np.diff(rows) == step).all():
        return None
    at = int(rows[0]) + 2
    found: list[Values] = []
    for _ in range(count):
        lengths = np.ndarray((len(rows),), "=u4", data, at, (step,))
        if not (lengths == lengths[0]).all():
            return None
        length = int.from_bytes(data[at : at + 4].tobytes(), signed=True)
        if length < 0:
            return None
        found.append(Even(data, at + 4, step, len(rows), length))
        at += 4 + length
    return found


def _fields_unlike(data: Bytes, rows: Positions, count: int) -> list[Values]:
    at = rows + 2
    found: list[Values] = []
    for _ in range(count):
        values = Scattered(data, at + 4, gather(data, at, "i4"))
        found.append(values)
        at = values.ends
    return found
