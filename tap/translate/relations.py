"""Relations of geometries as SQL: which formula or function (`schema.sql`, HEALPix and geometry) tells of which two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tap.translate.types import Kind
from vo_service.sky.cover import EVERYTHING, NOTHING, Ranges, difference, shape_cover
from vo_service.sky.predicates import literal, multirange, separation_sql
from vo_service.sky.shapes import Shape

_SAME_PLACE: Final = literal(1e-10)
"""Degrees within which two points are one: 0.4 micro-arcseconds, as far as doubles tell positions apart."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A geometry in SQL.

    `parts` are right ascension and declination of a point, with the radius those of a circle; the array of a polygon;
    the int8multirange of a MOC. `shape` is that of a circle or polygon that is constant.
    """

    kind: Kind
    parts: tuple[str, ...]
    shape: Shape | None = None


Formula = Callable[..., str]


def relation_sql(name: str, first: Operand, second: Operand) -> str:
    """The condition that two geometries are so related."""
    if "point" not in (first.kind, second.kind) and (first.kind == "moc") != (second.kind == "moc"):
        return _with_moc(name, first, second)
    formulas = _CONTAINS if name == "CONTAINS" else _INTERSECTS
    return formulas[first.kind, second.kind](*first.parts, *second.parts)


def _point_in_point(ra1: str, dec1: str, ra2: str, dec2: str) -> str:
    return f"{separation_sql(ra1, dec1, ra2, dec2)} <= {_SAME_PLACE}"


def _point_in_circle(ra1: str, dec1: str, ra2: str, dec2: str, radius: str) -> str:
    return f"{separation_sql(ra1, dec1, ra2, dec2)} <= {radius}"


def _point_in_polygon(ra: str, dec: str, polygon: str) -> str:
    """The plane of a constant polygon is computed once, when the query is planned."""
    return f"adql.in_plane({ra}, {dec}, adql.polygon_plane({polygon}))"


def _point_in_moc(ra: str, dec: str, moc: str) -> str:
    return f"adql.hpx(29, {ra}, {dec}) <@ {moc}"


def _circle_in_circle(ra1: str, dec1: str, radius1: str, ra2: str, dec2: str, radius2: str) -> str:
    """The whole sky contains every circle, but not what is null."""
    most = f"CASE WHEN {radius2} >= 180 THEN 360 ELSE {radius2} END"
    return f"{separation_sql(ra1, dec1, ra2, dec2)} + {radius1} <= {most}"


def _circles_meet(ra1: str, dec1: str, radius1: str, ra2: str, dec2: str, radius2: str) -> str:
    return f"{separation_sql(ra1, dec1, ra2, dec2)} <= {radius1} + {radius2}"


def _with_moc(name: str, first: Operand, second: Operand) -> str:
    """A MOC and a circle or polygon: one contains the other if that does not meet what is outside of it.

    Edges count as meeting if a cell of a thousandth of the region's size touches both (`adql.meets_moc`).
    """
    moc, region = (first, second) if first.kind == "moc" else (second, first)
    is_outside = name == "CONTAINS" and first is moc
    (cells,) = moc.parts
    if name == "CONTAINS" and not is_outside:
        cells = f"{multirange(EVERYTHING)} - {cells}"
    is_circle = region.kind == "circle"
    numbers = f"ARRAY[{', '.join(region.parts)}]::float8[]" if is_circle else region.parts[0]
    sure, maybe = map(multirange, _cover(region.shape, is_outside))
    meets = f"adql.meets_moc({numbers}, {_truth(is_circle)}, {_truth(is_outside)}, {cells}, {sure}, {maybe})"
    return f"(NOT {meets})" if name == "CONTAINS" else meets


def _truth(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _cover(shape: Shape | None, is_outside: bool) -> tuple[Ranges, Ranges]:
    """The cells known to lie wholly in a shape, or outside of it, and all that may reach into there."""
    if shape is None:
        return NOTHING, EVERYTHING
    cover = shape_cover(shape)
    if is_outside:
        return difference(EVERYTHING, cover.all_ranges()), difference(EVERYTHING, cover.inner)
    return cover.inner, cover.all_ranges()


def _function(name: str) -> Formula:
    return lambda *parts: f"adql.{name}({', '.join(parts)})"


_CONTAINS: Final[dict[tuple[Kind, Kind], Formula]] = {
    ("point", "point"): _point_in_point,
    ("point", "circle"): _point_in_circle,
    ("point", "polygon"): _point_in_polygon,
    ("point", "moc"): _point_in_moc,
    ("circle", "circle"): _circle_in_circle,
    ("circle", "polygon"): _function("circle_in_polygon"),
    ("polygon", "circle"): _function("polygon_in_circle"),
    ("polygon", "polygon"): _function("polygon_in_polygon"),
    ("moc", "moc"): lambda first, second: f"{first} <@ {second}",
}

_INTERSECTS: Final[dict[tuple[Kind, Kind], Formula]] = {
    ("circle", "circle"): _circles_meet,
    ("circle", "polygon"): _function("circle_meets_polygon"),
    ("polygon", "circle"): lambda polygon, *circle: f"adql.circle_meets_polygon({', '.join(circle)}, {polygon})",
    ("polygon", "polygon"): _function("polygons_meet"),
    ("moc", "moc"): lambda first, second: f"{first} && {second}",
}
"""Points are not here: they meet what contains them."""
