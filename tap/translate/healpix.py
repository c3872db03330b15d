"""Third pass: `ivo_healpix_index` of a position that has an index becomes a shift of the index.

A pixel of a coarser order is the index of order 29 without its last bits. Conditions on pixels become ranges of the
index, so that they find their rows by it. It comes after the pass that lets derived tables hand on their indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final, TypeAlias, TypeVar, cast

from tap.functions.declaration import ADQL_TYPES
from tap.functions.udf_sky import HEALPIX_INDEX
from tap.translate.bound import (
    Between,
    Call,
    Comparison,
    Condition,
    Constant,
    Expression,
    InValues,
    Junction,
    NamedQueryEntry,
    Node,
    Operation,
    Point,
    Query,
    QueryEntry,
    Reference,
    Select,
    TableEntry,
    carried_name,
    fields_with_nodes,
    output_name,
    parts,
)
from tap.translate.constants import value_of
from vo_service.catalog.model import HPX_COLUMN, Column
from vo_service.sky.healpix import ORDER, PIXELS

_HPX: Final = Column(HPX_COLUMN, "long")
_MIRRORED: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

_Kind = TypeVar("_Kind", bound=Node)

_Positions: TypeAlias = dict[tuple[Reference, Reference], Reference]
"""Right ascension and declination of positions that are indexed, to the index beside them."""


def shift_index(query: Query) -> Query:
    """The third pass."""
    positions = dict(_positions(query, dict(_named(query))))
    for select in _selects(query):
        # Where rows are grouped by the position itself, the index beside it has no one value.
        for pair in product(select.group_by, repeat=2):
            positions.pop(cast("tuple[Reference, Reference]", pair), None)
    return cast("Query", _Pass(positions).node(query)) if positions else query


def asks_for_pixels(node: Node) -> bool:
    """Whether this is a call that the pass may change: without one it has nothing to do."""
    return isinstance(node, Call) and node.function.name == HEALPIX_INDEX


# Where the indices are ------------------------------------------------------------------------------------------------


def _selects(node: Node) -> Iterator[Select]:
    if isinstance(node, Select):
        yield node
    for part in parts(node):
        yield from _selects(part)


def _named(node: Node) -> Iterator[tuple[str, Query]]:
    if isinstance(node, Query):
        yield from node.named
    for part in parts(node):
        yield from _named(part)


def _positions(node: Node, named: dict[str, Query]) -> Iterator[tuple[tuple[Reference, Reference], Reference]]:
    """Of all entries of FROM in the query: aliases are unique in it."""
    match node:
        case TableEntry(alias, table) if table.position is not None:
            yield _at(alias, table.position.ra, table.position.dec), Reference(alias, HPX_COLUMN, _HPX)
        case QueryEntry(alias, query):
            yield from _carried(alias, query)
        case NamedQueryEntry(alias, name):
            yield from _carried(alias, named[name])
        case _:
            pass
    for part in parts(node):
        yield from _positions(part, named)


def _carried(alias: str, query: Query) -> Iterator[tuple[tuple[Reference, Reference], Reference]]:
    if isinstance(query.body, Select):
        for place, carried in enumerate(query.body.carried):
            yield (
                _at(alias, output_name(carried.ra), output_name(carried.dec)),
                Reference(alias, carried_name(place), _HPX),
            )


def _at(alias: str, ra: str, dec: str) -> tuple[Reference, Reference]:
    return Reference(alias, ra, _HPX), Reference(alias, dec, _HPX)


# What becomes of the calls --------------------------------------------------------------------------------------------


class _Pass:
    """Changes calls; and conditions, unless they are asked of groups: those have one pixel, but not one index."""

    def __init__(self, positions: _Positions, *, ranges: bool = True) -> None:
        self._positions = positions
        self._ranges = ranges

    def node(self, node: Node) -> Node:
        """The node with other calls and conditions within."""
        condition = self._condition(node) if self._ranges else None
        if condition is not None:
            return condition
        found = self._pixel(node)
        if found is not None:
            hpx, shift = found
            if shift == 0:
                # Bare, so that comparisons with other columns (ranges of a sky map, say) find their rows by the index.
                return hpx
            return Operation(hpx, ((">>", Constant(shift, ADQL_TYPES["INTEGER"])),), ADQL_TYPES["BIGINT"])
        if isinstance(node, Select) and node.having is not None:
            having = _Pass(self._positions, ranges=False).node(node.having)
            return replace(self._with_parts(replace(node, having=None)), having=cast("Condition", having))
        return self._with_parts(node)

    def _with_parts(self, node: _Kind) -> _Kind:
        slots = ((name, getattr(node, name)) for name in fields_with_nodes(type(node)))
        new = {name: part for name, old in slots if (part := self._part(old)) is not old}
        return replace(node, **new) if new else node  # type: ignore[type-var]

    def _part(self, value: object) -> object:
        if isinstance(value, Node):
            return self.node(value)
        if isinstance(value, tuple):
            items = tuple(map(self._part, value))
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        return value

    def _pixel(self, node: Node) -> tuple[Reference, int] | None:
        """The index that holds the pixel, and by how many bits it is finer."""
        if not isinstance(node, Call) or not asks_for_pixels(node):
            return None
        order, *position = node.arguments
        if isinstance(position[0], Point):
            position = [position[0].ra, position[0].dec]
        depth = value_of(order)
        hpx = self._positions.get(cast("tuple[Reference, Reference]", tuple(position)))
        return None if hpx is None or depth is None else (hpx, 2 * (ORDER - int(depth)))

    def _condition(self, node: Node) -> Condition | None:
        """A condition on pixels as one on the index."""
        match node:
            case Comparison(operator, left, right) if operator in _MIRRORED:
                return self._comparison(operator, left, right) or self._comparison(_MIRRORED[operator], right, left)
            case Between(value, low, high):
                return self._range(value, low, high)
            case InValues(value, values):
                ranges = [self._range(value, item, item) for item in values]
                return Junction("OR", tuple(filter(None, ranges))) if all(ranges) else None
            case _:
                return None

    def _comparison(self, operator: str, left: Expression, right: Expression) -> Condition | None:
        if operator == "=":
            return self._range(left, right, right)
        found = self._pixel(left)
        pixel = found and _number_of_pixel(right, found[1])
        if found is None or pixel is None:
            return None
        hpx, shift = found
        first_beyond = pixel + 1 if operator in ("<=", ">") else pixel
        return Comparison("<" if operator in ("<", "<=") else ">=", hpx, _index(first_beyond << shift))

    def _range(self, value: Expression, low: Expression, high: Expression) -> Condition | None:
        found = self._pixel(value)
        if found is None:
            return None
        hpx, shift = found
        first, last = _number_of_pixel(low, shift), _number_of_pixel(high, shift)
        if first is None or last is None:
            return None
        return Between(hpx, _index(first << shift), _index(((last + 1) << shift) - 1))


def _number_of_pixel(expression: Expression, shift: int) -> int | None:
    """The value of a constant, if the order of pixels that is coarser by so many bits has such a pixel."""
    value = value_of(expression)
    return value if isinstance(value, int) and 0 <= value < PIXELS >> shift else None


def _index(value: int) -> Constant:
    return Constant(value, ADQL_TYPES["BIGINT"])
