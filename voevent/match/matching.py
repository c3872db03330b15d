"""Matching of one stored alert by all rules, and again when a table has got new rows; each in one transaction.

An alert that was superseded or retracted before it came, and one that retracts another, is not matched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg

from vo_service.catalog.model import Catalog
from vo_service.errors import ConfigurationError
from voevent.match.candidates import (
    StoredAlert,
    alerts_between,
    alerts_within,
    located,
    stored_alert,
    table_candidates,
    table_of,
)
from voevent.match.coincidence import VOEVENT, Coincidence, match_alerts, match_events
from voevent.match.record import earlier_versions, is_retraction, lock, record, replace_inputs, status_of
from voevent.match.rules import Alerts, Rule, TableEvents

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


def match_event(
    connection: Connection, rules: Sequence[Rule], catalog: Catalog, event_id: int
) -> tuple[Coincidence, ...]:
    """Match the alert of this number with what is known, record its coincidences and give them.

    Done again, it gives and records the same. A rule whose table cannot be matched is left out, and logged.
    """
    with connection.transaction():
        lock(connection)
        stored = stored_alert(connection, event_id)
        if stored is None:
            return ()
        replace_inputs(connection, event_id)
        if is_retraction(connection, event_id) or status_of(connection, stored.ivoid, event_id) != "current":
            return ()
        found = [match for rule in rules for match in _by_rule(connection, rule, catalog, stored)]
        found = _with_revisions(connection, found, event_id)
        record(connection, found)
    return tuple(found)


def match_new_rows(
    connection: Connection, rules: Sequence[Rule], catalog: Catalog, table: str, first: datetime, last: datetime
) -> tuple[Coincidence, ...]:
    """Match the alerts around a time range (UTC) in which a table (`schema.table`) has got rows, and record."""
    found: list[Coincidence] = []
    with connection.transaction():
        lock(connection)
        for rule in rules:
            if not (isinstance(rule.against, TableEvents) and rule.against.table.lower() == table.lower()):
                continue
            # A second comes up to `after` later than its alert.
            window = (first - timedelta(seconds=rule.window.after), last + timedelta(seconds=rule.window.before))
            for stored in alerts_between(connection, rule.alerts, *window):
                if status_of(connection, stored.ivoid, _NEWEST) == "current":
                    found += _with_table(connection, rule, rule.against, catalog, stored)
        found = _with_revisions(connection, found, _NEWEST)
        record(connection, found)
    return tuple(found)


_NEWEST = 2**63 - 1


def _by_rule(connection: Connection, rule: Rule, catalog: Catalog, stored: StoredAlert) -> Iterator[Coincidence]:
    if isinstance(rule.against, TableEvents):
        if rule.alerts.includes(stored.stream):
            yield from _with_table(connection, rule, rule.against, catalog, stored)
        return
    if stored.role not in rule.roles:
        return
    before, after = rule.window.before, rule.window.after
    if rule.alerts.includes(stored.stream):
        for other in alerts_within(connection, rule.against, stored, (-before, after)):
            yield from _pair(connection, rule, rule.against, stored, other, stored.event_id)
    if rule.against.includes(stored.stream):
        for other in alerts_within(connection, rule.alerts, stored, (-after, before)):
            yield from _pair(connection, rule, rule.against, other, stored, stored.event_id)


def _with_table(
    connection: Connection, rule: Rule, side: TableEvents, catalog: Catalog, stored: StoredAlert
) -> list[Coincidence]:
    if stored.role not in rule.roles or stored.time is None:
        return []
    alert = located(connection, stored, rule.alerts)
    if alert is None:
        return []
    try:
        table = table_of(catalog, side)
    except ConfigurationError as error:
        # Tables come and go while the service runs; the other rules go on.
        log.error("The rule %s is left out: %s", rule.name, error)  # noqa: TRY400 (its message says all)
        return []
    candidates = table_candidates(connection, rule, side, table, stored.time, alert.place)
    return match_events(rule, alert, candidates, f"{table.schema}.{table.name}")


def _pair(
    connection: Connection, rule: Rule, side: Alerts, first: StoredAlert, second: StoredAlert, now: int
) -> list[Coincidence]:
    """The coincidence of two alerts, one of which (stored as `now`) has just come."""
    other = first if second.event_id == now else second
    if first.time is None or second.time is None or status_of(connection, other.ivoid, now) != "current":
        return []
    alerts = located(connection, first, rule.alerts), located(connection, second, side)
    if alerts[0] is None or alerts[1] is None:
        return []
    return match_alerts(rule, alerts[0], alerts[1], (second.time - first.time).total_seconds())


def _with_revisions(connection: Connection, found: Sequence[Coincidence], now: int) -> list[Coincidence]:
    ivoids = {match.first_ivoid for match in found} | {match.second for match in found if match.second_kind == VOEVENT}
    earlier = {ivoid: earlier_versions(connection, ivoid, now) for ivoid in ivoids}
    return [replace(match, revision=1 + earlier[match.first_ivoid] + earlier.get(match.second, 0)) for match in found]
