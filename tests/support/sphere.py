"""Geometry on the sphere by bearings and distances: a judge of `vo_service.sky` and `schema.sql`, which use vectors.

Angles are degrees. Polygons are arrays of longitude and latitude, shape (n, 2), with a direction from which all of
their vertices are less than 90 degrees away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

EDGE = 1e-9
"""Degrees around an edge in which rounding may decide."""


@dataclass(frozen=True, eq=False)
class Figure:
    """A polygon with a direction from which all of it is seen."""

    centre: tuple[float, float]
    vertices: Floats

    @property
    def numbers(self) -> list[float]:
        """As DALI's xtype polygon has them."""
        return [float(number) for number in self.vertices.ravel()]

    @property
    def adql(self) -> str:
        """As a literal of ADQL."""
        return f"POLYGON({', '.join(map(repr, self.numbers))})"


def distance(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """The angle between positions, by half angles (the haversine of it, and of what is missing to 180 degrees)."""
    lon = np.radians((np.asarray(ra2, float) - np.asarray(ra1, float)) / 2)
    lat1, lat2 = np.radians(np.asarray(dec1, float)), np.radians(np.asarray(dec2, float))
    near = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin(lon) ** 2
    far = np.sin((lat2 + lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.cos(lon) ** 2
    return np.asarray(np.degrees(2 * np.arctan2(np.sqrt(near), np.sqrt(far))))


def bearing(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """The direction from a position to another, from north through east; exact for neighbours, too."""
    lon = np.radians(np.asarray(ra2, float) - np.asarray(ra1, float))
    lat1, lat2 = np.radians(np.asarray(dec1, float)), np.radians(np.asarray(dec2, float))
    north = np.sin(lat2 - lat1) + 2 * np.sin(lat1) * np.cos(lat2) * np.sin(lon / 2) ** 2
    return np.asarray(np.degrees(np.arctan2(np.cos(lat2) * np.sin(lon), north)))


def going(ra: ArrayLike, dec: ArrayLike, angle: ArrayLike, direction: ArrayLike) -> tuple[Floats, Floats]:
    """Where one arrives after going so far in a direction."""
    lat, way, course = (np.radians(np.asarray(x, float)) for x in (dec, angle, direction))
    east, ahead = np.sin(way) * np.sin(course), np.sin(way) * np.cos(course)
    outward = np.cos(lat) * np.cos(way) - np.sin(lat) * ahead
    up = np.sin(lat) * np.cos(way) + np.cos(lat) * ahead
    lon = np.asarray(ra, float) + np.degrees(np.arctan2(east, outward))
    return np.asarray(lon % 360.0), np.asarray(np.degrees(np.arctan2(up, np.hypot(east, outward))))


def in_polygon(figure: Figure, ra: ArrayLike, dec: ArrayLike) -> Booleans:
    """Whether the bearings from a position to the vertices, one after the other, turn round it once."""
    lon, lat = np.asarray(ra, float)[..., None], np.asarray(dec, float)[..., None]
    bearings = bearing(lon, lat, figure.vertices[:, 0], figure.vertices[:, 1])
    turns = (np.roll(bearings, -1, axis=-1) - bearings + 180) % 360 - 180
    seen = distance(ra, dec, *figure.centre) < 90
    return np.asarray((np.abs(turns.sum(axis=-1)) > 180) & seen)


def edge_distance(figure: Figure, lon: ArrayLike, lat: ArrayLike) -> Floats:
    """The angle to the nearest point of the edge: the distance across the track of each side, or to its ends."""
    lon, lat = np.asarray(lon, float)[..., None], np.asarray(lat, float)[..., None]
    starts, ends = figure.vertices, np.roll(figure.vertices, -1, axis=0)
    (ra, dec), (next_ra, next_dec) = starts.T, ends.T
    length, course = distance(ra, dec, next_ra, next_dec), bearing(ra, dec, next_ra, next_dec)
    away = np.radians(distance(ra, dec, lon, lat))
    turn = np.radians(bearing(ra, dec, lon, lat) - course)
    across = np.degrees(
        np.arctan2(np.abs(np.sin(away) * np.sin(turn)), np.hypot(np.cos(away), np.sin(away) * np.cos(turn)))
    )
    along = np.degrees(np.arctan2(np.sin(away) * np.cos(turn), np.cos(away)))
    beside = (along > 0) & (along < length)
    return np.asarray(np.where(beside, across, np.degrees(away)).min(axis=-1))


def depth(figure: Figure, ra: ArrayLike, dec: ArrayLike) -> Floats:
    """How deep positions lie inside; negative outside."""
    return np.asarray(np.where(in_polygon(figure, ra, dec), 1, -1) * edge_distance(figure, ra, dec))


def along_edge(figure: Figure, points: int = 80) -> tuple[Floats, Floats, float]:
    """Positions along the edge, the vertices among them, and the largest step between two of them."""
    starts, ends = figure.vertices, np.roll(figure.vertices, -1, axis=0)
    (ra, dec), (next_ra, next_dec) = starts.T, ends.T
    length, course = distance(ra, dec, next_ra, next_dec), bearing(ra, dec, next_ra, next_dec)
    lon, lat = going(ra, dec, np.arange(points)[:, None] / points * length, course)
    return lon.ravel(), lat.ravel(), float(length.max() / points)


def contains(outer: Figure, inner: Figure) -> bool | None:
    """Whether a polygon lies in another; None if their edges come too close to tell by samples of them."""
    ra, dec, step = along_edge(inner)
    inside = depth(outer, ra, dec)
    if inside.min() < -EDGE:
        return False
    return True if inside.min() > step else None


def meet(first: Figure, second: Figure) -> bool | None:
    """Whether polygons have a position in common; None if their edges come too close to tell by samples of them."""
    for one, other in ((first, second), (second, first)):
        ra, dec, step = along_edge(one)
        inside = depth(other, ra, dec)
        if inside.max() > EDGE:
            return True
        if inside.max() > -step:
            return None
    return False


def star(centre: tuple[float, float], size: float, corners: int, random: np.random.Generator, dent: float) -> Figure:
    """A polygon of vertices in turn around a centre, at distances from `dent` to 1 of its size: mostly concave."""
    turns = np.sort(random.uniform(0, 360, corners))
    # No gap of a half turn, so that the centre is inside.
    turns = np.linspace(0, 360, corners, endpoint=False) + 0.3 * (turns - turns.mean()) / corners
    ra, dec = going(*centre, size * random.uniform(dent, 1, corners), turns)
    return Figure(centre, np.column_stack([ra, dec]))
