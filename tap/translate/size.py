"""A check after names are resolved: queries that grow without measure when they are written out are refused.

PostgreSQL replaces columns of subqueries by what they stand for before anything runs, and looks neither at time limits
nor at memory while it does. `SELECT x + x AS x FROM (SELECT x + x AS x FROM (...))` doubles with every level.
"""

from __future__ import annotations

from typing import Final

from tap.translate.bound import (
    Constant,
    Entry,
    InValues,
    Join,
    MocEntry,
    NamedQueryEntry,
    Node,
    Point,
    PolygonRangesEntry,
    Query,
    QueryEntry,
    RangesEntry,
    Reference,
    Select,
    TableEntry,
    output_name,
    parts,
)
from tap.translate.refusal import RefusedError

LIMIT: Final = 50_000
"""Nodes of all expressions, written out: PostgreSQL plans so many in a tenth of a second and 50 MB."""

_USES_OF_A_COORDINATE: Final = 4
"""How often a coordinate stands in the formula of a distance."""


def expect_moderate_size(query: Query) -> None:
    """Raises RefusedError if the expressions of the query have more than LIMIT nodes when they are written out."""
    _Sizes().outputs(query)


class _Sizes:
    def __init__(self) -> None:
        self._total = 0
        self._columns: dict[tuple[str, str], int] = {}
        self._named: dict[str, list[int]] = {}

    def outputs(self, query: Query) -> list[int]:
        """The sizes of the expressions that the query's columns stand for."""
        for name, common in query.named:
            self._named[name] = self.outputs(common)
        for ordering in query.order_by:
            self._add(ordering)
        body = query.body
        if not isinstance(body, Select):
            sides = [self.outputs(side) for side in (body.first, *(step for _, _, step in body.steps))]
            return [max(sizes) for sizes in zip(*sides, strict=True)]
        for entry in body.entries:
            self._enter(entry)
        for node in (body.where, *body.group_by, body.having):
            self._add(node)
        return [self._add(output.expression) for output in body.outputs]

    def _enter(self, entry: Entry) -> None:
        match entry:
            case TableEntry() | RangesEntry() | PolygonRangesEntry() | MocEntry():
                pass
            case QueryEntry():
                self._enter_columns(entry.alias, self.outputs(entry.query))
            case NamedQueryEntry():
                self._enter_columns(entry.alias, self._named[entry.name])
            case Join():
                self._enter(entry.left)
                self._enter(entry.right)
                self._add(entry.condition)

    def _enter_columns(self, alias: str, sizes: list[int]) -> None:
        for place, size in enumerate(sizes):
            self._columns[alias, output_name(place)] = size

    def _add(self, node: Node | None) -> int:
        size = 0 if node is None else self._size(node)
        self._total += size
        if self._total > LIMIT:
            raise RefusedError(
                "The query is too complex: its expressions have too many parts when names are replaced by what they"
                " stand for",
                0,
            )
        return size

    def _size(self, node: Node) -> int:
        match node:
            case Reference():
                return self._columns.get((node.entry, node.name), 1)
            case Query():
                self.outputs(node)
                return 1
            case InValues():
                # A list of constants may be long: it is looked through once, and grows no further.
                return self._size(node.value) + sum(self._size(v) for v in node.values if not isinstance(v, Constant))
            case Point():
                return _USES_OF_A_COORDINATE * sum(map(self._size, parts(node)))
            case _:
                return 1 + sum(map(self._size, parts(node)))
