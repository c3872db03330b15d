"""User-defined functions of statistics and intervals (IVOA Catalogue of UDFs 1.2, sections 2.5 and 2.6)."""

from __future__ import annotations

from typing import Final

from tap.functions.declaration import Function, Parameter, fixed
from tap.functions.features import UDF_FEATURE

_DOUBLE = "DOUBLE PRECISION"

_MOST_BINS: Final = 10_000

UDF_STATISTICS: Final = (
    Function(
        "ivo_histogram",
        (
            Parameter("val", _DOUBLE),
            Parameter("lower", _DOUBLE),
            Parameter("upper", _DOUBLE),
            Parameter("nbins", "INTEGER", within=(1, _MOST_BINS), constant=True),
        ),
        "INTEGER[]",
        "Numbers of values in nbins bins of equal width from lower to upper; before them, that of values below lower"
        " and nulls, after them, that of values from upper on.",
        "coalesce(adql.histogram({0}, {1}, {2}, {3}), array_fill(0, ARRAY[{3} + 2]))",
        fixed("INTEGER[]", ucd="meta.number"),
        aggregate=True,
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_normal_random",
        (Parameter("mu", _DOUBLE), Parameter("sigma", _DOUBLE)),
        _DOUBLE,
        "A random number from the normal distribution with mean mu and standard deviation sigma.",
        # Box and Muller 1958, Annals of Mathematical Statistics 29, 610.
        "({0} + {1} * sqrt(- 2 * ln(1 - random())) * cos(2 * pi() * random()))",
        fixed(_DOUBLE),
        feature=UDF_FEATURE,
    ),
    Function(
        "ivo_interval_overlaps",
        tuple(Parameter(name, "NUMERIC") for name in ("a1", "b1", "a2", "b2")),
        "INTEGER",
        "1 if the intervals [a1, b1] and [a2, b2] have a value in common, else 0; an interval from a larger to a"
        " smaller number has none.",
        "CAST({0} <= {3} AND {2} <= {1} AND {0} <= {1} AND {2} <= {3} AS integer)",
        fixed("INTEGER"),
        feature=UDF_FEATURE,
    ),
)
