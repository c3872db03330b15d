"""Sky maps: where on the sky a source is, as probability density on HEALPix cells of any size.

Cells are ranges of the index of order 29, as events have it, so that an event is in a cell if its index is between two
numbers. Cells of no probability are left out; neighbours of one density are one range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import hpgeom
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vo_service.errors import ServiceError
from vo_service.sky.angles import separation
from vo_service.sky.cover import Ranges, merge
from vo_service.sky.healpix import ORDER, PIXELS, hpx

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SKY: Final = 360.0**2 / math.pi
"""Area of the whole sphere [deg2]."""

_PIXEL_AREA: Final = SKY / PIXELS

_CELLS_PER_SIGMA: Final = 4
"""Cells of a Gaussian's map along its standard deviation, at least: overlaps come out right to 0.1 %."""

_REACH: Final = 5.0
"""Standard deviations to which a Gaussian's map reaches; 4e-6 of the probability lies outside."""

_SMALLEST_SIGMA: Final = 1e-5
"""Degrees; errors below it are drawn as this one. hpgeom's search misses cells of much smaller discs."""


class SkyMapError(ServiceError):
    """This is no sky map that can be used; the message says what was expected."""

    status = 400


@dataclass(frozen=True)
class SkyMap:
    """A probability density on the sphere, normalised to 1; made by `from_ranges`.

    Attributes
    ----------
    first, last
        Cells as ranges of HEALPix indices (nested, order 29, ICRS), both ends included; sorted, apart from each other.
    density
        Probability density in each [1/deg2], greater than 0.
    """

    first: Integers
    last: Integers
    density: Floats

    @classmethod
    def from_ranges(cls, first: Integers, last: Integers, probability: Floats) -> Self:
        """The map of cells in any order with the probability in each, in any scale. Raises SkyMapError."""
        if not (np.isfinite(probability).all() and (probability >= 0).all()):
            raise SkyMapError("The sky map has probabilities that are negative or not finite")
        if len(first) and not (first.min() >= 0 and last.max() < PIXELS and (first <= last).all()):
            raise SkyMapError("The sky map has cells that are not on the sphere")
        kept = probability > 0
        order = np.argsort(first[kept], kind="stable")
        first, last, probability = first[kept][order], last[kept][order], probability[kept][order]
        if (first[1:] <= last[:-1]).any():
            raise SkyMapError("The sky map has cells that overlap")
        total = float(probability.sum())
        if not (len(first) and math.isfinite(total)):
            raise SkyMapError("The sky map has no probability in it")
        density = probability / total / ((last - first + 1) * _PIXEL_AREA)
        return cls._joined(first, last, density)

    @classmethod
    def _joined(cls, first: Integers, last: Integers, density: Floats) -> Self:
        """Neighbours of one density as one range each, with their levels."""
        # Densities that differ in the last digits come from the division above.
        breaks = (first[1:] != last[:-1] + 1) | ~np.isclose(density[1:], density[:-1], rtol=1e-12, atol=0)
        begins = np.concatenate([[True], breaks])
        ends = np.concatenate([breaks, [True]])
        return cls(first[begins], last[ends], density[begins])

    @classmethod
    def gaussian(cls, ra: float, dec: float, sigma: float) -> Self:
        """The map of a position [deg, ICRS] with a circular Gaussian error: `sigma` [deg] is that of each coordinate.

        On the sphere, the density falls as exp(-2 sin(r/2)^2 / sigma^2) (Fisher 1953, Proc. R. Soc. A 217, 295).
        """
        sigma = max(sigma, _SMALLEST_SIGMA)
        order = min(ORDER, max(3, math.ceil(math.log2(58.6 * _CELLS_PER_SIGMA / sigma))))
        nside = 1 << order
        reach = min(180.0, _REACH * sigma)
        if reach > 90:
            cells = np.arange(12 * nside**2)
        else:
            cells = hpgeom.query_circle(nside, ra % 360.0, dec, reach, inclusive=True, nest=True)
        longitude, latitude = hpgeom.pixel_to_angle(nside, cells, nest=True)
        half = np.radians(separation(ra, dec, longitude, latitude)) / 2
        probability = np.exp(-2 * (np.sin(half) / math.radians(sigma)) ** 2)
        shift = 2 * (ORDER - order)
        return cls.from_ranges(cells << shift, ((cells + 1) << shift) - 1, probability)

    @cached_property
    def level(self) -> Floats:
        """Credible level at which each range is reached when cells are taken by falling density.

        It is the probability of all cells that are at least as dense, in (0, 1]. The 90 % region is that of
        `level <= 0.9` (LIGO/Virgo/KAGRA Public Alerts User Guide); it may be empty where a single cell holds more.
        """
        order = np.argsort(-self.density, kind="stable")
        falling = self.density[order]
        reached = np.cumsum(self.probability[order])
        reached /= reached[-1]
        last_of_equals = np.searchsorted(-falling, -falling, side="right") - 1
        levels = np.empty_like(reached)
        levels[order] = reached[last_of_equals]
        return levels

    @cached_property
    def probability(self) -> Floats:
        """Probability in each range; their sum is 1."""
        return self.density * self.area_of_cells

    @cached_property
    def area_of_cells(self) -> Floats:
        """Area of each range [deg2]."""
        areas: Floats = (self.last - self.first + 1) * _PIXEL_AREA
        return areas

    @cached_property
    def peak(self) -> tuple[float, float]:
        """The middle of the densest cell: right ascension and declination [deg, ICRS]."""
        densest = slice(place := int(np.argmax(self.density)), place + 1)
        _, cell, order = _split(self.first[densest], self.last[densest])
        ra, dec = hpgeom.pixel_to_angle(np.int64(1) << order[:1], cell[:1], nest=True)
        return float(ra[0]), float(dec[0])

    @cached_property
    def _cells(self) -> tuple[Integers, Floats, Floats, Floats]:
        """The HEALPix cells that the ranges are made of: place of the range, middle [deg] and area [deg2] of each."""
        place, cell, order = _split(self.first, self.last)
        ra, dec = hpgeom.pixel_to_angle(np.int64(1) << order, cell, nest=True)
        return place, ra, dec, SKY / (12 * np.exp2(2.0 * order))

    def level_at(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Credible level at which positions [deg, ICRS] are reached; 1 where the map has no probability."""
        return self._at(hpx(ra, dec), self.level, 1.0)

    def density_at(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Probability density [1/deg2] at positions [deg, ICRS]."""
        return self._at(hpx(ra, dec), self.density, 0.0)

    def region(self, level: float) -> Ranges:
        """The cells of a credible level in (0, 1], as half-open ranges."""
        chosen = self._within(level)
        return merge(np.column_stack([self.first[chosen], self.last[chosen] + 1]))

    def area(self, level: float) -> float:
        """Area of the region of a credible level [deg2]."""
        return float(self.area_of_cells[self._within(level)].sum())

    def searched_area(self, level: ArrayLike) -> Floats:
        """Area of all cells that are reached by each level [deg2]: that of level 0.9 is `area(0.9)`."""
        levels, areas = self._areas
        found: Floats = areas[np.searchsorted(levels, level, side="right")]
        return found

    @cached_property
    def _areas(self) -> tuple[Floats, Floats]:
        """Levels, ascending, and the area that has been reached before each, and after the last."""
        order = np.argsort(self.level, kind="stable")
        return self.level[order], np.concatenate([[0.0], np.cumsum(self.area_of_cells[order])])

    def containment_radii(self, ra: float, dec: float, levels: ArrayLike) -> Floats:
        """Radii [deg] around a position [deg, ICRS] within which so much of the probability lies.

        Right to about the size of the cells there, whose middles are what counts.
        """
        place, longitude, latitude, area = self._cells
        distance = separation(ra, dec, longitude, latitude)
        order = np.argsort(distance, kind="stable")
        probability = (self.density[place] * area)[order]
        # A cell's middle is reached when half of it is.
        reached = np.cumsum(probability) - probability / 2
        radii: Floats = np.interp(np.asarray(levels, float), reached, distance[order])
        return radii

    def probability_between(self, first: Integers, last: Integers) -> Floats:
        """Probability in ranges of indices, both ends included."""
        return self._probability_before(last + 1) - self._probability_before(first)

    def _probability_before(self, index: Integers) -> Floats:
        place = np.maximum(np.searchsorted(self.first, index, side="right") - 1, 0)
        within = np.clip(index - self.first[place], 0, self.last[place] - self.first[place] + 1)
        found: Floats = self._reached[place] + self.density[place] * (within * _PIXEL_AREA)
        return found

    @cached_property
    def _reached(self) -> Floats:
        """Probability before each range."""
        return np.concatenate([[0.0], np.cumsum(self.probability)[:-1]])

    def _within(self, level: float) -> NDArray[np.bool_]:
        return self.level <= level

    def _at(self, index: Integers, values: Floats, outside: float) -> Floats:
        place = np.maximum(np.searchsorted(self.first, index, side="right") - 1, 0)
        inside = (index >= self.first[place]) & (index <= self.last[place])
        found: Floats = np.where(inside, values[place], outside)
        return found


def overlap(a: SkyMap, b: SkyMap) -> float:
    """The overlap integral of two maps: the sphere's area times the integral of the product of their densities.

    1 for a map that knows nothing with any other; much larger where both agree; 0 where they exclude each other
    (Ashton et al. 2018, ApJ 860, 6; in RAVEN: Urban 2016, PhD thesis, Univ. of Wisconsin-Milwaukee).
    """
    few, many = (a, b) if len(a.first) < len(b.first) else (b, a)
    return float(SKY * np.sum(few.density * many.probability_between(few.first, few.last)))


def joint(a: SkyMap, b: SkyMap) -> SkyMap | None:
    """The map of a source that both maps show: their product. None if they exclude each other."""
    few, many = (a, b) if len(a.first) < len(b.first) else (b, a)
    begin, end = np.searchsorted(many.last, few.first[0]), np.searchsorted(many.first, few.last[-1], side="right")
    # Between these edges neither map changes.
    edges = np.unique(np.concatenate([few.first, few.last + 1, many.first[begin:end], many.last[begin:end] + 1]))
    product = a._at(edges[:-1], a.density, 0.0) * b._at(edges[:-1], b.density, 0.0)
    both = product > 0
    if not both.any():
        return None
    probability = (product / product.max() * np.diff(edges))[both]
    return SkyMap.from_ranges(edges[:-1][both], edges[1:][both] - 1, probability)


def _split(first: Integers, last: Integers) -> tuple[Integers, Integers, Integers]:
    """Ranges as the fewest cells: of each the place of its range, its number and its order."""
    place, low, high = np.arange(len(first)), first, last + 1
    parts = []
    # No range has two whole cells of the order before this one.
    longest = int((high - low).max()).bit_length() // 2 + 1
    for order in range(max(0, ORDER - longest), ORDER + 1):
        if len(place) == 0:
            break
        shift = 2 * (ORDER - order)
        begin = -(-low >> shift)
        count = np.maximum((high >> shift) - begin, 0)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        parts.append((np.repeat(place, count), np.repeat(begin, count) + within, np.full(len(within), order)))
        # What is left before the whole cells and behind them; all of it where there are none.
        left = np.where(count > 0, begin << shift, high)
        right = np.where(count > 0, (begin + count) << shift, high)
        place, low, high = np.tile(place, 2), np.concatenate([low, right]), np.concatenate([left, high])
        kept = low < high
        place, low, high = place[kept], low[kept], high[kept]
    places, cells, orders = (np.concatenate(values) for values in zip(*parts, strict=True))
    return places, cells, orders
