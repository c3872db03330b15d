"""The tree of an ADQL query: plain frozen values, one class per construct of ADQL 2.1.

Every node has `at`, the offset of its first character in the query's text, for messages; two trees are equal if they
differ in nothing else. Chains of operators of one precedence are flat (`steps`), so that the depth of a tree is bounded
by its parentheses and joins (limits in `tap.adql.lexer` and `tap.adql.parser`), and passes over it may recurse.

`kind` tells what a value expression can be, as far as the grammar tells it: columns, user-defined functions, CAST and
COALESCE can be anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

Kind: TypeAlias = Literal["number", "string", "geometry", "truth", "any"]

Position = field(compare=False, default=0)


# Names ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name, without its quotes. Regular identifiers match regardless of letter case, delimited ones exactly."""

    name: str
    delimited: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class TableName:
    """`[[catalog.]schema.]table`."""

    parts: tuple[Identifier, ...]
    at: int = Position


# Value expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """An unsigned numeric literal; `exact` if it has neither a decimal point nor an exponent."""

    kind: ClassVar[Kind] = "number"
    text: str
    exact: bool
    at: int = Position


@dataclass(frozen=True, slots=True)
class String:
    """A string literal; `value` without its quotes."""

    kind: ClassVar[Kind] = "string"
    value: str
    at: int = Position


@dataclass(frozen=True, slots=True)
class Null:
    """The literal NULL."""

    kind: ClassVar[Kind] = "any"
    at: int = Position


@dataclass(frozen=True, slots=True)
class ColumnReference:
    """`[[[catalog.]schema.]table.]column`."""

    kind: ClassVar[Kind] = "any"
    parts: tuple[Identifier, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class Signed:
    """`-x` or `+x`."""

    kind: ClassVar[Kind] = "number"
    sign: Literal["+", "-"]
    operand: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`first (operator operand)...`, from left to right; the operators are all of `+ -` or all of `* /`."""

    kind: ClassVar[Kind] = "number"
    first: Value
    steps: tuple[tuple[str, Value], ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class Concatenation:
    """`a || b || ...`."""

    kind: ClassVar[Kind] = "string"
    operands: tuple[Value, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class SetFunction:
    """COUNT, AVG, MAX, MIN or SUM; `argument` is None for `COUNT(*)`."""

    kind: ClassVar[Kind] = "any"
    name: str
    argument: Value | None
    distinct: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class NumericFunction:
    """A mathematical or trigonometric function of the language; `name` in upper case."""

    kind: ClassVar[Kind] = "number"
    name: str
    arguments: tuple[Value, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class StringFunction:
    """LOWER or UPPER."""

    kind: ClassVar[Kind] = "string"
    name: str
    arguments: tuple[Value, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class Coalesce:
    kind: ClassVar[Kind] = "any"
    arguments: tuple[Value, ...]
    at: int = Position


_KINDS_OF_TYPES: dict[str, Kind] = {
    **dict.fromkeys(("CHAR", "VARCHAR", "TIMESTAMP"), "string"),
    **dict.fromkeys(("POINT", "CIRCLE", "POLYGON"), "geometry"),
}


@dataclass(frozen=True, slots=True)
class Cast:
    """`CAST(operand AS type)`; `type` in upper case, DOUBLE PRECISION with one space; `length` of CHAR and VARCHAR."""

    operand: Value
    type: str
    length: int | None = None
    at: int = Position

    @property
    def kind(self) -> Kind:
        return _KINDS_OF_TYPES.get(self.type, "number")


@dataclass(frozen=True, slots=True)
class InUnit:
    """`IN_UNIT(operand, 'unit')`."""

    kind: ClassVar[Kind] = "number"
    operand: Value
    unit: String
    at: int = Position


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A call of a function that the language does not define; `name` as written."""

    kind: ClassVar[Kind] = "any"
    name: str
    arguments: tuple[Value, ...]
    at: int = Position


# Geometry ------------------------------------------------------------------------------------------------------------
# Coordinates in degrees. `coordsys` is the optional first argument of ADQL 2.0, None where it is left out or NULL.


@dataclass(frozen=True, slots=True)
class Point:
    kind: ClassVar[Kind] = "geometry"
    coordinate1: Value
    coordinate2: Value
    coordsys: String | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class Circle:
    """`centre` is a Point also where the query gives two coordinates."""

    kind: ClassVar[Kind] = "geometry"
    centre: Value
    radius: Value
    coordsys: String | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class Box:
    """`centre` is a Point also where the query gives two coordinates."""

    kind: ClassVar[Kind] = "geometry"
    centre: Value
    width: Value
    height: Value
    coordsys: String | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class Polygon:
    """`vertices` are Points also where the query gives pairs of coordinates."""

    kind: ClassVar[Kind] = "geometry"
    vertices: tuple[Value, ...]
    coordsys: String | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class Region:
    """`REGION('STC-S')`."""

    kind: ClassVar[Kind] = "geometry"
    text: String
    at: int = Position


@dataclass(frozen=True, slots=True)
class Centroid:
    kind: ClassVar[Kind] = "geometry"
    geometry: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class GeometryProperty:
    """AREA, COORD1 or COORD2 (numbers) of a geometry."""

    kind: ClassVar[Kind] = "number"
    name: str
    geometry: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class CoordSys:
    kind: ClassVar[Kind] = "string"
    geometry: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class GeometryPredicate:
    """CONTAINS or INTERSECTS: the number 1 if so, else 0."""

    kind: ClassVar[Kind] = "number"
    name: Literal["CONTAINS", "INTERSECTS"]
    first: Value
    second: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class Distance:
    """Angular distance of two points; Points also where the query gives four coordinates."""

    kind: ClassVar[Kind] = "number"
    first: Value
    second: Value
    at: int = Position


Geometry: TypeAlias = Point | Circle | Box | Polygon | Region | Centroid

Value: TypeAlias = (
    Number
    | String
    | Null
    | ColumnReference
    | Signed
    | Arithmetic
    | Concatenation
    | SetFunction
    | NumericFunction
    | StringFunction
    | Coalesce
    | Cast
    | InUnit
    | UserFunction
    | Geometry
    | GeometryProperty
    | CoordSys
    | GeometryPredicate
    | Distance
)


# Conditions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of `= <> < > <= >=` (`!=` is written `<>`)."""

    kind: ClassVar[Kind] = "truth"
    operator: str
    left: Value
    right: Value
    at: int = Position


@dataclass(frozen=True, slots=True)
class Between:
    kind: ClassVar[Kind] = "truth"
    value: Value
    low: Value
    high: Value
    negated: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class InList:
    kind: ClassVar[Kind] = "truth"
    value: Value
    items: tuple[Value, ...]
    negated: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class InQuery:
    kind: ClassVar[Kind] = "truth"
    value: Value
    query: QueryExpression
    negated: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class Like:
    kind: ClassVar[Kind] = "truth"
    value: Value
    pattern: Value
    negated: bool = False
    ignore_case: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class IsNull:
    kind: ClassVar[Kind] = "truth"
    value: Value
    negated: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class Exists:
    kind: ClassVar[Kind] = "truth"
    query: QueryExpression
    at: int = Position


@dataclass(frozen=True, slots=True)
class And:
    kind: ClassVar[Kind] = "truth"
    conditions: tuple[Condition, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class Or:
    kind: ClassVar[Kind] = "truth"
    conditions: tuple[Condition, ...]
    at: int = Position


@dataclass(frozen=True, slots=True)
class Not:
    kind: ClassVar[Kind] = "truth"
    condition: Condition
    at: int = Position


Condition: TypeAlias = Comparison | Between | InList | InQuery | Like | IsNull | Exists | And | Or | Not


# Tables --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A published table, an upload, or a common table expression."""

    name: TableName
    alias: Identifier | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class DerivedTable:
    """`(query) [AS] alias`."""

    query: QueryExpression
    alias: Identifier
    at: int = Position


@dataclass(frozen=True, slots=True)
class Join:
    """`left [NATURAL] [type] JOIN right [ON condition | USING (columns)]`."""

    left: TableReference
    right: TableReference
    type: Literal["INNER", "LEFT", "RIGHT", "FULL"] = "INNER"
    natural: bool = False
    condition: Condition | None = None
    using: tuple[Identifier, ...] = ()
    at: int = Position


TableReference: TypeAlias = NamedTable | DerivedTable | Join


# Queries -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AllColumns:
    """`*` or `table.*` in a select list."""

    table: TableName | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class SelectItem:
    """`value [AS alias]`."""

    value: Value
    alias: Identifier | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class Select:
    items: tuple[AllColumns | SelectItem, ...]
    tables: tuple[TableReference, ...]
    where: Condition | None = None
    group_by: tuple[Value, ...] = ()
    having: Condition | None = None
    distinct: bool = False
    top: int | None = None
    at: int = Position


@dataclass(frozen=True, slots=True)
class SetOperation:
    """`first (operator [ALL] query)...`, from left to right; INTERSECT never shares a chain with UNION and EXCEPT."""

    first: QueryBody
    steps: tuple[tuple[Literal["UNION", "EXCEPT", "INTERSECT"], bool, QueryBody], ...]
    """Operator, whether ALL, and the query on its right."""
    at: int = Position


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """A column number of the result (`Number`), or an expression."""

    value: Value
    descending: bool = False
    at: int = Position


@dataclass(frozen=True, slots=True)
class QueryExpression:
    """A query with its order; as a subquery, an operand of a set operation, or the whole."""

    body: QueryBody
    order_by: tuple[OrderTerm, ...] = ()
    offset: int | None = None
    at: int = Position


QueryBody: TypeAlias = Select | SetOperation | QueryExpression


@dataclass(frozen=True, slots=True)
class CommonTable:
    """`name AS (query)` of a WITH clause."""

    name: Identifier
    query: QueryExpression
    at: int = Position


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query; `text` is what was parsed, for messages."""

    expression: QueryExpression
    common_tables: tuple[CommonTable, ...] = ()
    text: str = field(compare=False, default="")
    at: int = Position
