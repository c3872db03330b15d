"""Functions on MOCs, under the names that users of other services know; what is constant the translator computes."""

from __future__ import annotations

from typing import Final

from tap.functions.declaration import Function, Parameter, fixed
from tap.functions.features import UDF_FEATURE

_BOTH: Final = (Parameter("moc1", "MOC"), Parameter("moc2", "MOC"))
_MOC: Final = fixed("MOC")

MOC_OF_TEXT: Final = Function(
    "moc",
    (Parameter("text", "VARCHAR"),),
    "MOC",
    "The set of HEALPix cells of a MOC in ASCII form, such as '4/1 3-5 5/96'.",
    "adql.moc_text(adql.moc({0}))",
    _MOC,
    feature=UDF_FEATURE,
)

MOC_OF_REGION: Final = Function(
    "moc",
    (Parameter("hpxOrder", "INTEGER", within=(0, 29), constant=True), Parameter("region", "GEOMETRY")),
    "MOC",
    "The HEALPix cells of an order that a constant region touches, or the one that holds a point.",
    "CAST({0} AS text) || '/' || CAST(adql.hpx({0}, ({1})[1], ({1})[2]) AS text)",
    _MOC,
    feature=UDF_FEATURE,
)

MOC_UNION: Final = Function(
    "gavo_mocunion",
    _BOTH,
    "MOC",
    "The cells that are in either of two MOCs.",
    "adql.moc_text(adql.moc({0}) + adql.moc({1}))",
    _MOC,
    feature=UDF_FEATURE,
)

MOC_INTERSECTION: Final = Function(
    "gavo_mocintersect",
    _BOTH,
    "MOC",
    "The cells that are in both of two MOCs.",
    "adql.moc_text(adql.moc({0}) * adql.moc({1}))",
    _MOC,
    feature=UDF_FEATURE,
)

MOCS: Final = (MOC_OF_TEXT, MOC_OF_REGION, MOC_UNION, MOC_INTERSECTION)
