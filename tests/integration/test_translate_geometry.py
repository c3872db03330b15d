"""Cones, distances and matches of tables on real servers, against the separations that astropy computes of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import astropy.units as u
import numpy as np
import psycopg
import pytest
from astropy.coordinates import angular_separation
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from tap.adql import parse
from tap.translate import translate
from tests.support.published import ALERTS, CATALOG, EVENTS, ROWS, Row, tables_in
from vo_service.database.access import Access

Run = Callable[[str], list[Row]]

EVENT_RA = np.array([row[1] for row in ROWS[EVENTS]])
EVENT_DEC = np.array([row[2] for row in ROWS[EVENTS]])
ALERT_RA = np.array([row[1] for row in ROWS[ALERTS]])
ALERT_DEC = np.array([row[2] for row in ROWS[ALERTS]])

SLACK = 1e-9
"""Degrees (4 micro-arcseconds) around a cone's edge in which rounding decides."""


@pytest.fixture(scope="module")
def connection(each_access: Access) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(each_access.owner.conninfo, autocommit=True) as connection, tables_in(connection):
        yield connection


@pytest.fixture(scope="module")
def run(connection: psycopg.Connection[Any]) -> Run:
    def run(query: str) -> list[Row]:
        return connection.execute(translate(parse(query), CATALOG).sql.encode()).fetchall()

    return run


def separation(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> NDArray[np.float64]:
    angles = [np.asarray(angle) * u.deg for angle in (ra1, dec1, ra2, dec2)]
    result: NDArray[np.float64] = angular_separation(*angles).to_value(u.deg)
    return result


fast = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# No smaller than 1e-12 degrees but for 0: PostgreSQL refuses to square numbers whose square is below 1e-308.
centres = st.one_of(
    st.tuples(st.floats(0, 360), st.floats(-90, 90)).map(lambda angles: (round(angles[0], 12), round(angles[1], 12))),
    st.sampled_from([(float(ra), float(dec)) for ra, dec in zip(EVENT_RA[:30], EVENT_DEC[:30], strict=True)]),
)
radii = st.one_of(
    st.floats(1e-9, 1), st.floats(1e-9, 180), st.sampled_from([0.0, 1e-6, 0.1, 2.0, 2.5, 90.0, 179.0, 180.0])
)

INSIDE = (
    "1 = CONTAINS(POINT(ra, dec), CIRCLE({ra!r}, {dec!r}, {radius!r}))",
    "CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra!r}, {dec!r}, {radius!r})) = 1",
    "0 <> CONTAINS(POINT({ra!r}, {dec!r}), CIRCLE(POINT(ra, dec), {radius!r}))",
    "DISTANCE(POINT(ra, dec), POINT({ra!r}, {dec!r})) <= {radius!r}",
    "{radius!r} >= DISTANCE({ra!r}, {dec!r}, ra, dec)",
    "NOT DISTANCE(ra, dec, {ra!r}, {dec!r}) > {radius!r}",
    "NOT CONTAINS(POINT(ra, dec), CIRCLE({ra!r}, {dec!r}, {radius!r})) = 0",
    # Without the index:
    "1 = CONTAINS(POINT(ra + 0, dec), CIRCLE({ra!r}, {dec!r}, {radius!r}))",
    "DISTANCE(ra, dec + 0, {ra!r}, {dec!r}) BETWEEN 0 AND {radius!r}",
)


@fast
@given(centre=centres, radius=radii)
@example(centre=(0.0, 90.0), radius=1.0)
@example(centre=(12.0, -90.0), radius=1.0)
@example(centre=(0.0, 0.0), radius=3.0)
@example(centre=(360.0, 0.0), radius=3.0)
@example(centre=(83.6331, 22.0145), radius=0.0)
@example(centre=(359.9999999, 0.0), radius=2e-7)
def test_cones(centre: tuple[float, float], radius: float, run: Run) -> None:
    """All ways to write a cone give the rows that astropy finds, and the same ones."""
    ra, dec = centre
    angle = separation(ra, dec, EVENT_RA, EVENT_DEC)
    near_edge = np.abs(angle - radius) < SLACK
    assume(radius < SLACK or not near_edge.any())
    expected = set(np.flatnonzero(angle <= radius + (SLACK if radius < SLACK else 0)))
    for form in INSIDE:
        condition = form.format(ra=ra, dec=dec, radius=radius)
        rows = run(f"SELECT event_id FROM ev.events WHERE {condition}")
        found = {identifier for (identifier,) in rows}
        assert len(rows) == len(found)
        if radius < SLACK:
            assert found <= expected, form
        else:
            assert found == expected, form


@fast
@given(centre=centres, radius=radii)
def test_outside_is_what_is_not_inside(centre: tuple[float, float], radius: float, run: Run) -> None:
    cone = f"{centre[0]!r}, {centre[1]!r}, {radius!r}"
    inside = run(f"SELECT event_id FROM ev.events WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({cone}))")
    for condition in (
        f"0 = CONTAINS(POINT(ra, dec), CIRCLE({cone}))",
        f"CONTAINS(POINT(ra, dec), CIRCLE({cone})) <> 1",
        f"CONTAINS(POINT(ra, dec), CIRCLE({cone})) < 0.5",
        f"NOT 1 = CONTAINS(POINT(ra, dec), CIRCLE({cone}))",
    ):
        outside = run(f"SELECT event_id FROM ev.events WHERE {condition}")
        assert not set(inside) & set(outside)
        assert len(inside) + len(outside) == len(EVENT_RA)


def test_the_edge(run: Run) -> None:
    """CONTAINS and <= hold the edge, < does not: at a pole and a distance that have no rounding, and at no distance."""
    position = "POINT(ra, dec), POINT(83.6331, 22.0145)"
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) <= 0") == [(3,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) = 0") == [(3,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) < 0") == [(0,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) >= 0") == [(1000,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) > 0") == [(997,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) > -1") == [(1000,)]
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE DISTANCE({position}) < 181") == [(1000,)]
    assert run("SELECT COUNT(*) FROM ev.events WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(0, 0, 180))") == [(1000,)]


def test_distances_and_contains_as_numbers(run: Run) -> None:
    rows = run(
        "SELECT DISTANCE(ra, dec, 10, 89), CONTAINS(POINT(ra, dec), CIRCLE(10, 89, 40))"
        " FROM ev.events ORDER BY event_id"
    )
    expected = separation(10, 89, EVENT_RA, EVENT_DEC)
    distances, inside = np.array(rows, float).T
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    assert (inside == (expected <= 40)).all()


MATCHES = (
    "alerts a JOIN ev.events e ON DISTANCE(a.ra, a.dec, e.ra, e.dec) < {r}",
    "alerts a JOIN ev.events e ON {r} > DISTANCE(POINT(e.ra, e.dec), POINT(a.ra, a.dec))",
    "alerts a, ev.events e WHERE 1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(a.ra, a.dec, {r}))",
    "ev.events e, alerts a WHERE CONTAINS(POINT(a.ra, a.dec), CIRCLE(POINT(e.ra, e.dec), {r})) = 1",
    "(SELECT * FROM alerts) AS a JOIN (SELECT event_id, ra, dec FROM ev.events) AS e"
    " ON DISTANCE(a.ra, a.dec, e.ra, e.dec) <= {r}",
)


@pytest.mark.parametrize("form", MATCHES)
@pytest.mark.parametrize("radius", [0.06, 0.25, 3.5, 100])
def test_matches_of_two_tables(form: str, radius: float, run: Run) -> None:
    angles = separation(ALERT_RA[:, None], ALERT_DEC[:, None], EVENT_RA, EVENT_DEC)
    assert not (np.abs(angles - radius) < SLACK).any()
    expected = {(f"ALERT-{alert:02d}", int(event)) for alert, event in zip(*np.nonzero(angles <= radius), strict=True)}
    assert len(expected) >= 20
    rows = run(f"SELECT a.alert_id, e.event_id FROM {form.format(r=radius)}")
    assert len(rows) == len(expected)
    assert set(rows) == expected


@pytest.mark.parametrize(
    "condition",
    [
        "1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(a.ra, a.dec, a.radius))",
        "DISTANCE(e.ra, e.dec, a.ra, a.dec) <= a.radius",
        "NOT DISTANCE(e.ra, e.dec, a.ra, a.dec) > a.radius",
        "DISTANCE(a.ra, a.dec, e.ra, e.dec) < a.radius + 0",
    ],
)
def test_events_within_the_error_of_an_alert(condition: str, run: Run) -> None:
    """Alerts without a radius match nothing, in either sense."""
    radius = np.array([row[4] for row in ROWS[ALERTS]], float)
    angles = separation(ALERT_RA[:, None], ALERT_DEC[:, None], EVENT_RA, EVENT_DEC)
    expected = int((angles <= radius[:, None]).sum())
    assert expected > 100
    assert run(f"SELECT COUNT(*) FROM alerts a, ev.events e WHERE {condition}") == [(expected,)]
    not_null = int(np.isfinite(radius).sum()) * len(EVENT_RA)
    assert run(f"SELECT COUNT(*) FROM alerts a, ev.events e WHERE NOT ({condition})") == [(not_null - expected,)]


def test_rows_without_a_position(run: Run) -> None:
    """A row that an outer join made up is neither inside nor outside."""
    joined = "alerts a LEFT JOIN ev.events e ON a.event_id = e.event_id AND e.event_id < 200"
    rows = run(f"SELECT COUNT(*), COUNT(e.event_id) FROM {joined}")
    assert 0 < rows[0][1] < rows[0][0]
    cone = "CONTAINS(POINT(e.ra, e.dec), CIRCLE(0, 0, 100))"
    inside, outside = (run(f"SELECT COUNT(*) FROM {joined} WHERE {cone} = {i}")[0][0] for i in (1, 0))
    assert inside + outside == rows[0][1]
    whole_sky = "1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(0, 0, 180))"
    assert run(f"SELECT COUNT(*) FROM {joined} WHERE {whole_sky}") == [(rows[0][1],)]


THROUGH = (
    "SELECT t.event_id FROM (SELECT * FROM ev.events WHERE nhits > 2) AS t WHERE {cone}",
    "SELECT t.event_id FROM (SELECT event_id, dec, ra FROM ev.events WHERE nhits > 2 ORDER BY ra) AS t WHERE {cone}",
    "SELECT u.event_id FROM (SELECT * FROM (SELECT * FROM ev.events) AS t WHERE nhits > 2) AS u WHERE {cone}",
    "WITH t AS (SELECT event_id, ra, dec FROM ev.events WHERE nhits > 2) SELECT t.event_id FROM t WHERE {cone}",
    "SELECT event_id FROM (SELECT DISTINCT event_id, ra, dec FROM ev.events WHERE nhits > 2) AS t WHERE {cone}",
    "SELECT event_id FROM ev.events WHERE nhits > 2 AND event_id IN (SELECT event_id FROM ev.events WHERE {cone})",
    "SELECT event_id FROM ev.events WHERE nhits > 2 AND {cone}",
    "SELECT e.event_id FROM ev.events AS e LEFT JOIN cosmic.events AS c USING (event_id) WHERE nhits > 2 AND {cone}",
    "SELECT e.event_id FROM ev.events AS e WHERE nhits > 2 AND EXISTS (SELECT 1 FROM showers WHERE {cone})",
    "SELECT event_id FROM ev.events WHERE nhits > 2 INTERSECT SELECT event_id FROM ev.events WHERE {cone}",
)  # fmt: skip


@pytest.mark.parametrize("query", THROUGH)
def test_cones_in_all_kinds_of_queries(query: str, run: Run) -> None:
    hits = np.array([row[4] if row[4] is not None else -1 for row in ROWS[EVENTS]])
    expected = set(np.flatnonzero((separation(0, 89, EVENT_RA, EVENT_DEC) <= 10.5) & (hits > 2)))
    assert len(expected) > 20
    rows = run(query.format(cone="1 = CONTAINS(POINT(ra, dec), CIRCLE(0, 89, 10.5))"))
    assert sorted(identifier for (identifier,) in rows) == sorted(expected)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT event_id FROM ev.events WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(120, 45, 0.01))",
        "SELECT event_id FROM ev.events WHERE DISTANCE(120, 45, ra, dec) < 0.01 AND nhits > 3",
        "SELECT t.event_id FROM (SELECT * FROM ev.events WHERE nhits > 2) AS t WHERE DISTANCE(120, 45, ra, dec) < 0.01",
        "WITH t AS (SELECT * FROM ev.events) SELECT event_id FROM t WHERE DISTANCE(120, 45, ra, dec) < 0.01",
        "SELECT a.event_id FROM ev.events a JOIN alerts b USING (event_id) WHERE DISTANCE(120, 45, a.ra, a.dec) < 0.01",
    ],
)
def test_the_index_is_used(query: str, connection: psycopg.Connection[Any]) -> None:
    sql = translate(parse(query), CATALOG).sql
    connection.execute("SET enable_seqscan = off")
    try:
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {sql}".encode()))
    finally:
        connection.execute("RESET enable_seqscan")
    assert "Index Cond" in plan
    assert "hpx" in plan
