"""Coincidences as VOEvents that cite what they were made of, for rules that publish.

Their stream is ours with `/coincidences` behind. A packet's identifier follows from the rule, both inputs and the
revision: what is made again after a crash has the identifier that it had, and what is in the archive is not made again.
An update of an input makes a packet that supersedes the one before; where nothing comes of the update, or where the
input is retracted, that one is retracted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import psycopg

from voevent.alert import Alert, Parameter, Position, Role
from voevent.build import Author, build_packet, packet_ivoid
from voevent.match.coincidence import VOEVENT, Coincidence
from voevent.match.record import CITATIONS
from voevent.match.rules import Rule
from voevent.packet import Citation

Connection = psycopg.Connection[Any]

STREAM: Final = "/coincidences"
"""What the stream of coincidences has behind the service's stream."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A packet to be published.

    Attributes
    ----------
    raw
        None if the archive has it.
    match
        What it tells of; None for a retraction.
    """

    ivoid: str
    raw: bytes | None
    match: Coincidence | None


@dataclass(frozen=True, slots=True)
class _Published:
    """A coincidence that was published, and an input of it that another packet replaces or retracts."""

    rule: str
    alert_ivoid: str
    counterpart_kind: str
    counterpart: str
    revision: int
    ivoid: str
    role: Role
    replaced: str

    def becomes(self, found: Coincidence, by: str) -> bool:
        """Whether a coincidence is this one with the packet `by` in the place of the input."""
        inputs = (self.rule, self.alert_ivoid, self.counterpart_kind, self.counterpart)
        renewed = tuple(by if part == self.replaced else part for part in inputs)
        return renewed == (found.rule, found.alert_ivoid, found.counterpart_kind, found.counterpart)


def author_of_coincidences(author: Author) -> Author:
    """The author of the service, with the stream of coincidences."""
    return replace(author, stream=author.stream + STREAM)


def publications(
    connection: Connection,
    rules: Sequence[Rule],
    author: Author,
    found: Sequence[Coincidence],
    *,
    now: datetime,
    event_id: int | None = None,
) -> list[Publication]:
    """The packets that an event brings about, in order: of what was found with it, and of what it replaces.

    Parameters
    ----------
    author
        With the stream of coincidences.
    now
        Date of the packets (naive UTC): when the event was stored, so that they come out the same again.
    event_id
        None where no event, but new rows of a table brought the coincidences.
    """
    publishing = {rule.name for rule in rules if rule.publish}
    before = [one for one in _replaced(connection, event_id) if one.rule in publishing] if event_id is not None else []
    by = _ivoid(connection, event_id)
    alerts: list[tuple[Alert, Coincidence | None]] = []
    for match in (match for match in found if match.rule in publishing):
        earlier = [one for one in before if one.becomes(match, by)]
        before = [one for one in before if one not in earlier]
        alerts.append((_announcement(connection, match, now, [one.ivoid for one in earlier]), match))
    alerts += [(_retraction(one, now), None) for one in before]
    return [_publication(connection, alert, match, author) for alert, match in alerts]


def note_published(connection: Connection, published: Iterable[Publication]) -> None:
    """Note of coincidences under which identifier they are published, if the archive has that packet."""
    values = [
        (one.ivoid, one.match.rule, one.match.alert_ivoid, one.match.counterpart_kind, one.match.counterpart)
        for one in published
        if one.match is not None
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE alerts.coincidence SET published_ivoid = v.ivoid FROM alerts.voevent v"
            " WHERE v.ivoid = %s AND rule = %s AND alert_ivoid = %s AND counterpart_kind = %s AND counterpart = %s",
            values,
        )


def _replaced(connection: Connection, event_id: int) -> list[_Published]:
    """Published coincidences of alerts that an event replaces or retracts, unless a packet says so already."""
    rows = connection.execute(_REPLACED, (VOEVENT, event_id)).fetchall()
    return [_Published(*row) for row in rows]


_REPLACED: Final = f"""
    SELECT k.rule, k.alert_ivoid, k.counterpart_kind, k.counterpart, k.revision, v.ivoid, v."role", c.cited_ivoid
    FROM ({CITATIONS}) c
    JOIN alerts.coincidence k
      ON k.alert_ivoid = c.cited_ivoid OR (k.counterpart_kind = %s AND k.counterpart = c.cited_ivoid)
    JOIN alerts.voevent v ON v.ivoid = k.published_ivoid
    WHERE c.event_id = %s AND c.cite IN ('supersedes', 'retraction')
      AND NOT EXISTS (
        SELECT FROM alerts.citation said JOIN alerts.voevent w USING (event_id)
        WHERE said.cited_ivoid = v.ivoid AND said.cite IN ('supersedes', 'retraction') AND w.stream = v.stream)
    ORDER BY k.coincidence_id""".encode()  # noqa: S608 (our own words)


def _ivoid(connection: Connection, event_id: int | None) -> str:
    row = connection.execute("SELECT ivoid FROM alerts.voevent WHERE event_id = %s", (event_id,)).fetchone()
    return str(row[0]) if row else ""


def _publication(connection: Connection, alert: Alert, match: Coincidence | None, author: Author) -> Publication:
    ivoid = packet_ivoid(alert, author)
    known = connection.execute("SELECT FROM alerts.voevent WHERE ivoid = %s", (ivoid,)).fetchone()
    return Publication(ivoid, None if known is not None else build_packet(alert, author), match)


def _name(rule: str, *inputs: str) -> str:
    return f"{rule}_{sha256(chr(10).join(inputs).encode()).hexdigest()[:16]}"


def _announcement(connection: Connection, match: Coincidence, now: datetime, earlier: Sequence[str]) -> Alert:
    row = connection.execute(
        'SELECT "role", event_time FROM alerts.voevent WHERE ivoid = %s', (match.alert_ivoid,)
    ).fetchone()
    if row is None:
        raise LookupError(match.alert_ivoid)
    role, time = row
    alerts = [match.alert_ivoid, *([match.counterpart] if match.counterpart_kind == VOEVENT else [])]
    return Alert(
        event=_name(match.rule, match.alert_ivoid, match.counterpart_kind, match.counterpart),
        record=match.revision,
        kind="supersedes" if earlier else "initial",
        role=role,
        written=now,
        time=time,
        position=_position(match),
        far=match.far if match.far is not None and math.isfinite(match.far) else None,
        description=f"{match.alert_ivoid} and {match.counterpart} of {match.counterpart_kind} coincide by the rule"
        f" {match.rule}",
        citations=(
            *(Citation(ivoid, "followup") for ivoid in alerts),
            *(Citation(ivoid, "supersedes") for ivoid in earlier),
        ),
        params=tuple(_parameters(match)),
    )


def _position(match: Coincidence) -> Position | None:
    place = match.place
    if place is None:
        return None
    return Position(ra=place.ra % 360.0, dec=place.dec, radius_50=place.r50, radius_90=place.r90)


def _parameters(match: Coincidence) -> Iterator[Parameter]:
    yield Parameter(name="rule", value=match.rule, ucd="meta.id", description="Name of the rule")
    yield Parameter(name="alert", value=match.alert_ivoid, ucd="meta.ref.ivoid", description="What came")
    yield Parameter(name="counterpart", value=match.counterpart, ucd="meta.id.assoc", description="What it met")
    yield Parameter(name="counterpart_table", value=match.counterpart_kind, ucd="meta.id;meta.table")
    for name, unit, ucd, description in _NUMBERS:
        value = getattr(match, name)
        if value is not None and math.isfinite(value):
            yield Parameter(name=name, value=value, unit=unit, ucd=ucd, description=description)


_NUMBERS: Final = (
    ("delta_t", "s", "time.interval", "Time of the counterpart minus that of the alert"),
    ("separation", "deg", "pos.angDistance", "Between the best positions of both"),
    ("overlap", None, "stat.likelihood", "Overlap integral of both; 1 where they tell nothing of each other"),
    ("containment", None, "stat.probability", "Credible level of the alert at which the counterpart lies"),
    ("p_value", None, "stat.probability", "Probability of so near a counterpart by chance, with trials"),
)


def _retraction(one: _Published, now: datetime) -> Alert:
    return Alert(
        event=_name(one.rule, one.alert_ivoid, one.counterpart_kind, one.counterpart),
        record=one.revision,
        edition="retraction",
        kind="retraction",
        role=one.role,
        written=now,
        description=f"{one.replaced} was updated or retracted, and does not coincide any more",
        citations=(Citation(one.ivoid, "retraction"),),
    )
