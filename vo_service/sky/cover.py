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

from vo_service.sky.healpix import PIXELS, at_order_29

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

_NOTHING = np.empty((0, 2), np.int64)


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
        radius = max(radius, _SMALLEST)
        return Cover(_NOTHING, _circle(ra, dec, radius, _order(radius, 2), inclusive=True))
    order = _order(radius, 3)
    touched = _circle(ra, dec, radius, order, inclusive=True)
    inside = _circle(ra, dec, radius - _MARGIN - hpgeom.max_pixel_radius(1 << order), order, inclusive=False)
    return Cover(inside, difference(touched, inside))


def merge(ranges: Ranges) -> Ranges:
    """Ranges in any order, overlapping or not, as the fewest that hold the same pixels."""
    if len(ranges) == 0:
        return _NOTHING
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


def _order(radius: float, finer: int) -> int:
    """The order whose cells are so many halvings smaller than a radius: 58.6 degrees is the side of a base cell."""
    return max(0, math.floor(math.log2(58.6 / radius)) + finer)


def _circle(ra: float, dec: float, radius: float, order: int, *, inclusive: bool) -> Ranges:
    if radius <= 0:
        return _NOTHING
    pixels = hpgeom.query_circle(
        1 << order, ra % 360.0, dec, radius + (_MARGIN if inclusive else 0), inclusive=inclusive, nest=True,
        return_pixel_ranges=True,
    )  # fmt: skip
    return merge(at_order_29(pixels, order))
