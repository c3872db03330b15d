"""Statistics of coincidences: closed forms against counting, simulated pairs and sums over maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.support.skymaps import flat_file, two_blobs
from vo_service.errors import ConfigurationError
from vo_service.sky.angles import separation
from vo_service.sky.cover import merge
from vo_service.sky.healpix import hpx
from voevent.configuration import load_alerts_file
from voevent.match.coincidence import (
    Alert,
    Candidates,
    joint_localisation,
    match_alerts,
    match_events,
)
from voevent.match.localisation import Localisation, Points, fewer, measure_pair, measure_points, search_region, widened
from voevent.match.rules import Overlap, Region, Rule
from voevent.match.scramble import Archive, scrambled
from voevent.match.statistics import (
    YEAR,
    chance_probability,
    disc_area,
    expected_by_chance,
    gaussian_overlap,
    gaussian_radius,
    gaussian_sigma,
    joint_position,
    space_time_far,
    temporal_far,
    temporal_far_below_threshold,
)
from voevent.skymap import SKY, SkyMap, overlap
from voevent.skymap_fits import read_skymap

Table = dict[str, object]


def rule(**changes: object) -> Rule:
    tree: Table = {
        "name": "r",
        "alerts": {"streams": ["ivo://gw/*"]},
        "against": {"table": "ev.events", "time": "t", "error": "err"},
        "window": {"before": 500, "after": 500},
        "sky": {"kind": "region", "level": 0.9},
        "rate_per_year": 1000,
    }
    return Rule.model_validate({**tree, **changes})


def test_temporal_far_counts_simulated_pairs() -> None:
    random = np.random.default_rng(1)
    years, window = 5000 * YEAR, 3600.0
    alerts = np.sort(random.uniform(0, years, 20_000))
    others = np.sort(random.uniform(0, years, 800_000))
    pairs = (np.searchsorted(others, alerts + 0.75 * window) - np.searchsorted(others, alerts - 0.25 * window)).sum()
    expected = temporal_far(20_000 / years, 800_000 / years, window) * years
    assert pairs == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_far_below_threshold_counts_simulated_pairs() -> None:
    """Pairs of noise triggers, FARs uniform up to the thresholds: how many have so small a product."""
    random = np.random.default_rng(2)
    threshold, other, window = 2e-5, 1e-4, 100.0
    count = 1_000_000
    products = random.uniform(0, threshold, count) * random.uniform(0, other, count)
    for far, other_far in ((1e-6, 1e-5), (2e-5, 1e-5), (2e-5, 1e-4)):
        share = np.mean(products <= far * other_far)
        expected = temporal_far_below_threshold(far, other_far, window, threshold=threshold, other_threshold=other)
        assert expected == pytest.approx(window * threshold * other * share, rel=0.02)
    assert temporal_far_below_threshold(0, 1e-5, window, threshold=threshold, other_threshold=other) == 0
    with pytest.raises(ValueError, match="threshold"):
        temporal_far_below_threshold(1e-3, 1e-5, window, threshold=threshold, other_threshold=other)


def test_space_time_far_of_gw170817() -> None:
    """Of GRB 170817A: 310 gamma-ray bursts a year, within (-1, +5) s, of an alert of once in 9000 years."""
    temporal = temporal_far(1 / (9000 * YEAR), 310 / YEAR, 6.0)
    assert temporal * YEAR == pytest.approx(310 * 6 / YEAR / 9000)
    assert space_time_far(temporal, 20.0) == temporal / 20
    assert space_time_far(temporal, 0.0) == math.inf


def test_chance_probability() -> None:
    assert chance_probability(1e-12) == pytest.approx(1e-12, rel=1e-6)
    single = chance_probability(0.3)
    assert single == pytest.approx(1 - math.exp(-0.3))
    assert chance_probability(0.3, 5) == pytest.approx(1 - (1 - single) ** 5)
    assert expected_by_chance(2.0, 3.0, SKY) == pytest.approx(6.0)


def test_disc_area_is_that_of_pixels() -> None:
    random = np.random.default_rng(3)
    z, phi = random.uniform(-1, 1, 400_000), random.uniform(0, 360, 400_000)
    distance = separation(10.0, 40.0, phi, np.degrees(np.arcsin(z)))
    for radius in (5.0, 60.0, 170.0):
        assert disc_area(radius) == pytest.approx(SKY * np.mean(distance <= radius), rel=0.05)
    assert disc_area(1e-3) == pytest.approx(math.pi * 1e-6, rel=1e-6)
    assert disc_area(180) == pytest.approx(SKY)


def test_gaussian_radii_contain_what_they_say() -> None:
    random = np.random.default_rng(4)
    distance = np.hypot(random.normal(0, 2.5, 400_000), random.normal(0, 2.5, 400_000))
    for containment in (0.394, 0.5, 0.9, 0.99):
        radius = gaussian_radius(2.5, containment)
        assert np.mean(distance <= radius) == pytest.approx(containment, abs=0.003)
        assert gaussian_sigma(radius, containment) == pytest.approx(2.5)


@pytest.mark.parametrize(("distance", "sigma", "other"), [(0.0, 0.5, 0.5), (1.0, 0.5, 1.5), (3.0, 1.0, 0.4), (4, 2, 2)])
def test_gaussian_overlap_is_that_of_maps(distance: float, sigma: float, other: float) -> None:
    first, second = SkyMap.gaussian(40.0, 20.0, sigma), SkyMap.gaussian(40.0, 20.0 + distance, other)
    assert gaussian_overlap(distance, sigma, other) == pytest.approx(overlap(first, second), rel=0.02)


def test_joint_position_is_the_peak_of_the_joint_map() -> None:
    a, b = Localisation(359.5, 30.0, 1.0), Localisation(0.6, 30.8, 0.5)
    assert a.sigma is not None
    assert b.sigma is not None
    found = joint_localisation(a, b)
    assert found == joint_position(a.ra, a.dec, a.sigma, b.ra, b.dec, b.sigma)
    maps = [SkyMap.gaussian(place.ra, place.dec, place.sigma or 0) for place in (a, b)]
    by_map = joint_localisation(Localisation(a.ra, a.dec, None, maps[0]), Localisation(b.ra, b.dec, None, maps[1]))
    assert found is not None
    assert by_map is not None
    assert separation(found.ra, found.dec, by_map.ra, by_map.dec) < 0.15
    assert found.r50 == pytest.approx(by_map.r50, rel=0.2)
    assert found.r90 == pytest.approx(by_map.r90, rel=0.2)
    assert joint_localisation(a, Localisation(0.6, 30.8)) is None


def test_measures_of_points_and_pairs_agree() -> None:
    skymap = read_skymap(flat_file(two_blobs(), "NESTED"))
    place = Localisation(*skymap.peak, None, skymap)
    points = Points(np.array([3.0, 180.0, 50.0]), np.array([12.0, 80.0, -80.0]), np.array([0.0, 2.0, 1.0]))
    measures = measure_points(place, points)
    np.testing.assert_array_equal(measures.level, skymap.level_at(points.ra, points.dec))
    assert measures.area[0] == pytest.approx(skymap.area(measures.level[0]))
    assert measures.area[2] == SKY
    assert measures.overlap[0] == pytest.approx(SKY * skymap.density_at(3.0, 12.0))
    assert measures.overlap[1] == pytest.approx(overlap(skymap, SkyMap.gaussian(180.0, 80.0, 2.0)))
    assert measures.overlap[2] == 0
    second = Localisation(180.0, 80.0, 2.0)
    for pair in (measure_pair(place, second), measure_pair(second, place)):
        assert pair.level[0] == measures.level[1]
        assert pair.overlap[0] == measures.overlap[1]
    assert measure_pair(place, place).overlap[0] == pytest.approx(overlap(skymap, skymap))


def test_unknown_errors_have_no_level_and_no_overlap() -> None:
    points = Points(np.array([3.0]), np.array([12.0]), np.array([0.0]))
    measures = measure_points(Localisation(3.0, 13.0), points)
    assert measures.separation[0] == pytest.approx(1.0)
    assert np.isnan(measures.level[0])
    assert np.isnan(measures.overlap[0])
    (found,) = match_events(
        rule(sky={"kind": "separation", "radius": 2}), Alert("ivo://gw/a", Localisation(3.0, 13.0), 1e-7),
        Candidates(("1",), np.array([10.0]), points), "ev.events",
    )  # fmt: skip
    assert (found.overlap, found.containment) == (None, None)
    # Without errors the area up to the separation takes the overlap's place.
    assert found.far == pytest.approx(1e-7 * 1000 * (1000 / YEAR) * disc_area(1.0) / SKY)
    assert found.p_value == pytest.approx(1000 * (1000 / YEAR) * disc_area(1.0) / SKY, rel=1e-4)


@pytest.mark.parametrize(
    ("sky", "expected"),
    [
        ({"kind": "separation", "radius": 1.0}, ["near", "exact"]),
        # 90 % of the alert within 2 deg, of events within 1 and 0: sqrt(5) together.
        ({"kind": "error_circles"}, ["near", "exact", "middle"]),
        ({"kind": "error_circles", "factor": 2.0}, ["near", "exact", "middle", "far"]),
        ({"kind": "error_circles", "factor": 2.0, "within": 2.1}, ["near", "exact", "middle"]),
        ({"kind": "region", "level": 0.9}, ["near", "exact"]),
        ({"kind": "overlap", "minimum": 700.0}, ["near", "exact", "middle"]),
    ],
)
def test_angular_criteria(sky: Table, expected: list[str]) -> None:
    alert = Alert("ivo://gw/a", Localisation(10.0, 0.0, gaussian_sigma(2.0, 0.9)), 1e-6)
    keys = ("early", "near", "exact", "middle", "far", "late")
    points = Points(
        np.full(6, 10.0),
        np.array([0.0, 0.5, 0.9, 2.05, 3.5, 0.0]),
        gaussian_sigma(1.0, 0.9) * np.array([1, 1, 0, 1, 1, 1]),
    )
    candidates = Candidates(keys, np.array([-500.1, -500.0, 0.0, 100.0, 500.0, 500.1]), points)
    found = match_events(rule(sky=sky), alert, candidates, "ev.events")
    assert [match.counterpart for match in found] == expected
    assert [match.delta_t for match in found] == [-500.0, 0.0, 100.0, 500.0][: len(expected)]


def test_thresholds_and_trials() -> None:
    alert = Alert("ivo://gw/a", Localisation(10.0, 0.0, 1.0), 1e-6)
    second = Alert("ivo://nu/b", Localisation(10.0, 1.0, 0.5))
    (one,) = match_alerts(rule(), alert, second, 3.0)
    (many,) = match_alerts(rule(trials=10), alert, second, 3.0)
    assert one.far is not None
    assert one.overlap is not None
    assert one.overlap == pytest.approx(gaussian_overlap(1.0, 1.0, 0.5))
    assert one.far == pytest.approx(1e-6 * (1000 / YEAR) * 1000 / one.overlap)
    assert many.far == pytest.approx(10 * one.far)
    assert many.p_value == pytest.approx(1 - (1 - one.p_value) ** 10)
    for keep, count in (({"far": one.far}, 1), ({"far": one.far / 2}, 0), ({"p_value": one.p_value / 2}, 0)):
        assert len(match_alerts(rule(keep=keep), alert, second, 3.0)) == count
    unknown = Alert("ivo://gw/a", alert.place)
    assert match_alerts(rule(), unknown, second, 3.0)[0].far is None
    assert match_alerts(rule(keep={"far": 1.0}), unknown, second, 3.0) == []


@pytest.mark.parametrize("reach", [0.3, 4.0, 9.0])
def test_widened_ranges_hold_what_is_near(reach: float) -> None:
    skymap = SkyMap.gaussian(359.9, 41.8, 2.0)
    ranges = widened(skymap.region(0.9), reach)
    random = np.random.default_rng(5)
    ra, dec = (359.9 + random.normal(0, 25, 20_000)) % 360, np.clip(41.8 + random.normal(0, 18, 20_000), -90, 90)
    near = separation(359.9, 41.8, ra, dec) < skymap.containment_radii(359.9, 41.8, 0.7) + reach
    index = hpx(ra, dec)
    place = np.searchsorted(ranges[:, 0], index, side="right") - 1
    inside = (place >= 0) & (index < ranges[place, 1])
    assert inside[near].all()
    assert not inside.all()


def test_regions_to_search() -> None:
    place = Localisation(10.0, 0.0, 1.0)
    assert search_region(Region(kind="region", level=0.9), place) == (10.0, 0.0, gaussian_radius(1.0, 0.9))
    assert search_region(Overlap(kind="overlap", reach=3.0, level=0.5), place) == (
        10.0,
        0.0,
        gaussian_radius(1, 0.5) + 3,
    )
    assert search_region(Region(kind="region"), Localisation(10.0, 0.0)) == (10.0, 0.0, 0.0)


def uniform_archive(count: int, span: float) -> Archive:
    random = np.random.default_rng(6)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    return Archive(np.sort(random.uniform(0, span, count)), Points(ra, dec, np.full(count, 0.4)))


def test_scrambling_of_an_isotropic_archive_finds_the_analytic_rate() -> None:
    archive = uniform_archive(20_000, YEAR)
    one = rule(rate_per_year=20_000, window={"before": 1e4, "after": 1e4}, sky={"kind": "separation", "radius": 20.0})
    place = Localisation(80.0, -30.0, 2.0)
    found = scrambled(one, place, archive, area=disc_area(10.0), overlap=None, trials=20_000, seed=1)
    expected = expected_by_chance(one.rate, one.window.length, disc_area(10.0))
    assert archive.rate == pytest.approx(one.rate, rel=1e-3)
    assert found.matches / found.trials == pytest.approx(expected, rel=0.1)
    assert found.p_value == pytest.approx(chance_probability(expected), rel=0.1)
    assert found.far(1e-6) == pytest.approx(1e-6 * expected, rel=0.1)
    assert found == scrambled(one, place, archive, area=disc_area(10.0), overlap=None, trials=20_000, seed=1)
    assert found != scrambled(one, place, archive, area=disc_area(10.0), overlap=None, trials=20_000, seed=2)


def test_scrambling_keeps_declinations_and_turns_right_ascensions() -> None:
    """A detector that sees one point of its own sky: all right ascensions of one declination come up."""
    random = np.random.default_rng(7)
    time = np.sort(random.uniform(0, 30 * 86400, 3000))
    archive = Archive(time, Points((time * 360.98564736629 / 86400) % 360, np.full(3000, 40.0), np.zeros(3000)))
    one = rule(window={"before": 600, "after": 600}, sky={"kind": "separation", "radius": 5.0})
    at = {dec: scrambled(one, Localisation(120.0, dec), archive, area=SKY, overlap=None, trials=20_000, seed=1)
          for dec in (40.0, -40.0)}  # fmt: skip
    width = 2 * math.degrees(2 * math.asin(math.sin(math.radians(2.5)) / math.cos(math.radians(40)))) / 360
    assert at[40.0].matches / 20_000 == pytest.approx(width * 1200 * archive.rate, rel=0.15)
    assert at[-40.0].matches == 0
    assert at[-40.0].p_value == pytest.approx(1 / 20_001)


RULES = """
rules:
  - name: gw-neutrino
    alerts: {streams: ["ivo://gwnet/*"]}
    against: {table: antares.events, time: mjd, time_format: mjd, error: beta, error_containment: 0.5,
              cuts: {nhit: [30, null]}}
    rate_per_year: 800
    window: {before: 500, after: 500}
    sky: {kind: overlap, minimum: 2}
    keep: {p_value: 0.01}
  - name: nu-nu
    alerts: {streams: ["ivo://icecube/gold"]}
    against: {streams: ["ivo://km3net/*"], error_containment: 0.5}
    roles: [observation, test]
    rate_per_year: 12
    window: {before: 86400, after: 86400}
    sky: {kind: error_circles}
"""


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    first, second = load_alerts_file(path).rules
    assert first.rate == pytest.approx(800 / YEAR)
    assert first.alerts.includes("ivo://GWnet/LVC")
    assert not first.alerts.includes("ivo://nasa.gsfc.gcn/x")
    assert second.window.length == 2 * 86400
    assert second.trials == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: error_circles", "kind: nearest", "rules.1.sky"),
        ("name: nu-nu", "name: gw-neutrino", "more of gw-neutrino"),
        ("minimum: 2", "minimum: 0", "rules.0.sky"),
        ("rate_per_year: 12", "rate_per_year: 0", "rules.1.rate_per_year"),
        ("rate_per_year: 12", "rate: 12", "rules.1.rate"),
        ("before: 500, after: 500", "before: 0, after: 0", "expected `before` or `after` above 0"),
        ("table: antares.events", "table: antares", "rules.0.against"),
        ("name: nu-nu", "name: nu nu", "expected letters"),
        ("rules:", "rules: [", "is not YAML"),
    ],
)
def test_rules_that_cannot_be_used(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace(old, new))
    with pytest.raises(ConfigurationError, match=said):
        load_alerts_file(path)
    with pytest.raises(ConfigurationError, match="Cannot read"):
        load_alerts_file(tmp_path / "none.yaml")


def test_fewer_ranges_hold_what_the_others_did() -> None:
    random = np.random.default_rng(3)
    first = np.sort(random.choice(1 << 40, 5000, replace=False)) << 20
    ranges = merge(np.column_stack([first, first + random.integers(1, 1 << 19, 5000)]))
    found = fewer(ranges, 700)
    assert len(found) <= 700 < len(ranges)
    assert (found[1:, 0] > found[:-1, 1]).all()
    place = np.searchsorted(found[:, 0], ranges[:, 0], side="right") - 1
    assert (ranges[:, 1] <= found[place, 1]).all()
    np.testing.assert_array_equal(fewer(ranges, 5000), ranges)
