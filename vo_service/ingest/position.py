"""Sky positions of rows: to ICRS degrees, into range, and their HEALPix index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vo_service.catalog.description_input import PositionSource
from vo_service.ingest.flaws import Flaws, Mask
from vo_service.sky.healpix import hpx

Degrees = NDArray[np.float64]

ROUNDING = 1e-9
"""Degrees by which a position may miss the limits, as conversion of units or frames rounds: 4 microarcseconds."""

_LONGITUDE = {"deg": 1.0, "rad": 180 / np.pi, "hourangle": 15.0}
_LATITUDE = {"deg": 1.0, "rad": 180 / np.pi, "hourangle": 1.0}
"""Degrees of one unit."""


def to_icrs(
    longitude: Degrees, latitude: Degrees, missing: Mask, source: PositionSource, flaws: Flaws
) -> tuple[Degrees, Degrees]:
    """Right ascension and declination [deg, ICRS] of coordinates in the frame and unit of `source`.

    Longitudes may count from 0 to 360 or from -180 to 180 degrees. Rows that are missing or out of range, which is a
    flaw, get 0.
    """
    lon, lat = longitude * _LONGITUDE[source.unit], latitude * _LATITUDE[source.unit]
    names = f"{source.longitude}, {source.latitude}"
    inside = (lon >= -180 - ROUNDING) & (lon <= 360 + ROUNDING) & (np.abs(lat) <= 90 + ROUNDING)
    flaws.add(
        ~inside & ~missing,
        lambda row: f"{names}: {longitude[row]}, {latitude[row]} {source.unit} is no place on the sky",
    )
    usable = inside & ~missing
    lon, lat = np.where(usable, lon, 0.0), np.clip(np.where(usable, lat, 0.0), -90, 90)
    if source.frame == "icrs":
        return lon % 360, lat
    # Half a second to import, which only those wait for who need it.
    from astropy.coordinates import SkyCoord  # noqa: PLC0415

    place = SkyCoord(lon, lat, unit="deg", frame=source.frame).icrs
    return place.ra.deg, place.dec.deg


def check_position(ra: Degrees, dec: Degrees, missing: Mask, flaws: Flaws) -> tuple[Degrees, Degrees]:
    """Positions [deg, ICRS] in range: right ascension in [0, 360), declination in [-90, 90].

    A right ascension of 360 is 0. What is missing or out of range is a flaw, and comes back as 0.
    """
    flaws.add(missing, lambda _: "it has no position")
    inside = (ra >= -ROUNDING) & (ra <= 360 + ROUNDING) & (np.abs(dec) <= 90 + ROUNDING)
    flaws.add(
        ~inside & ~missing,
        lambda row: f"RA {ra[row]}, Dec {dec[row]} is out of range (0 to 360, -90 to 90 degrees)",
    )
    usable = inside & ~missing
    folded = np.where(usable & (ra < 360), np.maximum(ra, 0), 0.0)
    return folded, np.where(usable, np.clip(dec, -90, 90), 0.0)


def index_where_possible(ra: Degrees, dec: Degrees, missing: Mask) -> NDArray[np.int64]:
    """The HEALPix index (nested, order 29) of positions [deg] whose right ascension may be any number.

    It is -1 for rows that are missing, or are no place on the sky.
    """
    usable = ~missing & np.isfinite(ra) & (np.abs(dec) <= 90)
    places = hpx(np.where(usable, ra, 0.0) % 360 % 360, np.where(usable, dec, 0.0))
    return np.where(usable, places, np.int64(-1))
