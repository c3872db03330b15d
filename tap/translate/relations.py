"""Relations of geometries as SQL: which formula or function (`schema.sql`, HEALPix and geometry) tells of which two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tap.translate.types import Kind
from vo_service.sky.predicates import literal, separation_sql

_SAME_PLACE: Final = literal(1e-10)
"""Degrees within which two points are one: 0.4 micro-arcseconds, as far as doubles tell positions apart."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A geometry in SQL.

    `parts` are right ascension and declination of a point, with the radius those of a circle; the array of a polygon;
    the int8multirange of a MOC.
    """

    kind: Kind
    parts: tuple[str, ...]


Formula = Callable[..., str]


def relation_sql(name: str, first: Operand, second: Operand) -> str:
    """The condition that two geometries are so related."""
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
