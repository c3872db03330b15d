"""First pass: the ADQL tree becomes a bound tree. Names are looked up, expressions get types, results get names.

Inner queries are resolved before what stands around them, as their columns are what the outer query speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from tap.adql import tree
from tap.translate import bound, grouping, joins, types
from tap.translate.bound import Expression, Ordering, Output, Query
from tap.translate.constants import value_of
from tap.translate.expressions import Expressions
from tap.translate.names import Relation, Rows, Scope, find_table, same_name
from tap.translate.outputs import output
from tap.translate.refusal import RefusedError
from vo_service.catalog.model import Catalog, Column, Table, places_by_name

COLUMNS_LIMIT: Final = 1_600
"""Columns of a SELECT at most: PostgreSQL has room for 1,664, of which some are ours."""

TABLES_LIMIT: Final = 100
"""Tables in all FROM clauses of a query at most: with so many, PostgreSQL takes seconds and 200 MB to plan."""


def resolve(query: tree.Query, catalog: Catalog) -> Query:
    """The bound query. Raises RefusedError."""
    return _Resolver(catalog).whole(query)


@dataclass(frozen=True, slots=True)
class _CommonTable:
    """A query of WITH, and its name in SQL."""

    name: tree.Identifier
    sql_name: str
    query: Query


class _Resolver:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._common: list[_CommonTable] = []
        self._relations = 0

    # Queries

    def whole(self, query: tree.Query) -> Query:
        for common in query.common_tables:
            if any(same_name(common.name, known.name.name) for known in self._common):
                raise RefusedError(f"There are two common tables called {common.name.name}", common.name.at)
            resolved = self._query(common.query, None)
            self._common.append(_CommonTable(common.name, f"q{len(self._common) + 1}", resolved))
        resolved = self._query(query.expression, None)
        named = tuple((common.sql_name, common.query) for common in self._common)
        return replace(resolved, named=named) if named else resolved

    def _query(self, node: tree.QueryExpression, outer: Scope | None) -> Query:
        query, scope = self._body(node.body, outer)
        if not node.order_by and node.offset is None:
            return query
        if query.order_by or query.offset is not None or (scope is None and query.limit is not None):
            query, scope = self._wrapped(query), None
        ordering = tuple(self._ordering(term, query, scope) for term in node.order_by)
        return replace(query, order_by=ordering, offset=node.offset)

    def _body(self, node: tree.QueryBody, outer: Scope | None) -> tuple[Query, Scope | None]:
        """The query, and the scope of its ORDER BY where that may speak of more than the result's columns."""
        match node:
            case tree.Select():
                return self._select(node, outer)
            case tree.SetOperation():
                return self._set_operation(node, outer), None
            case tree.QueryExpression():
                return self._query(node, outer), None

    def _set_operation(self, node: tree.SetOperation, outer: Scope | None) -> Query:
        first = self._body(node.first, outer)[0]
        rest = [self._body(body, outer)[0] for _, _, body in node.steps]
        for query, (operator, _, body) in zip(rest, node.steps, strict=True):
            if len(query.columns) != len(first.columns):
                raise RefusedError(
                    f"The two sides of {operator} have {len(first.columns)} and {len(query.columns)} columns;"
                    " they must have as many",
                    body.at,
                )
        columns = tuple(
            types.unified(same, node.at, f"Column {place} of all sides of {node.steps[0][0]}")
            for place, same in enumerate(zip(first.columns, *(q.columns for q in rest), strict=True), start=1)
        )
        steps = tuple(
            (operator, keeps_all, _retyped(query, columns))
            for query, (operator, keeps_all, _) in zip(rest, node.steps, strict=True)
        )
        return Query(bound.SetOperation(_retyped(first, columns), steps), columns)

    def _select(self, node: tree.Select, outer: Scope | None) -> tuple[Query, Scope]:
        scope = Scope(self._from(node, outer), outer)
        expressions = Expressions(scope, self._query)
        outputs = tuple(self._outputs(node, scope, expressions))
        if len(outputs) > COLUMNS_LIMIT:
            raise RefusedError(f"A query can have {COLUMNS_LIMIT} columns at most; here are {len(outputs)}", node.at)
        group_by = self._group_by(node, scope, outputs)
        having = expressions.condition(node.having) if node.having else None
        select = bound.Select(
            outputs,
            tuple(rows.entry for rows in scope.rows),
            Expressions(scope, self._query, "WHERE").condition(node.where) if node.where else None,
            group_by,
            having,
            node.distinct,
            grouped=bool(group_by) or having is not None or expressions.has_aggregates,
        )
        grouping.check(select)
        return Query(select, tuple(o.column for o in outputs), limit=node.top), scope

    def _outputs(self, node: tree.Select, scope: Scope, expressions: Expressions) -> Iterator[Output]:
        place = 0
        for item in node.items:
            for expression, alias in _columns_of_item(item, scope, expressions):
                yield output(expression, alias, place)
                place += 1

    def _group_by(self, node: tree.Select, scope: Scope, outputs: tuple[Output, ...]) -> tuple[Expression, ...]:
        expressions = Expressions(scope, self._query, "GROUP BY")
        return tuple(_group_term(term, expressions, scope, outputs) for term in node.group_by)

    def _ordering(self, term: tree.OrderTerm, query: Query, scope: Scope | None) -> Ordering:
        place = _place_of_result(term.value, query.columns)
        if place is not None:
            return Ordering(place, term.descending)
        if scope is None or not isinstance(query.body, bound.Select):
            raise RefusedError("ORDER BY can only name columns of the result here", term.at)
        clause = None if query.body.grouped else "ORDER BY of a query without groups"
        expression = Expressions(scope, self._query, clause).value(term.value)
        if isinstance(expression, bound.Constant) or value_of(expression) is not None:
            raise RefusedError("ORDER BY takes a column, its number, or an expression with columns", term.at)
        (expression,) = types.comparable((expression,), term.at, "put in order")
        for place, selected in enumerate(query.body.outputs):
            if selected.expression == expression:
                return Ordering(place, term.descending)
        if query.body.distinct:
            raise RefusedError("With DISTINCT, ORDER BY can only use what is selected", term.at)
        grouping.check_ordering(expression, query.body)
        return Ordering(expression, term.descending)

    def _wrapped(self, query: Query) -> Query:
        """The query as a derived table, so that it can be ordered or cut once more."""
        relation = self._relation((), query.columns)
        outputs = tuple(Output(e, e.column) for e in relation.all_columns(0))
        return Query(bound.Select(outputs, (bound.QueryEntry(relation.alias, query),)), query.columns)

    # FROM

    def _from(self, node: tree.Select, outer: Scope | None) -> tuple[Rows, ...]:
        rows = tuple(self._table(reference, outer) for reference in node.tables)
        twice = joins.entries_called_alike(rows)
        if twice is not None:
            raise RefusedError(
                f"FROM has two tables called {'.'.join(twice)}",
                node.tables[0].at,
                "Give them aliases: FROM t AS a, t AS b",
            )
        return rows

    def _table(self, node: tree.TableReference, outer: Scope | None) -> Rows:
        if self._relations >= TABLES_LIMIT:
            raise RefusedError(f"A query can have {TABLES_LIMIT} tables at most", node.at)
        match node:
            case tree.NamedTable():
                return self._named_table(node)
            case tree.DerivedTable():
                query = self._query(node.query, outer)
                relation = self._relation((node.alias.name,), query.columns)
                return Rows(bound.QueryEntry(relation.alias, query), (relation,))
            case tree.Join():
                return self._join(node, outer)

    def _named_table(self, node: tree.NamedTable) -> Rows:
        common = self._common_table(node.name)
        if common is not None:
            relation = self._relation(((node.alias or node.name.parts[0]).name,), common.query.columns)
            return Rows(bound.NamedQueryEntry(relation.alias, common.sql_name), (relation,))
        table = find_table(self._catalog, node.name)
        names = (node.alias.name,) if node.alias else (table.schema, table.name)
        relation = self._relation(names, table.columns, table)
        return Rows(bound.TableEntry(relation.alias, table), (relation,))

    def _common_table(self, name: tree.TableName) -> _CommonTable | None:
        if len(name.parts) > 1:
            return None
        return next((common for common in self._common if same_name(name.parts[0], common.name.name)), None)

    def _join(self, node: tree.Join, outer: Scope | None) -> Rows:
        left, right = self._table(node.left, outer), self._table(node.right, outer)
        if node.natural or node.using:
            return joins.named_columns_join(node, left, right)
        joined = joins.conditional_join(node, left, right, None)
        if node.condition is None:
            return joined
        condition = Expressions(Scope((joined,), outer), self._query, "ON").condition(node.condition)
        return joins.conditional_join(node, left, right, condition)

    def _relation(self, names: tuple[str, ...], columns: tuple[Column, ...], table: Table | None = None) -> Relation:
        self._relations += 1
        alias = f"t{self._relations}"
        if table is not None:
            return Relation(alias, names, columns, table.sql_columns, table.places)
        outputs = tuple(bound.output_name(place) for place in range(len(columns)))
        return Relation(alias, names, columns, outputs, places_by_name(columns))


def _columns_of_item(
    item: tree.AllColumns | tree.SelectItem, scope: Scope, expressions: Expressions
) -> list[tuple[Expression, tree.Identifier | None]]:
    if isinstance(item, tree.SelectItem):
        return [(expressions.value(item.value), item.alias)]
    if item.table is not None:
        return [(column, None) for column in scope.relation(item.table).all_columns(item.at)]
    return [(column, None) for rows in scope.rows for column in rows.all_columns(item.at)]


def _group_term(term: tree.Value, expressions: Expressions, scope: Scope, outputs: tuple[Output, ...]) -> Expression:
    """A column of FROM, else the expression that the select list gives this name, else an expression."""
    expression = _selected_as(term, scope, outputs) or expressions.value(term)
    if isinstance(expression, bound.Constant) or value_of(expression) is not None:
        raise RefusedError("GROUP BY takes columns and expressions with columns, not constants", term.at)
    (expression,) = types.comparable((expression,), term.at, "grouped")
    return expression


def _selected_as(term: tree.Value, scope: Scope, outputs: tuple[Output, ...]) -> Expression | None:
    if not isinstance(term, tree.ColumnReference) or scope.find(term.parts):
        return None
    place = _place_of_result(term, tuple(o.column for o in outputs))
    if place is None:
        return None
    aggregate = grouping.aggregate_in(outputs[place].expression)
    if aggregate is not None:
        raise RefusedError(f"{aggregate.function.name} cannot stand in GROUP BY", term.at)
    return outputs[place].expression


def _place_of_result(node: tree.Value, columns: tuple[Column, ...]) -> int | None:
    """The place, from 0, of the result's column that a number or a single name means; None if it means none."""
    if isinstance(node, tree.Number):
        if not node.exact or not 1 <= int(node.text) <= len(columns):
            raise RefusedError(f"The result has no column number {node.text}; it has {len(columns)}", node.at)
        return int(node.text) - 1
    if not isinstance(node, tree.ColumnReference) or len(node.parts) > 1:
        return None
    places = [place for place, column in enumerate(columns) if same_name(node.parts[0], column.name)]
    return places[0] if len(places) == 1 else None


def _retyped(query: Query, columns: tuple[Column, ...]) -> Query:
    """The query with results of these types."""
    if isinstance(query.body, bound.SetOperation):
        first = _retyped(query.body.first, columns)
        steps = tuple((operator, all_, _retyped(step, columns)) for operator, all_, step in query.body.steps)
        return replace(query, body=bound.SetOperation(first, steps), columns=columns)
    outputs = tuple(
        replace(o, column=replace(o.column, datatype=column.datatype, arraysize=column.arraysize))
        for o, column in zip(query.body.outputs, columns, strict=True)
    )
    return replace(query, body=replace(query.body, outputs=outputs), columns=tuple(o.column for o in outputs))
