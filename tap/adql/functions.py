"""Calls of functions by recursive descent (ADQL 2.1, appendix A); those of geometry stand apart."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from tap.adql import hints, tree
from tap.adql.cursor import Cursor

_NUMERIC_FUNCTIONS = {
    **dict.fromkeys(
        "ABS ACOS ASIN ATAN CEILING COS COT DEGREES EXP FLOOR LOG LOG10 RADIANS SIN SQRT TAN".split(), (1, 1)
    ),
    **dict.fromkeys(("ATAN2", "MOD", "POWER"), (2, 2)),
    **dict.fromkeys(("ROUND", "TRUNCATE"), (1, 2)),
    "PI": (0, 0),
    "RAND": (0, 1),
}
"""Numbers of arguments, least and most."""

_SET_FUNCTIONS = frozenset({"COUNT", "AVG", "MAX", "MIN", "SUM"})

_STRING_FUNCTIONS = frozenset({"LOWER", "UPPER"})

_TYPES = {
    "DOUBLE": "DOUBLE PRECISION",
    **{name: name for name in "BIGINT CHAR CIRCLE INTEGER POINT POLYGON REAL SMALLINT TIMESTAMP VARCHAR".split()},
}
"""Types of CAST, by their first word."""


class FunctionParser(Cursor):
    """Adds the calls of functions to a cursor; their arguments come from the classes above it."""

    FUNCTIONS = frozenset({*_NUMERIC_FUNCTIONS, *_SET_FUNCTIONS, *_STRING_FUNCTIONS, "COALESCE", "CAST", "IN_UNIT"})
    """The words that `function` reads."""

    @abstractmethod
    def value(self) -> tree.Value:
        """`<value_expression>`"""

    def arguments(self, least: int, most: int | None) -> tuple[tree.Value, ...]:
        """`( [ <value_expression> { , <value_expression> } ] )`, so many of them."""
        at = self.token.at
        self.expect("(")
        items = []
        if not self.at(")"):
            items.append(self.value())
            while self.accept(","):
                items.append(self.value())
        self.expect(")", "a comma or )")
        if len(items) < least or (most is not None and len(items) > most):
            wanted = f"{least}" if least == most else f"{least} to {most}" if most is not None else f"{least} or more"
            given = "1 argument is" if len(items) == 1 else f"{len(items)} arguments are"
            raise self.error(f"{given} given here; expected {wanted}", at)
        return tuple(items)

    def as_number(self, node: tree.Value | tree.Condition) -> tree.Value:
        """The node, if it can be a number."""
        if node.kind not in ("number", "any"):
            raise self.error("Expected a number", node.at)
        return cast("tree.Value", node)

    def as_string(self, node: tree.Value) -> tree.Value:
        """The node, if it can be a string."""
        if node.kind not in ("string", "any"):
            raise self.error("Expected a string", node.at)
        return node

    def as_literal_string(self, node: tree.Value, what: str) -> tree.String:
        """The node, if it is a string written as such."""
        if not isinstance(node, tree.String):
            raise self.error(f"{what} as a 'string'", node.at, hint=hints.for_argument(node))
        return node

    def function(self) -> tree.Value:
        """`<numeric_value_function>`, `<string_value_function>`, `<set_function_specification>` and the like"""
        word, at = self.token.kind, self.token.at
        if word in _NUMERIC_FUNCTIONS:
            return self._numeric_function()
        if word in _SET_FUNCTIONS:
            return self._set_function()
        self.only_in_2_1(word)
        self.advance()
        if word == "CAST":
            return self._cast(at)
        if word == "IN_UNIT":
            return self._in_unit(at)
        if word == "COALESCE":
            return tree.Coalesce(self.arguments(1, None), at)
        return tree.StringFunction(word, (self.as_string(self.arguments(1, 1)[0]),), at)

    def _numeric_function(self) -> tree.Value:
        """`<math_function> | <trig_function>`"""
        token = self.advance()
        arguments = self.arguments(*_NUMERIC_FUNCTIONS[token.kind])
        for argument in arguments:
            self.as_number(argument)
        if token.kind == "RAND" and arguments and not _is_integer(arguments[0], signed=False):
            raise self.error("RAND takes an integer, written as a number", arguments[0].at)
        if token.kind in ("ROUND", "TRUNCATE") and len(arguments) == 2 and not _is_integer(arguments[1], signed=True):
            raise self.error(f"{token.kind} takes an integer as its second argument", arguments[1].at)
        return tree.NumericFunction(token.kind, arguments, token.at)

    def _set_function(self) -> tree.Value:
        """`COUNT ( * ) | { AVG | MAX | MIN | SUM | COUNT } ( [ DISTINCT | ALL ] <value_expression> )`"""
        token = self.advance()
        self.expect("(")
        if token.kind == "COUNT" and self.accept("*"):
            self.expect(")")
            return tree.SetFunction("COUNT", None, at=token.at)
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        argument = self.value()
        self.expect(")")
        return tree.SetFunction(token.kind, argument, distinct, token.at)

    def _cast(self, at: int) -> tree.Value:
        """`CAST ( <value_expression> AS <cast_target> )`"""
        self.expect("(")
        operand = self.value()
        self.expect("AS")
        word = self.token.kind
        if word not in _TYPES:
            raise self.error(f"Expected a type, one of {', '.join(sorted(_TYPES.values()))}")
        self.advance()
        length = None
        if word == "DOUBLE":
            self.expect("PRECISION")
        elif word in ("CHAR", "VARCHAR") and self.accept("("):
            length = self.unsigned("The length of a string type is an integer")
            self.expect(")")
        self.expect(")")
        return tree.Cast(operand, _TYPES[word], length, at)

    def _in_unit(self, at: int) -> tree.Value:
        """`IN_UNIT ( <numeric_value_expression> , <character_string_literal> )`"""
        operand, unit = self.arguments(2, 2)
        return tree.InUnit(self.as_number(operand), self.as_literal_string(unit, "IN_UNIT takes the unit"), at)


def _is_integer(node: tree.Value, *, signed: bool) -> bool:
    if signed and isinstance(node, tree.Signed):
        node = node.operand
    return isinstance(node, tree.Number) and node.exact
