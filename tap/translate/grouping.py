"""Which expressions may stand where rows are put into groups: what PostgreSQL would say, in the query's own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tap.translate.bound import Call, Entry, Join, Query, Reference, Select, parts
from tap.translate.refusal import Refused


def refuse_aggregates(node: Any, where: str) -> None:
    """For clauses that are carried out before there are groups: WHERE, ON, GROUP BY, and set functions themselves."""
    call = _first_aggregate(node)
    if call is not None:
        hint = "Conditions on groups stand in HAVING" if where == "WHERE" else None
        raise Refused(f"{call.function.name} cannot stand in {where}", call.at, hint)


def is_grouped(select: Select) -> bool:
    """Whether the result has one row per group rather than one per row of the tables."""
    if select.group_by or select.having is not None:
        return True
    return any(_first_aggregate(output.expression) is not None for output in select.outputs)


def check(select: Select) -> None:
    """Refuses columns in the select list and in HAVING that have no one value in a group."""
    if is_grouped(select):
        for node in (*(output.expression for output in select.outputs), select.having):
            check_grouped(node, select)


def check_grouped(node: Any, select: Select) -> None:
    """Refuses what has no one value in a group of this grouped SELECT."""
    _Groups(select).check(node)


class _Groups:
    def __init__(self, select: Select) -> None:
        self._terms = set(select.group_by)
        self._aliases = {alias for entry in select.entries for alias in _aliases(entry)}

    def check(self, node: Any) -> None:
        if _is_aggregate(node):
            for argument in node.arguments:
                refuse_aggregates(argument, f"the argument of {node.function.name}")
        elif isinstance(node, Reference):
            if node.entry in self._aliases and node not in self._terms:
                raise Refused(
                    f"The column {node.column.name} is not in GROUP BY, so it has many values in a group",
                    node.at,
                    "Add it to GROUP BY, or use MIN, MAX or AVG of it",
                )
        elif not self._is_term(node):
            for part in parts(node):
                self.check(part)

    def _is_term(self, node: Any) -> bool:
        return not isinstance(node, Query | Select) and node in self._terms


def _is_aggregate(node: Any) -> bool:
    return isinstance(node, Call) and node.function.aggregate


def _first_aggregate(node: Any) -> Call | None:
    """The first set function in a node that belongs to the query of the node, not to a subquery."""
    if isinstance(node, Call) and node.function.aggregate:
        return node
    if isinstance(node, Query):
        return None
    for part in parts(node):
        found = _first_aggregate(part)
        if found is not None:
            return found
    return None


def _aliases(entry: Entry) -> Iterable[str]:
    if isinstance(entry, Join):
        yield from _aliases(entry.left)
        yield from _aliases(entry.right)
    else:
        yield entry.alias
