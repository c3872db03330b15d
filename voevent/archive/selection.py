"""What somebody looks for in the archive: read from the parameters of a request, and as a condition in SQL. Pure.

    from, to        when it was observed, UTC; a day without a time is meant whole
    since, until    when it came into this archive, UTC
    RA, DEC, SR     a cone: centre and radius, ICRS degrees
    stream          identifier of the stream; * stands for anything
    role            observation, prediction, utility or test; several separated by commas
    far             false alarm rate at most this [Hz]
    text            words of which each must stand somewhere in the packet, whatever their case
    before          number of an event: only those with lower ones
    MAXREC          how many at most

All that are given must hold. Blank ones count as not given: that is how forms leave them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape

from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.sky.predicates import within_cone
from voevent.alert import ROLES
from voevent.packet import as_number
from voevent.times import parse_time

NAMES: Final = ("from", "to", "since", "until", "ra", "dec", "sr", "stream", "role", "far", "text", "before", "maxrec")
"""The parameters above, in lower case."""

WORDS_LIMIT: Final = 10
"""Words of a search at most; each is looked for in every packet that the other conditions leave."""


@dataclass(frozen=True, slots=True)
class Cone:
    """Centre and radius, ICRS [deg]."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Packets of the archive, the newest first.

    Attributes
    ----------
    observed, stored
        From the first moment on, up to before the second (naive UTC); None where it is open.
    stream
        As given, with * for anything.
    far
        False alarm rate at most this [Hz].
    before
        Number of an event; those with lower ones are meant.
    limit
        How many at most.
    """

    limit: int
    observed: tuple[datetime | None, datetime | None] = (None, None)
    stored: tuple[datetime | None, datetime | None] = (None, None)
    cone: Cone | None = None
    stream: str | None = None
    roles: tuple[str, ...] = ()
    far: float | None = None
    words: tuple[str, ...] = ()
    before: int | None = None


def read_selection(parameters: Parameters, *, default: int, most: int) -> Selection:
    """What the parameters ask for; `default` and `most` are numbers of packets.

    Raises UsageError that names the parameter at fault.
    """
    words = tuple((_given(parameters, "text") or "").split())
    if len(words) > WORDS_LIMIT:
        raise UsageError(f"text has {len(words)} words; at most {WORDS_LIMIT} are looked for")
    return Selection(
        limit=parameters.integer("MAXREC", low=1, high=most, default=default),
        observed=(moment_of(parameters, "from"), moment_of(parameters, "to", ends=True)),
        stored=(moment_of(parameters, "since"), moment_of(parameters, "until", ends=True)),
        cone=_cone(parameters),
        stream=_given(parameters, "stream"),
        roles=_roles(_given(parameters, "role")),
        far=_rate(_given(parameters, "far")),
        words=words,
        before=parameters.integer("before", low=1, high=2**62, default=0) or None,
    )


def moment_of(parameters: Parameters, name: str, *, ends: bool = False) -> datetime | None:
    """A time, naive UTC. A day without a time is its beginning; its end, if something ends with it.

    Raises UsageError.
    """
    text = _given(parameters, name)
    if text is None:
        return None
    try:
        moment = parse_time(text)
        return moment + timedelta(days=1) if ends and re.fullmatch(r"\d{4}-\d\d-\d\d", text) else moment
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from None


def condition_of(selection: Selection) -> tuple[str, list[object]]:
    """The condition on a row `v` of alerts.voevent, with its values."""
    parts: list[tuple[str, object]] = []
    for column, (begin, end) in (("event_time", selection.observed), ("stored_at", selection.stored)):
        parts += [(f"v.{column} {sign} %s", time) for sign, time in ((">=", begin), ("<", end)) if time is not None]
    if selection.stream is not None:
        parts.append(("v.stream LIKE %s", _like(selection.stream).replace("*", "%")))
    if selection.roles:
        parts.append(('v."role" = ANY (%s)', list(selection.roles)))
    if selection.far is not None:
        parts.append(("v.far <= %s", selection.far))
    if selection.before is not None:
        parts.append(("v.event_id < %s", selection.before))
    parts += [("v.xml ILIKE %s", f"%{_like(escape(word))}%") for word in selection.words]
    conditions = [text for text, _ in parts]
    if selection.cone is not None:
        cone = selection.cone
        conditions.append(within_cone("v.hpx", "v.ra", 'v."dec"', cone.ra, cone.dec, cone.radius))
        conditions.append("v.ra IS NOT NULL")
    return " AND ".join(conditions) or "TRUE", [value for _, value in parts]


def _given(parameters: Parameters, name: str) -> str | None:
    return (parameters.one(name) or "").strip() or None


def _cone(parameters: Parameters) -> Cone | None:
    if not any(_given(parameters, name) for name in ("RA", "DEC", "SR")):
        return None
    return Cone(
        parameters.number("RA", 0, 360) % 360.0, parameters.number("DEC", -90, 90), parameters.number("SR", 0, 180)
    )


def _roles(text: str | None) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(role.strip() for role in (text or "").split(",") if role.strip()))
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise UsageError(f"role={text}: expected some of {', '.join(ROLES)}, separated by commas")
    return roles


def _rate(text: str | None) -> float | None:
    rate = as_number(text)
    if text is not None and (rate is None or rate < 0):
        raise UsageError(f"far={text[:60]}: expected a rate in Hz such as 1e-7")
    return rate


def _like(text: str) -> str:
    """The text for LIKE, without special characters."""
    return re.sub(r"([\\%_])", r"\\\1", text)
