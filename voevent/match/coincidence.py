"""Coincidences of one alert by one rule: which candidates pass, and what each pair means. Pure: no database."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voevent.match.localisation import (
    Localisation,
    Measures,
    Points,
    localisations,
    measure_pair,
    measure_points,
    passes,
)
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
"""The table of counterparts that are alerts."""


@dataclass(frozen=True, slots=True)
class Coincidence:
    """A match: both inputs, and how much it means.

    Attributes
    ----------
    rule
        Name of the rule.
    alert_ivoid
        The alert.
    counterpart, counterpart_kind
        What it was matched with: an ivoid or a primary key, and the table where that is (`alerts.voevent` for alerts).
    delta_t
        Time of the counterpart minus that of the alert [s].
    separation
        Of the best positions [deg].
    overlap
        Overlap integral; None if no error is known.
    containment
        Credible level at which the counterpart lies in the region of the alert (or the alert in the map of the
        counterpart, where only that has a map); None if the error is not known.
    p_value
        Probability of a counterpart by chance in the time window and as near to the alert: in the searched area; with
        trials.
    far
        False alarm rate of such coincidences in time and position [Hz], with trials; None if that of the alert is not
        known. Where no error is known, the searched area takes the place of the overlap.
    place
        Where a source of both is; None if an error is not known, or where they exclude each other.
    revision
        1, and one more for each earlier version of an input.
    """

    rule: str
    alert_ivoid: str
    counterpart: str
    counterpart_kind: str
    delta_t: float
    separation: float
    overlap: float | None
    containment: float | None
    p_value: float
    far: float | None
    place: JointPosition | None = None
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
    counterparts = zip(keys, candidates.delta_t[chosen].tolist(), localisations(points[chosen]), strict=True)
    return _told(rule, first, table, counterparts, measures)


def match_alerts(rule: Rule, first: Alert, second: Alert, delta_t: float) -> list[Coincidence]:
    """The coincidence of two alerts; none if they do not match."""
    measures = measure_pair(first.place, second.place)
    times = np.array([delta_t])
    if not (_in_window(rule, times) & passes(rule.sky, measures, first.place, second.place)).all():
        return []
    return _told(rule, first, VOEVENT, [(second.ivoid, delta_t, second.place)], measures)


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
    r50, r90 = both.containment_radii(*both.peak, [0.5, 0.9]).tolist()
    return JointPosition(*both.peak, r50, r90)


def _in_window(rule: Rule, delta_t: Floats) -> NDArray[np.bool_]:
    return (delta_t >= -rule.window.before) & (delta_t <= rule.window.after)


def _told(
    rule: Rule, first: Alert, kind: str, counterparts: Iterable[tuple[str, float, Localisation]], measures: Measures
) -> list[Coincidence]:
    """The coincidences that are worth keeping; a counterpart is its key, its time after the alert, and its place."""
    columns = (measures.separation, measures.overlap, measures.level, measures.area)
    rows = zip(counterparts, *(column.tolist() for column in columns), strict=True)
    found = []
    for (key, time, place), separation, overlap, level, area in rows:
        expected = expected_by_chance(rule.rate, rule.window.length, area)
        coincidence = Coincidence(
            rule=rule.name,
            alert_ivoid=first.ivoid,
            counterpart=key,
            counterpart_kind=kind,
            delta_t=time,
            separation=separation,
            overlap=_known(overlap),
            containment=_known(level),
            p_value=chance_probability(expected, rule.trials),
            far=_far(rule, first.far, overlap, area),
        )
        if _is_kept(rule, coincidence):
            found.append(replace(coincidence, place=joint_localisation(first.place, place)))
    return found


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
