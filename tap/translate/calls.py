"""Calls of functions: which form of a function is meant, and whether the arguments are what the form asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tap.adql.geometry import GeometryParser
from tap.functions.declaration import ADQL_TYPES, Function, Parameter
from tap.functions.registry import FUNCTIONS, functions_named
from tap.translate.bound import Call, Constant, Conversion, Expression
from tap.translate.constants import value_of
from tap.translate.refusal import RefusedError, did_you_mean
from tap.translate.types import GEOMETRIES, as_number, comparable, described, is_integer, kind_of, timestamp

_STRING: Final = ADQL_TYPES["VARCHAR"]
_SHAPES: Final = ("point", "circle", "polygon")


def declared(name: str, count: int, at: int) -> Function:
    """The form of the function of this name that takes so many arguments. RefusedError if there is none."""
    forms = functions_named(name)
    if not forms:
        words = {function.name for function in FUNCTIONS} | GeometryParser.FUNCTIONS | GeometryParser.GEOMETRY
        hint = did_you_mean(name, words) or "The functions of this service are listed in its capabilities"
        raise RefusedError(f"Unknown function {name}", at, hint)
    for form in forms:
        if form.fewest <= count <= len(form.parameters):
            return form
    raise RefusedError(
        f"{forms[0].name} takes {_counts(forms)}, not {count}",
        at,
        f"It is {' or '.join(form.signature for form in forms)}",
    )


def call(
    function: Function, arguments: Sequence[Expression], places: Sequence[int], at: int, *, distinct: bool = False
) -> Call:
    """A call, its arguments checked against the declaration."""
    fitting = tuple(
        _argument(function.name, parameter, argument, place)
        for parameter, argument, place in zip(function.parameters, arguments, places, strict=False)
    )
    return Call(function, fitting, function.result([argument.column for argument in fitting]), distinct, at)


def _counts(forms: Sequence[Function]) -> str:
    counts = sorted({count for form in forms for count in range(form.fewest, len(form.parameters) + 1)})
    written = " or ".join(map(str, counts)) if len(counts) < 3 else f"{counts[0]} to {counts[-1]}"
    return f"{written} argument{'' if counts == [1] else 's'}"


def _argument(name: str, parameter: Parameter, argument: Expression, at: int) -> Expression:
    """The argument, if it is of the type that the parameter wants and among its values."""
    if parameter.words:
        return _word(name, parameter, argument, at)
    fitting = _CHECKS.get(parameter.type, _number)(name, argument, at)
    if parameter.within is not None:
        _expect_within(name, parameter, parameter.within, fitting, at)
    return fitting


def _number(name: str, argument: Expression, at: int) -> Expression:
    return as_number(argument, name, at)


def _integer(name: str, argument: Expression, at: int) -> Expression:
    if kind_of(argument) == "null":
        return Conversion(argument, ADQL_TYPES["INTEGER"])
    if not is_integer(as_number(argument, name, at).column):
        raise RefusedError(f"{name} takes an integer here, but this is {described(argument)}", at)
    return argument


def _anything(_: str, argument: Expression, __: int) -> Expression:
    return argument if kind_of(argument) != "null" else Conversion(argument, _STRING)


def _ordered(name: str, argument: Expression, at: int) -> Expression:
    (argument,) = comparable((argument,), at, f"put in order by {name}")
    if kind_of(argument) == "boolean":
        raise RefusedError(f"{name} takes numbers, strings or timestamps, but this is {described(argument)}", at)
    return _anything(name, argument, at)


def _string(name: str, argument: Expression, at: int) -> Expression:
    if kind_of(argument) not in ("string", "null"):
        raise RefusedError(f"{name} takes a string, but this is {described(argument)}", at)
    return _anything(name, argument, at)


def _timestamp(name: str, argument: Expression, at: int) -> Expression:
    """A string is read as a timestamp: one that stands in the query here, others by the database."""
    if isinstance(argument, Constant) and isinstance(argument.value, str):
        return timestamp(argument.value, at)
    if kind_of(argument) not in ("timestamp", "string", "null"):
        raise RefusedError(f"{name} takes a timestamp here, but this is {described(argument)}", at)
    return argument if kind_of(argument) == "timestamp" else Conversion(argument, ADQL_TYPES["TIMESTAMP"])


def _geometry(*wanted: str) -> Callable[[str, Expression, int], Expression]:
    def check(name: str, argument: Expression, at: int) -> Expression:
        kind = kind_of(argument)
        if kind == "null":
            return Conversion(argument, ADQL_TYPES[wanted[0].upper()])
        if kind not in wanted:
            what = " or ".join(word.upper() for word in wanted)
            raise RefusedError(f"{name} takes a {what} here, but this is {described(argument)}", at)
        return argument

    return check


def _word(name: str, parameter: Parameter, argument: Expression, at: int) -> Expression:
    """Exactly as it is written: identifiers of vocabularies are told apart by letter case."""
    words = parameter.words
    if isinstance(argument, Constant) and argument.value in words:
        return argument
    written = argument.value if isinstance(argument, Constant) else None
    hint = did_you_mean(written, words) if isinstance(written, str) else None
    raise RefusedError(f"The {parameter.name} of {name} is one of {', '.join(map(repr, words))}", at, hint)


def _expect_within(name: str, parameter: Parameter, limits: tuple[int, int], argument: Expression, at: int) -> None:
    low, high = limits
    value = value_of(argument)
    if value is None and not parameter.constant:
        return
    if value is None or not low <= value <= high:
        kind = "a constant" if parameter.constant else "an integer"
        raise RefusedError(f"The {parameter.name} of {name} is {kind} from {low} to {high}", at)


_CHECKS: Final[dict[str, Callable[[str, Expression, int], Expression]]] = {
    "ANY": _anything,
    "INTEGER": _integer,
    "BIGINT": _integer,
    "ORDERED": _ordered,
    "VARCHAR": _string,
    "TIMESTAMP": _timestamp,
    "GEOMETRY": _geometry(*_SHAPES),
    **{kind.upper(): _geometry(kind) for kind in GEOMETRIES},
}
"""By type of parameter; those that are not here take numbers."""
