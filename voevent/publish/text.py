"""An event as a text for people: what, where, when, how rare, and why it was sent to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from voevent.archive.quantities import false_alarm_rate
from voevent.packet import Packet, Param
from voevent.times import format_time
from voevent.vocabulary import KINDS
from voevent.vtp.filters import Filter

_YEAR: Final = 365.25 * 86400.0

_PARAMS_LIMIT: Final = 60
"""Parameters that are listed; the rest is in the packet."""

_VALUE_LIMIT: Final = 200
"""Characters of a value that are shown."""


def subject_of(packet: Packet, template: str) -> str:
    """One line. `template` may have the words of `settings.SUBJECT_WORDS` in braces."""
    words = {
        "role": packet.role,
        "kind": _kind(packet),
        "ivoid": packet.ivoid,
        "stream": packet.stream,
        "event": _event(packet),
        "author": packet.author or packet.author_ivoid or "",
        "concept": packet.concept or "",
    }
    return " ".join(template.format_map(words).split())[:_VALUE_LIMIT]


def text_of(packet: Packet, sink: str, wanted: Filter, public_url: str | None) -> str:
    """The whole text. `sink` and `wanted` are why it was sent; `public_url` is where our pages are."""
    paragraphs = [_head(packet), _facts(packet), _what(packet), _links(packet, public_url), _why(sink, wanted)]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines) + "\n"


def _event(packet: Packet) -> str:
    name = next((p.value for p in packet.params if p.name.lower() == "event_name" and p.value), None)
    return name or packet.local_id or packet.ivoid


def _kind(packet: Packet) -> str:
    told = next((p.value for p in packet.params if p.name.lower() == "alert_type" and p.group is None), None)
    cites = [citation.cite for citation in packet.citations]
    return KINDS.get((told or "").lower()) or next((cite for cite in reversed(cites) if cite), "initial")


def _head(packet: Packet) -> list[str]:
    lines = [f"{_event(packet)}: {_kind(packet)} notice, role {packet.role}"]
    if packet.role == "test":
        lines.append("This is a test: nothing was observed.")
    return [*lines, packet.description.strip()] if packet.description else lines


def _facts(packet: Packet) -> list[str]:
    where, far = packet.where, false_alarm_rate(packet.params)
    error = "" if where.error is None else f", error {where.error:g} deg"
    place = None if where.ra is None else f"RA {where.ra:.4f}, Dec {where.dec:+.4f} deg (ICRS){error}"
    facts = {
        "Where": place or "no position",
        "When": f"{format_time(where.time)} UTC" if where.time else "no time",
        "False alarm rate": "not told" if far is None else _rate(far),
        "Thought to be": packet.concept,
        "Author": packet.author or packet.author_ivoid,
        "Written": None if packet.author_time is None else f"{format_time(packet.author_time)} UTC",
    }
    return [f"{name + ':':18}{value}" for name, value in facts.items() if value]


def _rate(far: float) -> str:
    if far == 0:
        return "0 Hz"
    years = 1 / (far * _YEAR)
    return f"{far:.3g} Hz (one in {years:.3g} years)" if years >= 1 else f"{far:.3g} Hz ({1 / years:.3g} a year)"


def _what(packet: Packet) -> list[str]:
    lines = [line for param in packet.params[:_PARAMS_LIMIT] for line in _parameter(param)]
    rest = len(packet.params) - _PARAMS_LIMIT
    return ["What:", *lines, *([f"  and {rest} more"] if rest > 0 else [])] if lines else []


def _parameter(param: Param) -> Iterator[str]:
    value = " ".join((param.value or "").split())
    if value:
        group = f"{param.group}/" if param.group else ""
        shown = value if len(value) <= _VALUE_LIMIT else f"{value[:_VALUE_LIMIT]}..."
        yield f"  {group}{param.name} = {shown}{' ' if param.unit else ''}{param.unit or ''}"


def _links(packet: Packet, public_url: str | None) -> list[str]:
    page = f"{public_url}/voevent/{quote(packet.ivoid, safe=':/')}" if public_url else None
    cited = [f"{citation.cite} of {citation.ivoid}" for citation in packet.citations]
    return [f"Packet: {packet.ivoid}", *cited, *([page] if page else []), *packet.references]


def _why(sink: str, wanted: Filter) -> list[str]:
    if not wanted:
        return [f"Why you get this: the sink {sink!r} sends you all events."]
    either = [" or ".join(f"xpath-filter: {text}" for text in wanted.alternatives)] if wanted.alternatives else []
    conditions = [f"  {name}: {value}" for name, value in wanted.conditions]
    return [
        f"Why you get this: the sink {sink!r} sends you events that fulfil all of",
        *conditions,
        *(f"  {text}" for text in either),
    ]
