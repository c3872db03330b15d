"""Candidates: what the database holds in the time window and sky region of an alert.

Conditions are written with literals: the planner then knows whether the index of positions or that of times finds fewer
rows. Only what was stored before an alert is matched with it, so that a replay finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
from psycopg import sql

from vo_service.catalog.model import HPX_COLUMN, Catalog, Column, Table
from vo_service.errors import ConfigurationError
from vo_service.sky.predicates import literal, within_cone, within_moc
from voevent.match.coincidence import Alert, Candidates
from voevent.match.localisation import Localisation, Points, search_region
from voevent.match.maps import read_skymap_of
from voevent.match.rules import Alerts, Rule, TableEvents
from voevent.match.statistics import gaussian_sigma
from voevent.skymap import Floats

Connection = psycopg.Connection[Any]

ORIGIN: Final = "matching"
"""Where packets that tell of coincidences were received from."""

_DAY: Final = 86400.0
_EPOCH: Final = datetime(1970, 1, 1)
_UNITS: Final = {"mjd": (_DAY, 40587.0), "jd": (_DAY, 2440587.5), "unix": (1.0, 0.0)}
"""Of time formats that are numbers: seconds in their unit, and 1970-01-01 in it."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert of the archive, as far as matches ask for it; times are UTC, angles deg (ICRS), rates Hz."""

    event_id: int
    ivoid: str
    stream: str
    role: str
    time: datetime | None
    ra: float | None
    dec: float | None
    error: float | None
    far: float | None
    has_map: bool
    is_coincidence: bool
    """Whether it tells of a coincidence that was found here; only rules that name its stream take it."""

    def is_of(self, side: Alerts) -> bool:
        """Whether it is among the alerts of one side of a rule."""
        return side.includes(self.stream, named=self.is_coincidence)


def stored_alert(connection: Connection, event_id: int) -> StoredAlert | None:
    """The alert of this number; None if there is none."""
    row = connection.execute(f"{_ALERTS} WHERE v.event_id = %s".encode(), (event_id,)).fetchone()
    return None if row is None else StoredAlert(*row)


def located(connection: Connection, stored: StoredAlert, side: Alerts) -> Alert | None:
    """An alert with where it is, as one side of a rule; None if it has neither a position nor a map."""
    skymap = read_skymap_of(connection, stored.event_id) if stored.has_map else None
    if skymap is not None:
        ra, dec = (stored.ra, stored.dec) if stored.ra is not None and stored.dec is not None else skymap.peak
        return Alert(stored.ivoid, Localisation(ra, dec, None, skymap), stored.far)
    if stored.ra is None or stored.dec is None:
        return None
    sigma = gaussian_sigma(stored.error, side.error_containment) if stored.error else None
    return Alert(stored.ivoid, Localisation(stored.ra, stored.dec, sigma), stored.far)


def alerts_within(
    connection: Connection, side: Alerts, stored: StoredAlert, window: tuple[float, float]
) -> list[StoredAlert]:
    """Alerts of some streams within a window [s] around `stored`, of its role and stored before it."""
    if stored.time is None:
        return []
    query = f'{_ALERTS} WHERE v.event_time BETWEEN %s AND %s AND v."role" = %s AND v.event_id < %s ORDER BY v.event_id'
    times = [stored.time + timedelta(seconds=offset) for offset in window]
    rows = connection.execute(query.encode(), (*times, stored.role, stored.event_id)).fetchall()
    return [alert for row in rows if (alert := StoredAlert(*row)).is_of(side)]


def alerts_between(connection: Connection, side: Alerts, first: datetime, last: datetime) -> list[StoredAlert]:
    """Alerts of some streams by their time, both ends included."""
    query = f"{_ALERTS} WHERE v.event_time BETWEEN %s AND %s ORDER BY v.event_id"
    rows = connection.execute(query.encode(), (first, last)).fetchall()
    return [alert for row in rows if (alert := StoredAlert(*row)).is_of(side)]


_ALERTS: Final = f"""SELECT v.event_id, v.ivoid, v.stream, v."role", v.event_time, v.ra, v."dec", v.error_radius, v.far,
    EXISTS (SELECT FROM alerts.skymap s WHERE s.event_id = v.event_id), v.received_from = '{ORIGIN}'
    FROM alerts.voevent v"""  # noqa: S608 (our own words)


def table_of(catalog: Catalog, side: TableEvents) -> Table:
    """The table that a rule names. Raises ConfigurationError if it cannot be matched against."""
    table = catalog.table(*side.table.split("."))
    if table is None:
        raise ConfigurationError(f"A rule names the table {side.table}, which is not published")
    if table.position is None or table.primary_key is None:
        raise ConfigurationError(f"A rule names the table {side.table}, which needs a position and a primary key")
    named = [_time_name(table, side), *side.cuts, *([side.error] if isinstance(side.error, str) else [])]
    for name in named:
        _column(table, name)
    time = _column(table, named[0])
    if (time.xtype == "timestamp") != (side.time_format == "timestamp"):
        raise ConfigurationError(
            f"A rule takes {side.table}.{time.name} for {side.time_format}; give its `time_format`, or another column"
        )
    return table


def table_candidates(
    connection: Connection, rule: Rule, side: TableEvents, table: Table, time: datetime, place: Localisation
) -> Candidates:
    """The events of a table in a rule's window around a time, in the region in which they may match a place."""
    query = candidates_sql(rule, side, table, time, place)
    rows = connection.cursor(binary=True).execute(query.encode()).fetchall()
    keys, *numbers = zip(*rows, strict=True) if rows else [()] * 5
    seconds, ra, dec, error = (np.array(values, float) for values in numbers)
    return Candidates(tuple(keys), seconds, points_of(ra, dec, error, side.error_containment))


def points_of(ra: Floats, dec: Floats, error: Floats, containment: float) -> Points:
    """Positions and errors of a containment [deg]; one that is missing counts as 0."""
    return Points(ra, dec, np.nan_to_num(error, nan=0.0) * gaussian_sigma(1.0, containment))


def archive_sql(side: TableEvents, table: Table, limit: int) -> str:
    """The query of all events of a rule's table: seconds since 1970, position and error [deg]."""
    moment = f"e.{_quoted(_time_name(table, side))}"
    conditions = [f"{moment} IS NOT NULL", f"e.{HPX_COLUMN} IS NOT NULL", *_cuts(side)]
    columns = f"{_seconds_after(moment, side, _EPOCH)}::float8, {_place_and_error(side, table)}"
    return f"SELECT {columns} FROM {_stored_name(table)} e WHERE {' AND '.join(conditions)} LIMIT {limit}"  # noqa: S608


def span_sql(side: TableEvents, table: Table, after: int) -> str:
    """The query of the first and the last time (UTC) among the rows that came in transactions after one."""
    moment = f"e.{_quoted(_time_name(table, side))}"
    time = moment
    if side.time_format != "timestamp":
        unit, epoch = _UNITS[side.time_format]
        seconds = f"({moment} - {literal(epoch)}) * {literal(unit)}"
        time = f"timestamp '1970-01-01' + {seconds} * interval '1 second'"
    # Rows know the transaction that they came with; numbers of transactions start again, ages do not.
    return (
        f"SELECT min({time}), max({time}) FROM {_stored_name(table)} e"  # noqa: S608 (names from the catalogue)
        f" WHERE {moment} IS NOT NULL AND age(e.xmin) < age('{after:d}'::xid)"
    )


def candidates_sql(rule: Rule, side: TableEvents, table: Table, time: datetime, place: Localisation) -> str:
    """The query of `table_candidates`: key, seconds after `time`, position and error [deg], by key."""
    ra, dec = (f"e.{_quoted(name)}" for name in table.sql_position)
    moment = f"e.{_quoted(_time_name(table, side))}"
    conditions = [_in_window(moment, side, time, rule), _in_region(ra, dec, rule, place), *_cuts(side)]
    key = f"e.{_quoted(str(table.primary_key))}"
    columns = f"{key}::text, {_seconds_after(moment, side, time)}::float8, {_place_and_error(side, table)}"
    return f"SELECT {columns} FROM {_stored_name(table)} e WHERE {' AND '.join(conditions)} ORDER BY {key}"  # noqa: S608


def _place_and_error(side: TableEvents, table: Table) -> str:
    error = f"e.{_quoted(side.error)}" if isinstance(side.error, str) else literal(side.error or 0.0)
    return ", ".join(f"{text}::float8" for text in (*(f"e.{_quoted(name)}" for name in table.sql_position), error))


def _stored_name(table: Table) -> str:
    return ".".join(map(_quoted, table.sql_name))


def _in_window(moment: str, side: TableEvents, time: datetime, rule: Rule) -> str:
    bounds = (_in_format(time + timedelta(seconds=offset), side) for offset in (-rule.window.before, rule.window.after))
    return f"{moment} BETWEEN {' AND '.join(bounds)}"


def _in_format(time: datetime, side: TableEvents) -> str:
    """A time (UTC) as a literal of what the table's column holds."""
    if side.time_format == "timestamp":
        return f"'{time.isoformat()}'::timestamp"
    unit, epoch = _UNITS[side.time_format]
    return literal((time - _EPOCH).total_seconds() / unit + epoch)


def _seconds_after(moment: str, side: TableEvents, time: datetime) -> str:
    if side.time_format == "timestamp":
        return f"extract(epoch FROM {moment} - {_in_format(time, side)})"
    return f"({moment} - {_in_format(time, side)}) * {literal(_UNITS[side.time_format][0])}"


def _in_region(ra: str, dec: str, rule: Rule, place: Localisation) -> str:
    region = search_region(rule.sky, place)
    if isinstance(region, tuple):
        return within_cone(f"e.{HPX_COLUMN}", ra, dec, *region)
    return within_moc(f"e.{HPX_COLUMN}", region)


def _cuts(side: TableEvents) -> list[str]:
    limits = (
        (f"e.{_quoted(name)}", sign, bound)
        for name, bounds in side.cuts.items()
        for sign, bound in zip((">=", "<="), bounds, strict=True)
    )
    return [f"{column} {sign} {literal(bound)}" for column, sign, bound in limits if bound is not None]


def _time_name(table: Table, side: TableEvents) -> str:
    name = side.time or table.epoch_column
    if name is None:
        raise ConfigurationError(f"A rule names the table {side.table} without its column of times; give `time`")
    return name


def _column(table: Table, name: str) -> Column:
    try:
        return table.column(name)
    except KeyError:
        raise ConfigurationError(f"A rule names the column {name}, which {table.full_name} does not have") from None


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
