"""Trees written as text and parsed again; texts of any kind, which either parse or get an AdqlError."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap.adql import AdqlError, parse, tree

CANONICAL = Path(__file__).parents[1] / "data" / "adql" / "canonical.adql"

patient = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


# The writer: every group of operands in parentheses, words in upper case, defaults left out ---------------------------


def listed(nodes: tuple[tree.Value, ...]) -> str:
    return ", ".join(written(node) for node in nodes)


def identifier(name: tree.Identifier) -> str:
    return '"' + name.name.replace('"', '""') + '"' if name.delimited else name.name


def dotted(parts: tuple[tree.Identifier, ...]) -> str:
    return ".".join(identifier(part) for part in parts)


def shape(name: str, coordsys: tree.String | None, *arguments: tree.Value) -> str:
    return f"{name}({listed(((coordsys,) if coordsys else ()) + arguments)})"


def negation(negated: bool) -> str:
    return "NOT " if negated else ""


def written(node: tree.Value | tree.Condition) -> str:  # noqa: C901, PLR0912
    """A value or condition as ADQL."""
    match node:
        case tree.Number(text):
            return text
        case tree.String(value):
            return "'" + value.replace("'", "''") + "'"
        case tree.Null():
            return "NULL"
        case tree.ColumnReference(parts):
            return dotted(parts)
        case tree.Signed(sign, operand):
            return f"{sign}({written(operand)})"
        case tree.Arithmetic(first, steps):
            return f"({' '.join([written(first), *(f'{sign} {written(operand)}' for sign, operand in steps)])})"
        case tree.Concatenation(operands):
            return f"({' || '.join(written(operand) for operand in operands)})"
        case tree.SetFunction(name, argument, distinct):
            return f"{name}({'DISTINCT ' if distinct else ''}{written(argument) if argument else '*'})"
        case (
            tree.NumericFunction(name, arguments)
            | tree.StringFunction(name, arguments)
            | tree.UserFunction(name, arguments)
        ):
            return f"{name}({listed(arguments)})"
        case tree.Coalesce(arguments):
            return f"COALESCE({listed(arguments)})"
        case tree.Cast(operand, type_, length):
            return f"CAST({written(operand)} AS {type_}{f'({length})' if length else ''})"
        case tree.InUnit(operand, unit):
            return f"IN_UNIT({written(operand)}, {written(unit)})"
        case tree.Point(first, second, coordsys):
            return shape("POINT", coordsys, first, second)
        case tree.Circle(centre, radius, coordsys):
            return shape("CIRCLE", coordsys, centre, radius)
        case tree.Box(centre, width, height, coordsys):
            return shape("BOX", coordsys, centre, width, height)
        case tree.Polygon(vertices, coordsys):
            return shape("POLYGON", coordsys, *vertices)
        case tree.Region(text_):
            return f"REGION({written(text_)})"
        case tree.Centroid(geometry):
            return f"CENTROID({written(geometry)})"
        case tree.GeometryProperty(name, geometry):
            return f"{name}({written(geometry)})"
        case tree.CoordSys(geometry):
            return f"COORDSYS({written(geometry)})"
        case tree.GeometryPredicate(name, first, second):
            return f"{name}({written(first)}, {written(second)})"
        case tree.Distance(first, second):
            return f"DISTANCE({written(first)}, {written(second)})"
        case tree.Comparison(operator, left, right):
            return f"{written(left)} {operator} {written(right)}"
        case tree.Between(value, low, high, negated):
            return f"{written(value)} {negation(negated)}BETWEEN {written(low)} AND {written(high)}"
        case tree.InList(value, items, negated):
            return f"{written(value)} {negation(negated)}IN ({listed(items)})"
        case tree.InQuery(value, query, negated):
            return f"{written(value)} {negation(negated)}IN ({expression(query)})"
        case tree.Like(value, pattern, negated, ignore_case):
            return f"{written(value)} {negation(negated)}{'ILIKE' if ignore_case else 'LIKE'} {written(pattern)}"
        case tree.IsNull(value, negated):
            return f"{written(value)} IS {negation(negated)}NULL"
        case tree.Exists(query):
            return f"EXISTS ({expression(query)})"
        case tree.And(conditions):
            return f"({' AND '.join(written(condition) for condition in conditions)})"
        case tree.Or(conditions):
            return f"({' OR '.join(written(condition) for condition in conditions)})"
        case tree.Not(tree.Not() as condition):
            return f"NOT ({written(condition)})"
        case tree.Not(condition):
            return f"NOT {written(condition)}"


def table(node: tree.TableReference) -> str:
    match node:
        case tree.NamedTable(name, alias):
            return dotted(name.parts) + (f" AS {identifier(alias)}" if alias else "")
        case tree.DerivedTable(query, alias):
            return f"({expression(query)}) AS {identifier(alias)}"
        case tree.Join(left, right, kind, natural, condition, using):
            on = f" ON {written(condition)}" if condition else ""
            named = f" USING ({', '.join(map(identifier, using))})" if using else ""
            return f"({table(left)} {'NATURAL ' if natural else ''}{kind} JOIN {table(right)}{on}{named})"


def item(node: tree.AllColumns | tree.SelectItem) -> str:
    if isinstance(node, tree.AllColumns):
        return f"{dotted(node.table.parts)}.*" if node.table else "*"
    return written(node.value) + (f" AS {identifier(node.alias)}" if node.alias else "")


def body(node: tree.QueryBody) -> str:
    match node:
        case tree.QueryExpression():
            return f"({expression(node)})"
        case tree.SetOperation(first, steps):
            return body(first) + "".join(f" {name}{' ALL' if all_ else ''} {body(b)}" for name, all_, b in steps)
        case tree.Select(items, tables, where, group_by, having, distinct, top):
            parts = ["SELECT", "DISTINCT" if distinct else "", "" if top is None else f"TOP {top}"]
            parts += [", ".join(map(item, items)), "FROM", ", ".join(map(table, tables))]
            parts += [f"WHERE {written(where)}" if where else "", f"GROUP BY {listed(group_by)}" if group_by else ""]
            return " ".join(part for part in [*parts, f"HAVING {written(having)}" if having else ""] if part)


def expression(node: tree.QueryExpression) -> str:
    terms = ", ".join(written(term.value) + (" DESC" if term.descending else "") for term in node.order_by)
    offset = "" if node.offset is None else f" OFFSET {node.offset}"
    return body(node.body) + (f" ORDER BY {terms}" if terms else "") + offset


def query(node: tree.Query) -> str:
    common = ", ".join(f"{identifier(c.name)} AS ({expression(c.query)})" for c in node.common_tables)
    return (f"WITH {common} " if common else "") + expression(node.expression)


# Trees of every shape that the grammar allows -------------------------------------------------------------------------

regular = st.sampled_from(["a", "Ra", "t1", "x_y_2"])
identifiers = st.builds(tree.Identifier, regular) | st.builds(
    tree.Identifier, st.sampled_from(["a b", "select", "x", '"', "größe", "--", "1\n2"]), delimited=st.just(True)
)
strings = st.builds(tree.String, st.sampled_from(["", "x", "it's", "''", '"a"', "--\n--", "漢"]))
coordsys = st.none() | st.just(tree.String("ICRS"))
integers = st.integers(0, 10**18 - 1).map(lambda n: tree.Number(str(n), exact=True))
reals = st.sampled_from(["1.", ".5", "0.25", "1e3", "2.E-4", "1.5e+10"]).map(lambda t: tree.Number(t, exact=False))
columns = st.lists(identifiers, min_size=1, max_size=4).map(lambda parts: tree.ColumnReference(tuple(parts)))


T = TypeVar("T")
Steps = tuple[tuple[str, tree.Value], ...]


def several(strategy: st.SearchStrategy[tree.Value], least: int = 0) -> st.SearchStrategy[tuple[tree.Value, ...]]:
    return st.lists(strategy, min_size=least, max_size=least + 1).map(tuple)


def tuple_of(pairs: list[tuple[str, tree.Value]]) -> Steps:
    return tuple(pairs)


def steps(operators: str, operands: st.SearchStrategy[tree.Value]) -> st.SearchStrategy[Steps]:
    return st.lists(st.tuples(st.sampled_from(operators), operands), min_size=1, max_size=3).map(tuple_of)


def seldom(rare: st.SearchStrategy[T], usual: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Keeps trees small: what has parts is rarer than what has none."""
    return st.integers(0, 9).flatmap(lambda n: rare if n > 6 else usual)


Values = st.SearchStrategy[tree.Value]
values: Values = st.deferred(lambda: numbers | words | geometries | st.just(tree.Null()))
anything: Values = st.deferred(
    lambda: (
        st.builds(tree.UserFunction, regular, several(values))
        | st.builds(tree.SetFunction, st.sampled_from(["COUNT", "AVG", "MAX"]), values, st.booleans())
        | st.just(tree.SetFunction("COUNT", None))
        | st.builds(tree.Coalesce, several(values, 1))
    )
)
compound_numbers: Values = st.deferred(
    lambda: (
        anything
        | st.builds(tree.Signed, st.sampled_from(["+", "-"]), numbers)
        | st.builds(tree.Arithmetic, numbers, steps("+-", numbers) | steps("*/", numbers))
        | st.builds(tree.NumericFunction, st.sampled_from(["ABS", "LOG10", "TAN"]), numbers.map(lambda x: (x,)))
        | st.builds(tree.NumericFunction, st.sampled_from(["MOD", "ATAN2"]), st.tuples(numbers, numbers))
        | st.builds(tree.Cast, values, st.sampled_from(["SMALLINT", "BIGINT", "DOUBLE PRECISION"]))
        | st.builds(tree.InUnit, numbers, strings)
        | st.builds(tree.GeometryProperty, st.sampled_from(["AREA", "COORD1", "COORD2"]), geometries)
        | st.builds(tree.GeometryPredicate, st.sampled_from(["CONTAINS", "INTERSECTS"]), geometries, geometries)
        | st.builds(tree.Distance, points, points)
    )
)
compound_words: Values = st.deferred(
    lambda: (
        anything
        | st.builds(tree.Concatenation, st.lists(words | integers, min_size=2, max_size=3).map(tuple))
        | st.builds(tree.StringFunction, st.sampled_from(["LOWER", "UPPER"]), words.map(lambda x: (x,)))
        | st.builds(tree.Cast, values, st.sampled_from(["CHAR", "VARCHAR"]), st.none() | st.integers(1, 99))
        | st.builds(tree.CoordSys, geometries)
    )
)
point: Values = st.deferred(lambda: st.builds(tree.Point, numbers, numbers, coordsys))
regions: Values = st.deferred(
    lambda: (
        st.builds(tree.Circle, points, numbers, coordsys)
        | st.builds(tree.Box, points, numbers, numbers, coordsys)
        | st.builds(tree.Polygon, st.tuples(point, points, points) | st.tuples(columns, columns, columns), coordsys)
        | st.builds(tree.Region, strings)
        | st.builds(tree.Cast, values, st.sampled_from(["POINT", "CIRCLE", "POLYGON"]))
    )
)
numbers: Values = seldom(compound_numbers, integers | reals | columns)
words: Values = seldom(compound_words, strings | columns)
points: Values = seldom(point | st.deferred(lambda: st.builds(tree.Centroid, geometries)), columns)
geometries: Values = seldom(regions, points)

comparisons: st.SearchStrategy[tree.Condition] = (
    st.builds(tree.Comparison, st.sampled_from("= <> < > <= >=".split()), values, values)
    | st.builds(tree.Between, values, values, values, st.booleans())
    | st.builds(tree.InList, values, several(values, 1), st.booleans())
    | st.builds(tree.Like, values, words, st.booleans(), st.booleans())
    | st.builds(tree.IsNull, values, st.booleans())
)
compound_conditions: st.SearchStrategy[tree.Condition] = st.deferred(
    lambda: (
        st.builds(tree.InQuery, values, expressions, st.booleans())
        | st.builds(tree.Exists, expressions)
        | st.builds(tree.And, st.lists(conditions, min_size=2, max_size=3).map(tuple))
        | st.builds(tree.Or, st.lists(conditions, min_size=2, max_size=3).map(tuple))
        | st.builds(tree.Not, conditions)
    )
)
conditions: st.SearchStrategy[tree.Condition] = seldom(compound_conditions, comparisons)

table_names = st.lists(identifiers, min_size=1, max_size=3).map(lambda parts: tree.TableName(tuple(parts)))
join_types = st.sampled_from(["INNER", "LEFT", "RIGHT", "FULL"])
named_tables: st.SearchStrategy[tree.TableReference] = st.builds(tree.NamedTable, table_names, st.none() | identifiers)
compound_tables: st.SearchStrategy[tree.TableReference] = st.deferred(
    lambda: (
        st.builds(tree.DerivedTable, expressions, identifiers)
        | st.builds(tree.Join, tables, tables, join_types, st.booleans())
        | st.builds(tree.Join, tables, tables, join_types, condition=conditions)
        | st.builds(tree.Join, tables, tables, join_types, using=st.lists(identifiers, min_size=1).map(tuple))
    )
)
tables: st.SearchStrategy[tree.TableReference] = seldom(compound_tables, named_tables)
items = (
    st.just(tree.AllColumns())
    | st.builds(tree.AllColumns, table_names)
    | st.builds(tree.SelectItem, values, st.none() | identifiers)
)
selects = st.builds(
    tree.Select,
    st.lists(items, min_size=1, max_size=2).map(tuple),
    st.lists(tables, min_size=1, max_size=2).map(tuple),
    st.none() | conditions,
    several(values),
    st.none() | conditions,
    st.booleans(),
    st.none() | st.integers(0, 10**6),
)
expressions: st.SearchStrategy[tree.QueryExpression] = st.deferred(
    lambda: st.builds(
        tree.QueryExpression,
        seldom(intersections | unions | expressions, selects),
        st.lists(st.builds(tree.OrderTerm, values, st.booleans()), max_size=2).map(tuple),
        st.none() | st.integers(0, 10**6),
    )
)


def operations(names: list[str], operands: st.SearchStrategy[tree.QueryBody]) -> st.SearchStrategy[tree.SetOperation]:
    step = st.tuples(st.sampled_from(names), st.booleans(), operands)
    return st.builds(tree.SetOperation, operands, st.lists(step, min_size=1, max_size=2).map(tuple))


intersections: st.SearchStrategy[tree.SetOperation] = st.deferred(
    lambda: operations(["INTERSECT"], selects | expressions)
)
unions: st.SearchStrategy[tree.SetOperation] = st.deferred(
    lambda: operations(["UNION", "EXCEPT"], selects | expressions | intersections)
)
queries = st.builds(
    tree.Query, expressions, st.lists(st.builds(tree.CommonTable, identifiers, expressions), max_size=2).map(tuple)
)


@patient
@given(queries)
def test_a_written_tree_is_parsed_to_itself(made: tree.Query) -> None:
    assert parse(query(made)) == made


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_character_may_stand_in_quotes(text: str) -> None:
    name, string = tree.Identifier(text, delimited=True), tree.String(text)
    parsed = parse(f"SELECT {written(string)} AS {identifier(name)} FROM t").expression.body
    assert isinstance(parsed, tree.Select)
    assert parsed.items == (tree.SelectItem(string, name),)


PAIRS = [
    tuple(block.splitlines())
    for block in CANONICAL.read_text(encoding="utf-8").strip().split("\n\n")
    if not block.startswith("#")
]


@pytest.mark.parametrize(("written_by_hand", "canonical"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_canonical_form(written_by_hand: str, canonical: str) -> None:
    parsed = parse(written_by_hand)
    assert query(parsed) == canonical
    assert parse(canonical) == parsed


# Anything else --------------------------------------------------------------------------------------------------------

SCRAPS = [
    *"( ) ( ) , , . * + - / || = <> < >= ; 1 .5 2e3 'x' \"x\" a b t -- \n % \0 é".split(" "),
    *"SELECT FROM WHERE AND OR NOT IN BETWEEN LIKE IS NULL EXISTS JOIN NATURAL ON USING UNION INTERSECT".split(),
    *"AS GROUP BY HAVING ORDER DESC OFFSET TOP DISTINCT WITH COUNT CAST COALESCE IN_UNIT ABS ROUND RAND PI".split(),
    *"POINT CIRCLE BOX POLYGON REGION CENTROID AREA COORDSYS CONTAINS DISTANCE LOWER REAL CHAR DOUBLE SIZE".split(),
]


def assert_tree_or_error(text: str) -> None:
    """An error has a place within the text, and can be sent."""
    try:
        parse(text)
    except AdqlError as refused:
        error = refused
    else:
        return
    assert 1 <= error.line <= text.count("\n") + 1
    assert 1 <= error.column <= len(text) + 1
    assert error.message.encode()


@given(st.lists(st.sampled_from(SCRAPS), max_size=30).map(" ".join))
def test_any_words_are_parsed_or_refused(text: str) -> None:
    assert_tree_or_error(text)
    assert_tree_or_error(f"SELECT a FROM t WHERE {text}")


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    assert_tree_or_error(text)
    assert_tree_or_error(f"SELECT {text} FROM t")


@given(st.sampled_from([pair[0] for pair in PAIRS]), st.data())
def test_damaged_queries_are_parsed_or_refused(text: str, data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    assert_tree_or_error(text[:first] + data.draw(st.sampled_from(SCRAPS)) + text[second:])
