"""A VOEvent packet, read: what its XML says, as plain values. Pure: bytes in, a `Packet` out.

VOEvent 1.1, 2.0 and 2.1 and packets without a namespace are read alike: elements are found by their local names.
Reading is lenient, so that what others publish can be kept: a value that cannot be understood is absent here, and
`voevent.validate` says why. Only what is no VOEvent at all, or is not safe to parse, raises PacketError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lxml import etree

from voevent.elements import PacketError, child, content, descendants, local_name, parse, text
from voevent.times import parse_time

__all__ = [
    "NAMESPACES",
    "Citation",
    "Packet",
    "PacketError",
    "Param",
    "Where",
    "as_number",
    "is_equatorial",
    "read_packet",
    "split_ivoid",
    "time_scale",
    "time_text",
]

NAMESPACES: Final = {
    "http://www.ivoa.net/xml/VOEvent/v1.1": "1.1",
    "http://www.ivoa.net/xml/VOEvent/v2.0": "2.0",
    "http://www.ivoa.net/xml/VOEvent/v2.1": "2.1",
}
"""Versions of VOEvent by their namespaces."""

NAME_LIMIT: Final = 500
"""Characters of an identifier, or of a parameter's name, at most: the archive finds packets by them."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_DEGREES: Final = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": math.degrees(1.0), "arcsec": 1 / 3600.0}
"""Units of positions, as factors to degrees. Without one, degrees are meant."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of What, with the name of the Group or Table that it stands in.

    `data_type` is string, int or float: what its author says that the value is.
    """

    group: str | None
    name: str
    value: str | None
    unit: str | None = None
    ucd: str | None = None
    description: str | None = None
    data_type: str = "string"

    @property
    def number(self) -> float | None:
        """Its value as a finite number, if it is one."""
        return as_number(self.value)


@dataclass(frozen=True, slots=True)
class Citation:
    """An earlier packet that this one is about; `cite` as written: followup, supersedes or retraction."""

    ivoid: str
    cite: str


@dataclass(frozen=True, slots=True)
class Where:
    """Place and time of what was observed.

    Attributes
    ----------
    ra, dec
        ICRS [deg], 0 <= ra < 360, |dec| <= 90; both or neither. FK5 is taken as ICRS: they agree within 0.1 arcsec.
        Positions in other frames (of the Sun, of planets: VOEvent 2.1, section 3.4) are not taken.
    error
        Radius [deg]; VOEvent 2.0 does not tell of which probability (1 sigma and 90 % are both met).
    time
        Naive UTC: other time scales are converted, barycentric times are not carried to another place.
    coord_system
        As written, for example UTC-ICRS-TOPO.
    observatory
        Identifier of the observatory, as written.
    """

    ra: float | None = None
    dec: float | None = None
    error: float | None = None
    time: datetime | None = None
    coord_system: str | None = None
    observatory: str | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """What a VOEvent packet says.

    Attributes
    ----------
    ivoid
        Its identifier, attribute `ivorn`; `stream` is the part before `#` or `?`, `local_id` the part behind it.
    role
        observation (also where it is not told), prediction, utility or test; other words as written.
    version
        1.1, 2.0, 2.1, or empty where nothing tells it.
    author
        Who to ask: name of the contact, else title, short name or e-mail address of the author.
    author_time
        When the packet was written (Who/Date), naive UTC.
    concept
        First Concept of Why.
    params
        All of What, in the order of the document.
    references
        Addresses of all Reference elements, each once, in the order of the document.
    raw
        The bytes as they came. They alone are passed on.
    root
        The tree, without comments and processing instructions.
    """

    ivoid: str
    role: str
    version: str
    stream: str
    local_id: str
    author_ivoid: str | None
    author: str | None
    author_time: datetime | None
    concept: str | None
    description: str | None
    where: Where
    params: tuple[Param, ...]
    citations: tuple[Citation, ...]
    references: tuple[str, ...]
    raw: bytes = field(repr=False)
    root: etree._Element = field(repr=False, compare=False)


def read_packet(raw: bytes) -> Packet:
    """Read a packet.

    Raises PacketError if it is not XML, has a DOCTYPE, is nested too deeply, has too much markup, is not a VOEvent, has
    no identifier, or one that is too long.
    """
    root = parse(raw.lstrip())
    if local_name(root) != "VOEvent":
        raise PacketError(f"Expected a VOEvent, got an XML document of {local_name(root)[:60]!r}")
    ivoid = (root.get("ivorn") or "").strip()
    if not ivoid:
        raise PacketError("The VOEvent has no identifier: expected an attribute ivorn")
    stream, local_id = split_ivoid(ivoid)
    params, citations = tuple(_params(root)), tuple(_citations(root))
    _refuse_long((ivoid, *(param.name for param in params), *(citation.ivoid for citation in citations)))
    who, why = child(root, "Who"), child(root, "Why")
    author = child(who, "Author")
    return Packet(
        ivoid=ivoid,
        role=(root.get("role") or "observation").strip(),
        version=_version(root),
        stream=stream,
        local_id=local_id,
        author_ivoid=text(who, "AuthorIVORN"),
        author=next((found for name in _AUTHOR if (found := text(author, name))), None),
        author_time=_moment(text(who, "Date"), "UTC"),
        concept=next((found for element in descendants(why, "Concept") if (found := content(element))), None),
        description=text(root, "Description") or text(child(root, "What"), "Description"),
        where=_where(child(root, "WhereWhen")),
        params=params,
        citations=citations,
        references=tuple(
            dict.fromkeys(uri for e in descendants(root, "Reference") if (uri := e.get("uri", "").strip()))
        ),
        raw=raw,
        root=root,
    )


def _refuse_long(names: Iterable[str]) -> None:
    for name in names:
        if len(name) > NAME_LIMIT:
            raise PacketError(f"A name of {len(name)} characters, at most {NAME_LIMIT} are taken: {name[:60]}...")


def split_ivoid(ivoid: str) -> tuple[str, str]:
    """Stream and local identifier of an event's identifier, at the first `#` or `?`; the second may be empty."""
    parts = re.split("[#?]", ivoid, maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def as_number(text: str | None) -> float | None:
    """A decimal number that is finite, else None."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


_RADII: Final = ("Error2Radius", "Error2Radius90", "Error2Radius68", "Error2Radius50")
"""Where the error is looked for, in this order. The standard has the first alone; KM3-230213A came with the others."""

_AUTHOR: Final = ("contactName", "title", "shortName", "contactEmail")


def _version(root: etree._Element) -> str:
    namespace = str(root.tag).rpartition("}")[0].removeprefix("{")
    return NAMESPACES.get(namespace) or root.get("version", "").strip()


def _params(root: etree._Element) -> Iterator[Param]:
    for element in descendants(child(root, "What"), "Param"):
        parent = element.getparent()
        grouped = parent is not None and local_name(parent) in ("Group", "Table")
        value = element.get("value")
        yield Param(
            group=parent.get("name", "").strip() if parent is not None and grouped else None,
            name=element.get("name", "").strip(),
            value=text(element, "Value") if value is None else value,
            unit=element.get("unit", "").strip() or None,
            ucd=element.get("ucd", "").strip() or None,
            description=text(element, "Description"),
            data_type=element.get("dataType", "string"),
        )


def _citations(root: etree._Element) -> Iterator[Citation]:
    for element in descendants(child(root, "Citations"), "EventIVORN"):
        cited = content(element)
        if cited:
            yield Citation(cited, element.get("cite", "").strip())


def _where(element: etree._Element | None) -> Where:
    place = next(descendants(element, "ObservationLocation"), None)
    coords = child(place, "AstroCoords")
    system = None
    if coords is not None:
        described = child(place, "AstroCoordSystem")
        system = coords.get("coord_system_id") or (None if described is None else described.get("id"))
    ra, dec, error = _position(coords) if is_equatorial(system) else (None, None, None)
    observatory = next(descendants(element, "ObservatoryLocation"), None)
    return Where(
        ra=ra,
        dec=dec,
        error=error,
        time=_moment(time_text(coords), time_scale(system)),
        coord_system=system,
        observatory=None if observatory is None else observatory.get("id") or None,
    )


def time_text(coords: etree._Element | None) -> str | None:
    """The time that AstroCoords writes: an instant, or the start of an interval (VOEvent 2.1)."""
    moment = child(coords, "Time")
    return text(child(moment, "TimeInstant"), "ISOTime") or text(child(moment, "TimeInterval"), "ISOTimeStart")


def time_scale(system: str | None) -> str:
    """Time scale of a coordinate system: TT, GPS or TDB if its name begins so, else UTC."""
    first = (system or "").partition("-")[0].upper()
    return first if first in ("TT", "GPS", "TDB") else "UTC"


def is_equatorial(system: str | None) -> bool:
    """Whether a coordinate system is ICRS or FK5: by its name; also where none is told."""
    return system is None or not {"ICRS", "FK5"}.isdisjoint(system.upper().split("-"))


def _moment(written: str | None, scale: str) -> datetime | None:
    try:
        return None if written is None else parse_time(written, scale)
    except ValueError:
        return None


def _position(coords: etree._Element | None) -> tuple[float | None, float | None, float | None]:
    """Right ascension, declination and error radius [deg].

    A position of 0, 0 with an error of 0 is how packets say that they have none (LVK, test packets).
    """
    position = child(coords, "Position2D")
    if position is None:
        position = child(coords, "Position3D")
    if position is None:
        return None, None, None
    unit = position.get("unit")
    value = child(position, "Value2")
    if value is None:
        value = child(position, "Value3")
    ra, dec = _degrees(child(value, "C1"), unit), _degrees(child(value, "C2"), unit)
    error = next((found for name in _RADII if (found := _degrees(child(position, name), unit)) is not None), None)
    if ra is None or dec is None or not (0 <= ra <= 360 and -90 <= dec <= 90) or ra == dec == error == 0:
        return None, None, None
    return ra % 360, dec, error if error is None or error >= 0 else None


def _degrees(element: etree._Element | None, unit: str | None) -> float | None:
    number = as_number(content(element))
    if element is None or number is None:
        return None
    factor = _DEGREES.get((element.get("pos_unit") or unit or "").strip().lower())
    return None if factor is None else number * factor
