"""The mathematical and trigonometric functions of ADQL 2.1 (section 2.3, tables 1 and 2): all give a double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tap.functions.declaration import Function, Parameter, ResultRule, fixed, same_quantity
from vo_service.catalog.model import Column

_DOUBLE = "DOUBLE PRECISION"
_X = Parameter("x", _DOUBLE)
_Y = Parameter("y", _DOUBLE)
_PLACES = Parameter("n", "INTEGER", optional=True)

_INTEGERS = frozenset({"unsignedByte", "short", "int", "long"})


def _function(
    name: str, parameters: Sequence[Parameter], sql: str, description: str, result: ResultRule | None = None
) -> Function:
    return Function(name, tuple(parameters), _DOUBLE, description, sql, result or fixed(_DOUBLE))


def _decimal(argument: str) -> str:
    """The decimal number that a user sees: by its text, as PostgreSQL's own cast keeps 15 digits (of a real, 6)."""
    return f"CAST(CAST({argument} AS text) AS numeric)"


def _to_places(function: str) -> str:
    return f"CAST({function}({_decimal('{0}')}, CAST({{1}} AS integer)) AS double precision)"


def _round(arguments: Sequence[Column]) -> str:
    return _to_places("round") if len(arguments) == 2 else f"CAST(round({_decimal('{0}')}) AS double precision)"


def _truncate(arguments: Sequence[Column]) -> str:
    return _to_places("trunc") if len(arguments) == 2 else "trunc(CAST({0} AS double precision))"


def _mod(arguments: Sequence[Column]) -> str:
    """PostgreSQL has no remainder of doubles; that of numeric is exact, that of integers fast."""
    if all(argument.datatype in _INTEGERS for argument in arguments):
        return "CAST(mod({0}, {1}) AS double precision)"
    return f"CAST(mod({_decimal('{0}')}, {_decimal('{1}')}) AS double precision)"


def _rand(arguments: Sequence[Column]) -> str:
    """The seed is set once per query, by the subselect, then every row draws its own number."""
    if not arguments:
        return "random()"
    return "CASE WHEN (SELECT setseed(tanh(CAST({0} AS double precision) / 1000000))) IS NOT NULL THEN random() END"


MATHEMATICS: Final = (
    _function("ABS", [_X], "CAST(abs({0}) AS double precision)", "The absolute value of x.", same_quantity(_DOUBLE)),
    _function(
        "CEILING",
        [_X],
        "ceil(CAST({0} AS double precision))",
        "The smallest integer that is not less than x.",
        same_quantity(_DOUBLE),
    ),
    _function(
        "DEGREES", [_X], "degrees({0})", "The angle x, given in radians, in degrees.", fixed(_DOUBLE, unit="deg")
    ),
    _function("EXP", [_X], "exp({0})", "Euler's number raised to the power of x."),
    _function(
        "FLOOR",
        [_X],
        "floor(CAST({0} AS double precision))",
        "The largest integer that is not greater than x.",
        same_quantity(_DOUBLE),
    ),
    _function("LOG", [_X], "ln({0})", "The natural logarithm of x."),
    _function("LOG10", [_X], "log10({0})", "The logarithm of x to base 10."),
    Function(
        "MOD",
        (_X, _Y),
        _DOUBLE,
        "The remainder of x / y, with the sign of x.",
        _mod,
        same_quantity(_DOUBLE),
    ),
    _function("PI", [], "pi()", "The number pi."),
    _function("POWER", [_X, _Y], "power({0}, {1})", "x raised to the power of y."),
    _function(
        "RADIANS", [_X], "radians({0})", "The angle x, given in degrees, in radians.", fixed(_DOUBLE, unit="rad")
    ),
    Function(
        "RAND",
        (Parameter("x", _DOUBLE, optional=True),),
        _DOUBLE,
        "A random number between 0 and 1; with a seed x, the same sequence in every query.",
        _rand,
        fixed(_DOUBLE),
    ),
    Function(
        "ROUND",
        (_X, _PLACES),
        _DOUBLE,
        "x rounded to n decimal places (0 if n is left out), halves away from zero.",
        _round,
        same_quantity(_DOUBLE),
    ),
    _function("SQRT", [_X], "sqrt({0})", "The positive square root of x."),
    Function(
        "TRUNCATE",
        (_X, _PLACES),
        _DOUBLE,
        "x cut to n decimal places (0 if n is left out).",
        _truncate,
        same_quantity(_DOUBLE),
    ),
    _function("ACOS", [_X], "acos({0})", "The arc cosine of x, from 0 to pi.", fixed(_DOUBLE, unit="rad")),
    _function("ASIN", [_X], "asin({0})", "The arc sine of x, from -pi/2 to pi/2.", fixed(_DOUBLE, unit="rad")),
    _function("ATAN", [_X], "atan({0})", "The arc tangent of x, from -pi/2 to pi/2.", fixed(_DOUBLE, unit="rad")),
    _function(
        "ATAN2",
        [_Y, _X],
        "atan2({0}, {1})",
        "The polar angle of the point (x, y), from -pi to pi.",
        fixed(_DOUBLE, unit="rad"),
    ),
    _function("COS", [_X], "cos({0})", "The cosine of the angle x in radians."),
    _function("COT", [_X], "cot({0})", "The cotangent of the angle x in radians."),
    _function("SIN", [_X], "sin({0})", "The sine of the angle x in radians."),
    _function("TAN", [_X], "tan({0})", "The tangent of the angle x in radians."),
)
