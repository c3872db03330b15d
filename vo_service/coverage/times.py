"""Times of tables on the axis of time MOCs: microseconds of TCB since JD 0."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from erfa import ErfaWarning, dtdb
from numpy.typing import NDArray

from vo_service.coverage.axes import MJD_RANGE
from vo_service.formats.systems import UNKNOWN_SCALE
from vo_service.later import later

if TYPE_CHECKING:
    from astropy import time as astropy_time
else:
    astropy_time = later("astropy.time")

MICROSECONDS: Final = 86_400_000_000
"""Of a day."""

_MJD_ZERO: Final = 2_400_000.5
_GPS_BEHIND_TAI: Final = 19 / 86_400
_TDB_STEP: Final = 10
"""Days."""

Days = NDArray[np.float64]
Instants = NDArray[np.int64]


def to_microseconds(mjd: Days, scale: str) -> Instants:
    """Modified Julian Dates of a scale (UTC, TT, GPS, ...; UNKNOWN is taken for UTC) as microseconds of TCB."""
    offset = _GPS_BEHIND_TAI if scale == "GPS" else 0.0
    tcb = _converted(
        astropy_time.Time(_MJD_ZERO, np.asarray(mjd) + offset, format="jd", scale=_astropy_scale(scale)), "tcb"
    )
    whole = np.floor(tcb.jd1)
    part = np.floor(((tcb.jd1 - whole) + tcb.jd2) * MICROSECONDS)
    return np.asarray(whole.astype(np.int64) * MICROSECONDS + part.astype(np.int64), np.int64)


def from_microseconds(instants: Instants, scale: str) -> Days:
    """The other way round."""
    whole = instants // MICROSECONDS
    part = (instants - whole * MICROSECONDS) / MICROSECONDS
    time = astropy_time.Time(whole.astype(float), part, format="jd", scale="tcb")
    time.delta_tdb_tt = _tdb_minus_tt(time.tdb.jd)
    time = _converted(time, _astropy_scale(scale))
    offset = _GPS_BEHIND_TAI if scale == "GPS" else 0.0
    return np.asarray((time.jd1 - _MJD_ZERO) + time.jd2 - offset, np.float64)


def _tdb_minus_tt(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds between the two time scales at Julian Dates of TDB, to 10 microseconds.

    The series of 800 terms takes 14 microseconds for each date. What it sums up to is mostly the anomaly of the Earth's
    motion, so that points ten days apart tell those between them.
    """
    if not len(days):
        return days
    first, last = float(days.min()), float(days.max())
    points = int((last - first) / _TDB_STEP) + 2
    if points >= len(days):
        return np.asarray(dtdb(days, 0.0, 0.0, 0.0, 0.0, 0.0), np.float64)
    known = np.linspace(first, last, points)
    return np.asarray(np.interp(days, known, dtdb(known, 0.0, 0.0, 0.0, 0.0, 0.0)), np.float64)


def from_utc(mjd: float, scale: str) -> float:
    """A Modified Julian Date of UTC in another scale; what no calendar has, infinity above all, stays as it is."""
    if _astropy_scale(scale) == "utc" or not MJD_RANGE[0] <= mjd <= MJD_RANGE[1]:
        return mjd
    return float(from_microseconds(to_microseconds(np.array([mjd]), "UTC"), scale)[0])


def _astropy_scale(scale: str) -> str:
    return {"GPS": "tai", UNKNOWN_SCALE: "utc"}.get(scale, scale.lower())


def _converted(time: Any, scale: str) -> Any:  # noqa: ANN401 (astropy has no types)
    with warnings.catch_warnings():
        # Leap seconds before 1960 and in years to come are not known; their absence moves a time by seconds.
        warnings.simplefilter("ignore", ErfaWarning)
        return getattr(time, scale)
