"""Value expressions and conditions of the ADQL tree, made bound ones: names by the scope, types by the type rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from tap.adql import tree
from tap.functions.aggregates import COUNT_ROWS
from tap.functions.declaration import derived_ucd
from tap.translate import bound, calls, mocs, shapes, types, units
from tap.translate.bound import Condition, Expression, Query
from tap.translate.names import Scope
from tap.translate.refusal import RefusedError

ResolveQuery = Callable[[tree.QueryExpression, Scope], Query]
"""Resolves a subquery within a scope."""


class Expressions:
    """Makes bound expressions of tree nodes within one scope.

    Set functions may stand where there are groups: in the select list, HAVING and ORDER BY. Elsewhere `clause` is what
    they are said not to stand in. `has_aggregates` tells whether one was met.
    """

    def __init__(self, scope: Scope, resolve_query: ResolveQuery, clause: str | None = None) -> None:
        self._scope = scope
        self._resolve_query = resolve_query
        self._clause = clause
        self.has_aggregates = False

    # Values

    def value(self, node: tree.Value) -> Expression:
        """The bound expression of a value expression."""
        return _VALUES[type(node)](self, node)

    def _column(self, node: tree.ColumnReference) -> Expression:
        return self._scope.column(node.parts, node.at)

    def _number(self, node: tree.Number) -> Expression:
        return types.number(node.text, node.exact, node.at)

    def _string(self, node: tree.String) -> Expression:
        return types.string(node.value, node.at)

    def _null(self, _: tree.Null) -> Expression:
        return types.null()

    def _arithmetic(self, node: tree.Arithmetic) -> Expression:
        steps = [(word, self.value(operand), operand.at) for word, operand in node.steps]
        return types.arithmetic(self.value(node.first), node.first.at, steps)

    def _concatenation(self, node: tree.Concatenation) -> Expression:
        return types.concatenation(self._values(node.operands), [operand.at for operand in node.operands])

    def _call(self, node: tree.NumericFunction | tree.StringFunction | tree.UserFunction) -> Expression:
        function = calls.declared(node.name, len(node.arguments), node.at)
        places = [argument.at for argument in node.arguments]
        inner = self._inside_aggregate(function.name, node.at) if function.aggregate else self
        arguments = inner._values(node.arguments)
        return mocs.computed(calls.call(function, arguments, places, node.at), places)

    def _cast(self, node: tree.Cast) -> Expression:
        if isinstance(node.operand, tree.String) and node.type.lower() in types.GEOMETRIES:
            return shapes.of_text(node.type, node.operand)
        return types.cast(self.value(node.operand), node.type, node.length, node.at)

    def _point(self, node: tree.Point) -> Expression:
        a, b = node.coordinate1, node.coordinate2
        return shapes.point(self.value(a), self.value(b), a.at, b.at, shapes.frame_of(node.coordsys))

    def _circle(self, node: tree.Circle) -> Expression:
        centre = self.value(_within_frame(node.centre, node.coordsys))
        return shapes.circle(centre, self.value(node.radius), node.centre.at, node.radius.at)

    def _box(self, node: tree.Box) -> Expression:
        places, frame = (node.centre.at, node.width.at, node.height.at), shapes.frame_of(node.coordsys)
        centre, width, height = self._values((node.centre, node.width, node.height))
        return shapes.box(centre, width, height, places, node.at, frame)

    def _polygon(self, node: tree.Polygon) -> Expression:
        vertices = [_within_frame(vertex, node.coordsys) for vertex in node.vertices]
        return shapes.polygon(self._values(vertices), [vertex.at for vertex in node.vertices], node.at)

    def _region(self, node: tree.Region) -> Expression:
        return shapes.region(node.text)

    def _relation(self, node: tree.GeometryPredicate) -> Expression:
        first, second = node.first, node.second
        return shapes.relation(node.name, self.value(first), self.value(second), first.at, second.at)

    def _distance(self, node: tree.Distance) -> Expression:
        return shapes.distance(self.value(node.first), self.value(node.second), node.first.at, node.second.at)

    def _geometry_property(self, node: tree.GeometryProperty) -> Expression:
        geometry, at = self.value(node.geometry), node.geometry.at
        return shapes.area(geometry, at) if node.name == "AREA" else shapes.coordinate(node.name, geometry, at)

    def _centroid(self, node: tree.Centroid) -> Expression:
        return shapes.centroid(self.value(node.geometry), node.geometry.at)

    def _coordinate_system(self, node: tree.CoordSys) -> Expression:
        return shapes.coordinate_system(self.value(node.geometry), node.geometry.at)

    def _in_unit(self, node: tree.InUnit) -> Expression:
        return units.in_unit(self.value(node.operand), node.operand.at, node.unit.value, node.unit.at)

    def _values(self, nodes: Sequence[tree.Value]) -> list[Expression]:
        return [self.value(node) for node in nodes]

    def _signed(self, node: tree.Signed) -> Expression:
        operand = self.value(node.operand)
        if node.sign == "-":
            return types.negation(operand, node.operand.at)
        return types.as_number(operand, "+", node.operand.at)

    def _set_function(self, node: tree.SetFunction) -> Expression:
        inner = self._inside_aggregate(node.name, node.at)
        if node.argument is None:
            return calls.call(COUNT_ROWS, (), (), node.at)
        argument, at = inner.value(node.argument), node.argument.at
        function = calls.declared(node.name, 1, node.at)
        return calls.call(function, (argument,), (at,), node.at, distinct=node.distinct)

    def _inside_aggregate(self, name: str, at: int) -> Expressions:
        """For the arguments of a set function, if one can stand here."""
        if self._clause is not None:
            hint = "Conditions on groups stand in HAVING" if self._clause == "WHERE" else None
            raise RefusedError(f"{name} cannot stand in {self._clause}", at, hint)
        self.has_aggregates = True
        return Expressions(self._scope, self._resolve_query, f"the argument of {name}")

    def _coalesce(self, node: tree.Coalesce) -> Expression:
        operands = types.comparable(self._values(node.arguments), node.at, "mixed")
        columns = [operand.column for operand in operands if types.kind_of(operand) != "null"]
        column = types.unified(columns, node.at, "The arguments of COALESCE") if columns else operands[0].column
        return bound.FirstNotNull(operands, replace(column, name="", ucd=derived_ucd(column)))

    # Conditions

    def condition(self, node: tree.Condition) -> Condition:
        """The bound condition of a search condition."""
        return _CONDITIONS[type(node)](self, node)

    def _comparison(self, node: tree.Comparison) -> Condition:
        left, right = types.comparable((self.value(node.left), self.value(node.right)), node.at)
        return bound.Comparison(node.operator, left, right)

    def _and(self, node: tree.And) -> Condition:
        return bound.Junction("AND", tuple(self.condition(part) for part in node.conditions))

    def _or(self, node: tree.Or) -> Condition:
        return bound.Junction("OR", tuple(self.condition(part) for part in node.conditions))

    def _not(self, node: tree.Not) -> Condition:
        return bound.Not(self.condition(node.condition))

    def _between(self, node: tree.Between) -> Condition:
        operands = types.comparable(self._values((node.value, node.low, node.high)), node.at)
        return _maybe_not(bound.Between(*operands), node.negated)

    def _in_list(self, node: tree.InList) -> Condition:
        value, *items = types.comparable(self._values((node.value, *node.items)), node.at)
        return _maybe_not(bound.InValues(value, tuple(items)), node.negated)

    def _is_null(self, node: tree.IsNull) -> Condition:
        return _maybe_not(bound.IsNull(self.value(node.value)), node.negated)

    def _exists(self, node: tree.Exists) -> Condition:
        return bound.Exists(self._resolve_query(node.query, self._scope))

    def _in_query(self, node: tree.InQuery) -> Condition:
        query = self._resolve_query(node.query, self._scope)
        if len(query.columns) != 1:
            raise RefusedError(f"The subquery of IN must have one column; it has {len(query.columns)}", node.query.at)
        result = bound.Reference("", "", query.columns[0], node.query.at)
        value, _ = types.comparable((self.value(node.value), result), node.at)
        return _maybe_not(bound.InQuery(value, query), node.negated)

    def _like(self, node: tree.Like) -> Condition:
        operator: bound.LikeOperator = "ILIKE" if node.ignore_case else "LIKE"
        value, pattern = self.value(node.value), self.value(node.pattern)
        for operand, at in ((value, node.value.at), (pattern, node.pattern.at)):
            if types.kind_of(operand) not in ("string", "null"):
                raise RefusedError(f"{operator} compares strings; this is no string", at)
        return _maybe_not(bound.Like(operator, value, pattern), node.negated)


_VALUES: Final[dict[type, Callable[[Expressions, Any], Expression]]] = {
    tree.ColumnReference: Expressions._column,
    tree.Number: Expressions._number,
    tree.String: Expressions._string,
    tree.Null: Expressions._null,
    tree.Signed: Expressions._signed,
    tree.Arithmetic: Expressions._arithmetic,
    tree.Concatenation: Expressions._concatenation,
    tree.SetFunction: Expressions._set_function,
    tree.NumericFunction: Expressions._call,
    tree.StringFunction: Expressions._call,
    tree.UserFunction: Expressions._call,
    tree.Coalesce: Expressions._coalesce,
    tree.Cast: Expressions._cast,
    tree.Point: Expressions._point,
    tree.Circle: Expressions._circle,
    tree.GeometryPredicate: Expressions._relation,
    tree.Distance: Expressions._distance,
    tree.GeometryProperty: Expressions._geometry_property,
    tree.InUnit: Expressions._in_unit,
    tree.Box: Expressions._box,
    tree.Polygon: Expressions._polygon,
    tree.Region: Expressions._region,
    tree.Centroid: Expressions._centroid,
    tree.CoordSys: Expressions._coordinate_system,
}

_CONDITIONS: Final[dict[type, Callable[[Expressions, Any], Condition]]] = {
    tree.Comparison: Expressions._comparison,
    tree.And: Expressions._and,
    tree.Or: Expressions._or,
    tree.Not: Expressions._not,
    tree.Between: Expressions._between,
    tree.InList: Expressions._in_list,
    tree.InQuery: Expressions._in_query,
    tree.Like: Expressions._like,
    tree.IsNull: Expressions._is_null,
    tree.Exists: Expressions._exists,
}


def _within_frame(node: tree.Value, coordsys: tree.String | None) -> tree.Value:
    """Coordinates that a shape gives directly are in the shape's frame; a POINT has its own."""
    return replace(node, coordsys=coordsys) if isinstance(node, tree.Point) and node.coordsys is None else node


def _maybe_not(condition: Condition, negated: bool) -> Condition:
    return bound.Not(condition) if negated else condition
