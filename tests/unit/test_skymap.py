"""Sky maps: read, measured and multiplied; judged by mocpy and by sums over pixels of astropy-healpix."""

from __future__ import annotations

import math

import astropy_healpix
import healpy
import numpy as np
import pytest
from astropy import units as u
from mocpy import MOC
from numpy.typing import NDArray

from tests.support.skymaps import NSIDE, flat_file, mixed_cells, multi_order_file, packed, two_blobs
from vo_service.sky.healpix import hpx
from voevent.skymap import SKY, SkyMap, SkyMapError, joint, overlap
from voevent.skymap_fits import read_skymap

SPHERE = astropy_healpix.HEALPix(NSIDE, order="nested")
PIXEL_AREA = SKY / SPHERE.npix


@pytest.fixture(scope="module")
def values() -> NDArray[np.float64]:
    found = two_blobs()
    found /= found.sum()
    return found


@pytest.fixture(scope="module")
def flat(values: NDArray[np.float64]) -> SkyMap:
    return read_skymap(flat_file(values, "NESTED"))


def places(count: int = 3000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions all over the sphere, some near the source."""
    random = np.random.default_rng(11)
    ra = np.concatenate([random.uniform(0, 360, count), random.normal(0, 6, count) % 360, [0.0, 360.0, 12.0]])
    dec = np.concatenate(
        [np.degrees(np.arcsin(random.uniform(-1, 1, count))), random.normal(10, 6, count), [90, 0, -90]]
    )
    return ra, dec


def pixels_at(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = SPHERE.lonlat_to_healpix(ra * u.deg, dec * u.deg)
    return found


def levels_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each pixel the sum of all that are as large: one comparison with every distinct value."""
    distinct, place, count = np.unique(values, return_inverse=True, return_counts=True)
    sums = np.cumsum((distinct * count)[::-1])[::-1]
    found: NDArray[np.float64] = (sums / values.sum())[place]
    return found


def test_density_and_level_are_those_of_the_pixels(flat: SkyMap, values: NDArray[np.float64]) -> None:
    ra, dec = places()
    pixel = pixels_at(ra, dec)
    np.testing.assert_allclose(flat.density_at(ra, dec), values[pixel] / PIXEL_AREA, rtol=1e-12)
    np.testing.assert_allclose(flat.level_at(ra, dec), levels_of(values)[pixel], rtol=1e-10)
    assert (flat.level_at(ra, dec)[values[pixel] == 0] == 1).all()
    assert (values[pixel] == 0).any()


def test_all_forms_of_file_hold_the_same_map(flat: SkyMap, values: NDArray[np.float64]) -> None:
    ring = values[healpy.ring2nest(NSIDE, np.arange(SPHERE.npix))]
    uniq = 4 * NSIDE**2 + np.arange(SPHERE.npix)
    files = [
        flat_file(ring, "RING"),
        flat_file(ring, "RING", name="PROBABILITY", width=1024),
        packed(flat_file(values * 7, "NESTED", width=1024)),
        packed(multi_order_file(uniq, values / SPHERE.pixel_area.to_value(u.sr))),
    ]
    for raw in files:
        skymap = read_skymap(raw)
        np.testing.assert_array_equal(skymap.first, flat.first)
        np.testing.assert_array_equal(skymap.last, flat.last)
        np.testing.assert_allclose(skymap.density, flat.density, rtol=1e-11)
        np.testing.assert_allclose(skymap.level, flat.level, rtol=1e-11)


def test_region_is_that_of_mocpy(values: NDArray[np.float64]) -> None:
    uniq, probability = mixed_cells(values)
    order = np.floor(np.log2(uniq / 4) / 2).astype(int)
    area = SKY / (12 * 4.0**order)
    skymap = read_skymap(multi_order_file(uniq, probability / np.radians(np.sqrt(area)) ** 2))
    for level in (0.1, 0.5, 0.9, 0.99):
        # Taken by falling density, without the cell that crosses the level.
        moc = MOC.from_valued_healpix_cells(
            uniq.astype(np.uint64), probability, 12, cumul_from=0, cumul_to=level, values_are_densities=False
        )
        # Cells cross the level one at a time there; here those of one density together.
        largest = probability.max() + 1e-9
        assert skymap.area(level) == pytest.approx(moc.sky_fraction * SKY, abs=2 * area.max())
        inside = np.array(moc.to_depth29_ranges, dtype=np.int64)
        mine = skymap.region(level)
        extra = _length(mine) - _common(mine, inside)
        missing = _length(inside) - _common(mine, inside)
        assert max(extra, missing) <= area.max() / SKY * 12 * 4**29, largest


def _length(ranges: NDArray[np.int64]) -> int:
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def _common(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    return int(sum(max(0, min(x[1], y[1]) - max(x[0], y[0])) for x in a.tolist() for y in b.tolist()))


def test_probability_of_the_region_is_its_level(flat: SkyMap) -> None:
    for level in (0.2, 0.5, 0.9):
        inside = flat.level <= level
        assert flat.probability[inside].sum() == pytest.approx(level, abs=flat.probability.max())
        assert flat.searched_area(level) == pytest.approx(flat.area(level), rel=1e-12)
    assert flat.probability.sum() == pytest.approx(1, rel=1e-12)


def test_neighbours_of_one_density_are_one_range() -> None:
    values = np.zeros(12 * 16**2)
    values[512:768] = 1.0
    values[768:770] = 2.0
    skymap = read_skymap(flat_file(values, "NESTED"))
    shift = 2 * (29 - 4)
    assert skymap.first.tolist() == [512 << shift, 768 << shift]
    assert skymap.last.tolist() == [(768 << shift) - 1, (770 << shift) - 1]
    assert skymap.level.tolist() == pytest.approx([1.0, 4 / 260])
    assert (skymap.first[1], skymap.last[1]) == (768 << shift, (770 << shift) - 1)


def test_overlap_is_the_sum_over_pixels(flat: SkyMap, values: NDArray[np.float64]) -> None:
    ring = two_blobs(order="ring")[::-1]
    other = read_skymap(flat_file(ring, "RING"))
    nested = ring[healpy.nest2ring(NSIDE, np.arange(SPHERE.npix))]
    expected = SPHERE.npix * np.sum(values * nested / nested.sum())
    assert overlap(flat, other) == pytest.approx(expected, rel=1e-10)
    assert overlap(other, flat) == pytest.approx(expected, rel=1e-10)
    assert overlap(flat, read_skymap(flat_file(np.ones(12), "RING"))) == pytest.approx(1, rel=1e-12)


def test_joint_map_is_the_product(flat: SkyMap, values: NDArray[np.float64]) -> None:
    other = values[::-1] + 1e-9
    both = joint(flat, read_skymap(flat_file(other, "NESTED")))
    assert both is not None
    product = values * other
    ra, dec = places()
    expected = (product / product.sum())[pixels_at(ra, dec)] / PIXEL_AREA
    np.testing.assert_allclose(both.density_at(ra, dec), expected, rtol=1e-9)


def test_maps_that_exclude_each_other() -> None:
    north, south = (SkyMap.gaussian(10.0, dec, 1.0) for dec in (60.0, -60.0))
    assert overlap(north, south) == 0
    assert joint(north, south) is None


@pytest.mark.parametrize("sigma", [1e-3, 0.2, 3.0, 20.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (123.4, 90.0), (359.9, -89.0), (45.0, 41.8)])
def test_gaussian(ra: float, dec: float, sigma: float) -> None:
    skymap = SkyMap.gaussian(ra, dec, sigma)
    # The Fisher distribution's: within r, (1 - exp(-k (1 - cos r))) / (1 - exp(-2 k)).
    concentration = math.radians(sigma) ** -2
    cell = math.sqrt(float(skymap.area_of_cells.min()))
    for level in (0.5, 0.9):
        cosine = 1 + math.log(1 - level * (1 - math.exp(-2 * concentration))) / concentration
        radius = math.degrees(math.acos(cosine))
        assert skymap.containment_radii(ra, dec, level) == pytest.approx(radius, abs=cell)
        reached = math.degrees(math.acos(1 - 2 * skymap.area(level) / SKY))
        assert reached == pytest.approx(radius, abs=cell / 2)
    peak = SKY * math.radians(1) ** 2 * concentration / (2 * math.pi * (1 - math.exp(-2 * concentration))) / SKY
    assert skymap.density.max() == pytest.approx(peak, rel=0.02)


def test_peak_is_the_densest_cell(flat: SkyMap, values: NDArray[np.float64]) -> None:
    ra, dec = SPHERE.healpix_to_lonlat(int(np.argmax(values)))
    assert flat.peak == pytest.approx((ra.to_value(u.deg), dec.to_value(u.deg)), abs=1e-9)


def test_partial_map_with_explicit_pixels(values: NDArray[np.float64], flat: SkyMap) -> None:
    """A map that lists its pixels, and leaves out what has no probability."""
    uniq = 4 * NSIDE**2 + np.flatnonzero(values)
    skymap = read_skymap(multi_order_file(uniq, values[values > 0]))
    np.testing.assert_array_equal(skymap.first, flat.first)
    assert skymap.level_at(0.0, -90.0) == 1
    assert skymap.density_at(0.0, -90.0) == 0


def test_deepest_and_shallowest_cells() -> None:
    index = int(hpx(80.0, -30.0))
    base = int(hpx(200.0, 60.0)) >> 58
    skymap = read_skymap(multi_order_file(np.array([4 * 4**29 + index, 4 + base]), np.array([1e18, 0.5])))
    assert (skymap.last - skymap.first + 1).tolist() == [1, 4**29] if index < base << 58 else [4**29, 1]
    assert skymap.density_at(80.0, -30.0) > 1e10 * skymap.density_at(200.0, 60.0)


UNIQ = np.array([4, 5, 6, 7])
ONES = np.ones(4)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "begins with SIMPLE"),
        (b"<VOEvent/>" * 1000, "begins with SIMPLE"),
        (packed(flat_file(np.ones(48), "RING"))[:-3000], "sky map"),
        (flat_file(np.ones(3072), "RING")[:-5760], "ends within"),
        (packed(b"SIMPLE" + b" " * 9_000_000), "without end"),
        (flat_file(np.ones(48), "RING", COORDSYS="G"), "COORDSYS = 'G'"),
        (flat_file(np.ones(48), "RING", COORDSYS=""), "COORDSYS = ''"),
        (flat_file(np.ones(48), "SPIRAL"), "ORDERING = 'SPIRAL'"),
        (flat_file(np.ones(48), "RING", NSIDE=3), "NSIDE = 3"),
        (flat_file(np.ones(48), "RING", NSIDE=4), "48 pixels; expected 192"),
        (flat_file(np.ones(48), "RING", name="FLUX"), "none of the columns"),
        (flat_file(np.ones(48), "RING", PIXTYPE="GRID"), "PIXTYPE"),
        (flat_file(np.zeros(48), "RING"), "no probability"),
        (flat_file(-np.ones(48), "RING"), "negative"),
        (flat_file(np.full(48, np.inf), "RING"), "not finite"),
        (multi_order_file(np.array([3, 5, 6, 7]), ONES), "UNIQ"),
        (multi_order_file(np.array([4, 4, 6, 7]), ONES), "overlap"),
        (multi_order_file(np.array([4, 16, 6, 7]), ONES), "overlap"),
        (multi_order_file(np.array([4, 2**62, 6, 7]), ONES), "UNIQ"),
    ],
)
def test_what_is_no_map_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(SkyMapError, match=said):
        read_skymap(raw)


def test_rows_beyond_the_limit_are_not_read() -> None:
    raw = flat_file(np.ones(48), "RING").replace(b"NAXIS2  =                   48", b"NAXIS2  =         999999999999")
    with pytest.raises(SkyMapError, match="more than"):
        read_skymap(raw)


def test_unobserved_pixels_count_nothing() -> None:
    values = np.ones(48)
    values[:24] = -1.6375e30
    values[24] = np.nan
    assert read_skymap(flat_file(values, "NESTED")).area(1.0) == pytest.approx(SKY * 23 / 48)
