"""Shapes as text: STC-S (IVOA Note 1.33, its geometric sub-phrases) and the words of DALI's xtype shape."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

import numpy as np

from vo_service.sky.shapes import Circle, Polygon, Shape, ShapeError, box, polygon, unit_vectors

_ICRS: Final = frozenset({"ICRS", "UNKNOWNFRAME", "FK5", "J2000"})
"""FK5 at J2000 is ICRS within 0.03 arcseconds; STC-S leaves an unknown frame to the service."""

_GALACTIC: Final = frozenset({"GALACTIC", "GALACTIC_II"})

_IGNORED: Final = re.compile(
    r"(UNKNOWNREFPOS|GEOCENTER|TOPOCENTER|BARYCENTER|HELIOCENTER|RELOCATABLE|SPHER(ICAL)?2|SPHERICAL)", re.IGNORECASE
)
"""Reference positions, and flavours of the coordinates that angles on the sky have anyway."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

_COMPOUND: Final = frozenset({"UNION", "INTERSECTION", "NOT", "DIFFERENCE"})

# The axes of the galactic frame in ICRS (the Hipparcos and Tycho Catalogues, ESA SP-1200, volume 1, section 1.5.3).
_FROM_GALACTIC: Final = np.array(
    [
        [-0.0548755604, 0.4941094279, -0.8676661490],
        [-0.8734370902, -0.4448296300, -0.1980763734],
        [-0.4838350155, 0.7469822445, 0.4559837762],
    ]
)


def parse_region(text: str) -> Shape:
    """The shape that a text describes: Position, Circle, Box or Polygon, with or without a frame.

    Galactic coordinates become ICRS. `Circle ICRS 10 20 0.5`, `polygon 1 2 3 4 5 6`; angles in degrees.

    Raises
    ------
    ShapeError
        The text is something else, its numbers are too many, too few or out of range.
    """
    words = text.split()
    if not words:
        raise ShapeError("the description of a region is empty; for example: Circle ICRS 10 20 0.5")
    kind, frame, rest = words[0].upper(), "ICRS", words[1:]
    if kind in _COMPOUND:
        raise ShapeError(f"{words[0]} of regions cannot be one region here; combine conditions with AND, OR and NOT")
    if kind not in _SHAPES:
        raise ShapeError(f"it begins with {words[0]!r}; expected Position, Circle, Box or Polygon")
    if rest and rest[0].upper() in _ICRS | _GALACTIC:
        frame, rest = rest[0].upper(), rest[1:]
    while rest and _IGNORED.fullmatch(rest[0]):
        rest = rest[1:]
    shape = _SHAPES[kind](*_numbers(rest, words[0]))
    return _from_galactic(shape) if frame in _GALACTIC else shape


def _numbers(words: list[str], shape: str) -> list[float]:
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise ShapeError(f"{shape} takes numbers after its frame (ICRS, FK5 or GALACTIC); {word[:20]!r} is none")
    numbers = [float(word) for word in words]
    if not all(map(math.isfinite, numbers)):
        raise ShapeError(f"a number of {shape} is too large")
    return numbers


def _position(*numbers: float) -> Circle:
    return _circle(*_counted(numbers, 2, "Position takes longitude and latitude"), 0.0)


def _circle(*numbers: float) -> Circle:
    ra, dec, radius = _counted(numbers, 3, "Circle takes longitude, latitude and radius")
    _check_position(ra, dec)
    if not 0 <= radius <= 180:
        raise ShapeError(f"the radius of a circle is from 0 to 180 degrees, not {radius:g}")
    return Circle(ra, dec, radius)


def _box(*numbers: float) -> Polygon:
    ra, dec, width, height = _counted(numbers, 4, "Box takes longitude, latitude, width and height")
    _check_position(ra, dec)
    return box(ra, dec, width, height)


def _polygon(*numbers: float) -> Polygon:
    if len(numbers) % 2 or len(numbers) < 6:
        raise ShapeError(f"Polygon takes longitude and latitude of three or more vertices, not {len(numbers)} numbers")
    for ra, dec in zip(numbers[::2], numbers[1::2], strict=True):
        _check_position(ra, dec)
    return polygon(numbers)


_SHAPES: Final[dict[str, Callable[..., Shape]]] = {
    "POSITION": _position,
    "CIRCLE": _circle,
    "BOX": _box,
    "POLYGON": _polygon,
}


def _counted(numbers: tuple[float, ...], count: int, what: str) -> tuple[float, ...]:
    if len(numbers) != count:
        raise ShapeError(f"{what}, {count} numbers in degrees; here are {len(numbers)}")
    return numbers


def _check_position(ra: float, dec: float) -> None:
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise ShapeError(f"positions are 0 to 360 and -90 to 90 degrees, not {ra:g} {dec:g}")


def _from_galactic(shape: Shape) -> Shape:
    if isinstance(shape, Circle):
        return Circle(*_to_icrs(shape.ra, shape.dec), shape.radius)
    return Polygon(tuple(_to_icrs(*vertex) for vertex in shape.vertices))


def _to_icrs(longitude: float, latitude: float) -> tuple[float, float]:
    x, y, z = _FROM_GALACTIC @ unit_vectors(longitude, latitude)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
