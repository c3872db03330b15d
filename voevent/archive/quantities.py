"""What alerts say of themselves under many names, as one quantity in one unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from voevent.identifiers import local_id_of
from voevent.packet import Packet, Param

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


def event_ivoid(packet: Packet) -> str:
    """Identifier of the event that a packet is about, as packets have it that cite the event and no notice of it.

    It is the packet's own where no parameter names the event. All notices of one event have the same one, but for those
    of another role.
    """
    name = next(
        (p.value for p in packet.params if p.group is None and p.name.lower() == "event_name" and p.value), None
    )
    if name is None or not packet.local_id:
        return packet.ivoid
    return packet.ivoid[: len(packet.stream) + 1] + local_id_of([name], packet.role)


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
