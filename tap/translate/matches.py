"""Matches of two tables by position: for each row of one side, the ranges of the index in which the other's lie.

The ranges stand in a row of their own beside the side that they are computed from (`adql.disc_ranges` in `schema.sql`);
the condition compares the index with them, and then the positions themselves. They are added only where the condition
must hold for a row of the result: elsewhere they would be computed for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tap.translate.bound import (
    Entry,
    Expression,
    Join,
    Moc,
    MocEntry,
    Node,
    Point,
    PolygonRangesEntry,
    RangesEntry,
    Reference,
    TableEntry,
    parts,
)

AnyRanges = RangesEntry | PolygonRangesEntry | MocEntry

FEW_RANGES: Final = 200
"""Ranges up to which a MOC is a list of conditions: each takes 0.1 ms of planning."""


@dataclass
class Sides:
    """The two sides of a join, to which entries with ranges are added."""

    left: Entry
    right: Entry


@dataclass
class _Place:
    """Where ranges may be added: to entries of these names, of any name (None), or nowhere (empty)."""

    allowed: tuple[frozenset[str], ...] | None = ()
    made: list[AnyRanges] = field(default_factory=list)


class Matches:
    """The entries with ranges of a whole query, as they are made."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._place = _Place()
        self._count = 0

    def enter(self, entry: TableEntry) -> None:
        """Take note of a table's size."""
        self._rows[entry.alias] = entry.table.rows

    def rank(self, hpx: Reference) -> int:
        """How much is won by the index of this entry; that of a derived table may not be usable at all."""
        return self._rows.get(hpx.entry, -1)

    # Where

    @contextmanager
    def of_select(self) -> Iterator[list[AnyRanges]]:
        """Within the WHERE of a SELECT; the entries made are to be added to its FROM."""
        with self._at(_Place(None)) as place:
            yield place.made

    @contextmanager
    def of_join(self, left: Entry, right: Entry) -> Iterator[Sides]:
        """Within the condition of a join; its sides afterwards have the entries made."""
        sides = Sides(left, right)
        names = frozenset(_names(left)), frozenset(_names(right))
        with self._at(_Place(names)) as place:
            yield sides
        for ranges in place.made:
            if _entries_of(ranges) <= names[1]:
                sides.right = Join("INNER", sides.right, ranges, None)
            else:
                sides.left = Join("INNER", sides.left, ranges, None)

    @contextmanager
    def of_nothing(self) -> Iterator[None]:
        """Within a condition that may be false for a row of the result."""
        with self._at(_Place()):
            yield

    @contextmanager
    def _at(self, place: _Place) -> Iterator[_Place]:
        before, self._place = self._place, place
        try:
            yield place
        finally:
            self._place = before

    # What

    def around_cone(self, hpx: Reference, centre: Point, index: Reference | None, radius: Expression) -> str | None:
        """The name of an entry with the ranges around a cone, for an index; None if there can be none."""
        return self._add(hpx, RangesEntry(self._next(), centre, index, radius))

    def around_polygon(self, hpx: Reference, polygon: Expression) -> str | None:
        """As `around_cone`, around a polygon."""
        return self._add(hpx, PolygonRangesEntry(self._next(), polygon))

    def in_moc(self, moc: Moc) -> str | None:
        """The name of an entry with the ranges of a MOC, if it has many and stands in WHERE; else None."""
        if len(moc.value.ranges) <= FEW_RANGES or self._place.allowed is not None:
            return None
        self._count += 1
        self._place.made.append(MocEntry(f"m{self._count}", moc))
        return f"m{self._count}"

    def _next(self) -> str:
        return f"m{self._count + 1}"

    def _add(self, hpx: Reference, ranges: AnyRanges) -> str | None:
        entries, allowed = _entries_of(ranges), self._place.allowed
        if hpx.entry in entries or not entries:
            return None
        if allowed is not None and not any(entries <= names for names in allowed):
            return None
        self._count += 1
        self._place.made.append(ranges)
        return ranges.alias


def _names(entry: Entry) -> Iterator[str]:
    if isinstance(entry, Join):
        yield from _names(entry.left)
        yield from _names(entry.right)
    else:
        yield entry.alias


def _entries_of(node: Node) -> frozenset[str]:
    """The entries of FROM that a node refers to."""
    if isinstance(node, Reference):
        return frozenset({node.entry})
    return frozenset().union(*map(_entries_of, parts(node)))
