"""Which coordinate or time system a column is given in, as far as the column tells: what formats write of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vo_service.catalog.model import Column

UNKNOWN_SCALE = "UNKNOWN"
"""As VOTable's TIMESYS has it (IVOA vocabulary of time scales)."""

_TIME_SCALE = re.compile(r"\b(UTC|TAI|TT|TDB|TCB|TCG|GPS)\b")
_MJD = re.compile(r"mjd|modified julian", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeSystem:
    """A time scale (UTC, TT, ..., UNKNOWN), and whether times are Modified Julian Dates or ISO 8601."""

    scale: str
    is_mjd: bool


def time_system(column: Column) -> TimeSystem | None:
    """The system of a column of absolute times; None for others."""
    words = f"{column.name} {column.description or ''}"
    match = _TIME_SCALE.search(words)
    scale = match[0] if match else None
    if column.xtype == "timestamp":
        return TimeSystem(scale or "UTC", is_mjd=False)
    ucd = (column.ucd or "").lower()
    if ucd.startswith(("time.epoch", "time.start", "time.end")) and column.unit == "d" and _MJD.search(words):
        # Event lists have MJD in UTC, TT or TDB; where the publisher does not say, it stays unknown.
        return TimeSystem(scale or UNKNOWN_SCALE, is_mjd=True)
    return None


def is_position(column: Column) -> bool:
    """Whether the column is a right ascension or declination: given in the frame of the table."""
    return (column.ucd or "").lower().startswith(("pos.eq.ra", "pos.eq.dec", "pos_eq_ra", "pos_eq_dec"))
