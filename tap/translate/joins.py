"""Joins: their conditions, and the columns that USING and NATURAL make of two (SQL-92, section 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

from tap.adql import tree
from tap.translate import types
from tap.translate.bound import Comparison, Condition, Expression, FirstNotNull, Join, Junction, Reference
from tap.translate.names import Rows
from tap.translate.refusal import RefusedError, did_you_mean


def conditional_join(node: tree.Join, left: Rows, right: Rows, condition: Condition | None) -> Rows:
    """A join with ON, or without any condition."""
    entry = Join(node.type, left.entry, right.entry, condition)
    return Rows(entry, left.relations + right.relations, left.merged + right.merged)


def named_columns_join(node: tree.Join, left: Rows, right: Rows) -> Rows:
    """A join with USING or NATURAL."""
    names = _common_names(left, right, node.at) if node.natural else node.using
    pairs = [(_one(left, name, "left"), _one(right, name, "right")) for name in names]
    conditions = [Comparison("=", *types.comparable(pair, node.at)) for pair in pairs]
    condition = Junction("AND", tuple(conditions)) if conditions else None
    merged = [(_merge(node, *pair), _hides(left, pair[0]) + _hides(right, pair[1])) for pair in pairs]
    used = {column for pair in pairs for column in pair}
    rest = [item for item in left.merged + right.merged if item[0] not in used]
    return Rows(Join(node.type, left.entry, right.entry, condition), left.relations + right.relations, (*merged, *rest))


def _common_names(left: Rows, right: Rows, at: int) -> list[tree.Identifier]:
    names = {column.column.name.lower() for column in right.all_columns(at)}
    return [tree.Identifier(c.column.name, at=at) for c in left.all_columns(at) if c.column.name.lower() in names]


def _one(rows: Rows, name: tree.Identifier, side: str) -> Expression:
    found = rows.find(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise RefusedError(f"The column {name.name} is ambiguous on the {side} of the join", name.at)
    known = [column.column.name for column in rows.all_columns(name.at)]
    raise RefusedError(
        f"There is no column {name.name} on the {side} of the join", name.at, did_you_mean(name.name, known)
    )


def _merge(node: tree.Join, left: Expression, right: Expression) -> Expression:
    """The column that stands for both: of the side whose rows are all there."""
    if node.type == "RIGHT":
        return right
    if node.type == "FULL":
        column = types.unified((left.column, right.column), node.at, f"The columns {left.column.name}")
        return FirstNotNull((left, right), column)
    return left


def _hides(rows: Rows, column: Expression) -> tuple[Reference, ...]:
    """The references that are not seen beside a merged column any more."""
    for merged, references in rows.merged:
        if merged == column:
            return references
    return (column,) if isinstance(column, Reference) else ()


def entries_called_alike(rows: Sequence[Rows]) -> tuple[str, ...] | None:
    """The names of a relation that is called as one before it; None if all differ."""
    seen = set()
    for item in rows:
        for relation in item.relations:
            names = tuple(name.lower() for name in relation.names)
            if names in seen:
                return relation.names
            seen.add(names)
    return None
