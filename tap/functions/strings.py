"""The optional string functions of ADQL 2.1 (section 4.4)."""

from __future__ import annotations

from typing import Final

from tap.functions.declaration import Function, Parameter, fixed

FEATURE: Final = "ivo://ivoa.net/std/tapregext#features-adql-string"

STRINGS: Final = tuple(
    Function(
        name,
        (Parameter("text", "VARCHAR"),),
        "VARCHAR",
        f"The text in {name.lower()} case.",
        f"{name.lower()}({{0}})",
        fixed("VARCHAR"),
        feature=FEATURE,
    )
    for name in ("LOWER", "UPPER")
)
