"""Alerts of surveys (ZTF, Rubin's LSST) and of brokers that pass them on (Fink, Lasair, ANTARES, Babamul, Pitt-Google).

All say the same: an object, its newest detection, earlier ones, small images; each in its own words, which stand below.
A packet tells the object and the newest detection. Earlier ones and images stay in the original.

Facts: ZTF's alert schema 3.3 (jd is UTC), Rubin's schema 9 (midpointMjdTai is TAI), and samples of the brokers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from voevent.alert import Alert, AlertError, parse_alert
from voevent.convert.parameters import parameters

_OBJECTS: Final = ("objectId", "diaObjectId", "locus_id", "ssObjectId", "object_id")
_DETECTIONS: Final = ("candid", "diaSourceId", "alert_id")
_TRIGGERS: Final = ("triggerId", "trigger_id")
_RA: Final = ("ra", "ramean")
_DEC: Final = ("dec", "decl", "decmean")
_JD: Final = ("jd", "jdmax")
_MJD: Final = ("mjd", "mjdmax")
_MJD_TAI: Final = ("midpointMjdTai", "lastDiaSourceMjdTai")

_NEWEST: Final = ("candidate", "diaSource")
"""Where the newest detection stands alone."""

_SERIES: Final = ("alerts", "rows", "candidates")
"""Where all detections stand together."""

_ONE_SIGMA: Final = 0.683
"""Probability within one standard deviation, which Rubin's errors are."""

_UNITS: Final = {
    **dict.fromkeys("ra dec decl raErr decErr".split(), "deg"),
    **dict.fromkeys("magpsf sigmapsf diffmaglim magap sigmagap".split(), "mag"),
    **dict.fromkeys("jd mjd midpointMjdTai".split(), "d"),
    "exptime": "s",
}

_UNIX_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_JD, _EPOCH_MJD = 2440587.5, 40587.0

_LAST_JD: Final = 5373484.5
"""The end of the year 9999."""


def is_survey(notice: Mapping[str, Any]) -> bool:
    """Whether a record is an alert of a survey."""
    return any(key in notice for key in (*_OBJECTS, *_DETECTIONS))


def from_survey(record: dict[str, Any]) -> Alert:
    """An alert from a record, whatever its broker.

    Raises AlertError if it names neither an object nor a detection.
    """
    newest = _newest(record)
    detection = _first(record, _DETECTIONS) or _first(newest, _DETECTIONS)
    name = _first(record, _OBJECTS) or _first(newest, _OBJECTS) or detection
    if not name:
        raise AlertError(f"Expected an alert of a survey, with one of {', '.join((*_OBJECTS, *_DETECTIONS))}")
    return parse_alert(
        {
            "event": str(name),
            "edition": _edition(record, name, detection),
            "role": "test" if newest.get("pixelFlags_injectedCenter") is True else "observation",
            "time": _time(newest) or _time(record),
            "position": _position(record, newest),
            "mission": _mission(record, str(name)),
            "params": _params(record),
        }
    )


def _newest(record: dict[str, Any]) -> dict[str, Any]:
    """The newest detection; the record itself, if it tells of that alone."""
    for key in _NEWEST:
        if isinstance(part := record.get(key), dict):
            return part
    for key in _SERIES:
        parts = record.get(key)
        if isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts):
            # ANTARES writes the survey before the names: lsst_diaSource_midpointMjdTai.
            plain = [{str(name).rpartition("_")[2]: value for name, value in part.items()} for part in parts]
            return max(plain, key=lambda part: _number(part, (*_JD, *_MJD, *_MJD_TAI)) or 0.0)
    return record


def _first(part: Mapping[str, Any], words: tuple[str, ...]) -> Any:  # noqa: ANN401 (a name or a number)
    return next((part[word] for word in words if part.get(word) not in (None, "", 0)), None)


def _edition(record: dict[str, Any], name: object, detection: object) -> str | None:
    """The detection, and the trigger of another mission that it may belong to (Fink); where no detection is named, what
    the record says tells it from others.
    """
    if detection is not None:
        parts = [None if detection is name else detection, _first(record, _TRIGGERS)]
        return "_".join(str(part) for part in parts if part is not None) or None
    text = json.dumps(record, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _time(part: Mapping[str, Any]) -> datetime | None:
    jd, mjd, tai = (_number(part, words) for words in (_JD, _MJD, _MJD_TAI))
    if tai is not None:
        return _from_tai(tai)
    if jd is None and mjd is None:
        return None
    return _rounded(jd - _EPOCH_JD if jd is not None else (mjd or 0.0) - _EPOCH_MJD)


def _number(part: Mapping[str, Any], words: tuple[str, ...]) -> float | None:
    value = _first(part, words)
    if value is None:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LAST_JD:
        raise AlertError(f"{words[0]}: expected a Julian date, got {str(value)[:40]!r}")
    return float(value)


def _rounded(days: float) -> datetime:
    """To the millisecond: Julian dates in doubles have no more."""
    try:
        return _UNIX_EPOCH + timedelta(milliseconds=round(days * 86_400_000))
    except OverflowError:
        raise AlertError(f"jd: {days + _EPOCH_JD} is before the year 1") from None


def _from_tai(mjd: float) -> datetime:
    from astropy.time import Time  # noqa: PLC0415 (slow to import)

    return _rounded(float(Time(mjd, format="mjd", scale="tai").utc.mjd) - _EPOCH_MJD)


def _position(record: dict[str, Any], newest: dict[str, Any]) -> dict[str, Any] | None:
    """The detection's, else the object's."""
    for part in (newest, record):
        ra, dec = _coordinate(part, _RA), _coordinate(part, _DEC)
        if ra is not None and dec is not None:
            errors = [part.get(key) for key in ("raErr", "decErr")]
            known = all(isinstance(error, float) and error > 0 for error in errors)
            spread = {"ra_error": (errors[0],) * 2, "dec_error": (errors[1],) * 2, "containment": _ONE_SIGMA}
            return {"ra": ra % 360, "dec": dec, **(spread if known else {})}
    return None


def _coordinate(part: Mapping[str, Any], words: tuple[str, ...]) -> float | None:
    value = next((part[word] for word in words if part.get(word) is not None), None)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -360 <= value <= 360:
        raise AlertError(f"{words[0]}: expected degrees, got {str(value)[:40]!r}")
    return float(value)


def _mission(record: dict[str, Any], name: str) -> str | None:
    if name.startswith("ZTF"):
        return "ZTF"
    return "Rubin Observatory" if "diaSourceId" in record or "diaSource" in record else None


def _params(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What the record says of the object and its newest detection, as far as it is known."""
    return [param for param in parameters(_brief(record), _OBJECTS, _UNITS) if param["value"] is not None]


def _brief(part: dict[str, Any]) -> dict[str, Any]:
    """Without images; of series, their length."""
    brief: dict[str, Any] = {}
    for key, value in part.items():
        if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            brief[f"number_of_{key}"] = len(value)
        elif isinstance(value, dict) and not any(isinstance(inner, bytes) for inner in value.values()):
            brief[key] = _brief(value)
        elif not isinstance(value, dict | bytes):
            brief[key] = value
    return brief
