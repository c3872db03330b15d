"""The set functions of ADQL 2.1 (those of SQL-92): one value from many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tap.functions.declaration import ADQL_TYPES, Function, Parameter, ResultRule, derived_ucd, fixed
from vo_service.catalog.model import Column

_NUMBER = (Parameter("x", "NUMERIC"),)
_ANY = (Parameter("x", "ANY"),)
_ORDERED = (Parameter("x", "ORDERED"),)

_INTEGERS = frozenset({"unsignedByte", "short", "int", "long"})


def _extreme(word: str, prose: str) -> ResultRule:
    """The type and unit of the argument."""
    return lambda arguments: _statistic(arguments[0], arguments[0], word, prose)


def _mean(arguments: Sequence[Column]) -> Column:
    return _statistic(arguments[0], ADQL_TYPES["DOUBLE PRECISION"], "stat.mean", "Mean")


def _sum(arguments: Sequence[Column]) -> Column:
    """As wide as can be: the sum of a `real` column in PostgreSQL is a real, and loses digits."""
    argument = arguments[0]
    adql_type = "BIGINT" if argument.datatype in _INTEGERS else "DOUBLE PRECISION"
    return replace(ADQL_TYPES[adql_type], unit=argument.unit, description=_prose("Sum", argument))


def _statistic(argument: Column, kind: Column, word: str, prose: str) -> Column:
    """A statistical word stands second in a UCD (flag S in the UCD list 1.6)."""
    ucd = derived_ucd(argument)
    return Column(
        "",
        kind.datatype,
        arraysize=kind.arraysize,
        xtype=kind.xtype,
        unit=argument.unit,
        ucd=f"{ucd};{word}" if ucd else None,
        description=_prose(prose, argument),
    )


def _prose(prose: str, argument: Column) -> str | None:
    return f"{prose} of: {argument.description}" if argument.description else None


COUNT_ROWS: Final = Function(
    "COUNT",
    (),
    "BIGINT",
    "COUNT(*): the number of rows.",
    "count(*)",
    fixed("BIGINT", ucd="meta.number"),
    aggregate=True,
)
"""`COUNT(*)`, which is written like no other call."""

AGGREGATES: Final = (
    Function(
        "COUNT",
        _ANY,
        "BIGINT",
        "The number of rows where x is not null.",
        "count({distinct}{0})",
        fixed("BIGINT", ucd="meta.number"),
        aggregate=True,
    ),
    Function(
        "AVG",
        _NUMBER,
        "DOUBLE PRECISION",
        "The mean of x, nulls left out.",
        "avg({distinct}CAST({0} AS double precision))",
        _mean,
        aggregate=True,
    ),
    Function(
        "MAX",
        _ORDERED,
        "ORDERED",
        "The largest x.",
        "max({distinct}{0})",
        _extreme("stat.max", "Largest value"),
        aggregate=True,
    ),
    Function(
        "MIN",
        _ORDERED,
        "ORDERED",
        "The smallest x.",
        "min({distinct}{0})",
        _extreme("stat.min", "Smallest value"),
        aggregate=True,
    ),
    Function(
        "SUM",
        _NUMBER,
        "NUMERIC",
        "The sum of x, nulls left out: a BIGINT of integers, else a DOUBLE PRECISION.",
        "CAST(sum({distinct}CAST({0} AS {type})) AS {type})",
        _sum,
        aggregate=True,
    ),
)
