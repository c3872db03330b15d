"""The bound tree: a query whose names are columns of the catalogue and whose expressions have types.

`resolve` makes it from the ADQL tree, `geometry` and `limits` replace parts of it, `emit` writes it down. Nothing in it
is a name that the user chose, but those of the result's columns: tables are `t1`, `t2`, ... and columns of
subqueries `c1`, `c2`, ... in SQL.

Every expression has a `column`: what it would be as a column of a result (datatype, unit, UCD, ...; its name is that of
the catalogue, or empty). Conditions have none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args, get_type_hints

from tap.functions.declaration import Function
from vo_service.catalog.model import Column, Table
from vo_service.sky.moc import Moc as MocValue


class Node:
    """What the tree consists of."""

    __slots__ = ()


# Expressions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """A column of an entry of FROM. Two references are equal if they mean the same column of the same entry."""

    entry: str
    name: str
    column: Column = field(compare=False)
    at: int = field(compare=False, default=0)
    """Offset in the query's text."""


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A number, a text, a truth value, or NULL."""

    value: float | str | bool | None
    column: Column


@dataclass(frozen=True, slots=True)
class Negation(Node):
    operand: Expression
    column: Column


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """`first (operator operand)...`, from left to right: all of `+ -`, all of `* /`, or all of `||`."""

    first: Expression
    steps: tuple[tuple[str, Expression], ...]
    column: Column


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A call of a function; `distinct` is for set functions only."""

    function: Function
    arguments: tuple[Expression, ...]
    column: Column
    distinct: bool = False
    at: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Conversion(Node):
    """CAST: the value as the type of `column`."""

    operand: Expression
    column: Column


@dataclass(frozen=True, slots=True)
class FirstNotNull(Node):
    """COALESCE, and the column that a FULL JOIN with USING or NATURAL makes of two."""

    operands: tuple[Expression, ...]
    column: Column


@dataclass(frozen=True, slots=True)
class Point(Node):
    """A position: ICRS right ascension and declination in degrees."""

    ra: Expression
    dec: Expression
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Circle(Node):
    """A circle around a position; the radius in degrees."""

    centre: Point
    radius: Expression
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Polygon(Node):
    """A polygon of vertices."""

    vertices: tuple[Point, ...]
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Box(Node):
    """A box around a position, where a part of it is not constant; else it is a polygon."""

    centre: Point
    width: Expression
    height: Expression
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Moc(Node):
    """A constant set of HEALPix cells."""

    value: MocValue
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Element(Node):
    """A number of an array, by its place from 1: a coordinate of a geometry that is not put together in the query."""

    array: Expression
    place: int
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Relation(Node):
    """1 if the two geometries are so related, else 0. Points and circles are always Point and Circle here."""

    name: Literal["CONTAINS", "INTERSECTS"]
    first: Expression
    second: Expression
    column: Column = field(compare=False)


@dataclass(frozen=True, slots=True)
class Distance(Node):
    """The angle between two positions, in degrees."""

    first: Point
    second: Point
    column: Column = field(compare=False)


Expression: TypeAlias = (
    Reference
    | Constant
    | Negation
    | Operation
    | Call
    | Conversion
    | FirstNotNull
    | Point
    | Circle
    | Polygon
    | Box
    | Moc
    | Element
    | Relation
    | Distance
)

LikeOperator: TypeAlias = Literal["LIKE", "ILIKE"]

# Conditions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Junction(Node):
    """Conditions joined by AND or OR."""

    operator: Literal["AND", "OR"]
    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    condition: Condition


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Between(Node):
    value: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class InValues(Node):
    value: Expression
    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class InQuery(Node):
    value: Expression
    query: Query


@dataclass(frozen=True, slots=True)
class Like(Node):
    """LIKE or ILIKE."""

    operator: LikeOperator
    value: Expression
    pattern: Expression


@dataclass(frozen=True, slots=True)
class IsNull(Node):
    value: Expression


@dataclass(frozen=True, slots=True)
class Exists(Node):
    query: Query


@dataclass(frozen=True, slots=True)
class WithinCone(Node):
    """The position lies within an angle of the centre; at that angle too, unless `open`.

    `hpx` is the HEALPix index of the position, where it is of use: if centre and radius are constant, or if `ranges`
    names the entry of FROM that has the ranges in which it must lie.
    """

    position: Point
    centre: Point
    radius: Expression
    open: bool
    hpx: Reference | None
    ranges: str | None = None


@dataclass(frozen=True, slots=True)
class Related(Node):
    """Two geometries are so related, other than a point to a circle.

    `hpx` is the index of the first one, a point or the centre of a circle, where it is of use: if the rest is constant,
    or with `ranges` as in WithinCone.
    """

    relation: Relation
    hpx: Reference | None = None
    ranges: str | None = None


Condition: TypeAlias = (
    Junction | Not | Comparison | Between | InValues | InQuery | Like | IsNull | Exists | WithinCone | Related
)

# Entries of FROM ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableEntry(Node):
    alias: str
    table: Table


@dataclass(frozen=True, slots=True)
class QueryEntry(Node):
    """A derived table."""

    alias: str
    query: Query


@dataclass(frozen=True, slots=True)
class NamedQueryEntry(Node):
    """A reference to a query of WITH."""

    alias: str
    name: str


@dataclass(frozen=True, slots=True)
class Join(Node):
    """`condition` is None where rows are combined without one."""

    kind: Literal["INNER", "LEFT", "RIGHT", "FULL"]
    left: Entry
    right: Entry
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class RangesEntry(Node):
    """One row for each row of the entries before it: the ranges of the index around a cone, as the array `r`.

    The cone is around `hpx`, an index, else around a position. It is null where there is no such cone.
    """

    alias: str
    centre: Point
    hpx: Reference | None
    radius: Expression


@dataclass(frozen=True, slots=True)
class PolygonRangesEntry(Node):
    """As RangesEntry: the ranges around polygons."""

    alias: str
    polygon: Expression


@dataclass(frozen=True, slots=True)
class MocEntry(Node):
    """The ranges of a MOC, `first` and `last`, in rows of their own: no two of them have a row of a table in common."""

    alias: str
    moc: Moc


Entry: TypeAlias = TableEntry | QueryEntry | NamedQueryEntry | Join | RangesEntry | PolygonRangesEntry | MocEntry

# Queries --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output(Node):
    """A column of a query's result. In SQL it is `c1`, `c2`, ... by its place."""

    expression: Expression
    column: Column
    """With its name in the result."""


@dataclass(frozen=True, slots=True)
class Ordering(Node):
    """`by` is an expression, or the place of an output, from 0."""

    by: Expression | int
    descending: bool


@dataclass(frozen=True, slots=True)
class Select(Node):
    """One SELECT; `grouped` if it gives one row per group, also where all rows are one group."""

    outputs: tuple[Output, ...]
    entries: tuple[Entry, ...]
    where: Condition | None = None
    group_by: tuple[Expression, ...] = ()
    having: Condition | None = None
    distinct: bool = False
    grouped: bool = False
    carried: tuple[Carried, ...] = ()


@dataclass(frozen=True, slots=True)
class Carried(Node):
    """A HEALPix index that a derived table hands on beside its outputs, as `h1`, `h2`, ...; it is never published.

    `ra` and `dec` are the places of the outputs that are its position.
    """

    ra: int
    dec: int
    hpx: Reference


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """`first (operator [ALL] query)...`, from left to right."""

    first: Query
    steps: tuple[tuple[Literal["UNION", "EXCEPT", "INTERSECT"], bool, Query], ...]


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A query expression: a SELECT or a set operation, and what is done with its rows afterwards."""

    body: Select | SetOperation
    columns: tuple[Column, ...]
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int | None = None
    named: tuple[tuple[str, Query], ...] = ()
    """The queries of WITH, in order."""


def output_name(place: int) -> str:
    """The name in SQL of the output at a place, counted from 0."""
    return f"c{place + 1}"


def carried_name(place: int) -> str:
    """The name in SQL of the carried index at a place, counted from 0."""
    return f"h{place + 1}"


def parts(node: Node) -> list[Node]:
    """The nodes directly below a node."""
    found: list[Node] = []
    for name in fields_with_nodes(type(node)):
        _add_nodes(getattr(node, name), found, below=False)
    return found


def all_nodes(node: Node) -> list[Node]:
    """A node and all below it."""
    found: list[Node] = []
    _add_nodes(node, found, below=True)
    return found


def fields_with_nodes(kind: type[Node]) -> tuple[str, ...]:
    """The attributes of a class of nodes that can hold nodes, by their types: most hold names and columns."""
    known = _FIELDS.get(kind)
    if known is None:
        known = tuple(name for name, hint in get_type_hints(kind).items() if _mentions_nodes(hint))
        _FIELDS[kind] = known
    return known


_FIELDS: dict[type[Node], tuple[str, ...]] = {}


def _mentions_nodes(hint: object) -> bool:
    return (isinstance(hint, type) and issubclass(hint, Node)) or any(map(_mentions_nodes, get_args(hint)))


def _add_nodes(value: object, found: list[Node], *, below: bool) -> None:
    if isinstance(value, Node):
        found.append(value)
        for name in fields_with_nodes(type(value)) if below else ():
            _add_nodes(getattr(value, name), found, below=True)
    elif isinstance(value, tuple):
        for item in value:
            _add_nodes(item, found, below=below)
