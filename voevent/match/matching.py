"""Matching of one stored alert by all rules, and again when a table has got new rows; each in one transaction.

An alert that was superseded or retracted before it came, and one that retracts another, is not matched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg

from vo_service.catalog.model import Catalog
from vo_service.database.failures import is_lost
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
from voevent.match.record import (
    earlier_versions,
    inputs_of,
    is_retraction,
    lock,
    note_failure,
    record,
    replace_inputs,
    status_of,
)
from voevent.match.rules import Alerts, Rule, TableEvents

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


def match_event(
    connection: Connection, rules: Sequence[Rule], catalog: Catalog, event_id: int
) -> tuple[Coincidence, ...]:
    """Match the alert of this number with what is known, record its coincidences and give them.

    Done again, it gives and records the same. A rule that cannot be used on it is left out, and that is recorded.
    """
    with connection.transaction():
        _begin(connection)
        stored = stored_alert(connection, event_id)
        if stored is None:
            return ()
        replace_inputs(connection, event_id)
        if is_retraction(connection, event_id) or status_of(connection, stored.ivoid, event_id) != "current":
            return ()
        found = [
            match
            for rule in rules
            for match in _apart(connection, rule, event_id, partial(_by_rule, connection, rule, catalog, stored))
        ]
        found = _with_revisions(connection, found, event_id)
        record(connection, found)
    return tuple(found)


def match_new_rows(
    connection: Connection, rules: Sequence[Rule], catalog: Catalog, table: str, first: datetime, last: datetime
) -> tuple[Coincidence, ...]:
    """Match the alerts around a time range (UTC) in which a table (`schema.table`) has got rows, and record."""
    found: list[Coincidence] = []
    with connection.transaction():
        _begin(connection)
        for rule in rules:
            if not (isinstance(rule.against, TableEvents) and rule.against.table.lower() == table.lower()):
                continue
            # A second comes up to `after` later than its alert.
            window = (first - timedelta(seconds=rule.window.after), last + timedelta(seconds=rule.window.before))
            for stored in alerts_between(connection, rule.alerts, *window):
                if status_of(connection, stored.ivoid, _NEWEST) == "current":
                    matched = partial(_with_table, connection, rule, rule.against, catalog, stored)
                    found += _apart(connection, rule, stored.event_id, matched)
        found = _with_revisions(connection, found, _NEWEST)
        record(connection, found)
    return tuple(found)


_NEWEST = 2**63 - 1


_SECONDS: Final = 60
"""What one statement may take: a rule that searches all of a large table holds up those behind it."""


def _begin(connection: Connection) -> None:
    connection.execute(f"SET LOCAL statement_timeout = '{_SECONDS}s'".encode())
    lock(connection)


def _apart(
    connection: Connection, rule: Rule, event_id: int, search: Callable[[], Iterable[Coincidence]]
) -> list[Coincidence]:
    """What one rule finds. If it cannot be used, that is logged and recorded, and nothing is found: others go on."""
    try:
        with connection.transaction():
            return list(search())
    except ConfigurationError as error:
        # Tables come and go while the service runs.
        message = str(error)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        message = str(error).strip()
    log.error("The rule %s is left out: %s", rule.name, message)
    note_failure(connection, rule.name, event_id, message)
    return []


def _by_rule(connection: Connection, rule: Rule, catalog: Catalog, stored: StoredAlert) -> Iterator[Coincidence]:
    if isinstance(rule.against, TableEvents):
        if stored.is_of(rule.alerts):
            yield from _with_table(connection, rule, rule.against, catalog, stored)
        return
    if stored.role not in rule.roles:
        return
    before, after = rule.window.before, rule.window.after
    if stored.is_of(rule.alerts):
        for other in alerts_within(connection, rule.against, stored, (-before, after)):
            yield from _pair(connection, rule, rule.against, stored, other, stored.event_id)
    if stored.is_of(rule.against):
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
    table = table_of(catalog, side)
    name = f"{table.schema}.{table.name}"
    candidates = table_candidates(connection, rule, side, table, stored.time, alert.place)
    found = match_events(rule, alert, candidates, name)
    # A coincidence does not coincide with what it was made of.
    inputs = inputs_of(connection, stored.ivoid) if stored.is_coincidence else ()
    return [match for match in found if (name, match.counterpart) not in inputs]


def _pair(
    connection: Connection, rule: Rule, side: Alerts, first: StoredAlert, second: StoredAlert, now: int
) -> list[Coincidence]:
    """The coincidence of two alerts, one of which (stored as `now`) has just come."""
    other = first if second.event_id == now else second
    if first.time is None or second.time is None or status_of(connection, other.ivoid, now) != "current":
        return []
    if any(_is_made_of(connection, *pair) for pair in ((first, second), (second, first))):
        return []
    alerts = located(connection, first, rule.alerts), located(connection, second, side)
    if alerts[0] is None or alerts[1] is None:
        return []
    return match_alerts(rule, alerts[0], alerts[1], (second.time - first.time).total_seconds())


def _is_made_of(connection: Connection, alert: StoredAlert, other: StoredAlert) -> bool:
    return alert.is_coincidence and (VOEVENT, other.ivoid) in inputs_of(connection, alert.ivoid)


def _with_revisions(connection: Connection, found: Sequence[Coincidence], now: int) -> list[Coincidence]:
    ivoids = {match.alert_ivoid for match in found} | {
        match.counterpart for match in found if match.counterpart_kind == VOEVENT
    }
    earlier = {ivoid: earlier_versions(connection, ivoid, now) for ivoid in ivoids}
    return [
        replace(match, revision=1 + earlier[match.alert_ivoid] + earlier.get(match.counterpart, 0)) for match in found
    ]
