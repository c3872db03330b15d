"""What a subscriber wants to get: XPath as Comet has it, and conditions that need none. Pure.

Both come as Params of an authenticate message. Several `xpath-filter` are alternatives, as with Comet. All others must
hold, each of them:

    role     observation, test             one of the roles
    author   ivo://org.example/*           the author's identifier; * stands for anything
    stream   ivo://org.example/alerts      the stream's identifier; * stands for anything
    param    energy > 100                  a Param of What, also as group/name; = and != of words, all six of numbers
    cone     RA, Dec, radius               ICRS degrees; packets without a position do not pass
    far      1e-7                          false alarm rate at most this [Hz]; packets without one do not pass
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from lxml import etree

from vo_service.errors import UsageError
from voevent.archive.quantities import false_alarm_rate
from voevent.packet import Packet, as_number
from voevent.vtp.xpath import LENGTH_LIMIT, compile_xpath

XPATH: Final = "xpath-filter"

COUNT_LIMIT: Final = 20
"""Filters of one subscriber at most."""

_PARAM: Final = re.compile(
    r"\s*(?:(?P<group>[^/]+)/)?(?P<name>[^/<>=!]+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.+?)\s*"
)

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Condition = Callable[[Packet], bool]


class FilterError(UsageError):
    """A filter that cannot be understood."""


@dataclass(frozen=True)
class Filter:
    """The filters of one subscriber; those without any let everything pass.

    Equal filters are equal objects, so that many subscribers with one filter cost as much as one.
    """

    alternatives: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.alternatives or self.conditions)

    def __call__(self, packet: Packet) -> bool:
        """Whether a packet passes."""
        return all(_condition(name, value)(packet) for name, value in self.conditions) and (
            not self.alternatives or any(_holds(compile_xpath(text), packet) for text in self.alternatives)
        )


def read_filters(params: Iterable[tuple[str, str]]) -> tuple[Filter, list[str]]:
    """The filter that Params ask for, and what is wrong with those that cannot be used.

    Params of other names are for others.
    """
    alternatives: list[str] = []
    conditions: list[tuple[str, str]] = []
    faults: list[str] = []
    for name, value in params:
        try:
            if name == XPATH:
                compile_xpath(value)
                alternatives.append(value)
            elif name in _CONDITIONS:
                _condition(name, value)
                conditions.append((name, value))
        except UsageError as error:
            faults.append(error.message)
    count, length = len(alternatives) + len(conditions), sum(len(text) for text in alternatives)
    if count > COUNT_LIMIT or length > LENGTH_LIMIT:
        limits = f"at most {COUNT_LIMIT}, and XPath of {LENGTH_LIMIT} characters, are taken"
        return Filter(), [f"{count} filters with {length} characters of XPath; {limits}"]
    return Filter(tuple(alternatives), tuple(conditions)), faults


@lru_cache(maxsize=256)
def _condition(name: str, value: str) -> Condition:
    return _CONDITIONS[name](value)


def _holds(xpath: etree.XPath, packet: Packet) -> bool:
    try:
        return bool(xpath(packet.root))
    except etree.XPathEvalError:
        # Such as a function with too many arguments: found only when it is called.
        return False


def _role(value: str) -> Condition:
    roles = frozenset(role.strip() for role in value.split(","))
    unknown = roles - {"observation", "prediction", "utility", "test"}
    if unknown:
        raise FilterError(f"Filter role: expected observation, prediction, utility or test, got {value!r}")
    return lambda packet: packet.role in roles


def _author(value: str) -> Condition:
    return lambda packet: fnmatchcase(packet.author_ivoid or "", _pattern(value))


def _stream(value: str) -> Condition:
    return lambda packet: fnmatchcase(packet.stream, _pattern(value))


def _pattern(value: str) -> str:
    """Only * is special: identifiers may contain ? and brackets. IVOIDs do not distinguish cases, streams in use do."""
    return re.sub(r"([\[?])", r"[\1]", value.strip())


def _param(value: str) -> Condition:
    match = _PARAM.fullmatch(value)
    if match is None:
        raise FilterError(f"Filter param: expected a comparison such as energy > 100, got {value!r}")
    group, name, sign, text = match.group("group", "name", "sign", "value")
    compare, number = _COMPARISONS[sign], as_number(text)
    if number is None and sign not in ("=", "!="):
        raise FilterError(f"Filter param: expected a number after {sign}, got {value!r}")

    def holds(found: str | None, quantity: float | None) -> bool:
        if number is None:
            return (found == text) == (sign == "=")
        return quantity is not None and compare(quantity, number)

    return lambda packet: any(
        holds(p.value, p.number) for p in packet.params if p.name == name and group in (None, p.group)
    )


def _cone(value: str) -> Condition:
    numbers = [as_number(part) for part in re.split(r"\s*,\s*|\s+", value.strip())]
    if len(numbers) != 3 or any(number is None for number in numbers):
        raise FilterError(f"Filter cone: expected right ascension, declination and radius in degrees, got {value!r}")
    ra, dec, radius = (number for number in numbers if number is not None)
    if not (abs(dec) <= 90 and 0 <= radius <= 180):
        raise FilterError(f"Filter cone: expected |Dec| <= 90 and 0 <= radius <= 180, got {value!r}")

    def inside(packet: Packet) -> bool:
        where = packet.where
        return where.ra is not None and where.dec is not None and _separation(ra, dec, where.ra, where.dec) <= radius

    return inside


def _separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two directions [deg], exact at all distances (Vincenty)."""
    a, b, difference = math.radians(dec1), math.radians(dec2), math.radians(ra2 - ra1)
    across = math.hypot(
        math.cos(b) * math.sin(difference),
        math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(difference),
    )
    return math.degrees(
        math.atan2(across, math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(difference))
    )


def _far(value: str) -> Condition:
    limit = as_number(value)
    if limit is None or limit < 0:
        raise FilterError(f"Filter far: expected a rate in Hz such as 1e-7, got {value!r}")

    def rare(packet: Packet) -> bool:
        rate = false_alarm_rate(packet.params)
        return rate is not None and rate <= limit

    return rare


_CONDITIONS: Final[Mapping[str, Callable[[str], Condition]]] = {
    "role": _role,
    "author": _author,
    "stream": _stream,
    "param": _param,
    "cone": _cone,
    "far": _far,
}
