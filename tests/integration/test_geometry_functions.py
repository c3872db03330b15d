"""The functions of HEALPix and geometry in `schema.sql`, on real servers, against hpgeom and mocpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hpgeom
import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocpy import MOC
from numpy.typing import NDArray

from tests.support.published import NO_POLYGONS, REGIONS, ROWS, Row
from tests.support.sphere import EDGE, bearing, distance, going, star
from vo_service.database.access import Access
from vo_service.sky.healpix import hpx

Ask = Callable[..., list[Row]]
Floats = NDArray[np.float64]

POLE = 41.810314895778596
"""Declination [deg] where the polar caps of HEALPix begin."""


@pytest.fixture(scope="module")
def ask(each_access: Access) -> Iterator[Ask]:
    with psycopg.connect(each_access.owner.conninfo, autocommit=True) as connection:

        def ask(statement: str, *parameters: object) -> list[Row]:
            return connection.execute(statement.encode(), parameters or None).fetchall()

        yield ask


def positions(seed: int) -> tuple[Floats, Floats]:
    """All over the sky, near the poles, and on edges and corners of faces."""
    random = np.random.default_rng(seed)
    ra = np.concatenate([random.uniform(0, 360, 400), random.integers(0, 9, 200) * 45.0, random.uniform(0, 360, 200)])
    dec = [
        np.degrees(np.arcsin(random.uniform(-1, 1, 400))),
        random.choice([0, POLE, -POLE, 90, -90, 30, -30, 60], 200),
    ]
    dec += [random.choice([-1, 1], 200) * (90 - 10 ** random.uniform(-12, 0, 200))]
    return ra, np.concatenate(dec)


@pytest.mark.parametrize("order", range(30))
def test_cells_and_their_centres(order: int, ask: Ask) -> None:
    """The same cell as the index that is stored, on edges too; centres are those of hpgeom, and lie in their cells."""
    ra, dec = positions(order)
    sql = 'SELECT adql.hpx(%s, ra, "dec") FROM unnest(%s::float8[], %s::float8[]) AS t (ra, "dec")'
    found = np.array([cell for (cell,) in ask(sql, order, ra.tolist(), dec.tolist())])
    expected = hpx(ra, dec) >> 2 * (29 - order)
    # At declinations beyond 89.99 both go their own ways, to the same cell but for those on its very edge.
    polar = np.abs(dec) > 89.99
    np.testing.assert_array_equal(found[~polar], expected[~polar])
    centre_ra, centre_dec = hpgeom.pixel_to_angle(1 << order, found)
    assert (distance(ra, dec, centre_ra, centre_dec) <= hpgeom.max_pixel_radius(1 << order) * (1 + 1e-6))[polar].all()
    assert (found != expected)[polar].mean() < 0.02
    cells = np.random.default_rng(order).integers(0, 12 * 4**order, 300)
    cells = np.concatenate([cells, [0, 12 * 4**order - 1], np.arange(12) * 4**order, np.arange(1, 13) * 4**order - 1])
    sql = (
        "SELECT c[1], c[2], adql.hpx(%s, c[1], c[2]), cell FROM unnest(%s::bigint[]) AS t (cell),"
        " LATERAL adql.hpx_center(%s, cell) AS c"
    )
    lon, lat, again, cell = np.array(ask(sql, order, cells.tolist(), order), object).T
    np.testing.assert_array_equal(again, cell)
    expected_ra, expected_dec = hpgeom.pixel_to_angle(1 << order, cells)
    assert distance(expected_ra, expected_dec, lon.astype(float), lat.astype(float)).max() < 1e-12


def test_what_has_no_cell(ask: Ask) -> None:
    for ra, dec in (("NULL", "0"), ("0", "NULL"), ("0", "90.1"), ("'NaN'", "0"), ("0", "'NaN'"), ("'Infinity'", "0")):
        assert ask(f"SELECT adql.hpx(9, {ra}, {dec})") == [(None,)]
    assert ask("SELECT adql.hpx(9, 0, '-Infinity'), adql.hpx_center(3, 768), adql.hpx_center(3, -1)") == [(None,) * 3]
    assert ask("SELECT adql.hpx(3, -10, 5) = adql.hpx(3, 350, 5), adql.hpx(3, 730, 5) = adql.hpx(3, 10, 5)") == [
        (True, True)
    ]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="0 to 29"):
        ask("SELECT adql.hpx(30, 0, 0)")


@st.composite
def discs(draw: st.DrawFn) -> tuple[float, float, float]:
    """Centres near corners of faces, near poles and anywhere; radii up to where the ranges' order changes, and any."""
    corners = [(ra, dec) for ra in range(0, 360, 45) for dec in (0, POLE, -POLE)] + [(0, 90), (0, -90)]
    away, turn = 10 ** draw(st.floats(-9, 1)), draw(st.floats(0, 360))
    near = st.sampled_from(corners).map(lambda corner: tuple(map(float, going(*corner, away, turn))))
    ra, dec = draw(st.one_of(near, st.tuples(st.floats(0, 360), st.floats(-90, 90))))
    # PostgreSQL refuses products that vanish.
    ra, dec = round(ra, 12), round(dec, 12)
    largest = st.integers(0, 29).map(lambda halvings: 35 / 2**halvings * (1 - 1e-9))
    radius = draw(st.one_of(largest, st.floats(-8, np.log10(60)).map(lambda power: 10**power)))
    return ra, dec, radius


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(disc=discs())
def test_ranges_hold_their_disc(disc: tuple[float, float, float], ask: Ask) -> None:
    ra, dec, radius = disc
    lon, lat = going(ra, dec, radius * np.array([[1 - 1e-7], [0.7], [0.2], [0]]), np.arange(0, 360, 2.0))
    lon, lat = lon.ravel(), np.clip(lat.ravel(), -90, 90)
    inside = distance(ra, dec, lon, lat) <= radius
    ((ranges,),) = ask("SELECT adql.disc_ranges(adql.hpx(29, %s, %s), %s)", ra, dec, radius)
    pairs = np.array([-1 if end is None else end for end in ranges]).reshape(-1, 2)
    pixels = hpx(lon, lat)[:, None]
    held = ((pixels >= pairs[:, 0]) & (pixels <= pairs[:, 1])).any(axis=1)
    assert np.asarray(held)[inside].all()


def test_discs_of_no_size(ask: Ask) -> None:
    assert ask("SELECT adql.disc_ranges(NULL, 1), adql.disc_ranges(5, NULL), adql.disc_ranges(0, 95, 1)") == [
        (None, None, None)
    ]
    for radius in (0, -1, "'NaN'", 1e300):
        assert ask(f"SELECT adql.disc_ranges(5, {radius}::float8) IS NOT NULL") == [(True,)]


@pytest.mark.parametrize("size", [1e-5, 1e-3, 0.1, 3, 40, 80])
def test_areas_circles_and_centroids(size: float, ask: Ask) -> None:
    """Areas by the angles of the corners, centroids by those of small triangles, which are nearly plane."""
    random = np.random.default_rng(5)
    for centre in ((10.0, 20.0), (0.0, 90.0), (359.99999, -40.0)):
        figure = star(centre, size, 6, random, 0.5)
        ((area, circle, centroid),) = ask(
            "SELECT adql.polygon_area(p), adql.polygon_circle(p), adql.polygon_centroid(p)"
            " FROM (SELECT %s::float8[]) AS t (p)",
            figure.numbers,
        )
        ((back,),) = ask("SELECT adql.polygon_area(%s::float8[])", figure.vertices[::-1].ravel().tolist())
        weights, lon, lat = fan(centre, figure.vertices)
        assert area == pytest.approx(weights.sum(), rel=1e-4, abs=0)
        assert back == pytest.approx(area, rel=1e-6, abs=0)
        assert distance(circle[0], circle[1], *figure.vertices.T).max() <= circle[2] + EDGE
        x, y, z = (np.sum(weights * part) for part in vectors(lon, lat))
        mean = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
        assert distance(centroid[0], centroid[1], *mean) < 2e-3 * size
        assert 0 <= centroid[0] <= 360


def vectors(ra: Floats, dec: Floats) -> tuple[Floats, Floats, Floats]:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)


def fan(centre: tuple[float, float], vertices: Floats) -> tuple[Floats, Floats, Floats]:
    """Areas and middles of small pieces of a polygon that is seen from its centre: rings of triangles from there."""
    away, turn = distance(*centre, *vertices.T), bearing(*centre, *vertices.T)
    weights, lons, lats = [], [], []
    steps = (np.arange(400) + 0.5) / 400
    for i in range(len(vertices)):
        r1, r2, t1 = np.radians(away[i - 1]), np.radians(away[i]), turn[i - 1]
        angle = np.radians((turn[i] - t1) % 360)
        # The side in polar coordinates: cot r is a sum of a sine and a cosine of the direction.
        c1, c2 = 1 / np.tan(r1), 1 / np.tan(r2)
        a = angle * steps
        edge = np.arctan2(np.sin(angle), c1 * np.sin(angle - a) + c2 * np.sin(a))
        for ring in (np.arange(100) + 0.5) / 100:
            width = edge / 100
            weights.append(np.sin(edge * ring) * width * angle / 400 * np.degrees(1) ** 2)
            lon, lat = going(*centre, np.degrees(edge * ring), t1 + np.degrees(a))
            lons.append(lon)
            lats.append(lat)
    return np.concatenate(weights), np.concatenate(lons), np.concatenate(lats)


def test_no_polygons(ask: Ask) -> None:
    """Null, whatever is asked of them."""
    good = "'{10,10,20,10,20,20}'::float8[]"
    for numbers in (*NO_POLYGONS, None):
        for call in (
            "adql.polygon_plane(p)",
            "adql.polygon_area(p)",
            "adql.polygon_centroid(p)",
            "adql.polygon_circle(p)",
            "adql.depth(15, 12, p)",
            "adql.circle_in_polygon(15, 12, 1, p)",
            "adql.circle_meets_polygon(15, 12, 1, p)",
            "adql.polygon_in_circle(p, 15, 12, 1)",
            "adql.polygon_in_circle(p, 15, 12, 180)",
            f"adql.polygons_meet(p, {good})",
            f"adql.polygons_meet({good}, p)",
            f"adql.polygon_in_polygon(p, {good})",
            f"adql.polygon_in_polygon({good}, p)",
            "adql.polygon_in_polygon(p, p)",
        ):
            assert ask(f"SELECT {call} FROM (SELECT %s::float8[]) AS t (p)", numbers) == [(None,)], (call, numbers)
    for call in (
        "circle_in_polygon(15, 12, NULL",
        "circle_meets_polygon(15, 12, NULL",
        "circle_meets_polygon(NULL, 1, 1",
    ):
        assert ask(f"SELECT adql.{call}, {good})") == [(None,)]
    assert ask(f"SELECT adql.polygon_in_circle({good}, 15, 12, NULL)") == [(None,)]


def test_mocs(ask: Ask) -> None:
    """Text to ranges as mocpy reads it, and back."""
    texts = [row[9] for row in ROWS[REGIONS][:26]] + [
        "",
        "0/",
        "s4/1",
        "4/1 - 3 10/5,6, 7\n11/",
        "29/3458764513820540927",
    ]
    for text in texts:
        judged = MOC.from_string(text.removeprefix("s") or "0/").to_depth29_ranges if "," not in text else None
        ((pairs, area, back),) = ask(
            "SELECT (SELECT array_agg(ARRAY[lower(r), upper(r)]) FROM unnest(adql.moc(%s)) AS r),"
            " adql.moc_area(adql.moc(%s)), adql.moc(adql.moc_text(adql.moc(%s))) = adql.moc(%s)",
            *[text] * 4,
        )
        assert back is True
        if judged is not None:
            assert (pairs or []) == judged.tolist(), text
        square = 4 * np.pi * np.degrees(1) ** 2
        expected = sum(last - first for first, last in pairs or []) / (12 * 4**29) * square
        assert area == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("text", ["x", "4/1 x", "30/1", "0/12", "4/5-1", "0/9999999999999999999", "4/1.5", "4/-1", "4"])
def test_no_mocs(text: str, ask: Ask) -> None:
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=r"not a MOC in ASCII form|There are no HEALPix cells"
    ):
        ask("SELECT adql.moc(%s)", text)
