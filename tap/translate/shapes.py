"""Geometries of a query: put together, checked, and brought to the few forms that later passes know.

Coordinates are degrees in ICRS, within the limits of DALI 1.1 (section 3.3). Points and circles become their numbers,
also where they come from columns; what is constant is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, cast

from tap.adql.tree import String
from tap.functions.declaration import ADQL_TYPES, Function, Parameter
from tap.translate.bound import (
    Box,
    Call,
    Circle,
    Constant,
    Distance,
    Element,
    Expression,
    Moc,
    Point,
    Polygon,
    Relation,
)
from tap.translate.constants import value_of
from tap.translate.refusal import RefusedError
from tap.translate.types import GEOMETRIES, as_number, kind_of
from vo_service.catalog.model import Column
from vo_service.sky import shapes as sky
from vo_service.sky.frames import TO_ICRS, frame_named, shape_to_icrs, to_icrs
from vo_service.sky.moc import MocError, parse_moc
from vo_service.sky.stcs import parse_region

_DOUBLE: Final = ADQL_TYPES["DOUBLE PRECISION"]
_DEGREES: Final = replace(_DOUBLE, unit="deg")
_DISTANCE: Final = replace(_DEGREES, ucd="pos.angDistance", description="Angular distance")
_AREA: Final = replace(_DOUBLE, unit="deg**2", ucd="phys.angArea", description="Area on the sky")
_TRUTH: Final = {
    "CONTAINS": Column("", "int", description="1 if the second region contains the first, else 0"),
    "INTERSECTS": Column("", "int", description="1 if the regions have a position in common, else 0"),
}

# Putting together -----------------------------------------------------------------------------------------------------


def point(ra: Expression, dec: Expression, ra_at: int, dec_at: int, frame: str = "ICRS") -> Point:
    """POINT: refused if a coordinate is no number, or a constant outside its limits."""
    ra, dec = as_number(ra, "POINT", ra_at), as_number(dec, "POINT", dec_at)
    _expect_within(ra, 0, 360, "Right ascension", ra_at)
    _expect_within(dec, -90, 90, "Declination", dec_at)
    return _in_icrs(Point(ra, dec, ADQL_TYPES["POINT"]), frame)


def circle(centre: Expression, radius: Expression, centre_at: int, radius_at: int) -> Circle:
    """CIRCLE: refused if the radius is no number, or a constant outside its limits."""
    radius = as_number(radius, "The radius of CIRCLE", radius_at)
    _expect_within(radius, 0, 180, "The radius of CIRCLE", radius_at)
    return Circle(as_point(centre, "CIRCLE", centre_at), _radius(radius), ADQL_TYPES["CIRCLE"])


def box(
    centre: Expression, width: Expression, height: Expression, places: tuple[int, int, int], at: int, frame: str
) -> Expression:
    """BOX, which is a polygon: refused if a side is a constant outside its limits.

    The centre is in the frame, whose circles of latitude the box goes along.
    """
    centre = as_point(centre, "BOX", places[0])
    sides = [as_number(side, "BOX", place) for side, place in zip((width, height), places[1:], strict=True)]
    numbers = [value_of(part) for part in (centre.ra, centre.dec, *sides)]
    if None in numbers:
        if frame != "ICRS":
            raise RefusedError(f"A BOX of {frame} must be constant here", at)
        return Box(centre, sides[0], sides[1], ADQL_TYPES["POLYGON"])
    try:
        shape = shape_to_icrs(sky.box(*numbers), frame)  # type: ignore[arg-type]
        return _polygon(cast("sky.Polygon", shape))
    except sky.ShapeError as error:
        raise RefusedError(f"This is no BOX: {error}", at) from None


def polygon(vertices: Sequence[Expression], places: Sequence[int], at: int) -> Polygon:
    """POLYGON: refused if its vertices are constant and do not fit into a hemisphere."""
    points = [as_point(vertex, "POLYGON", place) for vertex, place in zip(vertices, places, strict=True)]
    result = Polygon(tuple(points), ADQL_TYPES["POLYGON"])
    try:
        shape_of(result)
    except sky.ShapeError as error:
        raise RefusedError(f"This is no POLYGON: {error}", at) from None
    return result


def region(text: String) -> Expression:
    """REGION: a point, circle or polygon."""
    try:
        return _described(text.value)
    except sky.ShapeError as error:
        raise RefusedError(f"REGION: {error}", text.at, "For example REGION('Circle ICRS 10 20 0.5')") from None


def of_text(adql_type: str, text: String) -> Expression:
    """CAST of a literal string: the numbers of a point, circle or polygon (DALI 1.1, section 3.3), or a MOC."""
    try:
        if adql_type == "MOC":
            return Moc(parse_moc(text.value), ADQL_TYPES["MOC"])
        return _described(f"{'Position' if adql_type == 'POINT' else adql_type} {text.value}")
    except (sky.ShapeError, MocError) as error:
        raise RefusedError(f"CAST to {adql_type}: {error}", text.at) from None


def _described(text: str) -> Expression:
    shape = parse_region(text)
    if isinstance(shape, sky.Polygon):
        return _polygon(shape)
    centre = Point(_constant(shape.ra), _constant(shape.dec), ADQL_TYPES["POINT"])
    if text.split(maxsplit=1)[0].upper() == "POSITION":
        return centre
    return Circle(centre, _constant(shape.radius), ADQL_TYPES["CIRCLE"])


def _polygon(shape: sky.Polygon) -> Polygon:
    points = (Point(_constant(ra), _constant(dec), ADQL_TYPES["POINT"]) for ra, dec in shape.vertices)
    return Polygon(tuple(points), ADQL_TYPES["POLYGON"])


def _radius(radius: Expression) -> Expression:
    """The radius of a circle, NULL where the value of a column makes no circle."""
    return radius if value_of(radius) is not None else Call(_RADIUS, (radius,), radius.column)


def _constant(number: float) -> Constant:
    return Constant(float(number), _DOUBLE)


def frame_of(coordsys: String | None) -> str:
    """The frame that the deprecated first argument names (ADQL 2.1, section 4.2.5); ICRS if it is left out."""
    word = (coordsys.value.split() or [""])[0] if coordsys is not None else ""
    frame = frame_named(word)
    if coordsys is not None and frame is None:
        raise RefusedError(
            f"{word} is no frame here; expected ICRS, {', '.join(TO_ICRS)}",
            coordsys.at,
            "Without this argument, coordinates are ICRS",
        )
    return frame or "ICRS"


def _in_icrs(where: Point, frame: str) -> Point:
    """A point of a frame in ICRS: computed here if it is constant, else by the database."""
    if frame == "ICRS":
        return where
    ra, dec = value_of(where.ra), value_of(where.dec)
    if ra is not None and dec is not None:
        a, b = to_icrs(ra, dec, frame)
        return Point(_constant(a), _constant(b), where.column)
    turned = Call(_TURNED[frame], (where,), where.column)
    return Point(Element(turned, 1, _DEGREES), Element(turned, 2, _DEGREES), where.column)


_TURNED: Final = {
    frame: Function(
        frame,
        (Parameter("point", "POINT"),),
        "POINT",
        "",
        f"adql.turned({{0}}, adql.frame('{frame}'), adql.frame('ICRS'))",
        lambda _: ADQL_TYPES["POINT"],
    )
    for frame in TO_ICRS
}


def _expect_within(expression: Expression, low: float, high: float, what: str, at: int) -> None:
    value = value_of(expression)
    if value is not None and not low <= value <= high:
        raise RefusedError(f"{what} must lie between {low} and {high} degrees; this is {value:g}", at)


# Taking apart ---------------------------------------------------------------------------------------------------------


def as_point(expression: Expression, where: str, at: int) -> Point:
    """The point as its two coordinates. Refuses what is no point."""
    if isinstance(expression, Point):
        return expression
    if kind_of(expression) != "point":
        raise RefusedError(f"{where} takes a point here", at, "For example POINT(ra, dec)")
    return Point(Element(expression, 1, _DEGREES), Element(expression, 2, _DEGREES), expression.column)


def as_geometry(expression: Expression, where: str, at: int) -> Expression:
    """The geometry, points and circles as their numbers. Refuses what is none."""
    kind = kind_of(expression)
    if kind == "point":
        return as_point(expression, where, at)
    if kind == "circle" and not isinstance(expression, Circle):
        centre = Point(Element(expression, 1, _DEGREES), Element(expression, 2, _DEGREES), ADQL_TYPES["POINT"])
        return Circle(centre, _radius(Element(expression, 3, _DEGREES)), expression.column)
    if kind not in GEOMETRIES:
        raise RefusedError(
            f"{where} takes geometries, but this is none", at, "For example POINT(ra, dec) or CIRCLE(ra, dec, radius)"
        )
    return expression


def shape_of(expression: Expression) -> sky.Shape | None:
    """The shape, if it is a constant one. Raises ShapeError if its numbers make no shape."""
    match expression:
        case Point():
            numbers = [value_of(expression.ra), value_of(expression.dec)]
        case Circle():
            numbers = [value_of(e) for e in (expression.centre.ra, expression.centre.dec, expression.radius)]
        case Polygon():
            numbers = [value_of(e) for vertex in expression.vertices for e in (vertex.ra, vertex.dec)]
        case _:
            return None
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    return sky.polygon(known) if isinstance(expression, Polygon) else sky.Circle(*known)


# Computing with them --------------------------------------------------------------------------------------------------


def relation(
    name: Literal["CONTAINS", "INTERSECTS"], first: Expression, second: Expression, first_at: int, second_at: int
) -> Relation:
    """CONTAINS or INTERSECTS."""
    a, b = as_geometry(first, name, first_at), as_geometry(second, name, second_at)
    kinds = kind_of(a), kind_of(b)
    if name == "CONTAINS" and kinds[1] == "point" and kinds[0] != "point":
        raise RefusedError("CONTAINS looks for its first argument in its second, which must be a region", second_at)
    if name == "INTERSECTS" and kinds[0] != "point" and kinds[1] == "point":
        a, b = b, a
    if name == "INTERSECTS" and kind_of(a) == "point":
        # A point meets what contains it (ADQL 2.1, section 4.2.15).
        name = "CONTAINS"
    return Relation(name, a, b, _TRUTH[name])


def distance(first: Expression, second: Expression, first_at: int, second_at: int) -> Distance:
    """DISTANCE of two points."""
    return Distance(as_point(first, "DISTANCE", first_at), as_point(second, "DISTANCE", second_at), _DISTANCE)


def coordinate(name: str, geometry: Expression, at: int) -> Expression:
    """COORD1 or COORD2 of a point: the same quantity as the column that it was made of."""
    where = as_point(geometry, name, at)
    return where.ra if name == "COORD1" else where.dec


def coordinate_system(geometry: Expression, at: int) -> Constant:
    """COORDSYS: all is ICRS here."""
    as_geometry(geometry, "COORDSYS", at)
    return Constant("ICRS", ADQL_TYPES["VARCHAR"])


def area(geometry: Expression, at: int) -> Call:
    """AREA in square degrees."""
    return Call(_AREA_OF, (as_geometry(geometry, "AREA", at),), _AREA)


def centroid(geometry: Expression, at: int) -> Expression:
    """CENTROID: the centre of a circle, the centre of gravity of a polygon."""
    geometry = as_geometry(geometry, "CENTROID", at)
    if isinstance(geometry, Point):
        return geometry
    if isinstance(geometry, Circle):
        return geometry.centre
    if kind_of(geometry) == "moc":
        raise RefusedError("The centroid of a MOC is not computed here", at)
    return Call(_CENTROID_OF, (geometry,), ADQL_TYPES["POINT"])


def _area_sql(arguments: Sequence[Column]) -> str:
    return {
        "point": "CASE WHEN {0} IS NOT NULL THEN 0::float8 END",
        "circle": "(4 * pi() * power(sin(radians(({0})[3]) / 2) * 180 / pi(), 2))",
        "polygon": "adql.polygon_area({0})",
        "moc": "adql.moc_area(adql.moc({0}))",
    }[arguments[0].xtype or ""]


_RADIUS: Final = Function(
    "RADIUS",
    (Parameter("radius", "NUMERIC"),),
    "DOUBLE PRECISION",
    "",
    "CASE WHEN {0} BETWEEN 0 AND 180 THEN {0} END",
    lambda arguments: arguments[0],
)
_GEOMETRY: Final = (Parameter("geometry", "ANY"),)
_AREA_OF: Final = Function("AREA", _GEOMETRY, "DOUBLE PRECISION", "", _area_sql, lambda _: _AREA)
_CENTROID_OF: Final = Function(
    "CENTROID", _GEOMETRY, "POINT", "", "adql.polygon_centroid({0})", lambda _: ADQL_TYPES["POINT"]
)
