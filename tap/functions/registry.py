"""Every function that a query may call: the translator knows no other, and capabilities announce these."""

from __future__ import annotations

from typing import Final

from tap.functions.aggregates import AGGREGATES
from tap.functions.declaration import Function
from tap.functions.mathematics import MATHEMATICS
from tap.functions.strings import STRINGS

FUNCTIONS: Final[tuple[Function, ...]] = (*MATHEMATICS, *AGGREGATES, *STRINGS)
"""One line per group; a function's own file declares it."""

_BY_NAME: Final = {function.name: function for function in FUNCTIONS}


def function_named(name: str) -> Function | None:
    """The function of this name, letter case ignored; None if there is none."""
    return _BY_NAME.get(name.upper())
