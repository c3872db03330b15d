"""Messages of SNEWS 2, the early warning of supernovae: what detectors see, and the coincidences among them.

Facts: snews-data-formats 1.1 (messages of detectors), SNEWS_Coincidence_System (alerts on `snews2.alert`). Messages of
detectors have been written with and without identifiers and tiers; both are read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from voevent.alert import Alert, AlertError, Kind, parse_alert
from voevent.convert.parameters import parameters
from voevent.times import parse_time

_KINDS: Final[dict[str, Kind]] = {
    "NEW_MESSAGE": "initial",
    "COINC_MSG": "initial",
    "COINC_MSG_STAGGERED": "initial",
    "UPDATE": "supersedes",
    "RETRACTION": "retraction",
}

_SEEN: Final = ("neutrino_time_utc", "neutrino_time", "timing_series", "p_values", "p_val")
"""Keys of which a message has one, if a detector saw something; heartbeats have none."""

_FLAGS: Final = ("is_test", "is_firedrill")

_UNITS: Final = {"t_bin_width": "s", "t_bin_width_sec": "s"}


def is_snews(notice: dict[str, Any]) -> bool:
    """Whether a JSON object is a message of SNEWS."""
    return "detector_name" in notice or "detector_names" in notice


def from_snews(notice: dict[str, Any]) -> Alert | None:
    """An alert from a message; None for heartbeats.

    Raises AlertError if it is neither.
    """
    if notice.get("detector_names"):
        return _coincidence(notice)
    detector = notice.get("detector_name")
    if not detector:
        raise AlertError("detector_name: expected the name of a detector, or detector_names")
    tier = str(notice.get("tier", ""))
    if tier == "Retraction" or notice.get("retract_message_uid") or notice.get("retract_latest"):
        return _retraction(notice, str(detector))
    if tier == "Heartbeat" or not any(notice.get(key) for key in _SEEN):
        return None
    series = notice.get("timing_series")
    first = series[:1] if isinstance(series, list) else []
    moments = (notice.get("neutrino_time_utc"), notice.get("neutrino_time"), *first)
    seen = next((moment for moment in moments if isinstance(moment, str)), None)
    sent = _sent(notice)
    event = notice.get("uuid") or notice.get("id") or "_".join(str(part) for part in (detector, tier, sent) if part)
    return _alert(notice, event=event, written=sent, time=seen, instrument=detector)


def _retraction(notice: dict[str, Any], detector: str) -> Alert:
    """Of the message that it names, else of the detector's latest one, which cannot be named."""
    sent = _sent(notice)
    return _alert(
        notice,
        event=notice.get("retract_message_uid") or detector,
        edition=f"retraction_{notice.get('uuid') or sent}",
        kind="retraction",
        written=sent,
        instrument=detector,
        description=notice.get("retraction_reason"),
    )


def _coincidence(notice: dict[str, Any]) -> Alert:
    """Of several detectors. Coincidences are numbered anew from time to time: their day tells them apart."""
    words = str(notice.get("alert_type", "")).upper().removeprefix("TEST").strip()
    if words not in _KINDS:
        raise AlertError(f"alert_type: expected one of {', '.join(_KINDS)}, got {notice.get('alert_type')!r}")
    times = notice.get("neutrino_times")
    if not isinstance(times, list) or not times:
        raise AlertError("neutrino_times: expected the times of the detectors' first neutrinos")
    first = min(_time(moment) for moment in times)
    sent = _sent(notice)
    return _alert(
        notice,
        event=f"SNEWS_{first:%Y-%m-%d}_{notice.get('sub list number', 0)}",
        edition=sent,
        kind=_KINDS[words],
        written=sent,
        time=first,
        instrument=", ".join(str(name) for name in _names(notice)),
    )


def _names(notice: dict[str, Any]) -> list[Any]:
    names = notice["detector_names"]
    return names if isinstance(names, list) else [names]


def _alert(notice: dict[str, Any], **fields: object) -> Alert:
    test = str(notice.get("alert_type", "")).upper().startswith("TEST") or any(_true(notice.get(key)) for key in _FLAGS)
    params = parameters(notice, {"retraction_reason"}, _UNITS)
    return parse_alert(
        {"mission": "SNEWS", "role": "test" if test else "observation", "params": list(params), **fields}
    )


def _true(value: object) -> bool:
    return str(value).lower() == "true"


def _sent(notice: dict[str, Any]) -> str:
    """When a message was sent, as written; it has to say, as that tells it from others."""
    keys = ("sent_time_utc", "sent_time", "machine_time_utc", "machine_time")
    sent = next((notice[key] for key in keys if notice.get(key)), None)
    if not isinstance(sent, str):
        raise AlertError("machine_time_utc: expected the time of the message, or sent_time_utc")
    return sent


def _time(written: object) -> datetime:
    try:
        return parse_time(str(written))
    except ValueError as error:
        raise AlertError(f"neutrino_times: {error}") from None
