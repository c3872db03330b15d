"""User-defined functions on positions (IVOA Catalogue of UDFs 1.2, sections 2.1 and 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tap.functions.declaration import ADQL_TYPES, Function, Parameter, fixed
from tap.functions.features import UDF_FEATURE
from vo_service.catalog.model import Column
from vo_service.sky.healpix import ORDER

HEALPIX_INDEX: Final = "ivo_healpix_index"

_DOUBLE = "DOUBLE PRECISION"
_ORDER: Final = Parameter("hpxOrder", "INTEGER", within=(0, ORDER))
_PIXEL: Final = fixed("BIGINT", ucd="pos.healpix")
_POINT: Final = fixed("POINT", unit="deg", ucd="pos")

FRAMES: Final = ("ICRS", "FK5", "FK4", "GALACTIC", "SUPER_GALACTIC", "ECLIPTIC")
"""Terms of the IVOA vocabulary of reference frames; the SQL function `adql.frame` knows each."""

_STAR: Final = tuple(
    Parameter(name, _DOUBLE)
    for name in ("ra", "dec", "parallax", "pmra", "pmdec", "radial_velocity", "ref_epoch", "out_epoch")
)
_MOVED: Final = "({0}, {1}, {2}, {3}, {4}, {5}, {7} - {6})"


def _same_shape(arguments: Sequence[Column]) -> Column:
    """The shape of the geometry, in another frame: whatever else was known of it no longer holds."""
    geometry = arguments[2]
    return replace(ADQL_TYPES["POINT"], arraysize=geometry.arraysize, xtype=geometry.xtype, unit=geometry.unit)


UDF_SKY: Final = (
    Function(
        HEALPIX_INDEX,
        (_ORDER, Parameter("ra", _DOUBLE), Parameter("dec", _DOUBLE)),
        "BIGINT",
        "The HEALPix pixel (nested numbering) of a position in degrees; hpxOrder is 0 to 29.",
        "adql.hpx(CAST({0} AS integer), {1}, {2})",
        _PIXEL,
        feature=UDF_FEATURE,
    ),
    Function(
        HEALPIX_INDEX,
        (_ORDER, Parameter("point", "POINT")),
        "BIGINT",
        "The HEALPix pixel (nested numbering) of a point; hpxOrder is 0 to 29.",
        "adql.hpx(CAST({0} AS integer), {1})",
        _PIXEL,
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_healpix_center",
        (_ORDER, Parameter("hpxIndex", "BIGINT")),
        "POINT",
        "The centre of a HEALPix pixel (nested numbering); null if the order has no such pixel.",
        "adql.hpx_center(CAST({0} AS integer), {1})",
        _POINT,
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_epoch_prop_pos",
        _STAR,
        "POINT",
        "The position at out_epoch of a star that moves in a straight line and is as given at ref_epoch (degrees, mas,"
        " mas/yr, km/s, Julian years).",
        f"adql.epoch_prop_pos{_MOVED}",
        _POINT,
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_epoch_prop",
        _STAR,
        "DOUBLE PRECISION[6]",
        "As ivo_epoch_prop_pos, but all six parameters at out_epoch: ra, dec, parallax, pmra, pmdec, radial_velocity.",
        f"adql.epoch_prop{_MOVED}",
        fixed("DOUBLE PRECISION[6]"),
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_geom_transform",
        (
            Parameter("from_sys", "VARCHAR", words=FRAMES),
            Parameter("to_sys", "VARCHAR", words=FRAMES),
            Parameter("geo", "GEOMETRY"),
        ),
        "GEOMETRY",
        f"A point, circle or polygon turned from one reference frame to another; frames are {', '.join(FRAMES)}.",
        "adql.turned({2}, adql.frame({0}), adql.frame({1}))",
        _same_shape,
        feature=UDF_FEATURE,
    ),
)
