"""Second pass: conditions on angles become cones, and cones around known centres use the HEALPix index of a table.

`CONTAINS(POINT, CIRCLE)` compared with 1 or 0, and `DISTANCE` compared with a number, mean the same in whichever way
they are written (ADQL 2.1, section 4.2.7), and are carried out alike. The index is used where the position is that of
a published table, also as handed on by derived tables that select it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from tap.translate.bound import (
    Carried,
    Comparison,
    Condition,
    Contains,
    Distance,
    Entry,
    Exists,
    Expression,
    InQuery,
    Join,
    Junction,
    NamedQueryEntry,
    Not,
    Point,
    Query,
    QueryEntry,
    Reference,
    Select,
    SetOperation,
    TableEntry,
    WithinCone,
    carried_name,
    output_name,
)
from tap.translate.constants import value_of
from vo_service.catalog.model import HPX_COLUMN, Column

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_MIRRORED: Final = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

_HPX: Final = Column(HPX_COLUMN, "long")

_Positions: TypeAlias = dict[tuple[Reference, Reference], Reference]
"""Right ascension and declination of positions that are indexed, to the index beside them."""


def use_index(query: Query) -> Query:
    """The second pass."""
    return _Pass().query(query)


class _Pass:
    def __init__(self) -> None:
        self._positions: _Positions = {}
        self._named: dict[str, Query] = {}

    # Queries

    def query(self, query: Query) -> Query:
        for name, common in query.named:
            self._named[name] = self._carrying(self.query(common))
        named = tuple((name, self._named[name]) for name, _ in query.named)
        return Query(self._body(query.body), query.columns, query.order_by, query.limit, query.offset, named)

    def _body(self, body: Select | SetOperation) -> Select | SetOperation:
        if isinstance(body, SetOperation):
            steps = tuple((word, keeps_all, self.query(step)) for word, keeps_all, step in body.steps)
            return SetOperation(self.query(body.first), steps)
        return Select(
            body.outputs,
            tuple(self._entry(entry) for entry in body.entries),
            body.where and self._condition(body.where),
            body.group_by,
            body.having and self._condition(body.having),
            body.distinct,
            body.grouped,
        )

    # Where the indices are

    def _entry(self, entry: Entry) -> Entry:
        match entry:
            case TableEntry():
                self._enter_table(entry)
                return entry
            case QueryEntry():
                query = self._carrying(self.query(entry.query))
                self._enter_query(entry.alias, query)
                return QueryEntry(entry.alias, query)
            case NamedQueryEntry():
                self._enter_query(entry.alias, self._named[entry.name])
                return entry
            case Join():
                left, right = self._entry(entry.left), self._entry(entry.right)
                return Join(entry.kind, left, right, entry.condition and self._condition(entry.condition))

    def _enter_table(self, entry: TableEntry) -> None:
        position = entry.table.position
        if position is not None:
            ra, dec = (Reference(entry.alias, name, _HPX) for name in (position.ra, position.dec))
            self._positions[ra, dec] = Reference(entry.alias, HPX_COLUMN, _HPX)

    def _enter_query(self, alias: str, query: Query) -> None:
        if isinstance(query.body, Select):
            for place, carried in enumerate(query.body.carried):
                ra, dec = (Reference(alias, output_name(output), _HPX) for output in (carried.ra, carried.dec))
                self._positions[ra, dec] = Reference(alias, carried_name(place), _HPX)

    def _carrying(self, query: Query) -> Query:
        """A derived table that hands on the indices of the positions it selects."""
        body = query.body
        if not isinstance(body, Select) or body.distinct or body.grouped:
            return query
        places = {output.expression: place for place, output in reversed(list(enumerate(body.outputs)))}
        carried = tuple(
            Carried(places[ra], places[dec], hpx)
            for (ra, dec), hpx in self._positions.items()
            if ra in places and dec in places
        )
        return replace(query, body=replace(body, carried=carried))

    # Conditions

    def _condition(self, condition: Condition) -> Condition:
        match condition:
            case Comparison():
                return self._comparison(condition)
            case Junction():
                return Junction(condition.operator, tuple(self._condition(term) for term in condition.terms))
            case Not():
                return Not(self._condition(condition.condition))
            case InQuery():
                return InQuery(condition.value, self.query(condition.query))
            case Exists():
                return Exists(self.query(condition.query))
            case _:
                return condition

    def _comparison(self, comparison: Comparison) -> Condition:
        word, left, right = comparison.operator, comparison.left, comparison.right
        if isinstance(right, Contains | Distance):
            word, left, right = _MIRRORED[word], right, left
        if isinstance(left, Contains):
            return self._contains(left, word, right) or comparison
        if isinstance(left, Distance):
            return self._distance(left, word, right) or comparison
        return comparison

    def _contains(self, contains: Contains, word: str, other: Expression) -> Condition | None:
        """CONTAINS is 1 or 0: what the comparison says of either tells which of the two is meant."""
        number = value_of(other)
        if number is None:
            return None
        cone = self._cone(contains.point, contains.circle.centre, contains.circle.radius)
        match _OPERATORS[word](1, number), _OPERATORS[word](0, number):
            case True, False:
                return cone
            case False, True:
                return Not(cone)
            case _:
                return None

    def _distance(self, distance: Distance, word: str, radius: Expression) -> Condition | None:
        is_open = word in ("<", ">=")
        angle = value_of(radius)
        if word in ("=", "<>") or (angle is not None and (angle < 0 or (angle == 0 and is_open))):
            return None
        cone = self._cone(distance.first, distance.second, radius, is_open=is_open)
        return cone if word in ("<", "<=") else Not(cone)

    def _cone(self, first: Point, second: Point, radius: Expression, *, is_open: bool = False) -> WithinCone:
        """The position with an index, if one has, within the cone around the other."""
        angle = value_of(radius)
        for position, centre in ((first, second), (second, first)):
            hpx = self._index(position)
            if hpx is not None and angle is not None and angle < 180 and _is_constant(centre):
                return WithinCone(position, centre, radius, is_open, hpx)
        return WithinCone(first, second, radius, is_open, None)

    def _index(self, position: Point) -> Reference | None:
        ra, dec = position.ra, position.dec
        if isinstance(ra, Reference) and isinstance(dec, Reference):
            return self._positions.get((ra, dec))
        return None


def _is_constant(point: Point) -> bool:
    return value_of(point.ra) is not None and value_of(point.dec) is not None
