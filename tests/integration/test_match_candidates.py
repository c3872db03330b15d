"""Matches in a real database: candidates against brute force, what updates and retractions do, and replays."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from astropy import units as u
from astropy_healpix import HEALPix

from tap.adql import parse
from tap.translate import translate
from tests.support.alert_tables import Event, add_event, coincidences
from tests.support.database import new_database
from tests.support.skymaps import flat_file, two_blobs
from vo_service.catalog.model import Catalog, Column, Position, Schema, Table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ConfigurationError
from vo_service.sky.angles import separation
from vo_service.sky.healpix import hpx
from voevent.archive.tables import SCHEMA
from voevent.match.candidates import candidates_sql, table_candidates, table_of
from voevent.match.localisation import Localisation
from voevent.match.maps import read_skymap_of
from voevent.match.matching import match_event, match_new_rows
from voevent.match.rules import Rule, TableEvents
from voevent.match.scramble import read_archive
from voevent.match.statistics import gaussian_sigma
from voevent.skymap import SkyMap
from voevent.skymap_fits import read_skymap

Connection = psycopg.Connection[Any]

EVENTS = Table(
    "nu",
    "Events",
    (
        Column("Id", "long"),
        Column("ra", "double", unit="deg"),
        Column("dec", "double", unit="deg"),
        Column("mjd", "double", unit="d"),
        Column("obs time", "char", arraysize="*", xtype="timestamp"),
        Column("beta%", "float", unit="deg"),
        Column("nhit", "int"),
    ),
    position=Position("ra", "dec"),
    primary_key="Id",
    epoch_column="obs time",
)
CATALOG = Catalog((Schema("nu", (EVENTS, Table("nu", "plain", (Column("x", "int"),)))),))
START = datetime(2020, 1, 1)
START_MJD = 58849.0
COUNT = 60_000
SPAN = 30 * 86400.0


def rows() -> np.ndarray[Any, np.dtype[np.float64]]:
    """id, ra, dec, seconds after START, error, hits."""
    random = np.random.default_rng(8)
    ra, dec = random.uniform(0, 360, COUNT), np.degrees(np.arcsin(random.uniform(-1, 1, COUNT)))
    ra[:4], dec[:4] = [0.0, 359.999999, 10.0, 0.2], [10.0, 10.0, 90.0, 10.1]
    seconds = np.sort(random.integers(0, int(SPAN), COUNT)).astype(float)
    seconds[:4] = [86400 * 15, 86400 * 15 - 500, 86400 * 15 + 500, 86400 * 15 + 501]
    error = random.uniform(0.1, 2.0, COUNT).astype(np.float32)
    return np.column_stack([np.arange(COUNT), ra, dec, seconds, error, random.integers(5, 100, COUNT)])


ROWS = rows()


@pytest.fixture(scope="module")
def tables(server: Access) -> Iterator[str]:
    """A database with alerts' tables and the events, as its writer sees it."""
    with new_database(server) as access:
        initialise(access)
        with psycopg.connect(access.owner.conninfo, autocommit=True) as owner:
            owner.execute("CREATE SCHEMA nu")
            owner.execute(
                'CREATE TABLE nu."Events" ("Id" bigint PRIMARY KEY, ra double precision, dec double precision,'
                ' mjd double precision, "obs time" timestamp, "beta%" real, nhit integer, hpx bigint)'
            )
            index = hpx(ROWS[:, 1], ROWS[:, 2])
            with owner.cursor() as cursor, cursor.copy('COPY nu."Events" FROM STDIN') as copy:
                for row, cell in zip(ROWS.tolist(), index.tolist(), strict=True):
                    time = START + timedelta(seconds=row[3])
                    beta = None if int(row[0]) % 10 == 9 else row[4]
                    copy.write_row(
                        (int(row[0]), row[1], row[2], START_MJD + row[3] / 86400, time, beta, int(row[5]), cell)
                    )
            owner.execute('CREATE INDEX ON nu."Events" (hpx)')
            owner.execute('ANALYZE nu."Events"')
        yield access.owner.conninfo


@pytest.fixture
def connection(tables: str) -> Iterator[Connection]:
    """A transaction that is undone."""
    with psycopg.connect(tables) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
def skymap() -> SkyMap:
    return read_skymap(flat_file(two_blobs(), "NESTED"))


def rule(**changes: object) -> Rule:
    tree = {
        "name": "gw-nu",
        "alerts": {"streams": ["ivo://gw/*"]},
        "against": {"table": "nu.events", "error": "beta%", "error_containment": 0.5},
        "window": {"before": 500, "after": 500},
        "sky": {"kind": "region", "level": 0.9},
        "rate_per_year": 500_000,
    }
    return Rule.model_validate({**tree, **changes})


NOON = START + timedelta(days=15)


@pytest.mark.parametrize(
    "against",
    [
        {"table": "nu.events", "error": "beta%"},
        {"table": "nu.events", "time": "mjd", "time_format": "mjd", "error": 0.5},
        {"table": "NU.EVENTS", "cuts": {"nhit": [20, None], "ra": [None, 300]}},
    ],
)
@pytest.mark.parametrize("seconds", [500.0, 86400.0])
def test_candidates_in_a_map_are_those_of_brute_force(
    connection: Connection, skymap: SkyMap, against: dict[str, Any], seconds: float
) -> None:
    one = rule(against=against, window={"before": seconds, "after": seconds})
    side = one.against
    assert isinstance(side, TableEvents)
    place = Localisation(*skymap.peak, None, skymap)
    found = table_candidates(connection, one, side, table_of(CATALOG, side), NOON, place)
    after = ROWS[:, 3] - 15 * 86400
    inside = (np.abs(after) <= seconds) & (skymap.level_at(ROWS[:, 1], ROWS[:, 2]) <= 0.9)
    if "cuts" in against:
        inside &= (ROWS[:, 5] >= 20) & (ROWS[:, 1] <= 300)
    assert found.keys == tuple(str(int(key)) for key in ROWS[inside, 0])
    assert len(found.keys) > (1 if seconds == 500 else 50)
    np.testing.assert_allclose(found.delta_t, after[inside], atol=1e-5)
    np.testing.assert_array_equal(found.points.ra, ROWS[inside, 1])
    sigma = ROWS[inside, 4] * gaussian_sigma(1.0, 0.9)
    if against.get("error") == "beta%":
        sigma[ROWS[inside, 0] % 10 == 9] = 0
        np.testing.assert_allclose(found.points.sigma, sigma, rtol=1e-6)


@pytest.mark.parametrize("ra_dec", [(0.0, 10.0), (120.0, 90.0), (200.0, -45.0)])
def test_candidates_in_a_cone_are_those_of_brute_force(connection: Connection, ra_dec: tuple[float, float]) -> None:
    one = rule(window={"before": 86400, "after": 0}, sky={"kind": "separation", "radius": 6.0})
    assert isinstance(one.against, TableEvents)
    found = table_candidates(connection, one, one.against, EVENTS, NOON, Localisation(*ra_dec))
    after = ROWS[:, 3] - 15 * 86400
    near = separation(*ra_dec, ROWS[:, 1], ROWS[:, 2]) <= 6
    assert found.keys == tuple(str(int(key)) for key in ROWS[near & (after >= -86400) & (after <= 0), 0])
    assert found.keys


@pytest.mark.parametrize("sky", [{"kind": "region", "level": 0.5}, {"kind": "overlap", "level": 0.5, "reach": 0.5}])
def test_the_index_of_positions_is_used(connection: Connection, skymap: SkyMap, sky: dict[str, Any]) -> None:
    for place in (Localisation(*skymap.peak, None, skymap), Localisation(10.0, 20.0, 0.5)):
        one = rule(sky=sky)
        assert isinstance(one.against, TableEvents)
        query = candidates_sql(one, one.against, EVENTS, NOON, place)
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}".encode()).fetchall())
        assert "Events_hpx_idx" in plan
        assert "Seq Scan" not in plan


def test_a_map_is_kept(connection: Connection, skymap: SkyMap) -> None:
    event_id = add_event(connection, Event("ivo://gw/a#1", NOON, skymap=skymap))
    again = read_skymap_of(connection, event_id)
    assert again is not None
    for name in ("first", "last", "density", "level"):
        np.testing.assert_array_equal(getattr(again, name), getattr(skymap, name))
    assert read_skymap_of(connection, event_id + 1) is None


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_events_in_the_region_of_a_map_by_one_query(connection: Connection, skymap: SkyMap, level: float) -> None:
    add_event(connection, Event("ivo://gw/a#0", NOON, skymap=SkyMap.gaussian(40.0, 5.0, 3.0)))
    add_event(connection, Event("ivo://gw/a#1", NOON, skymap=skymap))
    connection.execute("ANALYZE alerts.skymap")
    query = f"""
        SELECT e.Id FROM alerts.skymap AS s
        JOIN nu.Events AS e ON IVO_HEALPIX_INDEX(29, e.ra, e.dec) BETWEEN s.hpx_first AND s.hpx_last
        WHERE s.ivoid = 'ivo://gw/a#1' AND s.credible_level <= {level}"""
    translated = translate(parse(query), Catalog((*CATALOG.schemas, SCHEMA))).sql
    plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {translated}".encode()).fetchall())
    assert "Events_hpx_idx" in plan
    assert "Seq Scan" not in plan
    # The map's pixels by falling probability, and astropy-healpix for the pixel of each event.
    pixels = two_blobs()
    grid = HEALPix(round(math.sqrt(len(pixels) / 12)), order="nested")
    falling = np.argsort(-pixels, kind="stable")
    reached = np.cumsum(pixels[falling]) / pixels.sum()
    inside = np.isin(grid.lonlat_to_healpix(ROWS[:, 1] * u.deg, ROWS[:, 2] * u.deg), falling[reached <= level])
    found = [int(key) for (key,) in connection.execute(translated.encode()).fetchall()]
    assert sorted(found) == np.flatnonzero(inside).tolist()
    assert len(found) > 10


def test_an_alert_is_matched_and_recorded(connection: Connection, skymap: SkyMap) -> None:
    event_id = add_event(connection, Event("ivo://gw/a#1", NOON, far=1e-8, skymap=skymap))
    other = rule(name="elsewhere", alerts={"streams": ["ivo://grb/*"]})
    found = match_event(connection, [rule(), other], CATALOG, event_id)
    inside = (np.abs(ROWS[:, 3] - 15 * 86400) <= 500) & (skymap.level_at(ROWS[:, 1], ROWS[:, 2]) <= 0.9)
    assert [match.counterpart for match in found] == [str(int(key)) for key in ROWS[inside, 0]]
    assert {"0", "1"} <= {match.counterpart for match in found}
    recorded = coincidences(connection)
    assert sorted(row[2] for row in recorded) == sorted(match.counterpart for match in found)
    assert {(row[0], row[1], row[3], row[10], row[11]) for row in recorded} == {
        ("gw-nu", "ivo://gw/a#1", "nu.Events", 1, "current")
    }
    by_key = {row[2]: row for row in recorded}
    for match in found:
        row = by_key[match.counterpart]
        assert row[4:10] == (
            match.delta_t, match.separation, match.overlap, match.containment, match.p_value, match.far
        )  # fmt: skip
        assert match.containment is not None
        assert 0 < match.containment <= 0.9
        assert match.far is not None
        assert 0 < match.p_value < 1
    assert match_event(connection, [rule()], CATALOG, event_id) == found
    assert coincidences(connection) == recorded


PAIR = {
    "name": "nu-nu",
    "alerts": {"streams": ["ivo://icecube/*"]},
    "against": {"streams": ["ivo://km3net/*"]},
    "roles": ["observation", "test"],
    "window": {"before": 100, "after": 900},
    "sky": {"kind": "error_circles"},
    "rate_per_year": 12,
}
ICECUBE = Event("ivo://icecube/gold#1", NOON, 0.1, 5.0, 1.0, 3e-8)
KM3NET = Event("ivo://km3net/he#1", NOON + timedelta(seconds=600), 359.9, 5.5, 0.8)


def accept(connection: Connection, *events: Event) -> list[int]:
    """Events as they come: each stored, then matched."""
    numbers = []
    for event in events:
        numbers.append(add_event(connection, event))
        match_event(connection, [rule(), Rule.model_validate(PAIR)], CATALOG, numbers[-1])
    return numbers


def changed(event: Event, ivoid: str, cite: str, **values: object) -> Event:
    """The event under another ivoid, with a citation of the former one."""
    return Event(**{**event.__dict__, "ivoid": ivoid, "cites": ((event.ivoid, cite),), **values})


def test_two_alerts_match_in_whatever_order_they_come(connection: Connection) -> None:
    accept(connection, ICECUBE, KM3NET)
    first = coincidences(connection)
    connection.rollback()
    accept(connection, KM3NET, ICECUBE)
    assert coincidences(connection) == first
    ((name, alert, second, kind, delta_t, distance, *_),) = first
    assert (name, alert, second, kind, delta_t) == ("nu-nu", ICECUBE.ivoid, KM3NET.ivoid, "alerts.voevent", 600.0)
    assert distance == pytest.approx(float(separation(0.1, 5.0, 359.9, 5.5)), abs=1e-12)


@pytest.mark.parametrize(
    "event",
    [
        changed(KM3NET, "ivo://km3net/he#t", "followup", role="test"),
        changed(KM3NET, "ivo://km3net/he#l", "followup", time=NOON + timedelta(seconds=901)),
        changed(KM3NET, "ivo://km3net/he#f", "followup", dec=7.0),
        changed(KM3NET, "ivo://km3net/he#n", "followup", ra=None, dec=None),
        changed(KM3NET, "ivo://km3net/he#n", "followup", time=None),
        changed(KM3NET, "ivo://other/he#1", "followup"),
    ],
)
def test_what_is_no_match(connection: Connection, event: Event) -> None:
    accept(connection, ICECUBE, event)
    assert coincidences(connection) == []


def test_tests_match_tests(connection: Connection) -> None:
    accept(connection, *(Event(**{**event.__dict__, "role": "test"}) for event in (ICECUBE, KM3NET)))
    assert len(coincidences(connection)) == 1


@pytest.mark.parametrize("cite", ["supersedes", " Supersedes\n"])
def test_an_update_revises(connection: Connection, cite: str) -> None:
    second = changed(ICECUBE, "ivo://icecube/gold#2", cite, dec=5.2)
    third = changed(second, "ivo://icecube/gold#3", cite, dec=5.3)
    accept(connection, ICECUBE, KM3NET, second, third)
    assert [(row[1], row[10], row[11]) for row in coincidences(connection)] == [
        (ICECUBE.ivoid, 1, "superseded"),
        (second.ivoid, 2, "superseded"),
        (third.ivoid, 3, "current"),
    ]


@pytest.mark.parametrize(("cite", "status"), [("supersedes", "superseded"), ("retraction", "retracted")])
def test_who_cites_an_event_means_all_notices_of_it_so_far(connection: Connection, cite: str, status: str) -> None:
    about = "ivo://icecube/gold#IC"
    first = Event(**{**ICECUBE.__dict__, "ivoid": f"{about}_a", "about": about})
    second = changed(first, f"{about}_b", "followup", dec=5.2)
    accept(connection, KM3NET, first, second, Event(f"{about}_c", cites=((about, cite),), about=about))
    assert [(row[1], row[10], row[11]) for row in coincidences(connection)] == [
        (first.ivoid, 1, status),
        (second.ivoid, 2, status),
    ]
    accept(connection, Event(**{**first.__dict__, "ivoid": f"{about}_d"}))
    assert [row[11] for row in coincidences(connection)] == [status, status, "current"]


def test_an_update_of_the_second_that_does_not_match_any_more(connection: Connection) -> None:
    accept(connection, ICECUBE, KM3NET, changed(KM3NET, "ivo://km3net/he#2", "supersedes", dec=20.0))
    assert [(row[2], row[11]) for row in coincidences(connection)] == [(KM3NET.ivoid, "superseded")]


def test_a_retraction(connection: Connection) -> None:
    accept(connection, ICECUBE, KM3NET, changed(KM3NET, "ivo://km3net/he#2", "retraction"))
    assert [(row[2], row[10], row[11]) for row in coincidences(connection)] == [(KM3NET.ivoid, 1, "retracted")]


def test_a_retraction_that_comes_first(connection: Connection) -> None:
    accept(connection, ICECUBE, changed(KM3NET, "ivo://km3net/he#2", "retraction"), KM3NET)
    assert coincidences(connection) == []


@pytest.mark.parametrize(("ivoid", "role"), [("ivo://other/he#2", "observation"), ("ivo://km3net/he#2", "test")])
def test_others_retract_nothing(connection: Connection, ivoid: str, role: str) -> None:
    accept(connection, ICECUBE, KM3NET, changed(KM3NET, ivoid, "retraction", role=role))
    assert [row[11] for row in coincidences(connection)] == ["current"]


def test_a_replay_gives_the_same(connection: Connection, skymap: SkyMap) -> None:
    gw = Event("ivo://gw/a#1", NOON, far=1e-8, skymap=skymap)
    events = (
        changed(ICECUBE, "ivo://icecube/gold#2", "supersedes", dec=5.2), gw, KM3NET, ICECUBE,
        changed(gw, "ivo://gw/a#2", "supersedes", skymap=SkyMap.gaussian(0.0, 10.0, 4.0)),
        changed(KM3NET, "ivo://km3net/he#2", "retraction"),
        changed(KM3NET, "ivo://km3net/he#3", "followup", ra=1.0),
    )  # fmt: skip
    numbers = accept(connection, *events)
    recorded = coincidences(connection)
    assert {row[11] for row in recorded} == {"current", "superseded", "retracted"}
    connection.execute("DELETE FROM alerts.coincidence")
    for number in numbers:
        match_event(connection, [rule(), Rule.model_validate(PAIR)], CATALOG, number)
    assert coincidences(connection) == recorded


def test_new_rows_of_a_table_are_matched(connection: Connection, skymap: SkyMap) -> None:
    gw = Event("ivo://gw/a#1", NOON, far=1e-8, skymap=skymap)
    accept(connection, gw, changed(gw, "ivo://gw/b#1", "followup", time=NOON - timedelta(days=1)))
    before = coincidences(connection)
    late = NOON + timedelta(seconds=450)
    connection.execute(
        'INSERT INTO nu."Events" VALUES (%s, 0.5, 10.2, 58864.0, %s, 0.5, 50, %s)', (COUNT, late, int(hpx(0.5, 10.2)))
    )
    found = match_new_rows(connection, [rule()], CATALOG, "nu.events", late, late)
    assert {match.alert_ivoid for match in found} == {gw.ivoid}
    new = [row for row in coincidences(connection) if row not in before]
    assert [(row[2], row[4]) for row in new] == [(str(COUNT), 450.0)]
    assert match_new_rows(connection, [rule()], CATALOG, "nu.others", late, late) == ()


def test_a_rule_whose_table_is_gone_is_left_out(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    rules = [rule(name="gone", against={"table": "nu.gone"}), Rule.model_validate(PAIR)]
    add_event(connection, KM3NET)
    both = [*rules, rule(name="gone-too", alerts={"streams": ["ivo://icecube/*"]}, against={"table": "nu.gone"})]
    with caplog.at_level(logging.ERROR):
        assert len(match_event(connection, both, CATALOG, add_event(connection, ICECUBE))) == 1
    assert "The rule gone-too is left out: A rule names the table nu.gone, which is not published" in caplog.text


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ({"table": "nu.plain"}, "needs a position and a primary key"),
        ({"table": "nu.events", "time": "t"}, "the column t"),
        ({"table": "nu.events", "time": "mjd"}, "give its `time_format`"),
        ({"table": "nu.events", "time_format": "mjd"}, "give its `time_format`"),
        ({"table": "nu.events", "error": "sigma"}, "the column sigma"),
        ({"table": "nu.events", "cuts": {"Energy": [1, None]}}, "the column Energy"),
    ],
)
def test_tables_that_cannot_be_matched(against: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        table_of(CATALOG, TableEvents.model_validate(against))


def test_the_archive_for_scrambling(connection: Connection) -> None:
    side = TableEvents.model_validate({"table": "nu.events", "error": "beta%", "cuts": {"nhit": [50, None]}})
    archive = read_archive(connection, side, EVENTS)
    kept = ROWS[ROWS[:, 5] >= 50]
    assert len(archive.time) == len(kept)
    np.testing.assert_array_equal(np.sort(archive.points.dec), np.sort(kept[:, 2]))
    assert archive.span == pytest.approx(np.ptp(kept[:, 3]))
