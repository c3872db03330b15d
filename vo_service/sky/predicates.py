"""Spatial predicates in SQL: ranges of the HEALPix index, and an exact test where a range alone does not tell.

Column expressions come quoted from the caller; numbers are written so that they read back the same. A position is in a
cone if its separation from the centre is at most the radius, computed in double precision.
"""

from __future__ import annotations

from collections.abc import Iterable

from vo_service.sky.angles import without_dust
from vo_service.sky.cover import Pixels, Ranges, coarsened, cone_cover, shape_cover
from vo_service.sky.shapes import Shape

MOST_RANGES = 500
"""Ranges of an OR list at most: each costs 2-4 us of a query, and its plan about 10 us."""


def within_cone(hpx: str, ra: str, dec: str, centre_ra: float, centre_dec: float, radius: float) -> str:
    """The condition that a row's position lies in a cone, by its index.

    Parameters
    ----------
    hpx, ra, dec
        Expressions of the row's index and position [deg, ICRS].
    centre_ra, centre_dec, radius
        The cone [deg, ICRS]; radius in [0, 180].
    """
    if radius >= 180:
        return "TRUE"
    centre_ra, centre_dec = without_dust(centre_ra), without_dust(centre_dec)
    cover = cone_cover(centre_ra, centre_dec, radius)
    exact = exact_within_cone(ra, dec, literal(centre_ra), literal(centre_dec), radius)
    boundary = f"({in_ranges(hpx, cover.boundary)} AND {exact})"
    return f"({in_ranges(hpx, cover.inner)} OR {boundary})" if len(cover.inner) else boundary


def within_shape(hpx: str, exact: str, shape: Shape, margin: float | None = None) -> str:
    """The condition `exact`, which only positions in a shape fulfil, by their index.

    With a margin [deg] they may lie so far outside of it. Without one, every position in the shape fulfils it.
    """
    if margin is not None:
        bounds = shape.bounds
        cover = cone_cover(bounds.ra, bounds.dec, min(180.0, bounds.radius + margin))
        return f"{in_ranges(hpx, cover.all_ranges())} AND {exact}"
    cover = shape_cover(shape)
    boundary = f"({in_ranges(hpx, cover.boundary)} AND {exact})"
    return f"({in_ranges(hpx, cover.inner)} OR {boundary})" if len(cover.inner) else boundary


def within_moc(hpx: str, ranges: Ranges) -> str:
    """The condition that an index lies in one of many ranges: those of a MOC."""
    if len(ranges) <= MOST_RANGES:
        return in_ranges(hpx, ranges)
    return f"{in_ranges(hpx, coarsened(ranges, MOST_RANGES))} AND {hpx} <@ {multirange(ranges)}"


def in_listed_ranges(hpx: str, ranges: str) -> str:
    """The condition that an index lies in one of the four ranges of an array, as `adql.disc_ranges` gives it."""
    conditions = (between_listed(hpx, f"{ranges}[{first}]", f"{ranges}[{first + 1}]") for first in range(1, 9, 2))
    return f"({' OR '.join(conditions)})"


def between_listed(hpx: str, first: str, last: str) -> str:
    """The condition that an index lies in a range whose ends the planner does not know.

    Each bound is told several times over: of a comparison with such a value, PostgreSQL's planner expects a third of
    the table, and would rather compare every pair of rows than use the index.
    """
    bounds = [f"{hpx} >= {first} AND {hpx} <= {last}"]
    bounds += [f"{hpx} > {first} - {n} AND {hpx} < {last} + {n}" for n in range(1, TIMES_TOLD)]
    return f"({' AND '.join(bounds)})"


TIMES_TOLD = 4
"""How often: a ninth to the fourth power is expected of each range, about what a match by tenths of degrees finds."""


def multirange(ranges: Ranges) -> str:
    """Ranges as a literal of type int8multirange."""
    return "'{" + ",".join(f"[{first},{last})" for first, last in ranges.tolist()) + "}'::int8multirange"


def bigints(numbers: Pixels) -> str:
    """Integers as a literal of type bigint[]."""
    return "'{" + ",".join(map(str, numbers.tolist())) + "}'::bigint[]"


def array(numbers: Iterable[float]) -> str:
    """Finite numbers as a literal of type double precision[], which reads back the same."""
    return "'{" + ",".join(map(repr, map(float, numbers))) + "}'::float8[]"


def in_ranges(hpx: str, ranges: Ranges) -> str:
    """The condition that an index lies in one of the ranges: an OR list, which the planner estimates rightly."""
    conditions = [
        f"{hpx} = {first}" if last == first + 1 else f"{hpx} BETWEEN {first} AND {last - 1}"
        for first, last in ranges.tolist()
    ]
    # None: false of every index, null where a row has none.
    return f"({' OR '.join(conditions)})" if conditions else f"{hpx} < 0"


def exact_within_cone(ra: str, dec: str, centre_ra: str, centre_dec: str, radius: float) -> str:
    """The condition that a position lies within a fixed radius [deg] of a centre, both as expressions [deg].

    It compares the separation itself: haversines or cosines are cheaper, but differ from it in the last digit, which
    decides where positions are rounded and radii too.
    """
    return f"{separation_sql(ra, dec, centre_ra, centre_dec)} <= {literal(radius)}"


def separation_sql(ra1: str, dec1: str, ra2: str, dec2: str) -> str:
    """The separation [deg] of two positions [deg]; accurate at all distances, and defined for all of them.

    As `vo_service.sky.angles.separation` computes it.
    """
    lon = f"radians({ra2} - {ra1})"
    lat1, lat2 = f"radians({dec1})", f"radians({dec2})"
    across = f"cos({lat2}) * sin({lon})"
    along = f"cos({lat1}) * sin({lat2}) - sin({lat1}) * cos({lat2}) * cos({lon})"
    dot = f"sin({lat1}) * sin({lat2}) + cos({lat1}) * cos({lat2}) * cos({lon})"
    return f"degrees(atan2(sqrt(power({across}, 2) + power({along}, 2)), {dot}))"


def literal(number: float) -> str:
    """A finite number as a literal of type double precision that reads back the same."""
    return f"'{float(number)!r}'::float8"
