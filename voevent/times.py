"""Times of alerts: ISO 8601 text to UTC and back.

The same forms are met in VOEvent (ISOTime, Date) and in JSON notices: seconds with any number of decimals, with `Z`, an
offset or nothing, which means the scale of the coordinate system, UTC where none is told.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::([0-5]\d|60)(\.\d+)?)?)?\s*(?:(Z|UTC)|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def parse_time(text: str, scale: str = "UTC") -> datetime:
    """A moment as naive UTC, to the microsecond.

    `scale` is UTC, TT, GPS or TDB: the time scale in which it is written. A leap second counts as the second after it.
    Raises ValueError that says what was expected.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a time such as 2024-09-01T01:16:47Z, got {text.strip()[:40]!r}")
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0))
        moment += timedelta(seconds=int(second or 0), microseconds=round(float(fraction or 0) * 1e6))
        if sign:
            shift = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - shift if sign == "+" else moment + shift
        return moment if scale == "UTC" else _to_utc(moment, scale)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text.strip()!r} is not a time: {error}") from None


def format_time(moment: datetime) -> str:
    """Naive UTC as VOEvent writes it: `2024-09-01T01:16:47`, with decimals where there are any."""
    text = moment.isoformat()
    return text.rstrip("0") if "." in text else text


def _to_utc(moment: datetime, scale: str) -> datetime:
    from astropy.time import Time, TimeDelta  # noqa: PLC0415 (slow to import, and seldom needed)

    if scale == "GPS":  # GPS time runs 19 s behind TAI.
        return _naive((Time(moment, scale="tai") + TimeDelta(19.0, format="sec")).utc.datetime)
    return _naive(Time(moment, scale=scale.lower()).utc.datetime)


def _naive(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        raise TypeError(f"expected one moment, got {moment!r}")
    return moment
