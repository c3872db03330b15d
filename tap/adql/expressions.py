"""Value expressions and conditions by recursive descent (ADQL 2.1, appendix A).

One routine reads both: `(a)` is a value and `(a < b)` a condition, which shows only at the end. Nodes carry their kind;
who needs a value or a condition asks for it.
"""

from __future__ import annotations

from typing import cast

from tap.adql import tree
from tap.adql.geometry import GeometryParser

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

_COMPARISONS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})

_TYPES = frozenset(
    {"CHAR", "VARCHAR", "SMALLINT", "INTEGER", "BIGINT", "REAL", "DOUBLE", "TIMESTAMP", "POINT", "CIRCLE", "POLYGON"}
)

_VALUE = "a value (a column, a number, a 'string' or a function)"


class ExpressionParser(GeometryParser):
    """Adds everything of an expression to its geometry."""

    # Conditions

    def condition(self) -> tree.Condition:
        """`<search_condition>`"""
        return self._as_condition(self._or())

    def _as_condition(self, node: tree.Value | tree.Condition) -> tree.Condition:
        if node.kind != "truth":
            if self.token.kind == "end" or self.at(")"):
                raise self.error("Expected a condition, such as a comparison", node.at)
            raise self.unexpected("a comparison (=, <>, <, >, <=, >=, BETWEEN, IN, LIKE or IS NULL)")
        return cast("tree.Condition", node)

    def _or(self) -> tree.Value | tree.Condition:
        """`<boolean_term> { OR <boolean_term> }`"""
        first = self._and()
        if not self.at("OR"):
            return first
        conditions = [self._as_condition(first)]
        while self.accept("OR"):
            conditions.append(self._as_condition(self._and()))
        return tree.Or(tuple(conditions), first.at)

    def _and(self) -> tree.Value | tree.Condition:
        """`<boolean_factor> { AND <boolean_factor> }`"""
        first = self._not()
        if not self.at("AND"):
            return first
        conditions = [self._as_condition(first)]
        while self.accept("AND"):
            conditions.append(self._as_condition(self._not()))
        return tree.And(tuple(conditions), first.at)

    def _not(self) -> tree.Value | tree.Condition:
        """`[ NOT ] <boolean_primary>`"""
        if not self.at("NOT"):
            return self._predicate()
        at = self.advance().at
        return tree.Not(self._as_condition(self._predicate()), at)

    def _predicate(self) -> tree.Value | tree.Condition:
        """`<comparison_predicate> | <between_predicate> | <in_predicate> | ... | ( <search_condition> )`"""
        if self.at("EXISTS"):
            at = self.advance().at
            return tree.Exists(self.subquery(), at)
        left = self._concatenation()
        if left.kind == "truth":
            return left
        left = cast("tree.Value", left)
        token = self.token
        if token.kind == "operator" and token.text in _COMPARISONS:
            return self._comparison(left)
        return self._word_predicate(left) if token.kind == "keyword" else left

    def _comparison(self, left: tree.Value) -> tree.Condition:
        """`<value_expression> <comp_op> <value_expression>`"""
        operator = self.advance().text
        right = self.value()
        return tree.Comparison("<>" if operator == "!=" else operator, left, right, left.at)

    def _word_predicate(self, left: tree.Value) -> tree.Value | tree.Condition:
        """`[ NOT ] BETWEEN ... | [ NOT ] IN ... | [ NOT ] { LIKE | ILIKE } ... | IS [ NOT ] NULL`"""
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return tree.IsNull(left, negated, left.at)
        negated = self.accept("NOT")
        if self.accept("BETWEEN"):
            low = self.value()
            self.expect("AND")
            return tree.Between(left, low, self.value(), negated, left.at)
        if self.accept("IN"):
            return self._membership(left, negated)
        if self.at("LIKE") or self.at("ILIKE"):
            ignore_case = self.at("ILIKE")
            self.advance()
            return tree.Like(left, self.string_value(), negated, ignore_case, left.at)
        if negated:
            raise self.unexpected("BETWEEN, IN or LIKE after NOT")
        return left

    def _membership(self, left: tree.Value, negated: bool) -> tree.Condition:
        """`IN { <table_subquery> | ( <value_expression> { , <value_expression> } ) }`"""
        if self.query_in_parentheses():
            return tree.InQuery(left, self.subquery(), negated, left.at)
        self.expect("(", "a list of values or a subquery in parentheses")
        with self.nested():
            items = [self.value()]
            while self.accept(","):
                items.append(self.value())
        self.expect(")", "a comma or )")
        return tree.InList(left, tuple(items), negated, left.at)

    def query_in_parentheses(self) -> bool:
        """Whether a parenthesis stands here and a query after it, however many parentheses it begins with."""
        ahead = 0
        while self.peek(ahead).kind == "operator" and self.peek(ahead).text == "(":
            ahead += 1
        token = self.peek(ahead)
        return ahead > 0 and token.kind == "keyword" and token.text == "SELECT"

    # Values

    def value(self) -> tree.Value:
        """`<value_expression>`"""
        node = self._concatenation()
        if node.kind == "truth":
            raise self.error("A condition cannot stand here: expected a value", node.at)
        return cast("tree.Value", node)

    def string_value(self) -> tree.Value:
        """`<character_value_expression>`"""
        return self._text(self.value())

    def _text(self, node: tree.Value) -> tree.Value:
        """The node, if it can be a string."""
        if node.kind not in ("string", "any"):
            raise self.error("Expected a string", node.at)
        return node

    def _concatenation(self) -> tree.Value | tree.Condition:
        """`<character_factor> { || <character_factor> }`"""
        first = self._sum()
        if not self.at("||"):
            return first
        operands = [self._as_string(first)]
        while self.accept("||"):
            operands.append(self._as_string(self._sum()))
        return tree.Concatenation(tuple(operands), first.at)

    def _sum(self) -> tree.Value | tree.Condition:
        """`<term> { { + | - } <term> }`"""
        first = self._term()
        if not (self.at("+") or self.at("-")):
            return first
        number = self.as_number(first)
        steps = []
        while self.at("+") or self.at("-"):
            operator = self.advance().text
            steps.append((operator, self.as_number(self._term())))
        return tree.Arithmetic(number, tuple(steps), first.at)

    def _term(self) -> tree.Value | tree.Condition:
        """`<factor> { { * | / } <factor> }`"""
        first = self._factor()
        if not (self.at("*") or self.at("/")):
            return first
        number = self.as_number(first)
        steps = []
        while self.at("*") or self.at("/"):
            operator = self.advance().text
            steps.append((operator, self.as_number(self._factor())))
        return tree.Arithmetic(number, tuple(steps), first.at)

    def _factor(self) -> tree.Value | tree.Condition:
        """`[ + | - ] <numeric_primary>`"""
        token = self.token
        if token.kind == "operator" and token.text in ("+", "-"):
            self.advance()
            return tree.Signed("-" if token.text == "-" else "+", self.as_number(self._primary()), token.at)
        return self._primary()

    def as_number(self, node: tree.Value | tree.Condition) -> tree.Value:
        """The node, if it can be a number."""
        if node.kind not in ("number", "any"):
            raise self.error("Expected a number", node.at)
        return cast("tree.Value", node)

    def _as_string(self, node: tree.Value | tree.Condition) -> tree.Value:
        """The node, if it can be an operand of ||: a string, or a plain number."""
        if node.kind not in ("string", "any") and not isinstance(node, tree.Number):
            raise self.error("Expected a string", node.at)
        return cast("tree.Value", node)

    def _primary(self) -> tree.Value | tree.Condition:
        """`<value_expression_primary>`, functions, and conditions in parentheses"""
        token = self.token
        match token.kind:
            case "name" | "delimited":
                return self._reference()
            case "number":
                self.advance()
                return tree.Number(token.text, token.text.isdigit(), token.at)
            case "string":
                self.advance()
                return tree.String(token.text, token.at)
            case "keyword":
                return self._keyword_primary()
            case "operator" if token.text == "(":
                return self._parenthesised()
        raise self.unexpected(_VALUE)

    def _parenthesised(self) -> tree.Value | tree.Condition:
        if self.query_in_parentheses():
            raise self.error("ADQL has no subqueries as values", hint="They stand in FROM, after IN and after EXISTS")
        self.advance()
        with self.nested():
            node = self._or()
        self.expect(")")
        return node

    def _reference(self) -> tree.Value:
        """`[ <qualifier> . ] <column_name> | <user_defined_function>`"""
        at = self.token.at
        parts = [self.identifier("a column name")]
        if self.at("(") and not parts[0].delimited:
            return tree.UserFunction(parts[0].name, self.arguments(0, None), at)
        while len(parts) < 4 and self.accept("."):
            parts.append(self.identifier("a name after the dot"))
        return tree.ColumnReference(tuple(parts), at)

    def arguments(self, least: int, most: int | None) -> tuple[tree.Value, ...]:
        """`( [ <value_expression> { , <value_expression> } ] )`, so many of them."""
        at = self.token.at
        self.expect("(")
        items = []
        with self.nested():
            if not self.at(")"):
                items.append(self.value())
                while self.accept(","):
                    items.append(self.value())
        self.expect(")", "a comma or )")
        if len(items) < least or (most is not None and len(items) > most):
            wanted = f"{least}" if least == most else f"{least} to {most}" if most is not None else f"{least} or more"
            raise self.error(f"{len(items)} arguments are given here; expected {wanted}", at)
        return tuple(items)

    def _keyword_primary(self) -> tree.Value:
        word, at = self.token.text, self.token.at
        if word in _NUMERIC_FUNCTIONS:
            return self._numeric_function()
        if word in _SET_FUNCTIONS:
            return self._set_function()
        if word in self.GEOMETRY:
            return self.geometry()
        match word:
            case "NULL":
                self.advance()
                return tree.Null(at)
            case "LOWER" | "UPPER":
                self.only_in_2_1(word)
                self.advance()
                arguments = self.arguments(1, 1)
                return tree.StringFunction(word, (self._text(arguments[0]),), at)
            case "COALESCE":
                self.only_in_2_1(word)
                self.advance()
                return tree.Coalesce(self.arguments(1, None), at)
            case "CAST":
                return self._cast()
            case "IN_UNIT":
                return self._in_unit()
            case _:
                raise self.unexpected(_VALUE)

    def _numeric_function(self) -> tree.Value:
        """`<math_function> | <trig_function>`"""
        token = self.advance()
        arguments = self.arguments(*_NUMERIC_FUNCTIONS[token.text])
        for argument in arguments:
            self.as_number(argument)
        if token.text == "RAND" and arguments and not _is_integer(arguments[0], signed=False):
            raise self.error("RAND takes an integer, written as a number", arguments[0].at)
        if token.text in ("ROUND", "TRUNCATE") and len(arguments) == 2 and not _is_integer(arguments[1], signed=True):
            raise self.error(f"{token.text} takes an integer as its second argument", arguments[1].at)
        return tree.NumericFunction(token.text, arguments, token.at)

    def _set_function(self) -> tree.Value:
        """`COUNT ( * ) | { AVG | MAX | MIN | SUM | COUNT } ( [ DISTINCT | ALL ] <value_expression> )`"""
        token = self.advance()
        self.expect("(")
        if token.text == "COUNT" and self.accept("*"):
            self.expect(")")
            return tree.SetFunction("COUNT", None, at=token.at)
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        with self.nested():
            argument = self.value()
        self.expect(")")
        return tree.SetFunction(token.text, argument, distinct, token.at)

    def _cast(self) -> tree.Value:
        """`CAST ( <value_expression> AS <cast_target> )`"""
        self.only_in_2_1("CAST")
        at = self.advance().at
        self.expect("(")
        with self.nested():
            operand = self.value()
        self.expect("AS")
        if not (self.token.kind == "keyword" and self.token.text in _TYPES):
            raise self.unexpected(f"a type, one of {', '.join(sorted(_TYPES))}")
        target = self.advance().text
        length = None
        if target == "DOUBLE":
            self.expect("PRECISION")
            target = "DOUBLE PRECISION"
        elif target in ("CHAR", "VARCHAR") and self.accept("("):
            length = self.unsigned("The length of a string type is an integer")
            self.expect(")")
        self.expect(")")
        return tree.Cast(operand, target, length, at)

    def _in_unit(self) -> tree.Value:
        """`IN_UNIT ( <numeric_value_expression> , <character_string_literal> )`"""
        self.only_in_2_1("IN_UNIT")
        at = self.advance().at
        operand, unit = self.arguments(2, 2)
        if not isinstance(unit, tree.String):
            raise self.error("IN_UNIT takes the unit as a 'string'", unit.at)
        return tree.InUnit(self.as_number(operand), unit, at)


def _is_integer(node: tree.Value, *, signed: bool) -> bool:
    if signed and isinstance(node, tree.Signed):
        node = node.operand
    return isinstance(node, tree.Number) and node.exact
