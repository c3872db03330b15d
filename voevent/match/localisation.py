"""How two positions with errors, or sky maps, lie to each other. Pure: numbers in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, assert_never

import hpgeom
import numpy as np
from numpy.typing import NDArray

from vo_service.sky.angles import separation
from vo_service.sky.cover import Ranges, merge
from vo_service.sky.healpix import at_order_29
from voevent.match.rules import ErrorCircles, Overlap, Region, Separation, Sky
from voevent.match.statistics import disc_area, gaussian_overlap, gaussian_radius
from voevent.skymap import SKY, Floats, SkyMap, overlap

RANGES: Final = 4_000
"""Ranges of a map's region that a query searches at most: those of large maps would take longer than what they save."""


@dataclass(frozen=True, slots=True)
class Localisation:
    """Where an alert is.

    Attributes
    ----------
    ra, dec
        Best position [deg, ICRS]; the map's peak where the alert has a map and no position of its own.
    sigma
        Standard deviation of each coordinate [deg]; None if the error is not known.
    skymap
        None if there is none; else it counts, and sigma does not.
    """

    ra: float
    dec: float
    sigma: float | None = None
    skymap: SkyMap | None = None

    @property
    def r90(self) -> float:
        """Radius of 90 % containment [deg]; 0 if the error is not known."""
        if self.skymap is not None:
            return float(self.skymap.containment_radii(self.ra, self.dec, 0.9))
        return gaussian_radius(self.sigma, 0.9) if self.sigma else 0.0


@dataclass(frozen=True, slots=True)
class Points:
    """Positions [deg, ICRS] with standard deviations [deg], 0 where the error is not known; one row each."""

    ra: Floats
    dec: Floats
    sigma: Floats

    @property
    def r90(self) -> Floats:
        """Radii of 90 % containment [deg]; 0 where the error is not known."""
        radii: Floats = self.sigma * gaussian_radius(1.0, 0.9)
        return radii

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Points:
        return Points(self.ra[chosen], self.dec[chosen], self.sigma[chosen])


@dataclass(frozen=True, slots=True)
class Measures:
    """How each of a number of positions, or one sky map, lies to a localisation.

    Attributes
    ----------
    separation
        Of the best positions [deg].
    level
        Credible level of the localisation at which a position is reached; NaN if its error is not known.
    area
        What is searched until a position is reached [deg2]: the cells of a map that are at least as dense, or the disc
        up to its separation.
    overlap
        Overlap integral; NaN if no error is known.
    """

    separation: Floats
    level: Floats
    area: Floats
    overlap: Floats

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Measures:
        return Measures(self.separation[chosen], self.level[chosen], self.area[chosen], self.overlap[chosen])


def measure_points(place: Localisation, points: Points, *, with_overlap: bool = True) -> Measures:
    """How positions lie to a localisation; overlap integrals with maps take milliseconds each."""
    distance = separation(place.ra, place.dec, points.ra, points.dec)
    if place.skymap is not None:
        level = place.skymap.level_at(points.ra, points.dec)
        outside = place.skymap.density_at(points.ra, points.dec) == 0
        area = np.where(outside, SKY, place.skymap.searched_area(level))
    else:
        level = _circle_level(distance, place.sigma)
        area = np.array([disc_area(value) for value in distance.tolist()])
    integral = _overlaps(place, points, distance) if with_overlap else np.full(len(distance), math.nan)
    return Measures(distance, level, area, integral)


def measure_pair(first: Localisation, second: Localisation) -> Measures:
    """How two alerts lie to each other, as one row. The level is that of the map, where only one has a map."""
    if second.skymap is None:
        return measure_points(first, _point(second))
    if first.skymap is None:
        return measure_points(second, _point(first))
    measures = measure_points(first, _point(second), with_overlap=False)
    return replace(measures, overlap=np.array([overlap(first.skymap, second.skymap)]))


def passes(sky: Sky, measures: Measures, first: Localisation, second: Localisation | Points) -> NDArray[np.bool_]:
    """Which rows fulfil an angular criterion; `measures` are those of both."""
    match sky:
        case Separation():
            return measures.separation <= sky.radius
        case ErrorCircles():
            together = sky.factor * np.hypot(first.r90, second.r90)
            return measures.separation <= np.minimum(together, sky.within)
        case Region():
            return measures.level <= sky.level
        case Overlap():
            return measures.overlap >= sky.minimum
        case _:
            assert_never(sky)


def search_region(sky: Sky, place: Localisation) -> Ranges | tuple[float, float, float]:
    """Where positions must lie to fulfil a criterion: ranges of the index, or a cone (ra, dec, radius) [deg]."""
    match sky:
        case Separation():
            return place.ra, place.dec, sky.radius
        case ErrorCircles():
            return place.ra, place.dec, sky.within
        case Region() | Overlap():
            reach = sky.reach if isinstance(sky, Overlap) else 0.0
            if place.skymap is not None:
                return fewer(widened(place.skymap.region(sky.level), reach), RANGES)
            radius = gaussian_radius(place.sigma, sky.level) if place.sigma else 0.0
            return place.ra, place.dec, min(180.0, radius + reach)
        case _:
            assert_never(sky)


def widened(ranges: Ranges, reach: float) -> Ranges:
    """Ranges that hold all positions up to so many degrees (at most 30) from these, and some more."""
    if reach == 0 or len(ranges) == 0:
        return ranges
    # A disc around any point of a cell of this order does not reach beyond the cell's neighbours (as adql.disc_ranges).
    order = max(0, math.floor(math.log2(0.67 * 58.6 / reach)))
    shift = 2 * (29 - order)
    parts = [np.arange(first >> shift, ((last - 1) >> shift) + 1) for first, last in ranges.tolist()]
    cells = np.unique(np.concatenate(parts))
    around = hpgeom.neighbors(1 << order, cells).ravel()
    cells = np.union1d(cells, around[around >= 0])
    return merge(at_order_29(np.column_stack([cells, cells + 1]), order))


def fewer(ranges: Ranges, most: int) -> Ranges:
    """So many ranges at most, that hold these: what is between them is searched too."""
    for order in range(11, -1, -1):
        if len(ranges) <= most:
            break
        shift = 2 * (29 - order)
        ranges = merge(np.column_stack([ranges[:, 0] >> shift, ((ranges[:, 1] - 1) >> shift) + 1])) << shift
    return ranges


def localisations(points: Points) -> list[Localisation]:
    """Positions one by one."""
    rows = zip(points.ra.tolist(), points.dec.tolist(), points.sigma.tolist(), strict=True)
    return [Localisation(ra, dec, sigma or None) for ra, dec, sigma in rows]


def _point(place: Localisation) -> Points:
    return Points(np.array([place.ra]), np.array([place.dec]), np.array([place.sigma or 0.0]))


def _circle_level(distance: Floats, sigma: float | None) -> Floats:
    if not sigma:
        return np.full(len(distance), math.nan)
    return -np.expm1(-((distance / sigma) ** 2) / 2)


def _overlaps(place: Localisation, points: Points, distance: Floats) -> Floats:
    if place.skymap is not None:
        rows = zip(points.ra.tolist(), points.dec.tolist(), points.sigma.tolist(), strict=True)
        return np.array([_overlap_with_map(place.skymap, *row) for row in rows], float)
    own = place.sigma or 0.0
    pairs = zip(distance.tolist(), points.sigma.tolist(), strict=True)
    return np.array([gaussian_overlap(r, own, sigma) if own or sigma else math.nan for r, sigma in pairs], float)


def _overlap_with_map(skymap: SkyMap, ra: float, dec: float, sigma: float) -> float:
    if sigma == 0:
        return SKY * float(skymap.density_at(ra, dec))
    return overlap(skymap, SkyMap.gaussian(ra, dec, sigma))
