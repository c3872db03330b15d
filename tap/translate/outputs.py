"""Names of result columns: the alias, else the catalogue's name in its letter case, else one that we make up.

Generated names are unique, as TAP 1.1 (section 2.7.1) asks; so are the others, which clients keep in dictionaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tap.adql.tree import Identifier
from tap.translate.bound import (
    Box,
    Call,
    Circle,
    Distance,
    Expression,
    FirstNotNull,
    Moc,
    Output,
    Point,
    Polygon,
    Relation,
)
from vo_service.catalog.model import Column


def output(expression: Expression, alias: Identifier | None, place: int) -> Output:
    """An output at a place, counted from 0."""
    name = alias.name if alias is not None else expression.column.name or _made_up(expression, place)
    column = expression.column
    return Output(expression, column if column.name == name else replace(column, name=name))


def _made_up(expression: Expression, place: int) -> str:
    match expression:
        case Call():
            return expression.function.name.lower()
        case FirstNotNull():
            return "coalesce"
        case Relation():
            return expression.name.lower()
        case Point() | Circle() | Box() | Polygon() | Moc() | Distance():
            return type(expression).__name__.lower()
        case _:
            return f"col{place + 1}"


def unique_names(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of a result, `_2`, `_3`, ... added to names that stand there twice, letter case ignored."""
    taken = {column.name.lower() for column in columns}
    if len(taken) == len(columns):
        return tuple(columns)
    numbers: dict[str, int] = {}
    return tuple(_unlike(column, numbers, taken) for column in columns)


def _unlike(column: Column, numbers: dict[str, int], taken: set[str]) -> Column:
    """The column, renamed if its name was there before; `numbers` are the last ones given, `taken` grows."""
    key = column.name.lower()
    number = numbers.get(key, 0) + 1
    while number > 1 and f"{key}_{number}" in taken:
        number += 1
    numbers[key] = number
    if number == 1:
        return column
    taken.add(f"{key}_{number}")
    return replace(column, name=f"{column.name}_{number}")
