"""Points and circles of a query: their coordinates are degrees in ICRS, within the limits of DALI 1.1 (section 3.3)."""

from __future__ import annotations

from typing import Final

from tap.adql.tree import String
from tap.functions.declaration import ADQL_TYPES
from tap.translate.bound import Circle, Contains, Distance, Expression, Point
from tap.translate.constants import value_of
from tap.translate.refusal import RefusedError, not_supported
from tap.translate.types import as_number, kind_of
from vo_service.catalog.model import Column

_TRUTH: Final = Column("", "int", description="1 if the circle contains the point, else 0")
_DISTANCE: Final = Column("", "double", unit="deg", ucd="pos.angDistance", description="Angular distance")
_ICRS: Final = frozenset({"", "ICRS", "UNKNOWNFRAME"})
"""The frames of the deprecated first argument that need no conversion; UNKNOWNFRAME is STC-S for none in particular."""


def point(ra: Expression, dec: Expression, ra_at: int, dec_at: int) -> Point:
    """POINT: refused if a coordinate is no number, or a constant outside its limits."""
    ra, dec = as_number(ra, "POINT", ra_at), as_number(dec, "POINT", dec_at)
    _expect_within(ra, 0, 360, "Right ascension", ra_at)
    _expect_within(dec, -90, 90, "Declination", dec_at)
    return Point(ra, dec, ADQL_TYPES["POINT"])


def circle(centre: Expression, radius: Expression, centre_at: int, radius_at: int) -> Circle:
    """CIRCLE: refused if the radius is no number, or a constant outside its limits."""
    radius = as_number(radius, "The radius of CIRCLE", radius_at)
    _expect_within(radius, 0, 180, "The radius of CIRCLE", radius_at)
    return Circle(as_point(centre, "CIRCLE", centre_at), radius, ADQL_TYPES["CIRCLE"])


def contains(first: Expression, second: Expression, first_at: int, second_at: int) -> Contains:
    """CONTAINS, so far of a point in a circle."""
    inner = as_point(first, "CONTAINS", first_at)
    if not isinstance(second, Circle):
        if isinstance(second, Point) or kind_of(second) not in ("circle", "array"):
            raise RefusedError("CONTAINS looks for its first argument in its second, which must be a region", second_at)
        raise not_supported("CONTAINS with a column of regions", second_at)
    return Contains(inner, second, _TRUTH)


def distance(first: Expression, second: Expression, first_at: int, second_at: int) -> Distance:
    """DISTANCE of two points."""
    return Distance(as_point(first, "DISTANCE", first_at), as_point(second, "DISTANCE", second_at), _DISTANCE)


def as_point(expression: Expression, where: str, at: int) -> Point:
    """Refuses what is no point."""
    if isinstance(expression, Point):
        return expression
    if kind_of(expression) in ("point", "circle", "array"):
        raise not_supported(f"{where} with anything but POINT(...) here", at)
    raise RefusedError(f"{where} takes a point here", at, "For example POINT(ra, dec)")


def check_frame(coordsys: String | None) -> None:
    """Coordinates of other frames are refused rather than taken for ICRS (ADQL 2.1, section 4.2.5: deprecated)."""
    if coordsys is None:
        return
    frame = coordsys.value.split()[:1]
    if frame and frame[0].upper() not in _ICRS:
        raise RefusedError(
            f"Coordinates are ICRS here, not {frame[0]}", coordsys.at, "Leave this argument out, or write 'ICRS'"
        )


def _expect_within(expression: Expression, low: float, high: float, what: str, at: int) -> None:
    value = value_of(expression)
    if value is not None and not low <= value <= high:
        raise RefusedError(f"{what} must lie between {low} and {high} degrees; this is {value:g}", at)
