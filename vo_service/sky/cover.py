"""Covers: the ranges of the HEALPix index that hold a region.

A cover may hold more than its region, never less. Few ranges are worth more than a tight fit: each costs the database
2-4 us, a surplus row 0.2 us.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import hpgeom
import numpy as np
from numpy.typing import NDArray

from vo_service.sky.angles import separation
from vo_service.sky.healpix import ORDER, PIXELS, at_order_29
from vo_service.sky.shapes import Shape

Ranges = NDArray[np.int64]
"""Half-open ranges [first, last) of pixels of order 29, shape (n, 2), sorted, neither overlapping nor touching."""

SPLIT_RADIUS = 2.0
"""Radius [deg] from which a cone's cover tells apart the cells that lie wholly inside, whose rows need no test."""

_SMALLEST = 1e-4
"""Smallest radius [deg] that hpgeom's search is asked for; below about 1e-6 it misses cells."""

_MARGIN = 1e-9
"""Degrees by which a cell is to lie inside (4 micro-arcseconds): positions are rounded when their index is computed."""

EVERYTHING: Ranges = np.array([[0, PIXELS]])
"""The whole sphere."""

NOTHING: Ranges = np.empty((0, 2), np.int64)
"""No position."""

Pixels = NDArray[np.int64]

EDGE_LIMIT = 200_000
"""Cells along an edge that a cover may have, which bounds the time to find them to a few seconds."""


class TooManyCellsError(ValueError):
    """A cover would have more cells than are good for it."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The cells that hold a region.

    Attributes
    ----------
    inner
        Ranges that lie wholly inside.
    boundary
        Ranges that the region's edge may cross.
    """

    inner: Ranges
    boundary: Ranges

    def all_ranges(self) -> Ranges:
        """Both together."""
        return merge(np.concatenate([self.inner, self.boundary]))


def cone_cover(ra: float, dec: float, radius: float) -> Cover:
    """The cover of a cone.

    Parameters
    ----------
    ra, dec
        Centre [deg, ICRS]; `dec` in [-90, 90].
    radius
        Radius [deg] in [0, 180].

    Returns
    -------
    A cover of some ten to forty ranges in all.
    """
    if radius > 90:
        outside = cone_cover(ra + 180.0, -dec, 180.0 - min(radius, 180.0))
        return Cover(difference(EVERYTHING, outside.all_ranges()), outside.boundary)
    if radius < SPLIT_RADIUS:
        return Cover(NOTHING, cone_ranges(ra, dec, radius, 2))
    order = _order(radius, 3)
    touched = hpgeom.query_circle(1 << order, ra % 360.0, dec, radius + _MARGIN, inclusive=True, nest=True)
    sure = radius - _MARGIN - hpgeom.max_pixel_radius(1 << order)
    x, y, z = hpgeom.pixel_to_vector(1 << order, touched, nest=True)
    lon, lat = math.radians(ra), math.radians(dec)
    cosines = x * (math.cos(lat) * math.cos(lon)) + y * (math.cos(lat) * math.sin(lon)) + z * math.sin(lat)
    inside = cosines > math.cos(math.radians(sure)) if sure > 0 else np.zeros(len(touched), bool)
    return Cover(_as_ranges(touched[inside], order), _as_ranges(touched[~inside], order))


def cone_ranges(ra: float, dec: float, radius: float, halvings: int) -> Ranges:
    """The ranges that hold a cone, of cells so many halvings smaller than its radius; parameters as of `cone_cover`.

    Where every position is tested anyway there is no need to know which cells lie inside. Each halving doubles the
    number of ranges, and halves that of the rows found outside: 60 % of those inside after two, 30 % after three.
    """
    if radius > 90:
        return cone_cover(ra, dec, radius).all_ranges()
    radius = max(radius, _SMALLEST)
    return _circle(ra, dec, radius, _order(radius, halvings))


def shape_cover(shape: Shape, order: int | None = None) -> Cover:
    """The cover of any shape.

    Cells that the edge may cross are split, down to an order: the given one, else a few halvings below the shape's
    size. Only cells of that order are boundary. Raises TooManyCellsError.
    """
    bounds = shape.bounds
    size = max(bounds.radius, _SMALLEST)
    finest = min(ORDER, _order(size, 3)) if order is None else order
    level = min(finest, _order(size, 3))
    cells = _around(bounds.ra, bounds.dec, size, level)
    inner = [NOTHING]
    while True:
        inside, crossed = _sorted_out(shape, cells, level, by_corners=level == finest)
        inner.append(_as_ranges(inside, level))
        if len(crossed) > EDGE_LIMIT:
            raise TooManyCellsError(f"the edge has more than {EDGE_LIMIT:,} cells of order {level}")
        if level == finest:
            return Cover(merge(np.concatenate(inner)), _as_ranges(crossed, level))
        cells, level = (crossed[:, None] * 4 + np.arange(4)).ravel(), level + 1


def _sorted_out(shape: Shape, cells: Pixels, order: int, *, by_corners: bool) -> tuple[Pixels, Pixels]:
    """Of these cells the ones wholly inside of a shape, and the ones that its edge may cross."""
    nside = 1 << order
    ra, dec = hpgeom.pixel_to_angle(nside, cells, nest=True)
    away = shape.edge_distance(ra, dec)
    crossed = away <= hpgeom.max_pixel_radius(nside) + _MARGIN
    if by_corners and crossed.any():
        corner_ra, corner_dec = hpgeom.boundaries(nside, cells[crossed], step=1, nest=True)
        corners = separation(ra[crossed, None], dec[crossed, None], corner_ra, corner_dec)
        crossed[crossed] = away[crossed] <= corners.max(axis=1) + _MARGIN
    return cells[shape.inside(ra, dec) & ~crossed], cells[crossed]


def _around(ra: float, dec: float, radius: float, order: int) -> Pixels:
    """The cells that a circle of any size may touch, by their centres: hpgeom (1.6.1) misses some of large circles."""
    reach = radius + hpgeom.max_pixel_radius(1 << order) + _MARGIN
    if reach > 90:
        return np.arange(12 << (2 * order))
    found: Pixels = hpgeom.query_circle(1 << order, ra % 360.0, dec, reach, nest=True)
    return found


def _as_ranges(cells: Pixels, order: int) -> Ranges:
    """Sorted cells as ranges of order 29."""
    if len(cells) == 0:
        return NOTHING
    gaps = np.flatnonzero(cells[1:] != cells[:-1] + 1)
    ranges = np.empty((len(gaps) + 1, 2), np.int64)
    ranges[0, 0], ranges[1:, 0] = cells[0], cells[gaps + 1]
    ranges[:-1, 1], ranges[-1, 1] = cells[gaps] + 1, cells[-1] + 1
    return at_order_29(ranges, order)


def merge(ranges: Ranges) -> Ranges:
    """Ranges in any order, overlapping or not, as the fewest that hold the same pixels."""
    if len(ranges) == 0:
        return NOTHING
    if (ranges[1:, 0] > ranges[:-1, 1]).all():
        return ranges
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    begins = np.concatenate([[True], ranges[1:, 0] > reach[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.column_stack([ranges[begins, 0], reach[ends]])


def difference(ranges: Ranges, removed: Ranges) -> Ranges:
    """The pixels of `ranges` that are not in `removed`; both are covers' ranges."""
    if len(removed) == 0:
        return ranges
    edges = np.concatenate([ranges.ravel(), removed.ravel()])
    order = np.argsort(edges, kind="stable")
    # +1 where a range begins, -1 where it ends; the removed ones count twice against.
    steps = np.concatenate([np.tile([1, -1], len(ranges)), np.tile([-2, 2], len(removed))])[order]
    places, depth = edges[order], np.cumsum(steps)
    kept = (depth == 1)[:-1] & (np.diff(places) > 0)
    return merge(np.column_stack([places[:-1][kept], places[1:][kept]]))


def intersection(ranges: Ranges, others: Ranges) -> Ranges:
    """The pixels that are in both."""
    return difference(ranges, difference(EVERYTHING, others))


def coarsened(ranges: Ranges, most: int) -> Ranges:
    """At most so many ranges that hold these: the narrowest gaps are filled."""
    if len(ranges) <= most:
        return ranges
    gaps = ranges[1:, 0] - ranges[:-1, 1]
    kept = np.sort(np.argpartition(gaps, -(most - 1))[-(most - 1) :])
    return np.column_stack(
        [np.concatenate([ranges[:1, 0], ranges[kept + 1, 0]]), np.concatenate([ranges[kept, 1], ranges[-1:, 1]])]
    )


def _order(radius: float, finer: int) -> int:
    """The order whose cells are so many halvings smaller than a radius: 58.6 degrees is the side of a base cell."""
    return max(0, math.floor(math.log2(58.6 / radius)) + finer)


def _circle(ra: float, dec: float, radius: float, order: int) -> Ranges:
    pixels = hpgeom.query_circle(
        1 << order, ra % 360.0, dec, radius + _MARGIN, inclusive=True, nest=True, return_pixel_ranges=True
    )
    return merge(at_order_29(pixels, order))
