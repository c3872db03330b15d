"""The ADQL parser: trees, and messages."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest

from tap.adql import AdqlError, parse, tree
from vo_service.errors import UsageError

ERRORS = Path(__file__).parents[1] / "data" / "adql" / "errors.adql"


def select(query: str) -> tree.Select:
    body = parse(query).expression.body
    assert isinstance(body, tree.Select)
    return body


def value(text: str) -> tree.Value:
    (item,) = select(f"SELECT {text} FROM t").items
    assert isinstance(item, tree.SelectItem)
    return item.value


def condition(text: str) -> tree.Condition:
    where = select(f"SELECT a FROM t WHERE {text}").where
    assert where is not None
    return where


def column(name: str) -> tree.ColumnReference:
    return tree.ColumnReference((tree.Identifier(name),))


def number(text: str) -> tree.Number:
    return tree.Number(text, exact=text.isdigit())


A, B, C = column("a"), column("b"), column("c")
ONE, TWO = number("1"), number("2")

VALUES = {
    "a": A,
    "t.a": tree.ColumnReference((tree.Identifier("t"), tree.Identifier("a"))),
    '"A b""c"': tree.ColumnReference((tree.Identifier('A b"c', delimited=True),)),
    "1": ONE,
    "1.5e-3": number("1.5e-3"),
    ".5": number(".5"),
    "'it''s'": tree.String("it's"),
    "'one '\n -- comment\n 'string'": tree.String("one string"),
    "NULL": tree.Null(),
    "-a": tree.Signed("-", A),
    "a + b - c": tree.Arithmetic(A, (("+", B), ("-", C))),
    "a + b * c": tree.Arithmetic(A, (("+", tree.Arithmetic(B, (("*", C),))),)),
    "(a + b) * c": tree.Arithmetic(tree.Arithmetic(A, (("+", B),)), (("*", C),)),
    "a || 'x' || 1": tree.Concatenation((A, tree.String("x"), ONE)),
    "COUNT(*)": tree.SetFunction("COUNT", None),
    "count(DISTINCT a)": tree.SetFunction("COUNT", A, distinct=True),
    "round(a, -2)": tree.NumericFunction("ROUND", (A, tree.Signed("-", TWO))),
    "PI()": tree.NumericFunction("PI", ()),
    "LOWER(a)": tree.StringFunction("LOWER", (A,)),
    "COALESCE(a, b, 1)": tree.Coalesce((A, B, ONE)),
    "CAST(a AS DOUBLE PRECISION)": tree.Cast(A, "DOUBLE PRECISION"),
    "CAST(a AS VARCHAR(12))": tree.Cast(A, "VARCHAR", 12),
    "IN_UNIT(a, 'TeV')": tree.InUnit(A, tree.String("TeV")),
    "my_function(a, 1)": tree.UserFunction("my_function", (A, ONE)),
    "POINT('ICRS', a, b)": tree.Point(A, B, tree.String("ICRS")),
    "POINT(NULL, a, b)": tree.Point(A, B),
    "POINT('', a, b)": tree.Point(A, B),
    "CIRCLE(a, b, 1)": tree.Circle(tree.Point(A, B), ONE),
    "CIRCLE('ICRS', POINT(a, b), 1)": tree.Circle(tree.Point(A, B), ONE, tree.String("ICRS")),
    "CIRCLE(a, 1)": tree.Circle(A, ONE),
    "BOX(a, b, 1, 2)": tree.Box(tree.Point(A, B), ONE, TWO),
    "POLYGON(a, b, c)": tree.Polygon((A, B, C)),
    "POLYGON(1, 2, a, b, b, c)": tree.Polygon((tree.Point(ONE, TWO), tree.Point(A, B), tree.Point(B, C))),
    "REGION('CIRCLE 1 2 3')": tree.Region(tree.String("CIRCLE 1 2 3")),
    "CENTROID(a)": tree.Centroid(A),
    "AREA(a)": tree.GeometryProperty("AREA", A),
    "COORDSYS(a)": tree.CoordSys(A),
    "DISTANCE(a, b)": tree.Distance(A, B),
    "DISTANCE(1, 2, a, b)": tree.Distance(tree.Point(ONE, TWO), tree.Point(A, B)),
    "INTERSECTS(a, b)": tree.GeometryPredicate("INTERSECTS", A, B),
}


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    assert value(text) == VALUES[text]


CONDITIONS = {
    "a = 1": tree.Comparison("=", A, ONE),
    "a != 1": tree.Comparison("<>", A, ONE),
    "(a) < (b + 1)": tree.Comparison("<", A, tree.Arithmetic(B, (("+", ONE),))),
    "(a < b)": tree.Comparison("<", A, B),
    "a BETWEEN 1 AND 2 AND b = 1": tree.And((tree.Between(A, ONE, TWO), tree.Comparison("=", B, ONE))),
    "a NOT IN (1, 2)": tree.InList(A, (ONE, TWO), negated=True),
    "a NOT LIKE 'x%'": tree.Like(A, tree.String("x%"), negated=True),
    "a ILIKE 'x%'": tree.Like(A, tree.String("x%"), ignore_case=True),
    "a IS NOT NULL": tree.IsNull(A, negated=True),
    "a = 1 OR b = 1 AND NOT c = 1": tree.Or(
        (
            tree.Comparison("=", A, ONE),
            tree.And((tree.Comparison("=", B, ONE), tree.Not(tree.Comparison("=", C, ONE)))),
        )
    ),
    "1 = CONTAINS(a, b)": tree.Comparison("=", ONE, tree.GeometryPredicate("CONTAINS", A, B)),
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_conditions(text: str) -> None:
    assert condition(text) == CONDITIONS[text]


def test_every_clause() -> None:
    query = parse(
        "WITH w AS (SELECT a FROM t) SELECT DISTINCT TOP 5 a AS x, w.* FROM w, s.u v WHERE a > 1"
        " GROUP BY a HAVING COUNT(*) > 1 ORDER BY 1 DESC, x OFFSET 10;"
    )
    body = query.expression.body
    assert isinstance(body, tree.Select)
    assert [table.name.name for table in query.common_tables] == ["w"]
    assert (body.distinct, body.top, query.expression.offset) == (True, 5, 10)
    assert [term.descending for term in query.expression.order_by] == [True, False]
    assert isinstance(body.items[1], tree.AllColumns)
    assert len(body.tables) == 2


def test_intersect_binds_tighter_than_union() -> None:
    body = parse("SELECT a FROM t UNION ALL SELECT a FROM u INTERSECT SELECT a FROM v").expression.body
    assert isinstance(body, tree.SetOperation)
    ((operator, keeps_duplicates, right),) = body.steps
    assert (operator, keeps_duplicates) == ("UNION", True)
    assert isinstance(right, tree.SetOperation)
    assert right.steps[0][0] == "INTERSECT"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("t JOIN u ON t.a = u.a", tree.Join),
        ("(t JOIN u USING (a))", tree.Join),
        ("(SELECT a FROM t) AS x", tree.DerivedTable),
        ("((SELECT a FROM t)) x", tree.DerivedTable),
        ("((SELECT a FROM t) UNION (SELECT a FROM u)) x", tree.DerivedTable),
        ("((SELECT a FROM t) AS x NATURAL JOIN u)", tree.Join),
        ("s.t AS x", tree.NamedTable),
    ],
)
def test_tables(source: str, kind: type) -> None:
    (table,) = select(f"SELECT * FROM {source}").tables
    assert isinstance(table, kind)


def refused_queries() -> list[tuple[str, str]]:
    """Queries and their messages, of `tests/data/adql/errors.adql`."""
    blocks = ERRORS.read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [block.split("\n!! ", maxsplit=1) for block in blocks if not block.startswith("#")]
    return [(query, message.replace("\n!! ", "\n")) for query, message in pairs]


@pytest.mark.parametrize(("query", "message"), refused_queries())
def test_messages(query: str, message: str) -> None:
    with pytest.raises(AdqlError) as caught:
        parse(query)
    assert caught.value.message == message


FORBIDDEN = {
    "SELECT a\0 FROM t": (1, 9, "U+0000"),
    "SELECT a FROM t\nWHERE a = 'x\0'": (2, 13, "U+0000"),
    "SELECT a -- \0\nFROM t": (1, 13, "U+0000"),
    'SELECT "\ud800" FROM t': (1, 9, "U+D800"),
    "SELECT a FROM t WHERE a = '\udfff'": (1, 28, "U+DFFF"),
}


@pytest.mark.parametrize("query", FORBIDDEN, ids=ascii)
def test_characters_that_no_database_stores(query: str) -> None:
    line, column, name = FORBIDDEN[query]
    with pytest.raises(AdqlError, match=re.escape(name)) as caught:
        parse(query)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.message.encode()


def test_messages_hold_no_control_characters() -> None:
    with pytest.raises(AdqlError) as caught:
        parse("SELECT a FROM t WHERE a = 'x' 'a\nb\x1b[31m\u202e'")
    assert all(line.isprintable() for line in caught.value.message.splitlines())
    assert len(caught.value.message.splitlines()) == 3


def test_the_caret_stands_below_its_place_in_a_long_line() -> None:
    query = "SELECT " + "a, " * 100 + "? " + ", a" * 100 + " FROM t"
    with pytest.raises(AdqlError) as caught:
        parse(query)
    _, shown, caret = caught.value.message.splitlines()
    assert shown[caret.index("^")] == "?"
    assert shown.startswith("... ")
    assert shown.endswith(" ...")


def nested(times: int, before: str, opening: str, inner: str, closing: str, after: str = "") -> str:
    return before + opening * times + inner + closing * times + after


NESTINGS: dict[str, tuple[int, tuple[str, ...]]] = {
    "conditions": (64, ("SELECT a FROM t WHERE ", "NOT (", "a = 1", ")")),
    "values": (64, ("SELECT ", "1 + 2 * -(", "a", ")", " FROM t")),
    "functions": (64, ("SELECT ", "1 + 2 * -ABS(", "a", ")", " FROM t")),
    "user functions": (64, ("SELECT ", "f(", "a", ")", " FROM t")),
    "geometry": (63, ("SELECT ", "CENTROID(", "CIRCLE(a, 1)", ")", " FROM t")),
    "casts": (64, ("SELECT ", "CAST(", "a", " AS REAL)", " FROM t")),
    "joins": (64, ("SELECT a FROM ", "(t JOIN ", "u", ")")),
    "queries": (64, ("", "(", "SELECT a FROM t", ")")),
    "set operations": (64, ("", "(SELECT a FROM t UNION SELECT a FROM t INTERSECT ", "SELECT a FROM t", ")")),
    "subqueries in FROM": (31, ("SELECT a FROM ", "(SELECT a FROM ", "t", ") AS x")),
    "subqueries after IN": (31, ("SELECT a FROM t HAVING ", "NOT a IN (SELECT a FROM t HAVING ", "a = 1", ")")),
    "subqueries in ON": (31, ("SELECT a FROM t JOIN t ON ", "a IN (SELECT a FROM t JOIN t ON ", "a = 1", ")")),
    "both": (31, ("SELECT a FROM t WHERE ", "(a IN (SELECT a FROM t WHERE ", "a = 1", "))")),
}


@pytest.mark.parametrize("name", NESTINGS)
def test_nested_queries_leave_room_on_the_stack(name: str) -> None:
    """The deepest queries take at most 800 of the 1000 frames that Python has by default."""
    times, parts = NESTINGS[name]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 800)
    try:
        parse(nested(times, *parts))
    finally:
        sys.setrecursionlimit(limit)
    with pytest.raises(AdqlError, match=r"nested too deeply|too many joins"):
        parse(nested(times + 1, *parts))


@pytest.mark.parametrize("name", NESTINGS)
def test_queries_nested_beyond_all_measure(name: str) -> None:
    with pytest.raises(AdqlError, match=r"nested too deeply|too many joins"):
        parse(nested(3000, *NESTINGS[name][1]))


def test_many_nots() -> None:
    with pytest.raises(AdqlError, match="Expected a value"):
        parse("SELECT a FROM t WHERE " + "NOT " * 40_000 + "a = 1")


def test_too_many_joins() -> None:
    parse("SELECT a FROM t" + " NATURAL JOIN t" * 64)
    with pytest.raises(AdqlError, match="at most 64"):
        parse("SELECT a FROM t" + " NATURAL JOIN t" * 65)
    assert isinstance(parse("SELECT a FROM t" + " UNION SELECT a FROM t" * 1000).expression.body, tree.SetOperation)


def test_a_long_sum_is_flat() -> None:
    node = value("+".join(["1"] * 20_000))
    assert isinstance(node, tree.Arithmetic)
    assert len(node.steps) == 19_999


def test_a_query_of_megabytes_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 200,000"):
        parse("SELECT a FROM t WHERE a IN (" + "1," * 600_000 + "1)")


@pytest.mark.parametrize(
    "query",
    [
        "WITH w AS (SELECT a FROM t) SELECT a FROM w",
        "SELECT a FROM t UNION SELECT a FROM u",
        "SELECT a FROM t OFFSET 1",
        "SELECT LOWER(a) FROM t",
        "SELECT CAST(a AS REAL) FROM t",
        "SELECT a FROM t WHERE a ILIKE 'x'",
        "SELECT DISTANCE(1, 2, 3, 4) FROM t",
    ],
)
def test_adql_2_0_has_less(query: str) -> None:
    parse(query)
    with pytest.raises(AdqlError):
        parse(query, version="2.0")


def test_adql_2_0_reserves_less() -> None:
    assert parse("SELECT offset, bigint FROM t", version="2.0").expression.offset is None
