"""Last pass: the bound tree as SQL for PostgreSQL.

The text holds names of the catalogue, quoted, names of our own making, and literals; nothing as the user wrote it.
Every operation stands in parentheses, so that precedence is the tree's. Dashes are followed by a blank, so that no
comment begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, cast

from tap.translate.bound import (
    Between,
    Box,
    Call,
    Circle,
    Comparison,
    Condition,
    Constant,
    Conversion,
    Distance,
    Element,
    Entry,
    Exists,
    Expression,
    FirstNotNull,
    InQuery,
    InValues,
    IsNull,
    Join,
    Junction,
    Like,
    Moc,
    MocEntry,
    NamedQueryEntry,
    Negation,
    Not,
    Operation,
    Ordering,
    Output,
    Point,
    Polygon,
    PolygonRangesEntry,
    Query,
    QueryEntry,
    RangesEntry,
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
from tap.translate.relations import Operand, relation_sql
from tap.translate.shapes import shape_of
from tap.translate.types import GEOMETRIES, kind_of
from vo_service.database.arrow import sql_type
from vo_service.sky import moc, predicates
from vo_service.sky.shapes import Polygon as PolygonShape

_BAND_MARGIN: Final = predicates.literal(1e-9)
"""Degrees by which a band of declinations is wider than its cone, so that no rounding loses a row."""


def emit(query: Query) -> str:
    """The SQL of a whole query."""
    named = ", ".join(f"{name} AS ({_query(common)})" for name, common in query.named)
    return f"WITH {named} {_query(query)}" if named else _query(query)


# Queries --------------------------------------------------------------------------------------------------------------


def _query(query: Query) -> str:
    body = query.body
    clauses = [_select(body) if isinstance(body, Select) else _set_operation(body)]
    if query.order_by:
        clauses.append("ORDER BY " + ", ".join(map(_ordering, query.order_by)))
    if query.limit is not None:
        clauses.append(f"LIMIT {query.limit}")
    if query.offset is not None:
        clauses.append(f"OFFSET {query.offset}")
    return " ".join(clauses)


def _select(select: Select) -> str:
    outputs = [f"{_output(output)} AS {output_name(place)}" for place, output in enumerate(select.outputs)]
    outputs += [f"{_reference(carried.hpx)} AS {carried_name(place)}" for place, carried in enumerate(select.carried)]
    clauses = [f"SELECT {'DISTINCT ' if select.distinct else ''}{', '.join(outputs)}"]
    clauses.append("FROM " + ", ".join(map(_entry, select.entries)))
    if select.where is not None:
        clauses.append(f"WHERE {condition(select.where)}")
    if select.group_by:
        clauses.append("GROUP BY " + ", ".join(map(expression, select.group_by)))
    if select.having is not None:
        clauses.append(f"HAVING {condition(select.having)}")
    return " ".join(clauses)


def _set_operation(operation: SetOperation) -> str:
    sql = f"({_query(operation.first)})"
    for word, keeps_all, query in operation.steps:
        sql = f"{sql} {word}{' ALL' if keeps_all else ''} ({_query(query)})"
    return sql


def _output(output: Output) -> str:
    """A column of the result, in the type that is promised for it: PostgreSQL has its own idea of literals and sums."""
    sql = expression(output.expression)
    wanted = sql_type(output.column)
    as_told = not isinstance(output.expression, Constant | Operation | Negation | FirstNotNull)
    return sql if as_told and sql_type(output.expression.column) == wanted else f"CAST({sql} AS {wanted})"


def _ordering(ordering: Ordering) -> str:
    by = str(ordering.by + 1) if isinstance(ordering.by, int) else expression(ordering.by)
    return f"{by} DESC" if ordering.descending else by


def _entry(entry: Entry) -> str:
    match entry:
        case TableEntry():
            schema, name = entry.table.sql_name
            return f"{_quoted(schema)}.{_quoted(name)} AS {entry.alias}"
        case QueryEntry():
            return f"({_query(entry.query)}) AS {entry.alias}"
        case NamedQueryEntry():
            return f"{entry.name} AS {entry.alias}"
        case Join():
            on = condition(entry.condition) if entry.condition is not None else "TRUE"
            return f"({_entry(entry.left)} {entry.kind} JOIN {_entry(entry.right)} ON {on})"
        case RangesEntry():
            around = _reference(entry.hpx) if entry.hpx is not None else _coordinates(entry.centre)
            return _ranges(entry.alias, f"adql.disc_ranges({around}, CAST({expression(entry.radius)} AS float8))")
        case MocEntry():
            first, last = entry.moc.value.array.T
            ranges = f"{predicates.bigints(first)}, {predicates.bigints(last - 1)}"
            return f"unnest({ranges}) AS {entry.alias} (first, last)"
        case PolygonRangesEntry():
            bounds = f"(SELECT adql.polygon_circle({expression(entry.polygon)}) AS c OFFSET 0) AS b"
            return _ranges(entry.alias, "adql.disc_ranges(b.c[1], b.c[2], b.c[3])", f" FROM {bounds}")


def _ranges(alias: str, call: str, source: str = "") -> str:
    """A row with ranges; OFFSET 0 keeps the call from being repeated for each of them."""
    return f"LATERAL (SELECT {call} AS r{source} OFFSET 0) AS {alias}"


# Expressions ----------------------------------------------------------------------------------------------------------


def expression(node: Expression) -> str:
    """The SQL of an expression."""
    return _EXPRESSIONS[type(node)](node)


def _reference(node: Reference) -> str:
    return f"{node.entry}.{_quoted(node.name)}"


def _constant(node: Constant) -> str:
    match node.value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if node.value else "FALSE"
        case int():
            return str(node.value)
        case float():
            return predicates.literal(node.value)
        case str():
            return f"{_text(node.value)}::{sql_type(node.column)}"


def _negation(node: Negation) -> str:
    return f"(- {expression(node.operand)})"


def _operation(node: Operation) -> str:
    steps = (f" {operator} {expression(operand)}" for operator, operand in node.steps)
    return f"({expression(node.first)}{''.join(steps)})"


def _call(node: Call) -> str:
    template = node.function.template([argument.column for argument in node.arguments])
    return template.format(
        *map(expression, node.arguments),
        type=sql_type(node.column),
        distinct="DISTINCT " if node.distinct else "",
    )


def _conversion(node: Conversion) -> str:
    sql, target = expression(node.operand), node.column
    source, wanted = kind_of(node.operand), kind_of(node)
    if source == "timestamp" and wanted == "string":
        sql = f"to_char({sql}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
    elif source == "boolean":
        sql = f"CAST({sql} AS integer)"
    elif source == "string" and wanted in GEOMETRIES and wanted != "moc":
        sql = f"string_to_array(regexp_replace(trim({sql}), '\\s+', ' ', 'g'), ' ')"
    elif source in GEOMETRIES and source != "moc" and wanted == "string":
        sql = f"array_to_string({sql}, ' ')"
    sql = f"CAST({sql} AS {sql_type(target)})"
    if target.arraysize and target.arraysize[:-1].isdigit():
        return f"left({sql}, {target.arraysize[:-1]})"
    return sql


def _first_not_null(node: FirstNotNull) -> str:
    return f"COALESCE({', '.join(map(expression, node.operands))})"


def _point(node: Point) -> str:
    return _numbers(node.ra, node.dec)


def _circle(node: Circle) -> str:
    return _numbers(node.centre.ra, node.centre.dec, node.radius)


def _numbers(*nodes: Expression) -> str:
    """An array; NULL if one of the numbers is, as a geometry with a part missing is none."""
    parts = [expression(node) for node in nodes]
    missing = " OR ".join(f"{part} IS NULL" for part in parts)
    return f"CASE WHEN NOT ({missing}) THEN CAST(ARRAY[{', '.join(parts)}] AS double precision[]) END"


def _polygon(node: Polygon) -> str:
    return _numbers(*(number for vertex in node.vertices for number in (vertex.ra, vertex.dec)))


def _box(node: Box) -> str:
    return f"adql.box({_coordinates(node.centre)}, {expression(node.width)}, {expression(node.height)})"


def _moc(node: Moc) -> str:
    return f"'{moc.moc_text(node.value)}'::text"


def _element(node: Element) -> str:
    return f"({expression(node.array)})[{node.place}]"


def _coordinates(node: Point) -> str:
    return f"{expression(node.ra)}, {expression(node.dec)}"


def _relation(node: Relation) -> str:
    return f"CAST({relation_sql(node.name, _operand(node.first), _operand(node.second))} AS integer)"


def _operand(node: Expression) -> Operand:
    kind = kind_of(node)
    if isinstance(node, Point):
        return Operand(kind, (expression(node.ra), expression(node.dec)))
    if isinstance(node, Circle):
        return Operand(kind, (*_operand(node.centre).parts, expression(node.radius)), shape_of(node))
    if isinstance(node, Moc):
        return Operand(kind, (predicates.multirange(node.value.array),))
    shape = shape_of(node)
    if isinstance(shape, PolygonShape):
        return Operand(kind, (predicates.array(shape.numbers),), shape)
    return Operand(kind, (f"adql.moc({expression(node)})" if kind == "moc" else expression(node),))


def _distance(node: Distance) -> str:
    return _separation(node.first, node.second)


def _separation(first: Point, second: Point) -> str:
    return predicates.separation_sql(
        expression(first.ra), expression(first.dec), expression(second.ra), expression(second.dec)
    )


_EXPRESSIONS: Final[dict[type, Callable[[Any], str]]] = {
    Reference: _reference,
    Constant: _constant,
    Negation: _negation,
    Operation: _operation,
    Call: _call,
    Conversion: _conversion,
    FirstNotNull: _first_not_null,
    Point: _point,
    Circle: _circle,
    Polygon: _polygon,
    Box: _box,
    Moc: _moc,
    Element: _element,
    Relation: _relation,
    Distance: _distance,
}

# Conditions -----------------------------------------------------------------------------------------------------------


def condition(node: Condition) -> str:
    """The SQL of a condition, in parentheses."""
    return f"({_CONDITIONS[type(node)](node)})"


def _comparison(node: Comparison) -> str:
    return f"{expression(node.left)} {node.operator} {expression(node.right)}"


def _junction(node: Junction) -> str:
    return f" {node.operator} ".join(map(condition, node.terms))


def _not(node: Not) -> str:
    return f"NOT {condition(node.condition)}"


def _between(node: Between) -> str:
    return f"{expression(node.value)} BETWEEN {expression(node.low)} AND {expression(node.high)}"


def _in_values(node: InValues) -> str:
    return f"{expression(node.value)} IN ({', '.join(map(expression, node.values))})"


def _in_query(node: InQuery) -> str:
    return f"{expression(node.value)} IN ({_query(node.query)})"


def _like(node: Like) -> str:
    """Without ESCAPE '' a backslash would be special in PostgreSQL; in ADQL it is a character as any other."""
    return f"{expression(node.value)} {node.operator} {expression(node.pattern)} ESCAPE ''"


def _is_null(node: IsNull) -> str:
    return f"{expression(node.value)} IS NULL"


def _exists(node: Exists) -> str:
    return f"EXISTS ({_query(node.query)})"


def _within_cone(node: WithinCone) -> str:
    ra, dec = expression(node.position.ra), expression(node.position.dec)
    if node.hpx is None:
        return _near(node, ra, dec)
    if node.ranges is not None:
        return f"{predicates.in_listed_ranges(_reference(node.hpx), f'{node.ranges}.r')} AND {_near(node, ra, dec)}"
    centre_ra, centre_dec = cast("float", value_of(node.centre.ra)), cast("float", value_of(node.centre.dec))
    return predicates.within_cone(_reference(node.hpx), ra, dec, centre_ra, centre_dec, cast("float", _closed(node)))


def _near(node: WithinCone, ra: str, dec: str) -> str:
    """The exact test, after one of the declinations alone: six times faster where every pair of rows is looked at.

    The right ascensions add nothing to it but that it is NULL where they are.
    """
    centre_ra, centre_dec, radius = map(expression, (node.centre.ra, node.centre.dec, node.radius))
    angle = _closed(node)
    if angle is not None and angle < 180:
        exact = predicates.exact_within_cone(ra, dec, centre_ra, centre_dec, angle)
    else:
        exact = f"{_separation(node.position, node.centre)} {'<' if node.open else '<='} {radius}"
    band = f"{radius} + {_BAND_MARGIN}"
    near = f"{dec} + 0 * ({ra} - {centre_ra})"
    return f"{near} BETWEEN {centre_dec} - ({band}) AND {centre_dec} + ({band}) AND {exact}"


def _closed(node: WithinCone) -> float | None:
    """The constant radius [deg] of a cone that holds its edge: one that does not is the least bit smaller."""
    radius = value_of(node.radius)
    return math.nextafter(radius, -1) if node.open and radius is not None else radius


def _related(node: Related) -> str:
    relation = node.relation
    exact = relation_sql(relation.name, _operand(relation.first), _operand(relation.second))
    if node.hpx is None:
        return exact
    hpx, second = _reference(node.hpx), relation.second
    if isinstance(second, Moc) and node.ranges is not None:
        return predicates.between_listed(hpx, f"{node.ranges}.first", f"{node.ranges}.last")
    if isinstance(second, Moc):
        return predicates.within_moc(hpx, second.value.array)
    if kind_of(second) == "moc":
        return f"{hpx} <@ adql.moc({expression(second)})"
    if node.ranges is not None:
        return f"{predicates.in_listed_ranges(hpx, f'{node.ranges}.r')} AND {exact}"
    margin = value_of(relation.first.radius) if isinstance(relation.first, Circle) else None
    shape = shape_of(second)
    return predicates.within_shape(hpx, exact, shape, margin) if shape is not None else exact


_CONDITIONS: Final[dict[type, Callable[[Any], str]]] = {
    Comparison: _comparison,
    Junction: _junction,
    Not: _not,
    Between: _between,
    InValues: _in_values,
    InQuery: _in_query,
    Like: _like,
    IsNull: _is_null,
    Exists: _exists,
    WithinCone: _within_cone,
    Related: _related,
}

# Names and literals ---------------------------------------------------------------------------------------------------


def _quoted(name: str) -> str:
    """An identifier, exactly as it is."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A string literal, whatever standard_conforming_strings is set to."""
    quoted = "'" + value.replace("'", "''").replace("\\", "\\\\") + "'"
    return f"E{quoted}" if "\\" in value else quoted
