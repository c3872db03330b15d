"""Which expressions may stand where rows are put into groups: what PostgreSQL would say, in the query's own words."""

from __future__ import annotations

from collections.abc import Iterable

from tap.translate.bound import Call, Entry, Expression, Join, Node, Query, Reference, Select, parts
from tap.translate.refusal import RefusedError


def check(select: Select) -> None:
    """Refuses columns in the select list and in HAVING that have no one value in a group."""
    if select.grouped:
        groups = _Groups(select)
        for output in select.outputs:
            groups.check(output.expression)
        if select.having is not None:
            groups.check(select.having)


def check_ordering(expression: Expression, select: Select) -> None:
    """Refuses expressions in ORDER BY that have no one value in a row of the result."""
    if select.grouped:
        _Groups(select).check(expression)


def aggregate_in(node: Node) -> Call | None:
    """The first set function in a node that belongs to the query of the node, not to a subquery."""
    if isinstance(node, Query):
        return None
    if isinstance(node, Call) and node.function.aggregate:
        return node
    return next(filter(None, map(aggregate_in, parts(node))), None)


class _Groups:
    def __init__(self, select: Select) -> None:
        self._terms = set(select.group_by)
        self._aliases = {alias for entry in select.entries for alias in _aliases(entry)}

    def check(self, node: Node) -> None:
        if isinstance(node, Call) and node.function.aggregate:
            return
        if isinstance(node, Reference):
            if node.entry in self._aliases and node not in self._terms:
                raise RefusedError(
                    f"The column {node.column.name} is not in GROUP BY, so it has many values in a group",
                    node.at,
                    "Add it to GROUP BY, or use MIN, MAX or AVG of it",
                )
        elif node not in self._terms:
            for part in parts(node):
                self.check(part)


def _aliases(entry: Entry) -> Iterable[str]:
    if isinstance(entry, Join):
        yield from _aliases(entry.left)
        yield from _aliases(entry.right)
    else:
        yield entry.alias
