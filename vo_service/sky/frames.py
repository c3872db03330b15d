"""Reference frames: positions of others brought to ICRS, by the rotations of `adql.frame` in `schema.sql`.

Galactic coordinates are those of FK5 (J2000) turned; FK4 (B1950) is turned so that they are what defines them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from vo_service.sky.angles import unit_vectors
from vo_service.sky.shapes import Circle, Polygon, Shape

TO_ICRS: Final = {
    "FK5": (
        (0.9999999999999929, 1.1102233738475024e-07, 4.411803429929631e-08),
        (-1.1102233290551096e-07, 0.9999999999999892, -9.647792745026092e-08),
        (-4.4118044980967755e-08, 9.647792246010134e-08, 0.9999999999999944),
    ),
    "FK4": (
        (0.9999256809514497, -0.011181372203849085, -0.004858959705285402),
        (0.01118137175388453, 0.9999374861373457, -2.7258532095708073e-05),
        (0.004858960740738317, -2.707332853481292e-05, 0.9999881948140967),
    ),
    "GALACTIC": (
        (-0.05487565771259219, 0.49410943719272665, -0.8676661375596586),
        (-0.8734370519556163, -0.4448297212232957, -0.19807633727300059),
        (-0.4838350736167157, 0.7469821839866677, 0.4559838136873021),
    ),
}
"""The frames beside ICRS that the geometries of a query may be given in: the matrix from each, row by row."""

_NAMES: Final = {
    "": "ICRS",
    "ICRS": "ICRS",
    "UNKNOWNFRAME": "ICRS",
    "GALACTIC_II": "GALACTIC",
    "J2000": "FK5",
    "B1950": "FK4",
    **{name: name for name in TO_ICRS},
}


def frame_named(word: str) -> str | None:
    """ICRS or one of `TO_ICRS`, for a word of STC-S in any letter case; None if it is none of them."""
    return _NAMES.get(word.upper())


def to_icrs(longitude: float, latitude: float, frame: str) -> tuple[float, float]:
    """A position [deg] of a frame in ICRS."""
    if frame == "ICRS":
        return longitude, latitude
    x, y, z = np.array(TO_ICRS[frame]) @ unit_vectors(longitude, latitude)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def shape_to_icrs(shape: Shape, frame: str) -> Shape:
    """A shape of a frame in ICRS."""
    if isinstance(shape, Circle):
        return Circle(*to_icrs(shape.ra, shape.dec, frame), shape.radius)
    return Polygon(tuple(to_icrs(*vertex, frame) for vertex in shape.vertices))
