"""The type rules: what an expression is (datatype, unit, UCD, ...) by what its parts are, and which parts fit together.

Numbers are what PostgreSQL makes of them: integers stay integers also when divided, and of two types the wider wins.
A unit is given where it is known, and left out where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from tap.functions.declaration import ADQL_TYPES, derived_ucd
from tap.translate.bound import Constant, Conversion, Expression, Negation, Operation
from tap.translate.constants import value_of
from tap.translate.refusal import RefusedError
from vo_service.catalog.model import Column

Kind: TypeAlias = Literal[
    "number", "string", "timestamp", "boolean", "point", "circle", "polygon", "moc", "array", "null"
]

GEOMETRIES: Final[frozenset[Kind]] = frozenset({"point", "circle", "polygon", "moc"})

_NULL: Final = Column("", "char", arraysize="*")
_BOOLEAN: Final = Column("", "boolean")
_UNICODE: Final = Column("", "unicodeChar", arraysize="*")
_STRING: Final = ADQL_TYPES["VARCHAR"]
_DOUBLE: Final = ADQL_TYPES["DOUBLE PRECISION"]
_TIMESTAMP: Final = ADQL_TYPES["TIMESTAMP"]

_INTEGERS: Final = ("short", "int", "long")
"""In order of width; unsignedByte is a short in the database."""

_TIMESTAMP_FORM: Final = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z?)?"
)
"""DALI 1.1, section 3.3.3; a blank for the T is forgiven."""


def kind_of(expression: Expression) -> Kind:
    """Which values an expression has."""
    if isinstance(expression, Constant) and expression.value is None:
        return "null"
    return _kind_of_column(expression.column)


def _kind_of_column(column: Column) -> Kind:
    if column.is_string:
        return column.xtype if column.xtype in ("timestamp", "moc") else "string"  # type: ignore[return-value]
    if column.arraysize is not None:
        return column.xtype if column.xtype in GEOMETRIES else "array"
    return "boolean" if column.datatype == "boolean" else "number"


# Literals -------------------------------------------------------------------------------------------------------------


def null() -> Constant:
    return Constant(None, _NULL)


def number(text: str, exact: bool, at: int) -> Constant:
    """A numeric literal: an int if it has the form of one and fits, then a long, else a double."""
    if exact and len(text.lstrip("0")) <= 19 and (value := int(text)) < 2**63:
        return Constant(value, ADQL_TYPES["INTEGER" if value < 2**31 else "BIGINT"])
    approximate = float(text)
    if approximate == float("inf"):
        raise RefusedError("This number is too large for a double", at)
    return Constant(approximate, _DOUBLE)


def string(value: str, at: int) -> Constant:
    """A string literal."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise RefusedError("This string has a character that cannot be stored (NUL or half of a surrogate pair)", at)
    return Constant(value, _STRING if value.isascii() else _UNICODE)


# Operators ------------------------------------------------------------------------------------------------------------


def negation(operand: Expression, at: int) -> Negation:
    operand = as_number(operand, "-", at)
    return Negation(operand, replace(_plain(operand.column), unit=operand.column.unit))


def arithmetic(first: Expression, at: int, steps: Sequence[tuple[str, Expression, int]]) -> Operation:
    """A chain of `+ -` or of `* /`, from left to right; every step with its operator and place."""
    operands = [as_number(first, steps[0][0], at), *(as_number(operand, word, place) for word, operand, place in steps)]
    column = _widest([operand.column for operand in operands])
    unit = _common_unit(operands) if steps[0][0] in "+-" else None
    words = (word for word, _, _ in steps)
    return Operation(
        operands[0], tuple(zip(words, operands[1:], strict=True)), replace(column, unit=unit) if unit else column
    )


def concatenation(operands: Sequence[Expression], places: Sequence[int]) -> Operation:
    """`a || b || ...`; a number that stands in the query is taken as the string of its digits."""
    operands = [Conversion(o, _STRING) if value_of(o) is not None else o for o in operands]
    for operand, at in zip(operands, places, strict=True):
        if kind_of(operand) not in ("string", "null"):
            raise RefusedError(
                f"|| joins strings, but this is {described(operand)}", at, "CAST(... AS VARCHAR) makes a string of it"
            )
    unicode = any(operand.column.datatype == "unicodeChar" for operand in operands)
    return Operation(operands[0], tuple(("||", o) for o in operands[1:]), _UNICODE if unicode else _STRING)


def as_number(expression: Expression, where: str, at: int) -> Expression:
    """The expression, if it is a number; NULL becomes one of no value."""
    kind = kind_of(expression)
    if kind == "null":
        return Conversion(expression, _DOUBLE)
    if kind != "number":
        raise RefusedError(f"{where} takes numbers, but this is {described(expression)}", at, _cast_hint(expression))
    return expression


def is_integer(column: Column) -> bool:
    return _plain(column).datatype in _INTEGERS


def _plain(column: Column) -> Column:
    """The datatype alone."""
    return Column("", "short" if column.datatype == "unsignedByte" else column.datatype)


def _widest(columns: Sequence[Column]) -> Column:
    """What PostgreSQL makes of an operation: real with real stays real, real with anything else becomes double."""
    datatypes = {_plain(column).datatype for column in columns}
    integers = [datatype for datatype in _INTEGERS if datatype in datatypes]
    if len(datatypes) == 1:
        return Column("", datatypes.pop())
    return Column("", integers[-1]) if integers and len(integers) == len(datatypes) else _DOUBLE


def _common_unit(operands: Sequence[Expression]) -> str | None:
    """The unit of a sum. A number that stands in the query is taken to be in the unit of what it is added to."""
    units = {operand.column.unit for operand in operands if value_of(operand) is None}
    return units.pop() if len(units) == 1 else None


# What can be compared -------------------------------------------------------------------------------------------------


def comparable(operands: Sequence[Expression], at: int, verb: str = "compared") -> tuple[Expression, ...]:
    """The operands, brought to one kind: literals adapt to timestamps and booleans. RefusedError if they do not fit."""
    kinds = {kind_of(operand) for operand in operands} - {"null"}
    unfit = kinds & {*GEOMETRIES, "array"}
    if unfit:
        raise RefusedError(f"{'Geometries' if 'array' not in unfit else 'Arrays'} cannot be {verb}", at)
    if "timestamp" in kinds:
        operands = [_as_timestamp(operand, at) for operand in operands]
    elif "boolean" in kinds:
        operands = [_as_boolean(operand, at) for operand in operands]
    kinds = {kind_of(operand) for operand in operands} - {"null"}
    if len(kinds) > 1:
        a, b = sorted(kinds)
        raise RefusedError(f"A {a} cannot be {verb} with a {b}", at, _mismatch_hint(operands))
    return tuple(operands)


def _as_timestamp(operand: Expression, at: int) -> Expression:
    if not isinstance(operand, Constant) or not isinstance(operand.value, str):
        return operand
    return timestamp(operand.value, at)


_TIMESTAMP_HINT: Final = "A timestamp is written as 'YYYY-MM-DDThh:mm:ss', for example '2017-09-22T20:54:30'"


def timestamp(value: str, at: int) -> Constant:
    """A string literal as a moment in time."""
    if not _TIMESTAMP_FORM.fullmatch(value):
        raise RefusedError(f"'{value}' is not a timestamp", at, _TIMESTAMP_HINT)
    return Constant(value, _TIMESTAMP)


_TRUTHS: Final[dict[object, bool]] = {1: True, "true": True, "t": True, 0: False, "false": False, "f": False}


def _as_boolean(operand: Expression, at: int) -> Expression:
    """ADQL 2.1 has no boolean literals; 1 and 0 stand for them, and 'true' and 'false' as other services take them."""
    if not isinstance(operand, Constant) or operand.value is None:
        return operand
    written = operand.value.lower() if isinstance(operand.value, str) else operand.value
    if written not in _TRUTHS:
        raise RefusedError("A boolean can be compared with 1 and 0, or with 'true' and 'false'", at)
    return Constant(_TRUTHS[written], _BOOLEAN)


def _mismatch_hint(operands: Sequence[Expression]) -> str | None:
    if any(kind_of(operand) == "timestamp" for operand in operands):
        return _TIMESTAMP_HINT
    for operand in operands:
        if isinstance(operand, Constant) and isinstance(operand.value, str):
            return "Numbers are written without quotes"
        if isinstance(operand, Constant) and not isinstance(operand.value, str):
            return "Strings are written in quotes: 'text'"
    return _cast_hint(*operands)


def _cast_hint(*operands: Expression) -> str | None:
    return "CAST(... AS ...) converts values" if any(kind_of(o) in ("string", "timestamp") for o in operands) else None


def described(expression: Expression) -> str:
    """What an expression is, for messages."""
    kind = kind_of(expression)
    name = expression.column.name
    noun = f"an {kind}" if kind == "array" else f"a {kind}"
    if kind == "number" and expression.column.datatype in ("float", "double"):
        noun = "a floating-point number"
    return f"{name}, {noun}" if name else noun


# Several values in one column -----------------------------------------------------------------------------------------


def unified(columns: Sequence[Column], at: int, where: str) -> Column:
    """The column that holds values of all these: of COALESCE, or of a set operation. Its metadata are the first's."""
    first = columns[0]
    kinds = {_kind_of_column(column) for column in columns}
    if len(kinds) == 1 and len({(column.datatype, column.arraysize) for column in columns}) == 1:
        return first
    if kinds == {"number"}:
        return replace(first, datatype=_widest(columns).datatype)
    if kinds == {"string"}:
        unicode = any(column.datatype == "unicodeChar" for column in columns)
        return replace(first, datatype="unicodeChar" if unicode else "char", arraysize="*")
    raise RefusedError(f"{where} must have one type; here are {' and '.join(sorted(kinds))}", at)


# CAST -----------------------------------------------------------------------------------------------------------------

_CASTS: Final[dict[str, frozenset[Kind]]] = {
    "number": frozenset({"number", "string", "boolean"}),
    "string": frozenset({"number", "string", "timestamp", *GEOMETRIES}),
    "timestamp": frozenset({"string", "timestamp"}),
    **{kind: frozenset({"string", kind}) for kind in GEOMETRIES},
}
"""What can become a number, a string, a timestamp or a geometry (ADQL 2.1, section 4.7.1)."""


def cast(operand: Expression, adql_type: str, length: int | None, at: int) -> Expression:
    """`CAST(operand AS adql_type(length))`"""
    if adql_type == "TIMESTAMP" and isinstance(operand, Constant) and isinstance(operand.value, str):
        return timestamp(operand.value, at)
    target = _cast_target(operand, adql_type, length, at)
    wanted = _kind_of_column(target)
    if kind_of(operand) != "null" and kind_of(operand) not in _CASTS[wanted]:
        raise RefusedError(f"CAST cannot make a {wanted} of {described(operand)}", at)
    return Conversion(operand, target)


def _cast_target(operand: Expression, adql_type: str, length: int | None, at: int) -> Column:
    if adql_type in ("CHAR", "VARCHAR"):
        target = replace(_STRING, arraysize=f"{length}*") if length is not None else _STRING
        if operand.column.datatype == "unicodeChar":
            target = replace(target, datatype="unicodeChar")
    elif adql_type in ADQL_TYPES:
        target = ADQL_TYPES[adql_type]
    else:
        raise RefusedError(f"CAST to {adql_type} is not possible here", at)
    if _kind_of_column(target) != "number":
        return target
    return replace(target, unit=operand.column.unit, ucd=derived_ucd(operand.column))
