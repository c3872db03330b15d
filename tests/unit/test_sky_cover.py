"""Covers and separations against brute force and against astropy."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vo_service.sky.angles import separation
from vo_service.sky.cover import EVERYTHING, Ranges, cone_cover, cone_ranges, difference, merge
from vo_service.sky.healpix import PIXELS, hpx

CENTRES = [(0, 0), (0, 90), (123, -90), (359.99999, 10), (45, 41.8103), (0, 41.8103), (180, -41.81), (360, 5)]
RADII = [0, 1e-12, 1e-9, 1e-6, 1e-4, 0.01, 0.1, 1, 1.999, 2, 5, 20, 60, 89.9, 90, 90.1, 120, 170, 178.5, 179.9, 180]


def is_in(pixels: NDArray[np.int64], ranges: Ranges) -> NDArray[np.bool_]:
    if len(ranges) == 0:
        return np.zeros(len(pixels), bool)
    place = np.searchsorted(ranges[:, 0], pixels, "right") - 1
    inside: NDArray[np.bool_] = (place >= 0) & (pixels < ranges[np.maximum(place, 0), 1])
    return inside


def around(ra: float, dec: float, radius: float, count: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    """Positions within about a radius of a centre, the centre itself among them."""
    rng = np.random.default_rng(seed)
    distance = np.radians(radius * 1.2 * np.sqrt(rng.uniform(0, 1, count)))
    angle, latitude = rng.uniform(0, 2 * np.pi, count), np.radians(dec)
    lat = np.sin(latitude) * np.cos(distance) + np.cos(latitude) * np.sin(distance) * np.cos(angle)
    lat = np.arcsin(np.clip(lat, -1, 1))
    lon = np.arctan2(
        np.sin(angle) * np.sin(distance) * np.cos(latitude), np.cos(distance) - np.sin(latitude) * np.sin(lat)
    )
    return np.append((ra + np.degrees(lon)) % 360, ra % 360), np.append(np.degrees(lat), dec)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("centre", CENTRES)
def test_a_cover_misses_nothing_and_its_inner_cells_are_inside(centre: tuple[float, float], radius: float) -> None:
    cover = cone_cover(*centre, radius)
    near, far = around(*centre, max(radius, 1e-9), 3000, 1), around(*centre, 150, 3000, 2)
    ra, dec = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
    inside, pixels = separation(*centre, ra, dec) <= radius, hpx(ra, dec)
    assert is_in(pixels[inside], cover.all_ranges()).all()
    assert not is_in(pixels[~inside], cover.inner).any()
    assert not (is_in(pixels, cover.inner) & is_in(pixels, cover.boundary)).any()
    assert len(cover.inner) + len(cover.boundary) <= 64
    for halvings in (2, 3, 4):
        ranges = cone_ranges(*centre, radius, halvings)
        assert is_in(pixels[inside], ranges).all()
        assert len(ranges) <= 64 << (halvings - 2)


@settings(max_examples=200, deadline=None)
@given(
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
    radius=st.one_of(st.floats(0, 180), st.floats(0, 1e-3)),
    seed=st.integers(0, 2**31),
)
def test_any_cone(ra: float, dec: float, radius: float, seed: int) -> None:
    cover = cone_cover(ra, dec, radius)
    positions = around(ra, dec, radius, 200, seed)
    inside, pixels = separation(ra, dec, *positions) <= radius, hpx(*positions)
    assert is_in(pixels[inside], cover.all_ranges()).all()
    assert not is_in(pixels[~inside], cover.inner).any()


def test_a_cover_is_not_much_larger_than_its_cone() -> None:
    for radius in (0.1, 1.0, 5.0, 20.0):
        pixels = np.diff(cone_cover(211.0, -33.0, radius).all_ranges()).sum()
        cone = PIXELS * (1 - np.cos(np.radians(radius))) / 2
        assert 1 <= pixels / cone < 2.5


def test_ranges_as_sets() -> None:
    assert merge(np.array([[5, 7], [1, 3], [2, 4], [7, 9]])).tolist() == [[1, 4], [5, 9]]
    assert difference(np.array([[0, 10], [20, 30]]), np.array([[3, 5], [25, 30]])).tolist() == [
        [0, 3],
        [5, 10],
        [20, 25],
    ]
    assert difference(EVERYTHING, EVERYTHING).tolist() == []


def test_separation_agrees_with_astropy() -> None:
    rng = np.random.default_rng(3)
    ra1, ra2 = rng.uniform(0, 360, (2, 500))
    dec1, dec2 = np.degrees(np.arcsin(rng.uniform(-1, 1, (2, 500))))
    ra2[:100], dec2[:100] = ra1[:100] + 1e-7, dec1[:100]  # close ones
    ra2[100:200], dec2[100:200] = ra1[100:200] + 180, -dec1[100:200]  # antipodes
    expected = SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).deg
    np.testing.assert_allclose(separation(ra1, dec1, ra2, dec2), expected, rtol=1e-12, atol=1e-13)


def test_the_index_agrees_with_healpy() -> None:
    rng = np.random.default_rng(4)
    ra, dec = rng.uniform(0, 360, 10_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 10_000)))
    assert (hpx(ra, dec) == healpy.ang2pix(1 << 29, ra, dec, nest=True, lonlat=True)).all()


def test_the_index_of_edges() -> None:
    assert (hpx([0, 360, 90], [0, 0, 90]) >= 0).all()
    assert hpx(360, 12.5) == hpx(0, 12.5)
    assert hpx([0.0], [-90]).max() < PIXELS
    for ra, dec in ((np.nan, 0), (0, np.nan), (np.inf, 0), (0, 90.0001)):
        with pytest.raises(ValueError, match="declinations"):
            hpx(ra, dec)
