"""What alerts say of themselves under many names, as one quantity in one unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from voevent.packet import Param

_YEAR: Final = 365.25 * 86400.0

_FAR_NAMES: Final = frozenset({"far", "false_alarm_rate", "falsealarmrate"})

_PER_SECOND: Final = {
    "hz": 1.0,
    "s^-1": 1.0,
    "1/s": 1.0,
    "s-1": 1.0,
    "day^-1": 1 / 86400.0,
    "1/day": 1 / 86400.0,
    "d^-1": 1 / 86400.0,
    "yr^-1": 1 / _YEAR,
    "yr-1": 1 / _YEAR,
    "1/yr": 1 / _YEAR,
    "1/year": 1 / _YEAR,
    "year^-1": 1 / _YEAR,
}
"""Factors to hertz, by unit in lower case; a Julian year."""


def false_alarm_rate(params: Iterable[Param]) -> float | None:
    """The false alarm rate [Hz], if a parameter gives one with a unit that is understood.

    A rate without a unit is taken to be in hertz, as LVK and the GCN schema have it.
    """
    for param in params:
        if param.name.strip().lower() in _FAR_NAMES and param.number is not None:
            factor = _PER_SECOND.get((param.unit or "hz").strip().lower())
            if factor is not None and math.isfinite(rate := param.number * factor):
                return rate
    return None
