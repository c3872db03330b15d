"""Alerts of gravitational waves (LIGO, Virgo, KAGRA): JSON on GCN's topic `igwn.gwalert`, Avro on Hopskotch's.

Facts: the public alerts user guide of LVK, schema igwn.alerts 1.x. Alerts about one event have no numbers; their type
and time tell them apart. Sky maps come inside the message; they stay in the original, where `skymap_in` finds them.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from voevent.alert import Alert, AlertError, Kind, parse_alert
from voevent.convert.avro import CONTAINER, records_of
from voevent.convert.document import read_json
from voevent.convert.parameters import parameters

_KINDS: Final[dict[str, Kind]] = {
    "EARLYWARNING": "initial",
    "PRELIMINARY": "initial",
    "INITIAL": "supersedes",
    "UPDATE": "supersedes",
    "RETRACTION": "retraction",
}
"""Any number of preliminary alerts may come before the initial one, which people have vetted; it replaces them."""

_TESTS: Final = ("M", "T")
"""First letters of mock events (MS190101a) and of tests (TS190101a)."""

_UNITS: Final = {
    "duration": "s",
    "central_frequency": "Hz",
    "time_difference": "s",
    "time_coincidence_far": "Hz",
    "time_sky_position_coincidence_far": "Hz",
}

_MAPS: Final = ("skymap", "combined_skymap")

_FITS: Final = (b"SIMPLE  =", b"\x1f\x8b")
"""How FITS files begin, and how those do that gzip has packed."""


def from_igwn(notice: dict[str, Any]) -> Alert:
    """An alert from a message.

    Raises AlertError if it is no alert of gravitational waves.
    """
    name, word, created = (str(notice.get(key) or "") for key in ("superevent_id", "alert_type", "time_created"))
    if not name or not created or word not in _KINDS:
        raise AlertError(
            f"Expected superevent_id, time_created and an alert_type of {', '.join(_KINDS)};"
            f" got {name!r}, {created!r}, {word!r}"
        )
    event, counterpart = (_part(notice, key) for key in ("event", "external_coinc"))
    test = name.startswith(_TESTS) or event.get("search") == "MDC"
    others = {key: value for key, value in notice.items() if key not in ("event", "external_coinc", "urls")}
    told = {"superevent_id", "time", "far", "instruments", *_MAPS}
    return parse_alert(
        {
            "event": name,
            "edition": f"{created}_{word}",
            "kind": _KINDS[word],
            "role": "test" if test else "observation",
            "written": created,
            "time": event.get("time"),
            "far": event.get("far"),
            "mission": "LVK",
            "instrument": _joined(event.get("instruments")),
            "references": [address for address in _part(notice, "urls").values() if address],
            "params": [
                *parameters(others, told),
                *parameters(event, told, _UNITS),
                *parameters({"external_coinc": _without_maps(counterpart)} if counterpart else {}, (), _UNITS),
                *_maps(event, counterpart),
            ],
        }
    )


def skymap_in(data: bytes) -> bytes | None:
    """The sky map inside a message, JSON or Avro: a FITS file, perhaps packed by gzip.

    It is that of the waves alone: the one that is combined with a counterpart's holds what it would be matched with.
    None if there is no whole sky map in these bytes, or if they are no such message.
    """
    try:
        notices = records_of(data) if data.startswith(CONTAINER) else [read_json(data, strict=False)]
        written = _part(notices[0], "event").get("skymap") if notices else None
    except AlertError:
        return None
    if isinstance(written, str):
        try:
            written = base64.b64decode(written, validate=True)
        except (binascii.Error, ValueError):  # Examples in documents are shortened.
            return None
    return written if isinstance(written, bytes) and written.startswith(_FITS) else None


def _part(notice: dict[str, Any], key: str) -> dict[str, Any]:
    part = notice.get(key)
    if part is not None and not isinstance(part, dict):
        raise AlertError(f"{key}: expected an object, got a {type(part).__name__}")
    return part or {}


def _joined(instruments: object) -> str | None:
    names = instruments if isinstance(instruments, list) else [instruments]
    return ", ".join(str(name) for name in names if name) or None


def _without_maps(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in _MAPS}


def _maps(event: dict[str, Any], counterpart: dict[str, Any]) -> list[dict[str, Any]]:
    """That there are sky maps, as they themselves are too large for parameters."""
    places = [
        f"{place}.{key}"
        for place, part in (("event", event), ("external_coinc", counterpart))
        for key in _MAPS
        if part.get(key)
    ]
    note = "Where the original message has a sky map"
    return [{"name": f"skymap_{n}", "value": place, "description": note} for n, place in enumerate(places, start=1)]
