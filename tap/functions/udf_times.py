"""User-defined functions on dates and times (IVOA Catalogue of UDFs 1.2, section 2.3): no time scale is changed."""

from __future__ import annotations

from typing import Final

from tap.functions.declaration import Function, Parameter, fixed
from tap.functions.features import UDF_FEATURE


def _days_since(name: str, day_of_1970: str, description: str) -> Function:
    return Function(
        name,
        (Parameter("d", "TIMESTAMP"),),
        "DOUBLE PRECISION",
        description,
        f"(date_part('epoch', {{0}}) / 86400 + {day_of_1970})",
        fixed("DOUBLE PRECISION", unit="d", ucd="time.epoch"),
        feature=UDF_FEATURE,
    )


UDF_TIMES: Final = (
    _days_since("ivo_to_jd", "2440587.5", "The Julian Date of a timestamp; a string is read as one."),
    _days_since("ivo_to_mjd", "40587", "The Modified Julian Date of a timestamp; a string is read as one."),
)
