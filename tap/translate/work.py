"""How much work a query is, as far as can be told without asking the database: which of them are sure to be small."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from tap.translate.bound import (
    Comparison,
    Condition,
    Constant,
    Junction,
    Query,
    Reference,
    Select,
    TableEntry,
    WithinCone,
)
from tap.translate.constants import value_of
from vo_service.catalog.model import TAP_SCHEMA, Table
from vo_service.database.statement import FEW_ROWS
from vo_service.sky.angles import share_of_sky

SMALL_TABLE: Final = 2_000
"""Rows of tables of which a query is small, whatever it asks, as long as it joins few of them: those of TAP_SCHEMA."""

METADATA: Final = 300
"""Rows that a table of TAP_SCHEMA is thought to have."""

FEW_PAIRS: Final = 100_000
"""Combinations of their rows up to which it does."""


def is_small(query: Query, tables: Sequence[Table]) -> bool:
    """Whether few rows are expected of a query, and little work for them. What may be anything is not small.

    `tables` has one item for each mention of a table in the query, at any depth.
    """
    if math.prod(map(_size, tables)) <= FEW_PAIRS and max(map(_size, tables), default=0) <= SMALL_TABLE:
        return True
    body = query.body
    if len(tables) != 1 or query.named or not isinstance(body, Select) or not isinstance(body.entries[0], TableEntry):
        return False
    if body.where is not None:
        return _expected(body.where, tables[0]) <= FEW_ROWS
    is_plain = not (body.grouped or body.distinct or body.group_by or query.order_by)
    return is_plain and query.limit is not None and query.limit + (query.offset or 0) <= FEW_ROWS


def _size(table: Table) -> float:
    """Rows of a table, as far as they are counted."""
    if table.schema == TAP_SCHEMA:
        return METADATA
    return math.inf if table.counted_rows is None else max(table.counted_rows, 1)


def _expected(condition: Condition, table: Table) -> float:
    """Rows of the table that fulfil a condition, where an index tells; all of them where none does."""
    return min((_selected(term, table) for term in _terms(condition)), default=_size(table))


def _terms(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, Junction) and condition.operator == "AND":
        for term in condition.terms:
            yield from _terms(term)
    else:
        yield condition


def _selected(term: Condition, table: Table) -> float:
    match term:
        case WithinCone(ranges=None) if term.hpx is not None and (radius := value_of(term.radius)) is not None:
            return _size(table) * share_of_sky(min(radius, 180.0))
        case Comparison(operator="=", left=Reference() as column, right=Constant()) if _is_key(column, table):
            return 1
        case _:
            return _size(table)


def _is_key(column: Reference, table: Table) -> bool:
    # An uploaded table, whose columns are called otherwise in PostgreSQL, has no key.
    return table.primary_key is not None and table.primary_key == column.name
