"""MOCs in ASCII form, and those of shapes, against mocpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import cast

import hpgeom
import numpy as np
import pytest
from astropy.coordinates import Angle, Latitude, Longitude
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC
from numpy.typing import NDArray

from tests.support.sphere import EDGE, along_edge, depth, distance, going, star
from vo_service.sky.cover import Ranges, coarsened, difference, intersection, merge
from vo_service.sky.moc import Moc, MocError, moc_of_shape, moc_text, parse_moc
from vo_service.sky.shapes import Circle, polygon

many = settings(max_examples=200, deadline=None)
centres = st.one_of(
    st.tuples(st.floats(0, 359.99), st.floats(-90, 90)), st.sampled_from([(0.0, 90.0), (7.0, -90.0), (0.0, 0.0)])
)


@st.composite
def cells(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Orders with the first and last cell of a range."""
    found = []
    for order in draw(st.lists(st.integers(0, 29), min_size=1, max_size=6)):
        first = draw(st.integers(0, 12 * 4**order - 1))
        found.append((order, first, draw(st.integers(first, min(12 * 4**order - 1, first + 40)))))
    return found


def written(parts: list[tuple[int, int, int]]) -> str:
    return " ".join(f"{order}/{first}" + (f"-{last}" if last > first else "") for order, first, last in sorted(parts))


def judged(parts: list[tuple[int, int, int]]) -> MOC:
    """As mocpy reads it: each range alone, because it takes none that overlap."""
    return reduce(MOC.union, [MOC.from_string(written([part])) for part in parts])


@many
@given(parts=cells())
def test_ascii(parts: list[tuple[int, int, int]]) -> None:
    text = written(parts)
    moc = parse_moc(text)
    assert moc.array.tolist() == judged(parts).to_depth29_ranges.tolist()
    assert moc.order == max(order for order, _, _ in parts)
    again = moc_text(moc)
    assert parse_moc(again) == moc
    assert MOC.from_string(again).to_depth29_ranges.tolist() == moc.array.tolist()
    assert MOC.from_string(again).max_order == moc.order


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("0/", ()),
        ("s0/0-11", ((0, 12 << 58),)),
        ("29/0", ((0, 1),)),
        ("29/3458764513820540927", ((12 * 4**29 - 1, 12 * 4**29),)),
        (" 1/1 ,\n 2 3/ ", ((1 << 56, 3 << 56),)),
        ("10/96 11/3", ((3 << 36, 4 << 36), (96 << 38, 97 << 38))),
        ("1/1-3 2/4", ((1 << 56, 4 << 56),)),
    ],
)
def test_forms(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_moc(text).ranges == ranges


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "s", "x", "1", "1/1 x", "1/48", "1/3-2", "30/1", "1/-1", "1/1.5", "-1/1", "1 2/3", "1/1-", "1//1"),
        *("1/99999999999999999999", "t61/1", '{"1": [1]}', "1/1;2"),
    ],
)
def test_no_mocs(text: str) -> None:
    with pytest.raises(MocError):
        parse_moc(text)


@many
@given(one=cells(), other=cells())
def test_sets(one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]) -> None:
    # Some cells of the other are in the one.
    other = [*other, *one[:2]]
    a, b = parse_moc(written(one)).array, parse_moc(written(other)).array
    x, y = judged(one), judged(other)
    assert merge(np.concatenate([a, b])).tolist() == x.union(y).to_depth29_ranges.tolist()
    assert intersection(a, b).tolist() == x.intersection(y).to_depth29_ranges.tolist()
    # By what is left of the whole: mocpy's difference errs where orders differ (0.21).
    assert difference(a, b).tolist() == x.intersection(y.complement()).to_depth29_ranges.tolist()


@many
@given(parts=cells(), most=st.integers(2, 8))
def test_fewer_ranges_hold_all(parts: list[tuple[int, int, int]], most: int) -> None:
    ranges = parse_moc(written(parts)).array
    fewer = coarsened(ranges, most)
    assert len(fewer) <= most
    assert len(difference(ranges, fewer)) == 0
    assert fewer[0, 0] == ranges[0, 0]
    assert fewer[-1, 1] == ranges[-1, 1]


@settings(max_examples=100, deadline=None)
@given(centre=centres, radius=st.one_of(st.floats(1e-4, 60), st.floats(60, 179)), finer=st.integers(0, 5))
def test_of_circles(centre: tuple[float, float], radius: float, finer: int) -> None:
    """As many cells as mocpy's finds, but for those that touch the edge within rounding."""
    order = min(29, max(0, int(np.log2(58.6 / radius))) + finer)
    moc = moc_of_shape(Circle(*centre, radius), order)
    theirs = MOC.from_cone(
        Longitude(centre[0], "deg"), Latitude(centre[1], "deg"), radius=Angle(radius, "deg"), max_depth=order
    )
    check_cells(moc, theirs, lambda ra, dec: distance(*centre, ra, dec) - radius, order)


@settings(max_examples=100, deadline=None)
@given(centre=centres, size=st.floats(1e-3, 70), finer=st.integers(0, 5), seed=st.integers(0, 2**32 - 1))
def test_of_polygons(centre: tuple[float, float], size: float, finer: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    order = min(29, max(0, int(np.log2(58.6 / size))) + finer)
    figure = star(centre, size, 7, random, 0.3)
    moc = moc_of_shape(polygon(figure.numbers), order)
    check_cells(moc, None, lambda ra, dec: -depth(figure, ra, dec), order)
    ra, dec = going(*centre, size * np.sqrt(random.uniform(0, 1, 500)), random.uniform(0, 360, 500))
    edge_ra, edge_dec, _ = along_edge(figure, 50)
    ra, dec = np.append(ra, edge_ra), np.append(dec, edge_dec)
    inside = depth(figure, ra, dec) > EDGE
    held = mocpy_of(moc).contains_lonlat(Longitude(ra, "deg"), Latitude(dec, "deg"))
    assert held[inside].all()


def mocpy_of(moc: Moc) -> MOC:
    return MOC.from_depth29_ranges(max_depth=moc.order, ranges=moc.array.astype(np.uint64))


def check_cells(moc: Moc, theirs: MOC | None, outside: Callable[..., NDArray[np.float64]], order: int) -> None:
    """Every cell that mocpy found is there; no cell is farther away than it is large."""
    shift = 2 * (29 - order)
    cells = np.concatenate([np.arange(first >> shift, last >> shift) for first, last in moc.ranges])
    ra, dec = hpgeom.pixel_to_angle(1 << order, cells)
    away = outside(ra, dec)
    assert (away < hpgeom.max_pixel_radius(1 << order) + EDGE).all()
    if theirs is not None:
        lost = difference(cast("Ranges", theirs.to_depth29_ranges.astype(np.int64)), moc.array)
        for first, last in lost.tolist():
            edges = hpgeom.boundaries(1 << order, np.arange(first >> shift, last >> shift), step=8)
            assert outside(*edges).min() > -EDGE


@pytest.mark.parametrize("order", [20, 29])
def test_too_fine(order: int) -> None:
    with pytest.raises(MocError, match="take a lower order"):
        moc_of_shape(Circle(10, 20, 30), order)
