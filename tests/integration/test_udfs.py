"""User-defined functions on real servers, as the role that queries run as: values, NULLs, odd strings, every order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import astropy.units as u
import hpgeom
import numpy as np
import psycopg
import pytest
from astropy.coordinates import (
    FK5,
    BarycentricMeanEcliptic,
    Distance,
    FK4NoETerms,
    Galactic,
    SkyCoord,
    Supergalactic,
)
from astropy.time import Time

from tap.adql import parse
from tap.translate import translate
from tests.support.published import ALERTS, CATALOG, EVENTS, ROWS, Row, tables_in
from vo_service.database.access import Access
from vo_service.database.arrow import sql_type

Run = Callable[[str], list[Row]]

ON_CORNERS = (3, 13)
"""Events on corners of pixels, which formulas may put into any of those around: they are left out here."""

E = [
    dict(zip([column.name for column in EVENTS.columns], row, strict=True))
    for row in ROWS[EVENTS]
    if row[0] not in ON_CORNERS
]


@pytest.fixture(scope="module")
def run(each_access: Access) -> Iterator[Run]:
    """Translates a query, runs it as reader, checks the types of its columns, gives its rows."""
    with (
        psycopg.connect(each_access.owner.conninfo, autocommit=True) as owner,
        tables_in(owner),
        psycopg.connect(each_access.reader.conninfo, autocommit=True) as reader,
    ):
        owner.execute('DELETE FROM ev."Events" WHERE event_id = ANY (%s)', (list(ON_CORNERS),))

        def run(query: str) -> list[Row]:
            statement = translate(parse(query), CATALOG)
            cursor = reader.execute(statement.sql.encode())
            assert cursor.description is not None
            oids = [column.type_code for column in cursor.description]
            rows = cursor.fetchall()
            names = reader.execute("SELECT array_agg(format_type(oid, NULL)) FROM unnest(%s::oid[]) AS oid", (oids,))
            ((types,),) = names.fetchall()
            assert [name.removesuffix(" without time zone") for name in types] == [
                sql_type(column) for column in statement.columns
            ]
            return rows

        yield run


def value(expression: str, run: Run) -> Any:  # noqa: ANN401
    ((result,),) = run(f"SELECT TOP 1 {expression} FROM alerts")
    return result


VALUES = {
    # Strings
    "ivo_nocasematch('', '')": 1,
    "ivo_nocasematch('a_c', 'A\\_C')": 0,
    "ivo_nocasematch('a\\bc', 'A\\BC')": 1,
    "ivo_nocasematch('größe', 'GRÖSSE')": 0,
    "ivo_nocasematch('Größe', 'gRÖßE')": 1,
    "ivo_nocasematch(NULL, 'a')": None,
    "ivo_hasword('Supernova/GRB (1987A)', 'grb 1987a')": 1,
    "ivo_hasword('https://x.org/neutrino_alert', 'Neutrino')": 1,
    "ivo_hasword('a.b+c*(d)[e]{f}|g^h$', 'H [E] .*')": 1,
    "ivo_hasword('abc', '.*')": 0,
    "ivo_hasword('abc', '')": 0,
    "ivo_hasword('', 'abc')": 0,
    "ivo_hasword('neutrinos from galaxies', 'the galaxy neutrino')": 1,
    "ivo_hasword('to be or not to be', 'not')": 1,
    "ivo_hasword('to be or not to be', 'the')": 0,
    "ivo_hasword('gamma-ray bursts', 'ray')": 1,
    "ivo_hasword('gamma rays', 'gam')": 0,
    "ivo_hasword('die Größe', 'grösse')": 0,
    "ivo_hasword('die Größe', 'größe')": 1,
    "ivo_hasword('it''s', 'it''s & !(x | y')": 0,
    "ivo_hasword(NULL, 'a')": None,
    "ivo_hasword('a', NULL)": None,
    "ivo_hashlist_has('', 'a')": 0,
    "ivo_hashlist_has('a##b', '')": 1,
    "ivo_hashlist_has('a#b', 'a#b')": 0,
    "ivo_hashlist_has('x.y', 'X?Y')": 0,
    "ivo_hashlist_has('a%#b', 'A%')": 1,
    "ivo_hashlist_has(NULL, 'a')": None,
    "ivo_hashlist_has('a', NULL)": None,
    # Angles
    "ivo_hms_to_degrees('12:00:00')": 180.0,
    "ivo_hms_to_degrees(' 00h00m00.001S ')": 15 * 0.001 / 3600,
    "ivo_hms_to_degrees('033445.4')": 15 * (3 + 34 / 60 + 45.4 / 3600),
    "ivo_hms_to_degrees('3d0m0s')": None,
    "ivo_hms_to_degrees('3:60:00')": None,
    "ivo_hms_to_degrees('3:00:60')": None,
    "ivo_hms_to_degrees('3:00')": None,
    "ivo_hms_to_degrees('')": None,
    "ivo_hms_to_degrees('12.5')": None,
    "ivo_hms_to_degrees(NULL)": None,
    "ivo_dms_to_degrees('-001500')": -0.25,
    "ivo_dms_to_degrees('-0:0:0.36')": -0.0001,
    "ivo_dms_to_degrees('3h0m0s')": None,
    "ivo_dms_to_degrees('--1:0:0')": None,
    # Times
    "ivo_to_mjd('1858-11-17')": 0.0,
    "ivo_to_mjd('1858-11-16T18:00:00')": -0.25,
    "ivo_to_mjd('1582-10-15')": -100840.0,
    "ivo_to_jd('0001-01-01T12:00:00')": 1721426.0,
    "ivo_to_mjd('9999-12-31T00:00:00')": 2973483.0,
    "ivo_to_mjd('2016-12-31T23:59:59.999999Z')": 57754 - 1e-6 / 86400,
    "ivo_to_mjd(CAST(CAST('2000-01-01' AS TIMESTAMP) AS VARCHAR))": 51544.0,
    # Intervals
    "ivo_interval_overlaps(1, 1, 1, 1)": 1,
    "ivo_interval_overlaps(3, 1, 0, 5)": 0,
    "ivo_interval_overlaps(1, 2, 2.0000001, 3)": 0,
    "ivo_interval_overlaps(1, 2, NULL, 3)": None,
    # HEALPix
    "ivo_healpix_index(0, 45, 90)": 0,
    "ivo_healpix_index(29, 0, -90)": 8 * 4**29,
    "ivo_healpix_index(3, NULL, 1)": None,
    "ivo_healpix_index(NULL, 1, 1)": None,
    "ivo_healpix_index(3, NULL)": None,
    "ivo_healpix_index(3, 1, 91)": None,
    "ivo_healpix_center(0, 12)": None,
    "ivo_healpix_center(0, -1)": None,
    "ivo_healpix_center(0, NULL)": None,
    # Reference frames
    "ivo_geom_transform('ICRS', 'ICRS', CIRCLE(1, 2, NULL))": None,
}  # fmt: skip


@pytest.mark.parametrize("expression", VALUES)
def test_value(expression: str, run: Run) -> None:
    expected = VALUES[expression]
    result = value(expression, run)
    assert result == (pytest.approx(expected, rel=1e-13, abs=1e-13) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    "expression",
    [
        "ivo_to_mjd(label)",
        "ivo_epoch_prop_pos(ra, dec, 1, 1, 1, 1, NULL, 2000)",
        "ivo_histogram(ra, 2, 2, 3)",
        "ivo_histogram(ra, 2, NULL, 3)",
        "ivo_healpix_index(nhits + 100, ra, dec)",
    ],
)
def test_what_the_database_refuses(expression: str, run: Run) -> None:
    """By errors of class 22, whose words users are told."""
    with pytest.raises(psycopg.DataError):
        run(f"SELECT {expression} FROM ev.events")


# Times ----------------------------------------------------------------------------------------------------------------


def test_dates_are_those_of_astropy(run: Run) -> None:
    rows = run("SELECT obs_time, ivo_to_mjd(obs_time), ivo_to_jd(obs_time) FROM ev.events")
    for time, mjd, jd in rows:
        if time is None:
            assert (mjd, jd) == (None, None)
        else:
            expected = Time(time, scale="tai")
            assert (mjd, jd) == pytest.approx((expected.mjd, expected.jd), rel=1e-15)


# Groups ---------------------------------------------------------------------------------------------------------------


def test_strings_of_a_group(run: Run) -> None:
    rows = run("SELECT quality, ivo_string_agg(label, '|') FROM ev.events GROUP BY quality")
    for quality, joined in rows:
        wanted = [e["label"] for e in E if e["quality"] == quality and e["label"] is not None]
        assert Counter(joined.split("|")) == Counter(wanted)
    assert run("SELECT ivo_string_agg(label, ',') FROM ev.events WHERE ra < -1") == [(None,)]
    assert run("SELECT ivo_string_agg(NULL, ',') FROM ev.events") == [(None,)]


def test_conditions_on_strings_of_a_group(run: Run) -> None:
    query = (
        "SELECT quality FROM ev.events GROUP BY quality HAVING ivo_hashlist_has(ivo_string_agg(label, '#'), 'b_c') = 1"
    )
    assert {q for (q,) in run(query)} == {e["quality"] for e in E if e["label"] == "b_c"}


@pytest.mark.parametrize(("low", "high", "bins"), [(0, 360, 7), (100, 200.5, 1), (-5.01, 10, 300), (359, 1000, 10_000)])
def test_histogram_is_that_of_numpy(low: float, high: float, bins: int, run: Run) -> None:
    ra = np.array([e["ra"] for e in E])
    expected, _ = np.histogram(ra[ra < high], bins, (low, high))
    ((counts,),) = run(f"SELECT ivo_histogram(ra, {low}, {high}, {bins}) FROM ev.events")
    assert counts == [int((ra < low).sum()), *expected.tolist(), int((ra >= high).sum())]


def test_histogram_of_what_is_not_known(run: Run) -> None:
    unknown = sum(e["nhits"] is None for e in E)
    below = sum(e["nhits"] is not None and e["nhits"] < 0 for e in E)
    ((counts,),) = run("SELECT ivo_histogram(nhits, 0, 9, 9) FROM ev.events")
    assert counts[0] == unknown + below
    assert counts[1:] == [sum(e["nhits"] == n for e in E) for n in range(9)] + [0]
    assert run("SELECT ivo_histogram(nhits, 0, 9, 2) FROM ev.events WHERE ra < -1") == [([0, 0, 0, 0],)]
    assert run("SELECT ivo_histogram(NULL, 0, 9, 2) FROM ev.events") == [([len(E), 0, 0, 0],)]


def test_normal_random_numbers(run: Run) -> None:
    numbers = [x for (x,) in run("SELECT ivo_normal_random(10, 5) FROM ev.events AS a, alerts AS b")]
    assert len(set(numbers)) == len(numbers) == len(E) * 40
    # Six standard errors: once in 5e8 runs.
    assert np.mean(numbers) == pytest.approx(10, abs=6 * 5 / math.sqrt(len(numbers)))
    assert np.std(numbers) == pytest.approx(5, abs=6 * 5 / math.sqrt(2 * len(numbers)))
    assert {x for (x,) in run("SELECT ivo_normal_random(nhits, 0) FROM ev.events WHERE nhits = 3")} == {3.0}


# HEALPix --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(30))
def test_pixels_are_those_of_hpgeom(order: int, run: Run) -> None:
    """By the index of the table, by the formula, and as points; the centre of a pixel is in it."""
    rows = run(
        f"SELECT ivo_healpix_index({order}, ra, dec), ivo_healpix_index({order}, ra + 0, dec),"
        f" ivo_healpix_index({order}, POINT(ra, dec)), ivo_healpix_index({order}, POINT(ra + 0, dec)),"
        f" ivo_healpix_center({order}, ivo_healpix_index({order}, ra, dec)) FROM ev.events ORDER BY event_id"
    )
    ra, dec = (np.array([e[name] for e in E]) for name in ("ra", "dec"))
    expected = hpgeom.angle_to_pixel(1 << order, ra, dec, nest=True)
    for place in range(4):
        assert [row[place] for row in rows] == expected.tolist()
    centres = np.array([row[4] for row in rows])
    assert centres == pytest.approx(np.transpose(hpgeom.pixel_to_angle(1 << order, expected, nest=True)), abs=1e-9)


PIXELS = [
    "ivo_healpix_index(5, {0}) = 4288",
    "ivo_healpix_index(5, {0}) <> 4288",
    "4288 < ivo_healpix_index(5, {0})",
    "ivo_healpix_index(5, {0}) <= 4288",
    "4288 > ivo_healpix_index(5, {0})",
    "ivo_healpix_index(5, {0}) >= 4288",
    "ivo_healpix_index(5, {0}) BETWEEN 4000 AND 4288",
    "NOT ivo_healpix_index(5, {0}) BETWEEN 4288 AND 4000",
    "ivo_healpix_index(5, {0}) IN (4288, 0, 12287)",
    "ivo_healpix_index(5, {0}) NOT IN (4288, 12288, -1)",
    "ivo_healpix_index(5, {0}) < 12288",
    "ivo_healpix_index(5, {0}) > -1",
    "ivo_healpix_index(5, {0}) = 9000000000000000000",
    "ivo_healpix_index(5, {0}) < 4288.5",
    "ivo_healpix_index(29, {0}) > 0",
    "ivo_healpix_index(0, {0}) = 11 OR ivo_healpix_index(1, {0}) / 4 = 0",
]


@pytest.mark.parametrize("condition", PIXELS)
def test_conditions_on_pixels_mean_the_same_with_and_without_the_index(condition: str, run: Run) -> None:
    query = "SELECT event_id FROM ev.events WHERE {} ORDER BY event_id"
    assert run(query.format(condition.format("ra, dec"))) == run(query.format(condition.format("ra + 0, dec")))


def test_pixels_find_their_rows_by_the_index(each_access: Access, run: Run) -> None:
    assert run("SELECT COUNT(*) FROM ev.events") == [(len(E),)]
    condition = "ivo_healpix_index(5, ra, dec) IN (4288, 7) OR ivo_healpix_index(9, ra, dec) < 9"
    query = f"SELECT COUNT(*) FROM ev.events WHERE {condition}"
    with psycopg.connect(each_access.reader.conninfo) as reader:
        reader.execute("SET enable_seqscan = off")
        sql = translate(parse(query), CATALOG).sql
        plan = [line for (line,) in reader.execute(f"EXPLAIN {sql}".encode())]
    assert sum("Index Cond" in line for line in plan) == 3


SAME_ROWS = [
    "SELECT ivo_healpix_index(2, {0}) AS p, COUNT(*) FROM ev.events GROUP BY p ORDER BY p",
    "SELECT DISTINCT ivo_healpix_index(2, {0}) AS p FROM ev.events ORDER BY p",
    "SELECT ra, dec, ivo_healpix_index(2, {0}) AS p FROM ev.events GROUP BY ra, dec ORDER BY ra, dec",
    "SELECT MAX(ivo_healpix_index(2, {0})) FROM ev.events GROUP BY ra, dec ORDER BY 1",
    "SELECT p, COUNT(*) FROM (SELECT ivo_healpix_index(2, {0}) AS p FROM ev.events) AS t GROUP BY p ORDER BY p",
    "SELECT ivo_healpix_index(2, {0}) AS p FROM (SELECT dec, ra FROM ev.events WHERE ra > 9) AS t ORDER BY p",
    "WITH t AS (SELECT dec, ra FROM ev.events) SELECT ivo_healpix_index(2, {0}) AS p FROM t WHERE ra > 9 ORDER BY p",
    "SELECT event_id FROM ev.events WHERE ivo_healpix_index(2, {0}) IN"
    " (SELECT ivo_healpix_index(2, a.ra, a.dec) FROM alerts AS a) ORDER BY event_id",
    "SELECT event_id FROM ev.events ORDER BY ivo_healpix_index(29, {0}), event_id",
    "SELECT COUNT(*) FROM ev.events GROUP BY ivo_healpix_index(2, {0}) HAVING ivo_healpix_index(2, {0}) > 9 ORDER BY 1",
]


@pytest.mark.parametrize("query", SAME_ROWS)
def test_queries_mean_the_same_with_and_without_the_index(query: str, run: Run) -> None:
    assert run(query.format("ra, dec")) == run(query.format("ra + 0, dec"))


# Positions ------------------------------------------------------------------------------------------------------------

FRAMES = {
    "ICRS": "icrs",
    "FK5": FK5(),
    "FK4": FK4NoETerms(),
    "GALACTIC": Galactic(),
    "SUPER_GALACTIC": Supergalactic(),
    "ECLIPTIC": BarycentricMeanEcliptic(),
}


@pytest.mark.parametrize("source", FRAMES)
@pytest.mark.parametrize("target", FRAMES)
def test_frames_are_those_of_astropy(source: str, target: str, run: Run) -> None:
    """FK4 is not a rotation of FK5: they were tied to each other by positions of stars, to a milliarcsecond."""
    rows = run(f"SELECT ivo_geom_transform('{source}', '{target}', POINT(ra, dec)) FROM ev.events ORDER BY event_id")
    ra, dec = ([e[name] for e in E] * u.deg for name in ("ra", "dec"))
    expected = SkyCoord(ra, dec, frame=FRAMES[source]).transform_to(FRAMES[target]).spherical
    longitudes, latitudes = np.transpose([row[0] for row in rows])
    assert longitudes.min() >= 0
    assert longitudes.max() < 360
    separation = SkyCoord(longitudes, latitudes, unit="deg").separation(SkyCoord(expected.lon, expected.lat))
    galactic = {source, target} <= {"FK4", "GALACTIC", "SUPER_GALACTIC"}
    assert separation.max() < (0.05 if "FK4" in (source, target) and not galactic else 1e-5) * u.arcsec


def test_shapes_stay_shapes(run: Run) -> None:
    ((circle, polygon),) = run(
        "SELECT TOP 1 ivo_geom_transform('ICRS', 'GALACTIC', CIRCLE(10, 20, 3)),"
        " ivo_geom_transform('GALACTIC', 'FK5', POLYGON(5, 3, 4, 4, 4.5, 2)) FROM alerts"
    )
    assert circle[2] == 3
    assert len(circle) == 3
    # The catalogue's example, which was rounded on its way through FK4.
    example = [266.44721, -23.107310, 264.95088, -23.434037, 267.09936, -24.051919]
    assert polygon == pytest.approx(example, abs=7e-6)


@pytest.mark.filterwarnings("ignore::erfa.ErfaWarning")
def test_stars_move_as_in_astropy(run: Run) -> None:
    rows = run(
        "SELECT ra, dec, ivo_epoch_prop(ra, dec, 20 + nhits, -300 + ra, 20 * nhits, 10 * quality, 2016, 1901.5)"
        " , nhits, quality FROM ev.events WHERE nhits IS NOT NULL AND quality IS NOT NULL AND ABS(dec) < 89.9"
    )
    ra, dec, moved, hits, quality = (np.array([row[place] for row in rows]) for place in range(5))
    stars = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        Distance(parallax=(20 + hits) * u.mas),
        pm_ra_cosdec=(-300 + ra) * u.mas / u.yr,
        pm_dec=20 * hits * u.mas / u.yr,
        radial_velocity=10.0 * quality * u.km / u.s,
    )
    # Astropy takes the light-travel time into account: it is made small by comparing positions alone.
    after = stars.apply_space_motion(dt=(1901.5 - 2016) * u.yr)
    result = SkyCoord(moved[:, 0] * u.deg, moved[:, 1] * u.deg)
    assert result.separation(SkyCoord(after.ra, after.dec)).max() < 1 * u.mas
    assert moved[:, 2] == pytest.approx(after.distance.parallax.mas, rel=1e-5)
    assert moved[:, 3] == pytest.approx(after.pm_ra_cosdec.to_value(u.mas / u.yr), rel=1e-3, abs=1e-2)


STARS: dict[str, list[float | None]] = {
    "7.606083572, 11.79044105, 125, 300, -428.8, 52.51, 2016.0, 1992.25": [
        7.6040614046279735, 11.793270382827929, 125.01993165584682, 300.09877325973605, -428.934593565712,
        52.50880381775256,
    ],
    "7.606083572, 11.79044105, 125, NULL, NULL, NULL, 2016.0, 1992.25": [
        7.606083572, 11.79044105, 125, None, None, None
    ],
    "7.606083572, 11.79044105, NULL, 300, -428.8, 52.51, 2016.0, 1992.25": [
        7.604061727024453, 11.79326993174991, None, 300.0030911918108, -428.79783514643105, 52.51
    ],
    "7.606083572, 11.79044105, 125, 300, -428.8, NULL, 2016.0, 1992.25": [
        7.604061727024712, 11.793269931749549, 124.9999997730655, 300.0030911152833, -428.79783503705033, None
    ],
    "10, 20, 30, 40, 50, 60, 2000, 2000": [10, 20, 30, 40, 50, 60],
    "0, 90, 1, 0, 3600000, 0, 2000, 2000": [0, 90, 1, 0, 3600000, 0],
    "359.9999, 0, NULL, 3600, 0, NULL, 2000, 2001": [0.0009, 0, None, 3600, 0, None],
}  # fmt: skip
"""The catalogue's examples of ivo_epoch_prop (section 2.2.2; but one where a proper motion in one direction alone is
not applied, against its text), and some of no time, at the pole, and across the meridian of zero."""


@pytest.mark.parametrize("star", STARS)
def test_stars(star: str, run: Run) -> None:
    result = value(f"ivo_epoch_prop({star})", run)
    for number, expected in zip(result, STARS[star], strict=True):
        assert number == (None if expected is None else pytest.approx(expected, rel=1e-8, abs=1e-9))
    assert value(f"ivo_epoch_prop_pos({star})", run) == result[:2]


# Units ----------------------------------------------------------------------------------------------------------------


def test_units(run: Run) -> None:
    rows = run(
        "SELECT energy, IN_UNIT(energy, 'TeV'), IN_UNIT(energy, 'J'), IN_UNIT(energy, 'GeV'), IN_UNIT(ra, 'arcsec'),"
        " IN_UNIT(ra - dec, 'rad'), ra, dec FROM ev.events WHERE IN_UNIT(energy, 'TeV') > 1 OR energy IS NULL"
    )
    assert len(rows) == sum(e["Energy"] is None or e["Energy"] > 1000 for e in E)
    for energy, tev, joule, gev, seconds, radians, ra, dec in rows:
        assert gev == energy
        assert (tev is None) == (joule is None) == (energy is None)
        if energy is not None:
            assert (tev, joule) == pytest.approx(((energy * u.GeV).to_value(u.TeV), (energy * u.GeV).to_value(u.J)))
        assert (seconds, radians) == pytest.approx((ra * 3600, math.radians(ra - dec)))


def test_rows_of_alerts_are_matched_by_pixel(run: Run) -> None:
    """A join by pixels of two tables gives the pairs that were counted one by one."""
    pixels = Counter(hpgeom.angle_to_pixel(8, [e["ra"] for e in E], [e["dec"] for e in E], nest=True).tolist())
    ra, dec = ([row[place] for row in ROWS[ALERTS]] for place in (1, 2))
    alerts = hpgeom.angle_to_pixel(8, ra, dec, nest=True).tolist()
    ((count,),) = run(
        "SELECT COUNT(*) FROM ev.events AS e JOIN alerts AS a"
        " ON ivo_healpix_index(3, e.ra, e.dec) = ivo_healpix_index(3, a.ra, a.dec)"
    )
    assert count == sum(pixels[pixel] for pixel in alerts)
