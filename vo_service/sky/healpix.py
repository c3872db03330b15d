"""The HEALPix index of positions: nested scheme, order 29 (Gorski et al. 2005, ApJ 622, 759).

The order is the finest that fits a signed 64-bit integer; a pixel of it is 0.4 mas wide. A pixel of a coarser order
is a range of pixels of this one.
"""

from __future__ import annotations

import hpgeom
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vo_service.sky.angles import unit_vectors

ORDER = 29
"""The order of every index that is stored."""

PIXELS = 12 * 4**ORDER
"""Number of pixels of the whole sphere."""

_POLAR = 89.99
"""Declination [deg] from which hpgeom (1.6.1) computes the index by vectors: by angles it loses digits there."""


def hpx(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """The index of each position.

    Parameters
    ----------
    ra
        Right ascensions [deg, ICRS], finite; 360 is 0.
    dec
        Declinations [deg, ICRS] in [-90, 90].

    Returns
    -------
    Pixels in [0, PIXELS), of the shape that `ra` and `dec` broadcast to.

    Raises
    ------
    ValueError
        A declination is out of range, or a coordinate is not finite.
    """
    longitude, latitude = np.asarray(ra, float), np.asarray(dec, float)
    if not (np.isfinite(longitude).all() and (np.abs(latitude) <= 90).all()):
        raise ValueError("expected finite right ascensions, and declinations from -90 to 90 degrees")
    pixels: NDArray[np.int64] = hpgeom.angle_to_pixel(1 << ORDER, longitude, latitude, nest=True)
    polar = np.abs(latitude) > _POLAR
    if polar.any():
        x, y, z = np.moveaxis(unit_vectors(longitude, latitude), -1, 0)
        pixels = np.where(polar, hpgeom.vector_to_pixel(1 << ORDER, x, y, z, nest=True), pixels)
    return pixels


def at_order_29(ranges: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Half-open ranges of pixels of a coarser order, as ranges of order 29."""
    return ranges.astype(np.int64) << (2 * (ORDER - order))
