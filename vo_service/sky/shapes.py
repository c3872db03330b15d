"""Circles and polygons as values: what a query says in constants. Positions are degrees in ICRS.

The same definitions hold for shapes that the database computes with (`schema.sql`, HEALPix and geometry).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vo_service.sky.angles import separation, unit_vectors

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_SEEN = 1e-9
"""Cosine from which a vertex counts as seen from the centre of a polygon's plane."""

_SEEN_WELL = 0.1
"""Cosine from which no better centre is looked for, at first: figures on the plane lose digits far out."""


_AT_ONCE = 300_000
"""Pairs of a position and an edge that are computed with at once, in some tens of megabytes."""


class ShapeError(ValueError):
    """These numbers make no shape; the message says why."""


@dataclass(frozen=True)
class Circle:
    """All positions within `radius` of a centre, the edge included; a point is a circle of radius 0.

    Parameters
    ----------
    ra, dec
        Centre [deg]; dec in [-90, 90].
    radius
        [deg] in [0, 180].
    """

    ra: float
    dec: float
    radius: float = 0.0

    @property
    def bounds(self) -> Circle:
        """A circle that holds the shape."""
        return self

    def inside(self, ra: ArrayLike, dec: ArrayLike) -> Booleans:
        """Whether positions lie in the circle."""
        return separation(ra, dec, self.ra, self.dec) <= self.radius

    def edge_distance(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """The angle [deg] between positions and the edge."""
        return np.abs(separation(ra, dec, self.ra, self.dec) - self.radius)


@dataclass(frozen=True)
class Polygon:
    """The smaller side of a closed line of great circle arcs; it must fit into an open hemisphere.

    In whichever sense the vertices go round (ADQL 2.1, section 4.2.9, knows no other side). Positions on the very edge
    may count as inside or outside.

    Parameters
    ----------
    vertices
        Right ascension and declination [deg] of three or more vertices.

    Raises
    ------
    ShapeError
        There are fewer vertices, or they fit into no hemisphere.
    """

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.vertices) < 3:
            raise ShapeError(f"a polygon has three vertices or more, not {len(self.vertices)}")
        self._centre  # noqa: B018 (it raises)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Longitudes and latitudes in turn (DALI 1.1, section 3.3.7)."""
        return tuple(number for vertex in self.vertices for number in vertex)

    @cached_property
    def bounds(self) -> Circle:
        """A circle that holds the polygon."""
        x, y, z = self._centre
        ra, dec = math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
        lon, lat = np.array(self.vertices).T
        return Circle(ra, dec, float(separation(lon, lat, ra, dec).max()))

    @cached_property
    def _corners(self) -> Floats:
        """Unit vectors of the vertices, shape (n, 3)."""
        lon, lat = np.array(self.vertices, float).T
        return unit_vectors(lon, lat)

    @cached_property
    def _centre(self) -> Floats:
        """A direction from which all vertices are seen: nearly always their mean.

        Else it is moved towards the one that it sees least, ever less [1]_: 400 times are enough for polygons that
        reach 88 degrees from their centre.

        References
        ----------
        .. [1] Badoiu and Clarkson 2003, Smaller core-sets for balls, section 3
        """
        centre = self._corners.mean(axis=0)
        for attempt in range(400):
            heights = self._corners @ centre
            if heights.min() > _SEEN_WELL / (attempt + 1) * np.linalg.norm(centre):
                break
            centre = centre + (self._corners[heights.argmin()] - centre) / (attempt + 2)
        length = float(np.linalg.norm(centre))
        if (self._corners @ centre).min() <= _SEEN * length:
            raise ShapeError("a polygon must fit into a hemisphere; larger regions can be put together from several")
        return np.asarray(centre / length)

    @cached_property
    def _plane(self) -> tuple[Floats, Floats]:
        """East and north of the plane in which great circles are straight, shape (2, 3), and the vertices in it."""
        x, y, _ = self._centre
        length = math.hypot(x, y)
        east = np.array([-y / length, x / length, 0.0]) if length > 1e-12 else np.array([0.0, 1.0, 0.0])
        axes = np.array([east, _cross(self._centre, east)])
        return axes, (self._corners @ axes.T) / (self._corners @ self._centre)[:, None]

    def inside(self, ra: ArrayLike, dec: ArrayLike) -> Booleans:
        """Whether positions lie in the polygon."""
        axes, corners = self._plane
        points = unit_vectors(ra, dec)
        heights = points @ self._centre
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (points @ axes[0]) / heights, (points @ axes[1]) / heights
            result = np.zeros(u.shape, bool)
            for edges in self._edges_at_once(u.size):
                (u1, v1), (u2, v2) = corners[edges].T, np.roll(corners, -1, axis=0)[edges].T
                reached = u1 + (v[..., None] - v1) * ((u2 - u1) / (v2 - v1))
                crosses = ((v1 > v[..., None]) != (v2 > v[..., None])) & (u[..., None] < reached)
                result ^= np.logical_xor.reduce(crosses, axis=-1)
        return result & (heights > 0)

    def edge_distance(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """The angle [deg] between positions and the nearest point of the edge."""
        points = unit_vectors(ra, dec)
        chord, sine = np.full(points.shape[:-1], np.inf), np.full(points.shape[:-1], np.inf)
        for edges in self._edges_at_once(chord.size):
            a, b, normal, behind, before = (values[edges] for values in self._edges)
            # Of differences, because the digits that tell tiny polygons from points are lost in other products.
            from_a, from_b = points[..., None, :] - a, points[..., None, :] - b
            chord = np.minimum(chord, _dot(from_a, from_a).min(axis=-1))
            between = (_dot(from_a, behind) > 0) & (_dot(from_b, before) > 0)
            above = np.where(between, np.minimum(1.0, np.abs(_dot(from_a, normal))), np.inf)
            sine = np.minimum(sine, above.min(axis=-1))
        # Beyond the polygon's hemisphere no one asks for the last digits.
        to_vertices, to_sides = 2 * np.arcsin(np.minimum(1.0, np.sqrt(chord) / 2)), np.arcsin(np.minimum(1.0, sine))
        return np.asarray(np.degrees(np.where(sine <= 1, np.minimum(to_vertices, to_sides), to_vertices)))

    @cached_property
    def _edges(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Of each edge, shape (n, 3): its ends, its normal, and the directions that lead along it from either end.

        Normals of edges that are points are zero: nothing lies above these.
        """
        a, b = self._corners, np.roll(self._corners, -1, axis=0)
        normal = _cross(a, b - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = np.where(length > 1e-15, normal / np.maximum(length, 1e-15), 0.0)
        return a, b, normal, _cross(normal, a), _cross(b, normal)

    def _edges_at_once(self, points: int) -> Iterator[slice]:
        """Edges to be looked at together, from so many positions."""
        step = max(1, _AT_ONCE // max(points, 1))
        return (slice(first, first + step) for first in range(0, len(self.vertices), step))


def _cross(a: Floats, b: Floats) -> Floats:
    """Cross products of vectors in the last axis; numpy's own takes five times as long for a few of them."""
    return np.asarray(a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]])


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("...k,...k->...", a, b))


Shape: TypeAlias = Circle | Polygon


def box(ra: float, dec: float, width: float, height: float) -> Polygon:
    """A box: its sides are great circles at right angles to the arms of a cross in its centre (STC 1.33, 4.5.1.5).

    Parameters
    ----------
    ra, dec
        Centre [deg].
    width, height
        Lengths [deg] of the arms along and across the circle of latitude, in (0, 180).

    Raises
    ------
    ShapeError
        A length is out of range.
    """
    if not (0 < width < 180 and 0 < height < 180):
        raise ShapeError("the sides of a box are longer than 0 and shorter than 180 degrees")
    e, n = math.tan(math.radians(width / 2)), math.tan(math.radians(height / 2))
    return Polygon(tuple(_beside(ra, dec, *corner) for corner in ((-e, -n), (e, -n), (e, n), (-e, n))))


def _beside(ra: float, dec: float, east: float, north: float) -> tuple[float, float]:
    """The position seen at tangent-plane coordinates around a centre."""
    sine, cosine = math.sin(math.radians(dec)), math.cos(math.radians(dec))
    ahead, up = cosine - north * sine, sine + north * cosine
    across = math.hypot(ahead, east)
    return (ra + math.degrees(math.atan2(east, ahead))) % 360.0, math.degrees(math.atan2(up, across))


def polygon(numbers: Sequence[float]) -> Polygon:
    """The polygon of longitudes and latitudes in turn. Raises ShapeError."""
    return _polygon(tuple(numbers))


@lru_cache(4)
def _polygon(numbers: tuple[float, ...]) -> Polygon:
    """Each step of a query's translation asks for the same one, which has computed things by then."""
    return Polygon(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
