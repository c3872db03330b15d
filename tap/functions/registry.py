"""Every function that a query may call: the translator knows no other, and capabilities announce these."""

from __future__ import annotations

from typing import Final

from tap.functions.aggregates import AGGREGATES
from tap.functions.declaration import Function
from tap.functions.features import UDF_FEATURE
from tap.functions.mathematics import MATHEMATICS
from tap.functions.moc import MOCS
from tap.functions.strings import STRINGS
from tap.functions.udf_sky import UDF_SKY
from tap.functions.udf_statistics import UDF_STATISTICS
from tap.functions.udf_strings import UDF_STRINGS
from tap.functions.udf_times import UDF_TIMES

FUNCTIONS: Final[tuple[Function, ...]] = (
    *MATHEMATICS,
    *AGGREGATES,
    *STRINGS,
    *UDF_SKY,
    *MOCS,
    *UDF_TIMES,
    *UDF_STRINGS,
    *UDF_STATISTICS,
)
"""One line per group; a function's own file declares it, once for each of its forms, which differ in
the number of arguments."""

USER_DEFINED: Final = tuple(function for function in FUNCTIONS if function.feature == UDF_FEATURE)


def functions_named(name: str) -> tuple[Function, ...]:
    """The forms of the function of this name, letter case ignored; none if there is no such function."""
    return _BY_NAME.get(name.upper(), ())


def _by_name() -> dict[str, tuple[Function, ...]]:
    forms: dict[str, tuple[Function, ...]] = {}
    for function in FUNCTIONS:
        forms[function.name.upper()] = (*forms.get(function.name.upper(), ()), function)
    return forms


_BY_NAME: Final = _by_name()
