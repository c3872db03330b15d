"""The empirical false alarm rate: how often an alert would match the archive's events if their times meant nothing.

Each trial puts the alert at another moment of the archive's time span, where it meets as many events as there were, but
with directions that are drawn from all events. Their directions keep what the detector saw: declinations, and right
ascensions turned by the sidereal time between, so that they stay the same in the frame of the detector (as ANTARES and
AMON do it: arXiv:1904.06420, arXiv:2008.10616).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray

from vo_service.catalog.model import Catalog, Table
from vo_service.errors import UsageError
from voevent.match.candidates import archive_sql, located, points_of, stored_alert, table_of
from voevent.match.localisation import Localisation, Measures, Points, measure_points, passes
from voevent.match.rules import Overlap, Rule, TableEvents
from voevent.match.statistics import area_of_chance
from voevent.skymap import Floats

SIDEREAL_TURN: Final = 360.98564736629 / 86400.0
"""Degrees per second by which the Earth turns against the stars (IAU 2000 Earth rotation angle)."""

EVENTS_LIMIT: Final = 20_000_000
"""Events of a table at most; their times and positions are held in memory, 32 bytes each."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Events of one table: times [s, since any moment], ascending, and positions."""

    time: Floats
    points: Points

    @property
    def span(self) -> float:
        """Seconds from the first event to the last."""
        return float(self.time[-1] - self.time[0])

    @property
    def rate(self) -> float:
        """Events per second of the span, for a rule's `rate_per_year`."""
        return len(self.time) / self.span


@dataclass(frozen=True, slots=True)
class Empirical:
    """What scrambling tells of a coincidence.

    Attributes
    ----------
    trials
        Number of scrambled alerts.
    matches
        Events that matched in all of them, at least as good as the observed one.
    trials_with_match
        Trials with one or more of those.
    """

    trials: int
    matches: int
    trials_with_match: int

    @property
    def p_value(self) -> float:
        """Probability of so good a match by chance; never 0: (k + 1) / (n + 1) (North et al. 2002, AJHG 71, 439)."""
        return (self.trials_with_match + 1) / (self.trials + 1)

    def far(self, first_far: float) -> float:
        """False alarm rate [Hz] of so good a coincidence, of that of the alert; an upper bound if none was found."""
        return first_far * max(self.matches, 1) / self.trials


def read_archive(connection: psycopg.Connection[Any], side: TableEvents, table: Table) -> Archive:
    """All events of a rule's table that take part. Raises UsageError if there are fewer than two, or too many."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(archive_sql(side, table, EVENTS_LIMIT + 1).encode())
        rows = np.array(cursor.fetchall(), float).reshape(-1, 4)
    if not 2 <= len(rows) <= EVENTS_LIMIT:
        raise UsageError(f"Scrambling needs 2 to {EVENTS_LIMIT:,} events; {side.table} has {len(rows):,} or more")
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return Archive(rows[:, 0], points_of(rows[:, 1], rows[:, 2], rows[:, 3], side.error_containment))


def scrambled(
    rule: Rule, place: Localisation, archive: Archive, *, area: float, overlap: float | None, trials: int, seed: int
) -> Empirical:
    """Match an alert with scrambled events.

    Parameters
    ----------
    area, overlap
        Of the observed coincidence: the searched area [deg2] and the overlap integral. A match is as good if its
        overlap is as large; where there is none, if its area is as small.
    trials
        Number of scrambled alerts; the smallest p-value that can be found is about 1 / trials.
    seed
        The same seed gives the same numbers.
    """
    random = np.random.default_rng(seed)
    trial, points = _drawn(rule, archive, trials, random)
    measures = measure_points(place, points, with_overlap=overlap is not None or isinstance(rule.sky, Overlap))
    matched = passes(rule.sky, measures, place, points) & _as_good(measures, area, overlap)
    return Empirical(trials, int(matched.sum()), len(np.unique(trial[matched])))


@dataclass(frozen=True, slots=True)
class Scrambled:
    """A recorded coincidence, and what scrambling tells of it."""

    alert_ivoid: str
    counterpart: str
    p_value: float
    far: float | None
    empirical: Empirical
    empirical_far: float | None


def scramble_rule(
    connection: psycopg.Connection[Any], rule: Rule, catalog: Catalog, *, trials: int, seed: int, limit: int = 20
) -> list[Scrambled]:
    """Scrambled trials for the current coincidences of a rule with a table, those first that chance makes least.

    Raises UsageError for a rule between alerts, or an archive too small or too large; ConfigurationError if the rule's
    table cannot be used.
    """
    if not isinstance(rule.against, TableEvents):
        raise UsageError(f"Scrambling needs a rule with a table; {rule.name} matches alerts with alerts")
    archive = read_archive(connection, rule.against, table_of(catalog, rule.against))
    rows = connection.execute(_RECORDED, (rule.name, limit)).fetchall()
    found = []
    for event_id, ivoid, counterpart, p_value, overlap, far in rows:
        stored = stored_alert(connection, event_id)
        alert = None if stored is None else located(connection, stored, rule.alerts)
        if alert is None:
            continue
        area = area_of_chance(p_value, rule.rate, rule.window.length, rule.trials)
        empirical = scrambled(rule, alert.place, archive, area=area, overlap=overlap, trials=trials, seed=seed)
        empirical_far = None if alert.far is None else empirical.far(alert.far) * rule.trials
        found.append(Scrambled(ivoid, counterpart, p_value, far, empirical, empirical_far))
    return found


_RECORDED: Final = b"""
    SELECT v.event_id, k.alert_ivoid, k.counterpart, k.p_value, k.overlap, k.far
    FROM alerts.coincidence k JOIN alerts.voevent v ON v.ivoid = k.alert_ivoid
    WHERE k.rule = %s AND k.status = 'current' ORDER BY k.p_value LIMIT %s"""


def _drawn(rule: Rule, archive: Archive, trials: int, random: np.random.Generator) -> tuple[NDArray[np.int64], Points]:
    """The events that scrambled alerts meet, and the trial of each."""
    moment = random.uniform(archive.time[0], archive.time[-1], trials)
    begin = np.searchsorted(archive.time, moment - rule.window.before, side="left")
    end = np.searchsorted(archive.time, moment + rule.window.after, side="right")
    count = end - begin
    trial = np.repeat(np.arange(trials), count)
    met = np.repeat(begin, count) + np.arange(len(trial)) - np.repeat(np.cumsum(count) - count, count)
    drawn = random.integers(0, len(archive.time), len(trial))
    # The direction in the detector's frame stays; the event that it is given to came at another time.
    turn = SIDEREAL_TURN * (archive.time[met] - archive.time[drawn])
    points = archive.points
    return trial, Points((points.ra[drawn] + turn) % 360.0, points.dec[drawn], points.sigma[drawn])


def _as_good(measures: Measures, area: float, overlap: float | None) -> NDArray[np.bool_]:
    return measures.area <= area if overlap is None else measures.overlap >= overlap
