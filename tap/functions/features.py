"""The optional features of ADQL 2.1 (section 4) that the translator supports, for capabilities to announce."""

from __future__ import annotations

from typing import Final

_TAPREGEXT: Final = "ivo://ivoa.net/std/tapregext#features-"

STRING_FEATURE: Final = f"{_TAPREGEXT}adql-string"

FEATURES: Final[dict[str, tuple[str, ...]]] = {
    f"{_TAPREGEXT}adqlgeo": ("POINT", "CIRCLE", "CONTAINS", "DISTANCE"),
    STRING_FEATURE: ("LOWER", "UPPER", "ILIKE"),
    f"{_TAPREGEXT}adql-common-table": ("WITH",),
    f"{_TAPREGEXT}adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    f"{_TAPREGEXT}adql-type": ("CAST",),
    f"{_TAPREGEXT}adql-conditional": ("COALESCE",),
    f"{_TAPREGEXT}adql-offset": ("OFFSET",),
}
"""Identifier of a group of features (TAPRegExt, in lower case as ADQL 2.1 writes it), and the names of those in it."""
