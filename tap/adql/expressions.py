"""Value expressions and conditions by recursive descent (ADQL 2.1, appendix A).

One routine reads both: `(a)` is a value and `(a < b)` a condition, which shows only at the end. Nodes carry their kind;
who needs a value or a condition asks for it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from tap.adql import tree
from tap.adql.geometry import GeometryParser

_COMPARISONS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})

_PREDICATE_WORDS = frozenset({"IS", "NOT", "BETWEEN", "IN", "LIKE", "ILIKE"})

_VALUE = "a value (a column, a number, a 'string' or a function)"


class ExpressionParser(GeometryParser):
    """Adds everything of an expression to its functions; subqueries come from the class above it."""

    @abstractmethod
    def subquery(self) -> tree.QueryExpression:
        """`( <query_expression> )`"""

    # Conditions

    def condition(self) -> tree.Condition:
        """`<search_condition>`"""
        return self._as_condition(self._or())

    def _as_condition(self, node: tree.Value | tree.Condition) -> tree.Condition:
        if node.kind == "truth":
            return cast("tree.Condition", node)
        if isinstance(node, tree.GeometryPredicate):
            hint = f"{node.name} is a number, 1 or 0: write 1 = {node.name}(...)"
            raise self.error("Expected a condition, such as a comparison", node.at, hint=hint)
        if self.at("end") or self.at(")"):
            raise self.error("Expected a condition, such as a comparison", node.at)
        raise self.unexpected("a comparison (=, <>, <, >, <=, >=, BETWEEN, IN, LIKE or IS NULL)")

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
        if self.token.kind in _COMPARISONS:
            return self._comparison(left)
        return self._word_predicate(left) if self.token.kind in _PREDICATE_WORDS else left

    def _comparison(self, left: tree.Value) -> tree.Condition:
        """`<value_expression> <comp_op> <value_expression>`"""
        operator = self.advance().kind
        right = self.value()
        return tree.Comparison("<>" if operator == "!=" else operator, left, right, left.at)

    def _word_predicate(self, left: tree.Value) -> tree.Condition:
        """`[ NOT ] BETWEEN ... | [ NOT ] IN ... | [ NOT ] { LIKE | ILIKE } ... | IS [ NOT ] NULL`"""
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL", "NULL" if negated else "NULL or NOT NULL")
            return tree.IsNull(left, negated, left.at)
        negated = self.accept("NOT")
        if self.accept("BETWEEN"):
            low = self.value()
            self.expect("AND")
            return tree.Between(left, low, self.value(), negated, left.at)
        if self.accept("IN"):
            return self._membership(left, negated)
        if self.at("LIKE") or self.at("ILIKE"):
            ignore_case = self.advance().kind == "ILIKE"
            return tree.Like(left, self.as_string(self.value()), negated, ignore_case, left.at)
        raise self.unexpected("BETWEEN, IN or LIKE after NOT")

    def _membership(self, left: tree.Value, negated: bool) -> tree.Condition:
        """`IN { <table_subquery> | ( <value_expression> { , <value_expression> } ) }`"""
        if self.encloses_query():
            return tree.InQuery(left, self.subquery(), negated, left.at)
        self.expect("(", "a list of values or a subquery in parentheses")
        items = [self.value()]
        while self.accept(","):
            items.append(self.value())
        self.expect(")", "a comma or )")
        return tree.InList(left, tuple(items), negated, left.at)

    # Values

    def value(self) -> tree.Value:
        """`<value_expression>`"""
        node = self._concatenation()
        if node.kind == "truth":
            raise self.error("A condition cannot stand here: expected a value", node.at)
        return cast("tree.Value", node)

    def _concatenation(self) -> tree.Value | tree.Condition:
        """`<character_factor> { || <character_factor> }`"""
        first = self._sum()
        if not self.at("||"):
            return first
        operands = [self._as_operand(first)]
        while self.accept("||"):
            operands.append(self._as_operand(self._sum()))
        return tree.Concatenation(tuple(operands), first.at)

    def _as_operand(self, node: tree.Value | tree.Condition) -> tree.Value:
        """The node, if it can be an operand of ||: a string, or a plain number."""
        if node.kind not in ("string", "any") and not isinstance(node, tree.Number):
            raise self.error("Expected a string", node.at)
        return cast("tree.Value", node)

    def _sum(self) -> tree.Value | tree.Condition:
        """`<term> { { + | - } <term> }`"""
        first = self._term()
        if self.token.kind not in ("+", "-"):
            return first
        number = self.as_number(first)
        steps = []
        while self.token.kind in ("+", "-"):
            operator = self.advance().kind
            steps.append((operator, self.as_number(self._term())))
        return tree.Arithmetic(number, tuple(steps), first.at)

    def _term(self) -> tree.Value | tree.Condition:
        """`<factor> { { * | / } <factor> }`"""
        first = self._factor()
        if self.token.kind not in ("*", "/"):
            return first
        number = self.as_number(first)
        steps = []
        while self.token.kind in ("*", "/"):
            operator = self.advance().kind
            steps.append((operator, self.as_number(self._factor())))
        return tree.Arithmetic(number, tuple(steps), first.at)

    def _factor(self) -> tree.Value | tree.Condition:
        """`[ + | - ] <numeric_primary>`"""
        token = self.token
        if token.kind not in ("+", "-"):
            return self._primary()
        self.advance()
        return tree.Signed("-" if token.kind == "-" else "+", self.as_number(self._primary()), token.at)

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
            case "NULL":
                self.advance()
                return tree.Null(token.at)
            case "(":
                return self._parenthesised()
            case word if word in self.GEOMETRY:
                return self.geometry()
            case word if word in self.FUNCTIONS:
                return self.function()
            case _:
                raise self.unexpected(_VALUE)

    def _parenthesised(self) -> tree.Value | tree.Condition:
        """`( <value_expression> ) | ( <search_condition> )`"""
        if self.encloses_query():
            raise self.error("ADQL has no subqueries as values", hint="They stand in FROM, after IN and after EXISTS")
        self.advance()
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
