"""What is wrong with a packet, all of it at once. Pure: a `Packet` in, problems out.

Errors are what the standards forbid (VOEvent 1.1, 2.0, 2.1 and their schemas; Identifiers 2.0): authors get the packet
back. Packets of other brokers are kept even so, with these messages as a warning. Warnings of ours are what is allowed
but will trouble readers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from lxml import etree

from voevent.alert import CITES, ROLES
from voevent.elements import child, content, descendants, local_name, text
from voevent.packet import NAMESPACES, Packet, is_equatorial, time_scale, time_text
from voevent.times import parse_time

_IVOID: Final = re.compile(r"ivo://([A-Za-z0-9][A-Za-z0-9._!~*'()+=-]{2,})(/[^#?]*)?([#?].*)?")
"""Authority, resource key and local part (Identifiers 2.0, section 2.3)."""

_LOCAL: Final = re.compile(r"[\w.~*'()+=/%!$&,;:@#?-]*", re.ASCII)
"""Characters of the parts behind the authority."""

_MOST: Final = 20
"""Problems that are told: who sends nonsense needs no list of all of it."""

_LONGEST: Final = 500
"""Characters of a problem: some quote what is there."""

_DESCRIBED: Final = frozenset({"Description", "Reference"})

_CHILDREN: Final = {
    "VOEvent": {"Who", "What", "WhereWhen", "How", "Why", "Citations"} | _DESCRIBED,
    "Who": {"AuthorIVORN", "Date", "Author"} | _DESCRIBED,
    "Author": set("title shortName logoURL contactName contactEmail contactPhone contributor Contributor".split()),
    "What": {"Param", "Group", "Table"} | _DESCRIBED,
    "Param": {"Value"} | _DESCRIBED,
    "Group": {"Param"} | _DESCRIBED,
    "Table": {"Param", "Field", "Data"} | _DESCRIBED,
    "WhereWhen": {"ObsDataLocation"} | _DESCRIBED,
    "ObsDataLocation": {"ObservatoryLocation", "ObservationLocation"},
    "ObservatoryLocation": {"AstroCoordSystem", "AstroCoords"},
    "ObservationLocation": {"AstroCoordSystem", "AstroCoords"},
    "AstroCoords": {"Time", "PositionName", "Position2D", "Position3D"},
    "Time": {"TimeInstant", "TimeInterval", "Error"},
    "TimeInstant": {"ISOTime", "TimeOffset", "TimeScale"},
    "TimeInterval": {"ISOTimeStart", "ISOTimeStop"},
    "Position2D": {"Name1", "Name2", "Value2", "Error2Radius", "Error2"},
    "How": _DESCRIBED,
    "Why": {"Name", "Concept", "Inference"} | _DESCRIBED,
    "Inference": {"Name", "Concept"} | _DESCRIBED,
    "Citations": {"EventIVORN", "Description"},
}
"""Elements that may stand in others, all versions together. What is not listed as a parent is not looked into."""

_ONCE: Final = frozenset("VOEvent Who ObsDataLocation ObservationLocation AstroCoords Position2D".split())
"""Elements whose children may each occur once."""

_UNITS: Final = frozenset({"deg", "degree", "degrees", "rad", "arcsec"})


_NOT_FINITE: Final = frozenset(sign + word for sign in ("", "+", "-") for word in "nan NaN inf INF Inf".split())
"""Words that parameters may have for numbers (VOEvent 2.1, section 3.3.1.5)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in a sentence for the author."""

    severity: Literal["error", "warning"]
    message: str


def problems(packet: Packet) -> tuple[Problem, ...]:
    """Everything that is wrong with a packet, each once, 20 at most; empty if nothing is."""
    found: dict[Problem, None] = {}
    told = itertools.chain(
        _header(packet), _who(packet), _what(packet), _where(packet), _about(packet), _structure(packet.root)
    )
    for problem in itertools.islice(told, 1000):
        if len(found) == _MOST and problem not in found:
            return (*found, _error(f"There is more; these are the first {_MOST} problems"))
        found[problem] = None
    return tuple(found)


def _error(message: str) -> Problem:
    return Problem("error", message[:_LONGEST])


def _warning(message: str) -> Problem:
    return Problem("warning", message[:_LONGEST])


def _header(packet: Packet) -> Iterator[Problem]:
    namespace = str(packet.root.tag).rpartition("}")[0].removeprefix("{")
    version = (packet.root.get("version") or "").strip()
    if not namespace:
        yield _warning("The packet has no namespace: expected that of VOEvent 2.0 or 2.1")
    elif namespace not in NAMESPACES:
        yield _error(f"VOEvent: expected a namespace of VOEvent 1.1, 2.0 or 2.1, got {namespace[:100]!r}")
    elif version != NAMESPACES[namespace]:
        yield _error(f"VOEvent: expected version {NAMESPACES[namespace]!r}, as its namespace says, got {version!r}")
    if packet.role not in ROLES:
        yield _error(f"role: expected one of {', '.join(ROLES)}, got {packet.role!r}")
    yield from _identifier("ivorn", packet.ivoid)
    if not packet.local_id:
        yield _warning(f"ivorn: {packet.ivoid!r} has no # or ? that tells the stream from the event")


def _identifier(name: str, ivoid: str) -> Iterator[Problem]:
    match = _IVOID.fullmatch(ivoid)
    if match is None:
        yield _error(f"{name}: expected an identifier such as ivo://org.example/stream#event, got {ivoid[:200]!r}")
    elif len(match[2] or "") < 2:
        yield _warning(f"{name}: {ivoid[:200]!r} has no resource key: expected ivo://authority/stream#event")
    elif not _LOCAL.fullmatch((match[2] or "") + (match[3] or "")):
        yield _error(f"{name}: {ivoid[:200]!r} has characters that identifiers may not have")


def _structure(root: etree._Element) -> Iterator[Problem]:
    for element in root.iter():
        allowed = _CHILDREN.get(name := local_name(element)) if len(element) else None
        if allowed is None:
            continue
        names = [local_name(part) for part in element]
        if len(allowed & set(names)) == len(names):
            continue
        found = Counter(names)
        for unknown in sorted(found.keys() - allowed):
            yield _error(f"{name}: {unknown} may not stand there")
        for repeated in sorted(part for part, times in found.items() if times > 1 and name in _ONCE):
            yield _error(f"{name}: more than one {repeated}")


def _who(packet: Packet) -> Iterator[Problem]:
    who = child(packet.root, "Who")
    if who is None:
        yield _error("Who is missing: expected an author and a Date")
        return
    if packet.author_ivoid is None and child(who, "Author") is None:
        yield _error("Who: expected AuthorIVORN or Author")
    date = text(who, "Date")
    if date is None:
        yield _warning("Who: there is no Date")
    elif packet.author_time is None:
        yield from _time("Who/Date", date, "UTC")


def _what(packet: Packet) -> Iterator[Problem]:
    times = Counter((param.group, param.name) for param in packet.params)
    for param in packet.params:
        name = f"Param {param.name!r}"
        if not param.name:
            yield _warning("Param: there is one without a name")
        elif times[param.group, param.name] > 1:
            yield _warning(f"{name}: names of parameters should be unique within their group")
        if param.data_type not in ("string", "int", "float"):
            yield _error(f"{name}: dataType: expected string, int or float, got {param.data_type!r}")
        elif param.data_type != "string" and param.value and not _is_number(param.value, _NOT_FINITE):
            yield _error(f"{name}: expected a number, as its dataType {param.data_type} says, got {param.value[:60]!r}")
        elif param.value and param.value.startswith("{'") and param.value.endswith("}"):
            yield _warning(f"{name}: its value is a Python dictionary; expected text, a number or a Reference")
    for element in descendants(packet.root, "Reference"):
        if not element.get("uri", "").strip():
            yield _error("Reference: expected an attribute uri")


def _where(packet: Packet) -> Iterator[Problem]:
    """Place and time of the observation; those of the observatory are its own affair."""
    where = child(packet.root, "WhereWhen")
    place = next(descendants(where, "ObservationLocation"), None)
    if where is not None and place is None and child(where, "ObsDataLocation") is not None:
        yield _error("ObsDataLocation: expected an ObservationLocation")
    coords = child(place, "AstroCoords")
    written = time_text(coords)
    if written is not None and packet.where.time is None:
        yield from _time("ISOTime", written, time_scale(packet.where.coord_system))
    position = child(coords, "Position2D")
    system = packet.where.coord_system
    if position is not None and is_equatorial(system):
        yield from _position(position, packet)
    elif position is not None:
        yield _warning(f"AstroCoords: the position is not read: expected ICRS or FK5, got {system!r}")


def _position(position: etree._Element, packet: Packet) -> Iterator[Problem]:
    unit = (position.get("unit") or "").strip().lower()
    if unit and unit not in _UNITS:
        yield _error(f"Position2D: unit: expected deg, got {unit!r}")
    value = child(position, "Value2")
    numbers = {"C1": text(value, "C1"), "C2": text(value, "C2"), "Error2Radius": text(position, "Error2Radius")}
    if packet.version == "2.1" and numbers["Error2Radius"] is None:
        del numbers["Error2Radius"]
    wrong = [f"{name} {number!r}" for name, number in numbers.items() if not _is_number(number or "")]
    if wrong:
        yield _error(f"Position2D: expected numbers, got {', '.join(wrong)}")
        return
    ra, dec, error = float(numbers["C1"] or 0), float(numbers["C2"] or 0), float(numbers.get("Error2Radius") or 0)
    if packet.where.ra is None and not ra == dec == error == 0 and unit in ("", *_UNITS):
        yield _error(f"Position2D: expected 0 <= RA < 360 and -90 <= Dec <= 90 degrees, got {ra:g}, {dec:g}")
    if error < 0:
        yield _error(f"Error2Radius: expected no negative number, got {error:g}")


def _about(packet: Packet) -> Iterator[Problem]:
    for element in descendants(child(packet.root, "Citations"), "EventIVORN"):
        cited, cite = content(element) or "", element.get("cite")
        yield from _identifier("EventIVORN", cited)
        if cite not in CITES:
            yield _error(f"EventIVORN: cite: expected one of {', '.join(CITES)}, got {cite!r}")
        if cited == packet.ivoid:
            yield _error("EventIVORN: the packet cites itself")
    why = child(packet.root, "Why")
    importance = None if why is None else why.get("importance")
    if importance is not None and not _is_number(importance):
        yield _error(f"Why: importance: expected a number, got {importance!r}")
    for element in descendants(why, "Inference"):
        probability = element.get("probability")
        if probability is not None and not (_is_number(probability) and 0 <= float(probability) <= 1):
            yield _error(f"Inference: probability: expected a number from 0 to 1, got {probability!r}")


def _time(name: str, written: str, scale: str) -> Iterator[Problem]:
    try:
        parse_time(written, scale)
    except ValueError as error:
        yield _error(f"{name}: {error}")


def _is_number(written: str, words: frozenset[str] = frozenset({"NaN", "INF", "-INF"})) -> bool:
    """Whether it is a number, or one of these words: those of XML Schema, if no others are given."""
    try:
        number = float(written)
    except ValueError:
        return False
    return "_" not in written and (math.isfinite(number) or written.strip() in words)
