"""Second pass: conditions on the sky become relations of regions, which use the HEALPix index of a table.

CONTAINS and INTERSECTS compared with 1 or 0, and DISTANCE compared with a number, mean the same in whichever way they
are written (ADQL 2.1, section 4.2.7), and are carried out alike. The index is used where the position is that of a
published table, also as handed on by derived tables that select it: by ranges that are known now where the other region
is constant (`tap.translate.emit` writes them), else by ranges that the database computes for each row of the other side
of a match (`tap.translate.matches`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from tap.functions.declaration import ADQL_TYPES
from tap.translate.bound import (
    Carried,
    Circle,
    Comparison,
    Condition,
    Constant,
    Distance,
    Entry,
    Exists,
    Expression,
    InQuery,
    Join,
    Junction,
    Moc,
    NamedQueryEntry,
    Not,
    Operation,
    Point,
    Query,
    QueryEntry,
    Reference,
    Related,
    Relation,
    Select,
    SetOperation,
    TableEntry,
    WithinCone,
    carried_name,
    output_name,
)
from tap.translate.constants import value_of
from tap.translate.matches import Matches
from tap.translate.shapes import shape_of
from tap.translate.types import kind_of
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
_DOUBLE: Final = ADQL_TYPES["DOUBLE PRECISION"]

_Positions: TypeAlias = dict[tuple[Reference, Reference], Reference]
"""Right ascension and declination of positions that are indexed, to the index beside them."""


def use_index(query: Query) -> Query:
    """The second pass."""
    return _Pass().query(query)


class _Pass:
    def __init__(self) -> None:
        self._positions: _Positions = {}
        self._named: dict[str, Query] = {}
        self._matches = Matches()

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
        entries = tuple(self._entry(entry) for entry in body.entries)
        with self._matches.of_select() as made:
            where = body.where and self._condition(body.where)
        with self._matches.of_nothing():
            having = body.having and self._condition(body.having)
        return replace(body, entries=(*entries, *made), where=where, having=having)

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
                with self._matches.of_join(left, right) as sides:
                    condition = entry.condition and self._condition(entry.condition)
                return Join(entry.kind, sides.left, sides.right, condition)
            case _:
                return entry

    def _enter_table(self, entry: TableEntry) -> None:
        self._matches.enter(entry)
        if entry.table.position is not None:
            ra, dec = (Reference(entry.alias, name, _HPX) for name in entry.table.sql_position)
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
            case Junction(operator="AND"):
                return Junction("AND", tuple(self._condition(term) for term in condition.terms))
            case Junction():
                with self._matches.of_nothing():
                    return Junction("OR", tuple(self._condition(term) for term in condition.terms))
            case Not():
                with self._matches.of_nothing():
                    return Not(self._condition(condition.condition))
            case InQuery():
                return InQuery(condition.value, self.query(condition.query))
            case Exists():
                return Exists(self.query(condition.query))
            case _:
                return condition

    def _comparison(self, comparison: Comparison) -> Condition:
        word, left, right = comparison.operator, comparison.left, comparison.right
        if isinstance(right, Relation | Distance):
            word, left, right = _MIRRORED[word], right, left
        if isinstance(left, Relation):
            return self._truth(left, word, right) or comparison
        if isinstance(left, Distance):
            return self._distance(left, word, right) or comparison
        return comparison

    def _truth(self, relation: Relation, word: str, other: Expression) -> Condition | None:
        """A relation is 1 or 0: what the comparison says of either tells which of the two is meant."""
        number = value_of(other)
        if number is None:
            return None
        match _OPERATORS[word](1, number), _OPERATORS[word](0, number):
            case True, False:
                return self._relation(relation)
            case False, True:
                with self._matches.of_nothing():
                    return Not(self._relation(relation))
            case _:
                return None

    def _relation(self, relation: Relation) -> Condition:
        """Circles that contain points, or meet, or contain each other, are cones around a centre."""
        first, second = relation.first, relation.second
        if isinstance(first, Point) and isinstance(second, Circle):
            return self._cone(first, second.centre, second.radius)
        if isinstance(first, Circle) and isinstance(second, Circle):
            if relation.name == "INTERSECTS":
                return self._cone(first.centre, second.centre, _sum(first.radius, second.radius))
            left_over = _difference(second.radius, first.radius)
            if left_over is not None:
                return self._cone(first.centre, second.centre, left_over)
        if relation.name == "INTERSECTS" and isinstance(second, Circle):
            relation = replace(relation, first=second, second=first)
        return self._related(relation)

    def _related(self, relation: Relation) -> Related:
        """The index is that of a point, or of the centre of a circle whose radius is constant."""
        first, second = relation.first, relation.second
        position = first.centre if isinstance(first, Circle) and value_of(first.radius) is not None else first
        hpx = self._index(position) if isinstance(position, Point) else None
        if hpx is None:
            return Related(relation)
        if kind_of(second) == "moc" and not isinstance(first, Point):
            return Related(relation)
        if isinstance(second, Moc):
            return Related(relation, hpx, self._matches.in_moc(second))
        if kind_of(second) == "polygon" and shape_of(second) is not None:
            return Related(relation, hpx)
        if kind_of(second) == "polygon" and isinstance(first, Point):
            return Related(relation, hpx, self._matches.around_polygon(hpx, second))
        return Related(relation, hpx if kind_of(second) == "moc" else None)

    def _distance(self, distance: Distance, word: str, radius: Expression) -> Condition | None:
        is_open = word in ("<", ">=")
        angle = value_of(radius)
        if word in ("=", "<>") or (angle is not None and (angle < 0 or (angle == 0 and is_open))):
            return None
        if word in ("<", "<="):
            return self._cone(distance.first, distance.second, radius, is_open=is_open)
        with self._matches.of_nothing():
            return Not(self._cone(distance.first, distance.second, radius, is_open=is_open))

    def _cone(self, first: Point, second: Point, radius: Expression, *, is_open: bool = False) -> WithinCone:
        """The position with an index, if one has, within the cone around the other.

        Of two that have one, it is that of the larger table.
        """
        angle = value_of(radius)
        sides = [(position, centre, hpx) for position, centre in ((first, second), (second, first))
                 if (hpx := self._index(position)) is not None]  # fmt: skip
        for position, centre, hpx in sides:
            if angle is not None and angle < 180 and _is_constant(centre):
                return WithinCone(position, centre, radius, is_open, hpx)
        for position, centre, hpx in sorted(sides, key=lambda side: self._matches.rank(side[2]), reverse=True):
            ranges = self._matches.around_cone(hpx, centre, self._index(centre), radius)
            if ranges is not None:
                return WithinCone(position, centre, radius, is_open, hpx, ranges)
        return WithinCone(first, second, radius, is_open, None)

    def _index(self, position: Point) -> Reference | None:
        ra, dec = position.ra, position.dec
        if isinstance(ra, Reference) and isinstance(dec, Reference):
            return self._positions.get((ra, dec))
        return None


def _is_constant(point: Point) -> bool:
    return value_of(point.ra) is not None and value_of(point.dec) is not None


def _sum(first: Expression, second: Expression) -> Expression:
    a, b = value_of(first), value_of(second)
    if a is not None and b is not None:
        return Constant(float(a + b), _DOUBLE)
    return Operation(first, (("+", second),), _DOUBLE)


def _difference(first: Expression, second: Expression) -> Expression | None:
    """The difference of two constants, if it is the radius of a cone."""
    a, b = value_of(first), value_of(second)
    return Constant(float(a - b), _DOUBLE) if a is not None and b is not None and a < 180 and b <= a else None
