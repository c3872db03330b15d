"""Coincidences of one alert by one rule: which candidates pass, and what each pair means. Pure: no database."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voevent.match.localisation import Localisation, Measures, Points, measure_pair, measure_points, passes
from voevent.match.rules import Overlap, Rule
from voevent.match.statistics import (
    JointPosition,
    chance_probability,
    expected_by_chance,
    joint_position,
    space_time_far,
    temporal_far,
)
from voevent.skymap import SKY, Floats, SkyMap, joint

VOEVENT = "alerts.voevent"
"""The table of seconds that are alerts."""


@dataclass(frozen=True, slots=True)
class Coincidence:
    """A match: both inputs, and how much it means.

    Attributes
    ----------
    rule
        Name of the rule.
    first_ivoid
        The alert.
    second, second_kind
        What it was matched with: an ivoid or a primary key, and the table where that is (`alerts.voevent` for alerts).
    delta_t
        Time of the second minus that of the first [s].
    separation
        Of the best positions [deg].
    overlap
        Overlap integral; None if no error is known.
    containment
        Credible level at which the second lies in the region of the first (or the first in the map of the second,
        where only that has a map); None if the error is not known.
    p_value
        Probability of a second by chance in the time window and as near to the first: in the searched area; with
        trials.
    far
        False alarm rate of such coincidences in time and position [Hz], with trials; None if that of the first is not
        known. Where no error is known, the searched area takes the place of the overlap.
    revision
        1, and one more for each earlier version of an input.
    """

    rule: str
    first_ivoid: str
    second: str
    second_kind: str
    delta_t: float
    separation: float
    overlap: float | None
    containment: float | None
    p_value: float
    far: float | None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it takes part in matches; `place.sigma` is for the containment that the rule gives its errors."""

    ivoid: str
    place: Localisation
    far: float | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Events of a table that may match; one row each.

    Attributes
    ----------
    keys
        Their primary keys, as text.
    delta_t
        Seconds after the alert.
    """

    keys: tuple[str, ...]
    delta_t: Floats
    points: Points


def match_events(rule: Rule, first: Alert, candidates: Candidates, table: str) -> list[Coincidence]:
    """The coincidences of an alert with events of a table, in the order of the candidates."""
    points = candidates.points
    chosen = _in_window(rule, candidates.delta_t)
    # Overlap integrals take time: of those that do not match they are only computed where the rule asks for them.
    by_overlap = isinstance(rule.sky, Overlap)
    measures = measure_points(first.place, points, with_overlap=by_overlap)
    chosen &= passes(rule.sky, measures, first.place, points)
    measures = measures[chosen] if by_overlap else measure_points(first.place, points[chosen])
    keys = [key for key, kept in zip(candidates.keys, chosen.tolist(), strict=True) if kept]
    return _told(rule, first, table, keys, candidates.delta_t[chosen], measures)


def match_alerts(rule: Rule, first: Alert, second: Alert, delta_t: float) -> list[Coincidence]:
    """The coincidence of two alerts; none if they do not match."""
    measures = measure_pair(first.place, second.place)
    times = np.array([delta_t])
    if not (_in_window(rule, times) & passes(rule.sky, measures, first.place, second.place)).all():
        return []
    return _told(rule, first, VOEVENT, [second.ivoid], times, measures)


def joint_localisation(first: Localisation, second: Localisation) -> JointPosition | None:
    """The position of a source of both. None if an error is not known, or where they exclude each other."""
    if first.skymap is None and second.skymap is None:
        if not (first.sigma and second.sigma):
            return None
        return joint_position(first.ra, first.dec, first.sigma, second.ra, second.dec, second.sigma)
    maps = [_as_map(place) for place in (first, second)]
    if maps[0] is None or maps[1] is None:
        return None
    both = joint(maps[0], maps[1])
    if both is None:
        return None
    radii = (both.containment_radius(*both.peak, level) for level in (0.5, 0.9))
    return JointPosition(*both.peak, *radii)


def _in_window(rule: Rule, delta_t: Floats) -> NDArray[np.bool_]:
    return (delta_t >= -rule.window.before) & (delta_t <= rule.window.after)


def _told(
    rule: Rule, first: Alert, table: str, seconds: list[str], delta_t: Floats, measures: Measures
) -> list[Coincidence]:
    columns = (measures.separation, measures.overlap, measures.level, measures.area)
    rows = zip(seconds, delta_t.tolist(), *(column.tolist() for column in columns), strict=True)
    found = []
    for second, time, separation, overlap, level, area in rows:
        expected = expected_by_chance(rule.rate, rule.window.length, area)
        found.append(
            Coincidence(
                rule=rule.name,
                first_ivoid=first.ivoid,
                second=second,
                second_kind=table,
                delta_t=time,
                separation=separation,
                overlap=_known(overlap),
                containment=_known(level),
                p_value=chance_probability(expected, rule.trials),
                far=_far(rule, first.far, overlap, area),
            )
        )
    return [coincidence for coincidence in found if _is_kept(rule, coincidence)]


def _far(rule: Rule, first_far: float | None, overlap: float, area: float) -> float | None:
    if first_far is None:
        return None
    temporal = temporal_far(first_far, rule.rate, rule.window.length)
    return rule.trials * space_time_far(temporal, SKY / max(area, 1e-300) if math.isnan(overlap) else overlap)


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _is_kept(rule: Rule, coincidence: Coincidence) -> bool:
    values = ((rule.keep.p_value, coincidence.p_value), (rule.keep.far, coincidence.far))
    return all(limit is None or (value is not None and value <= limit) for limit, value in values)


def _as_map(place: Localisation) -> SkyMap | None:
    if place.skymap is not None:
        return place.skymap
    return SkyMap.gaussian(place.ra, place.dec, place.sigma) if place.sigma else None
