"""User-defined functions on strings (IVOA Catalogue of UDFs 1.2, sections 2.4 and 2.7)."""

from __future__ import annotations

from typing import Final

from tap.functions.declaration import Function, Parameter, ResultRule, fixed
from tap.functions.features import UDF_FEATURE

_TRUTH: Final = fixed("INTEGER")
_DEGREES: Final = fixed("DOUBLE PRECISION", unit="deg")


def _function(name: str, parameters: str, returns: str, sql: str, result: ResultRule, description: str) -> Function:
    strings = tuple(Parameter(parameter, "VARCHAR") for parameter in parameters.split())
    return Function(name, strings, returns, description, sql, result, feature=UDF_FEATURE)


UDF_STRINGS: Final = (
    _function(
        "ivo_nocasematch",
        "value pattern",
        "INTEGER",
        "CAST({0} ILIKE {1} ESCAPE '' AS integer)",
        _TRUTH,
        "1 if the value matches the pattern of LIKE (% and _) whatever the letter case, else 0.",
    ),
    _function(
        "ivo_hasword",
        "haystack needle",
        "INTEGER",
        "adql.has_words({0}, {1})",
        _TRUTH,
        "1 if all words of the needle are in the haystack, letter case and English endings ignored, else 0.",
    ),
    _function(
        "ivo_hashlist_has",
        "hashlist item",
        "INTEGER",
        "CAST(lower({1}) = ANY (string_to_array(lower({0}), '#')) AS integer)",
        _TRUTH,
        "1 if the item is one of the words that # separates in the list, letter case ignored, else 0.",
    ),
    Function(
        "ivo_string_agg",
        (Parameter("expression", "VARCHAR"), Parameter("delimiter", "VARCHAR")),
        "VARCHAR",
        "The strings of a group joined by the delimiter, in no particular order, nulls left out.",
        "string_agg({0}, {1})",
        fixed("VARCHAR"),
        aggregate=True,
        feature=UDF_FEATURE,
    ),
    _function(
        "ivo_hms_to_degrees",
        "hms",
        "DOUBLE PRECISION",
        "(15 * adql.sexagesimal({0}, 'h'))",
        _DEGREES,
        "The angle in degrees of hours, minutes and seconds written as h:m:s, hhmmss or 1h2m3s; else null.",
    ),
    _function(
        "ivo_dms_to_degrees",
        "dms",
        "DOUBLE PRECISION",
        "adql.sexagesimal({0}, 'd')",
        _DEGREES,
        "The angle in degrees of degrees, minutes and seconds written as d:m:s, ddmmss or 1d2m3s; else null.",
    ),
)
