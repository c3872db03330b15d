"""Angles on the sphere, in degrees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def separation(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """Angular separation of positions.

    Accurate at all distances, the poles and antipodes included (Vincenty's formula for a sphere [1]_).

    Parameters
    ----------
    ra1, dec1, ra2, dec2
        Longitudes and latitudes [deg] of one frame; they broadcast. Declinations lie in [-90, 90].

    Returns
    -------
    Separations [deg] in [0, 180].

    References
    ----------
    .. [1] https://en.wikipedia.org/wiki/Great-circle_distance
    """
    lon = np.radians(np.asarray(ra2, float) - np.asarray(ra1, float))
    lat1, lat2 = np.radians(dec1), np.radians(dec2)
    (sin1, cos1), (sin2, cos2), (sin, cos) = ((np.sin(angle), np.cos(angle)) for angle in (lat1, lat2, lon))
    across = cos2 * sin
    along = cos1 * sin2 - sin1 * cos2 * cos
    dot = sin1 * sin2 + cos1 * cos2 * cos
    # By division, as PostgreSQL does: `np.degrees` differs from it in the last digit.
    result: Floats = np.arctan2(np.sqrt(across * across + along * along), dot) / (math.pi / 180)
    return result


def share_of_sky(radius: float) -> float:
    """The part of the sphere that a cone of this radius [deg, in [0, 180]] covers."""
    return (1 - math.cos(math.radians(radius))) / 2


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Unit vectors of positions [deg], in a last axis of length 3."""
    lon, lat = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack(np.broadcast_arrays(np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def without_dust(angle: float) -> float:
    """The angle [deg], or 0 if it is below 1e-12 degrees: PostgreSQL refuses to square numbers that vanish squared."""
    return 0.0 if abs(angle) < 1e-12 else angle
