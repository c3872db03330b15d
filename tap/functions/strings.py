"""The optional string functions of ADQL 2.1 (section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tap.functions.declaration import ADQL_TYPES, Function, Parameter
from tap.functions.features import STRING_FEATURE
from vo_service.catalog.model import Column


def _text(arguments: Sequence[Column]) -> Column:
    """A string of any length, of the argument's characters."""
    unicode = arguments[0].datatype == "unicodeChar"
    return Column("", "unicodeChar", arraysize="*") if unicode else ADQL_TYPES["VARCHAR"]


STRINGS: Final = tuple(
    Function(
        name,
        (Parameter("text", "VARCHAR"),),
        "VARCHAR",
        f"The text in {name.lower()} case.",
        f"{name.lower()}({{0}})",
        _text,
        feature=STRING_FEATURE,
    )
    for name in ("LOWER", "UPPER")
)
