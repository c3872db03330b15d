"""Value expressions and conditions of the ADQL tree, made bound ones: names by the scope, types by the type rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tap.adql import tree
from tap.functions.aggregates import COUNT_ROWS
from tap.functions.declaration import Function
from tap.functions.registry import FUNCTIONS, function_named
from tap.translate import bound, shapes, types
from tap.translate.bound import Condition, Expression, Query
from tap.translate.names import Scope
from tap.translate.refusal import Refused, did_you_mean, not_supported

ResolveQuery = Callable[[tree.QueryExpression, Scope], Query]
"""Resolves a subquery within a scope."""


class Expressions:
    """Makes bound expressions of tree nodes within one scope."""

    def __init__(self, scope: Scope, resolve_query: ResolveQuery) -> None:
        self._scope = scope
        self._resolve_query = resolve_query

    # Values

    def value(self, node: tree.Value) -> Expression:  # noqa: C901, PLR0912: one case per construct
        """The bound expression of a value expression."""
        match node:
            case tree.ColumnReference():
                return self._scope.column(node.parts, node.at)
            case tree.Number():
                return types.number(node.text, node.exact, node.at)
            case tree.String():
                return types.string(node.value, node.at)
            case tree.Null():
                return types.null()
            case tree.Signed():
                return self._signed(node)
            case tree.Arithmetic():
                steps = [(operator, self.value(operand), operand.at) for operator, operand in node.steps]
                return types.arithmetic(self.value(node.first), steps, node.first.at)
            case tree.Concatenation():
                return types.concatenation(self._values(node.operands), [operand.at for operand in node.operands])
            case tree.SetFunction():
                return self._set_function(node)
            case tree.NumericFunction() | tree.StringFunction() | tree.UserFunction():
                return self._call(_declared(node.name, node.at), node.arguments, node.at)
            case tree.Coalesce():
                return self._coalesce(node)
            case tree.Cast():
                operand = self.value(node.operand)
                return bound.Conversion(operand, types.cast_target(operand, node.type, node.length, node.at))
            case tree.Point():
                shapes.check_frame(node.coordsys)
                a, b = node.coordinate1, node.coordinate2
                return shapes.point(self.value(a), self.value(b), a.at, b.at)
            case tree.Circle():
                shapes.check_frame(node.coordsys)
                return shapes.circle(self.value(node.centre), self.value(node.radius), node.centre.at, node.radius.at)
            case tree.GeometryPredicate() if node.name == "CONTAINS":
                return shapes.contains(*self._values((node.first, node.second)), node.first.at, node.second.at)
            case tree.Distance():
                return shapes.distance(*self._values((node.first, node.second)), node.first.at, node.second.at)
            case tree.GeometryPredicate() | tree.GeometryProperty():
                raise not_supported(node.name, node.at)
            case tree.Box() | tree.Polygon() | tree.Region() | tree.Centroid() | tree.CoordSys():
                raise not_supported(type(node).__name__.upper(), node.at)
            case tree.InUnit():
                raise not_supported("IN_UNIT", node.at)

    def _values(self, nodes: Sequence[tree.Value]) -> list[Expression]:
        return [self.value(node) for node in nodes]

    def _signed(self, node: tree.Signed) -> Expression:
        operand = self.value(node.operand)
        if node.sign == "-":
            return types.negation(operand, node.operand.at)
        types.expect_number(operand, "+", node.operand.at)
        return operand

    def _set_function(self, node: tree.SetFunction) -> Expression:
        if node.argument is None:
            return types.call(COUNT_ROWS, (), (), node.at)
        argument = self.value(node.argument)
        return types.call(
            _declared(node.name, node.at), (argument,), (node.argument.at,), node.at, distinct=node.distinct
        )

    def _call(self, function: Function, arguments: Sequence[tree.Value], at: int) -> Expression:
        return types.call(function, self._values(arguments), [argument.at for argument in arguments], at)

    def _coalesce(self, node: tree.Coalesce) -> Expression:
        operands = types.comparable(self._values(node.arguments), node.at, "mixed")
        columns = [operand.column for operand in operands if types.kind_of(operand) != "null"]
        column = types.unified(columns, node.at, "The arguments of COALESCE") if columns else operands[0].column
        return bound.FirstNotNull(operands, column)

    # Conditions

    def condition(self, node: tree.Condition) -> Condition:
        """The bound condition of a search condition."""
        match node:
            case tree.Comparison():
                left, right = types.comparable(self._values((node.left, node.right)), node.at)
                return bound.Comparison(node.operator, left, right)
            case tree.And():
                return bound.Junction("AND", tuple(self.condition(part) for part in node.conditions))
            case tree.Or():
                return bound.Junction("OR", tuple(self.condition(part) for part in node.conditions))
            case tree.Not():
                return bound.Not(self.condition(node.condition))
            case tree.Between():
                operands = types.comparable(self._values((node.value, node.low, node.high)), node.at)
                return _maybe_not(bound.Between(*operands), node.negated)
            case tree.InList():
                value, *items = types.comparable(self._values((node.value, *node.items)), node.at)
                return _maybe_not(bound.InValues(value, tuple(items)), node.negated)
            case tree.InQuery():
                return _maybe_not(self._in_query(node), node.negated)
            case tree.Like():
                return _maybe_not(self._like(node), node.negated)
            case tree.IsNull():
                return _maybe_not(bound.IsNull(self.value(node.value)), node.negated)
            case tree.Exists():
                return bound.Exists(self._resolve_query(node.query, self._scope))

    def _in_query(self, node: tree.InQuery) -> Condition:
        query = self._resolve_query(node.query, self._scope)
        if len(query.columns) != 1:
            raise Refused(f"The subquery of IN must have one column; it has {len(query.columns)}", node.query.at)
        result = bound.Reference("", "", query.columns[0], node.query.at)
        value, _ = types.comparable((self.value(node.value), result), node.at)
        return bound.InQuery(value, query)

    def _like(self, node: tree.Like) -> Condition:
        operator: bound.LikeOperator = "ILIKE" if node.ignore_case else "LIKE"
        value, pattern = self.value(node.value), self.value(node.pattern)
        for operand, at in ((value, node.value.at), (pattern, node.pattern.at)):
            if types.kind_of(operand) not in ("string", "null"):
                raise Refused(f"{operator} compares strings; this is no string", at)
        return bound.Like(operator, value, pattern)


def _maybe_not(condition: Condition, negated: bool) -> Condition:
    return bound.Not(condition) if negated else condition


def _declared(name: str, at: int) -> Function:
    function = function_named(name)
    if function is None:
        raise Refused(
            f"Unknown function {name}",
            at,
            did_you_mean(name, [known.name for known in FUNCTIONS])
            or "The functions of this service are listed in its capabilities",
        )
    return function
