"""Messages of others' streams to packets: which format is read by whom.

    message -- Avro, JSON (document, avro) -- one reading for each kind -- Alert -- voevent.build -- VOEvent

Packets get their identifiers in the stream that the operator names for the source. The same message gives the same
identifier at any time, so that it is one event, however often it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from vo_service.config import Settings
from voevent.alert import Alert, AlertError
from voevent.build import author_of, build_packet
from voevent.convert import avro, gcn, own, tns
from voevent.convert.circular import from_circular, is_circular
from voevent.convert.document import read_json
from voevent.convert.hopskotch import unwrap
from voevent.convert.igwn import from_igwn
from voevent.convert.snews import from_snews, is_snews
from voevent.convert.surveys import from_survey, is_survey
from voevent.packet import read_packet

StreamKind = Literal[
    "gcn",
    "gcn-voevent",
    "gcn-classic",
    "circular",
    "igwn",
    "snews",
    "hopskotch",
    "lasair",
    "antares",
    "ztf",
    "lsst",
    "fink",
    "babamul",
    "pittgoogle",
    "tns",
    "own",
]
"""Kinds of streams: by who sends, or by the format."""

KINDS_OF_STREAM: Final[tuple[str, ...]] = get_args(StreamKind)

_Reading = Callable[[dict[str, Any]], Alert | None]


def _gcn(notice: dict[str, Any]) -> Alert | None:
    """What comes from GCN: notices of its schemas, those of LVK, which have their own, circulars and heartbeats."""
    if "heartbeat" in str(notice.get("$schema", "")):
        return None
    if is_circular(notice):
        return from_circular(notice)
    return from_igwn(notice) if "superevent_id" in notice else gcn.from_gcn(notice)


def _any(notice: dict[str, Any]) -> Alert | None:
    """By what it looks like: on Hopskotch, topics have one format each, but do not say which."""
    known: tuple[tuple[bool, _Reading], ...] = (
        (is_circular(notice) or "superevent_id" in notice or gcn.is_gcn(notice), _gcn),
        (is_snews(notice), from_snews),
        ("event" in notice, own.from_json),
        (is_survey(notice), from_survey),
    )
    for found, reading in known:
        if found:
            return reading(notice)
    raise AlertError("Expected an alert of LVK, SNEWS, GCN, a survey, or ours; this is none of them")


_READINGS: Final[Mapping[str, _Reading]] = {
    "gcn": _gcn,
    "circular": from_circular,
    "igwn": from_igwn,
    "snews": from_snews,
    "hopskotch": _any,
    **dict.fromkeys(("lasair", "antares", "ztf", "lsst", "fink", "babamul", "pittgoogle"), from_survey),
    "tns": tns.from_tns,
    "own": own.from_json,
}


def from_stream(
    data: bytes,
    kind: str,
    stream: str,
    settings: Settings,
    now: datetime | None = None,
    headers: Mapping[str, bytes] | None = None,
) -> list[bytes]:
    """The packets of one message: none for heartbeats, one for most; VOEvent XML stays as it is.

    `kind` is one of `KINDS_OF_STREAM`; packets are called by `stream`, the separator of the settings, and what the
    message is about. `headers` are those of the Kafka message; Hopskotch's say what it is. A message that does not say
    when it was written gets the time `now` (naive UTC).

    Raises AlertError or PacketError, with what was expected; ConfigurationError if fastavro or a schema is missing.
    """
    test = False
    if kind == "hopskotch":
        data, test = (message := unwrap(data, headers or {})).data, message.test
    if kind == "gcn-voevent" or _is_xml(data):
        return [_as_it_is(data, test)]
    author = replace(author_of(settings), stream=stream)
    moment = now or datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    return [
        build_packet(_marked(alert, kind, test), author, moment) for alert in read(data, kind, settings.voevent_schemas)
    ]


def read(data: bytes, kind: str, schemas: Path | None = None) -> list[Alert]:
    """The alerts of one message that is no XML. Raises as `from_stream`."""
    if kind == "gcn-classic":
        raise AlertError("GCN's binary packets are not read; the topics gcn.classic.voevent.* have the same as VOEvent")
    if kind not in _READINGS:
        raise AlertError(f"Expected one of the kinds {', '.join(KINDS_OF_STREAM)}, got {kind!r}")
    if kind == "tns":
        notices = [read_json(part) for part in tns.objects(data)]
    elif data.startswith(avro.CONTAINER):
        notices = avro.records_of(data)
    elif kind == "lsst" and avro.is_framed(data):
        notices = [avro.framed_record(data, schemas)]
    else:
        notices = [read_json(data, strict=False)]
    try:
        alerts = [_READINGS[kind](notice) for notice in notices]
    except RecursionError:
        raise AlertError("The notice is nested too deeply") from None
    return [alert for alert in alerts if alert is not None]


def split(data: bytes, kind: str) -> list[bytes]:
    """The messages of one reply, each of which is an original of its own: a server's reply has many objects."""
    return tns.objects(data) if kind == "tns" else [data]


def media_type(data: bytes) -> str:
    """The media type of a message, by its first bytes."""
    if data.startswith(avro.CONTAINER) or avro.is_framed(data):
        return "application/avro"
    if _is_xml(data):
        return "text/xml"
    return "application/json" if data.lstrip().startswith((b"{", b"[")) else "application/octet-stream"


def _is_xml(data: bytes) -> bool:
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _as_it_is(data: bytes, test: bool) -> bytes:
    packet = read_packet(data)
    if test and packet.role != "test":
        raise AlertError(f"The message's header says that it is a test, but its packet has the role {packet.role}")
    return packet.raw


def _marked(alert: Alert, kind: str, test: bool) -> Alert:
    """With a word on where it came from: who reads the packet sees that it was converted."""
    changes: dict[str, Any] = {"provenance": {**alert.provenance, "converted_from": kind}}
    return alert.model_copy(update=changes | {"role": "test"} if test else changes)
