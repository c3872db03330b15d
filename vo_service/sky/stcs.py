"""Shapes as text: STC-S (IVOA Note 1.33, its geometric sub-phrases) and the words of DALI's xtype shape."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from vo_service.sky.frames import frame_named, shape_to_icrs
from vo_service.sky.shapes import Circle, Polygon, Shape, ShapeError, box, polygon

_IGNORED: Final = re.compile(
    r"(UNKNOWNREFPOS|GEOCENTER|TOPOCENTER|BARYCENTER|HELIOCENTER|RELOCATABLE|SPHER(ICAL)?2|SPHERICAL)", re.IGNORECASE
)
"""Reference positions, and flavours of the coordinates that angles on the sky have anyway."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

_COMPOUND: Final = frozenset({"UNION", "INTERSECTION", "NOT", "DIFFERENCE"})


def parse_region(text: str) -> Shape:
    """The shape that a text describes: Position, Circle, Box or Polygon, with or without a frame.

    Coordinates of other frames become ICRS. `Circle ICRS 10 20 0.5`, `polygon 1 2 3 4 5 6`; angles in degrees.

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
    if rest and (named := frame_named(rest[0])) is not None:
        frame, rest = named, rest[1:]
    while rest and _IGNORED.fullmatch(rest[0]):
        rest = rest[1:]
    return shape_to_icrs(_SHAPES[kind](*_numbers(rest, words[0])), frame)


def _numbers(words: list[str], shape: str) -> list[float]:
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise ShapeError(
                f"{shape} takes numbers after its frame (ICRS, FK5, FK4 or GALACTIC); {word[:20]!r} is none"
            )
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
