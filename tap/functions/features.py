"""The optional features of ADQL 2.1 (section 4) that the translator supports, for capabilities to announce."""

from __future__ import annotations

from typing import Final

# Identifiers ignore letter case, and ADQL 2.1 writes these in lower case; STILTS 3.4 knows them only like this.
_TAPREGEXT: Final = "ivo://ivoa.net/std/TAPRegExt#features-"

STRING_FEATURE: Final = f"{_TAPREGEXT}adql-string"

UDF_FEATURE: Final = f"{_TAPREGEXT}udf"
"""Of user-defined functions, which are announced one by one with their signatures."""

FEATURES: Final[dict[str, tuple[str, ...]]] = {
    f"{_TAPREGEXT}adqlgeo": (
        *("POINT", "CIRCLE", "BOX", "POLYGON", "REGION", "CENTROID"),
        *("AREA", "COORD1", "COORD2", "COORDSYS", "CONTAINS", "INTERSECTS", "DISTANCE"),
    ),
    STRING_FEATURE: ("LOWER", "UPPER", "ILIKE"),
    f"{_TAPREGEXT}adql-common-table": ("WITH",),
    f"{_TAPREGEXT}adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    f"{_TAPREGEXT}adql-type": ("CAST",),
    f"{_TAPREGEXT}adql-unit": ("IN_UNIT",),
    # Newer than STILTS 3.4, to which it would be an error in the other spelling, and is a warning in this one.
    "ivo://ivoa.net/std/tapregext#features-adql-conditional": ("COALESCE",),
    f"{_TAPREGEXT}adql-offset": ("OFFSET",),
}
"""Identifier of a group of features (TAPRegExt, as TAPRegExt 1.0 writes it), and the names of those in it."""
