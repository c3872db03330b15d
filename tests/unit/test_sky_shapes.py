"""Circles, polygons and boxes, and the covers of them, against geometry by bearings."""

from __future__ import annotations

import hpgeom
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.sphere import EDGE, along_edge, depth, distance, going, star
from vo_service.sky.cover import Ranges, shape_cover
from vo_service.sky.healpix import hpx
from vo_service.sky.shapes import Circle, Polygon, ShapeError, box, polygon

slow = settings(max_examples=150, deadline=None)
centres = st.one_of(
    st.tuples(st.floats(0, 360), st.floats(-90, 90)),
    st.sampled_from([(0.0, 90.0), (50.0, -90.0), (0.0, 0.0), (359.9999999, 5.0), (45.0, 41.810314895778596), (90, 0)]),
)
sizes = st.one_of(st.floats(-5, np.log10(80)).map(lambda power: float(10**power)), st.sampled_from([1e-5, 80.0]))
seeds = st.integers(0, 2**32 - 1)


def holds(ranges: Ranges, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    pixels = hpx(ra, dec)
    if len(ranges) == 0:
        return np.zeros(len(pixels), bool)
    place = np.searchsorted(ranges[:, 0], pixels, "right") - 1
    return np.asarray((place >= 0) & (pixels < ranges[np.maximum(place, 0), 1]))


@slow
@given(centre=centres, size=sizes, corners=st.integers(3, 14), dent=st.floats(0.05, 1), seed=seeds)
@example(centre=(0.0, 90.0), size=80.0, corners=5, dent=0.05, seed=1)
@example(centre=(83.6331, 22.0145), size=1e-5, corners=14, dent=0.05, seed=1)
def test_polygons_and_their_covers(
    centre: tuple[float, float], size: float, corners: int, dent: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    figure = star(centre, size, corners, random, dent)
    shape = polygon(figure.numbers)
    ra, dec = going(*centre, 1.3 * size * np.sqrt(random.uniform(0, 1, 400)), random.uniform(0, 360, 400))
    edge_ra, edge_dec, _ = along_edge(figure, 20)
    ra, dec = np.append(ra, edge_ra), np.append(dec, edge_dec)
    inside = depth(figure, ra, dec)
    is_clear = np.abs(inside) > EDGE
    assert (shape.inside(ra, dec) == (inside > 0))[is_clear].all()
    np.testing.assert_allclose(shape.edge_distance(ra, dec), np.abs(inside), atol=EDGE / 10)
    assert (distance(ra, dec, shape.bounds.ra, shape.bounds.dec) <= shape.bounds.radius + EDGE)[inside > 0].all()
    cover = shape_cover(shape)
    assert holds(cover.all_ranges(), ra, dec)[inside > EDGE].all()
    assert not holds(cover.inner, ra, dec)[inside < -EDGE].any()
    assert not (holds(cover.inner, ra, dec) & holds(cover.boundary, ra, dec)).any()
    assert len(cover.inner) + len(cover.boundary) < 150


@slow
@given(centre=centres, size=st.floats(0.1, 86), corners=st.integers(3, 40), seed=seeds, side=st.floats(0.5, 60))
def test_all_that_fits_into_a_hemisphere_is_a_polygon(
    centre: tuple[float, float], size: float, corners: int, seed: int, side: float
) -> None:
    """Also where nearly all of the vertices stand close together, on one side."""
    random = np.random.default_rng(seed)
    turns = np.append(random.normal(0, side, corners), [120, 240])
    ra, dec = going(*centre, size, turns)
    shape = polygon([float(number) for number in np.column_stack([ra, dec]).ravel()])
    assert distance(ra, dec, shape.bounds.ra, shape.bounds.dec).max() < 90


@pytest.mark.parametrize(
    "numbers",
    [
        [0, 0, 120, 0, 240, 0],
        [0, 10, 90, 10, 180, -10, 270, -10],
        [0, 0, 90, 0, 180, 0, 270, 0],
        [0, 90, 0, -90, 10, 0],
        [0, 0, 180, 0, 90, 10],
    ],
)
def test_what_fits_into_no_hemisphere_is_no_polygon(numbers: list[float]) -> None:
    with pytest.raises(ShapeError, match="must fit into a hemisphere"):
        polygon(numbers)


def test_a_polygon_has_three_vertices() -> None:
    with pytest.raises(ShapeError, match="three vertices or more, not 2"):
        Polygon(((0, 0), (1, 1)))


@slow
@given(centre=centres, width=sizes, height=sizes)
@example(centre=(0.0, 90.0), width=179.0, height=179.0)
@example(centre=(0.0, -45.0), width=1e-5, height=170.0)
def test_boxes(centre: tuple[float, float], width: float, height: float) -> None:
    """The middle of each side is the end of an arm, and the side stands at a right angle on it."""
    shape = box(*centre, width, height)
    for arm, turn in ((width / 2, 90), (width / 2, 270), (height / 2, 0), (height / 2, 180)):
        within, without = (going(*centre, arm * part, turn) for part in (1 - 1e-4, 1 + 1e-4))
        assert shape.inside(*within)
        assert not shape.inside(*without)
        assert shape.edge_distance(*going(*centre, arm, turn)) < EDGE
        # The nearest point of a great circle that one meets at a right angle is where one meets it.
        assert shape.edge_distance(*centre) == pytest.approx(min(width, height) / 2, abs=EDGE)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (180, 1), (1, 180), (-1, 1)])
def test_no_boxes(width: float, height: float) -> None:
    with pytest.raises(ShapeError, match="longer than 0 and shorter than 180"):
        box(10, 20, width, height)


@slow
@given(centre=centres, radius=st.one_of(sizes, st.floats(0, 180)), seed=seeds)
def test_circles(centre: tuple[float, float], radius: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    ra, dec = going(*centre, np.minimum(180, radius * random.uniform(0, 1.3, 300)), random.uniform(0, 360, 300))
    away = distance(*centre, ra, dec)
    shape = Circle(*centre, radius)
    is_clear = np.abs(away - radius) > EDGE
    assert (shape.inside(ra, dec) == (away < radius))[is_clear].all()
    np.testing.assert_allclose(shape.edge_distance(ra, dec), np.abs(away - radius), atol=EDGE / 10)
    cover = shape_cover(shape)
    assert holds(cover.all_ranges(), ra, dec)[away < radius - EDGE].all()
    assert not holds(cover.inner, ra, dec)[away > radius + EDGE].any()


def test_the_index_near_the_poles() -> None:
    """Positions are near the centres of their cells, as anywhere."""
    away = 10 ** np.random.default_rng(2).uniform(-9, -1, 2000)
    for sign in (1, -1):
        ra, dec = np.random.default_rng(3).uniform(0, 360, 2000), sign * (90 - away)
        centre_ra, centre_dec = hpgeom.pixel_to_angle(1 << 29, hpx(ra, dec))
        assert distance(ra, dec, centre_ra, centre_dec).max() <= hpgeom.max_pixel_radius(1 << 29)
