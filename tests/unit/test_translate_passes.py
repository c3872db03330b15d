"""The translator's parts: dispatch tables, constants, names of results, limits, and what hostile queries get."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap.adql import AdqlError, parse, tree
from tap.functions.declaration import Function
from tap.functions.features import FEATURES, UDF_FEATURE
from tap.functions.registry import FUNCTIONS, functions_named
from tap.translate import translate
from tap.translate.bound import Condition, Constant, Expression, Operation, Query, Select
from tap.translate.constants import value_of
from tap.translate.emit import _CONDITIONS as EMITTED_CONDITIONS
from tap.translate.emit import _EXPRESSIONS as EMITTED_EXPRESSIONS
from tap.translate.expressions import _CONDITIONS as RESOLVED_CONDITIONS
from tap.translate.expressions import _VALUES as RESOLVED_VALUES
from tap.translate.limits import limit_rows
from tap.translate.outputs import unique_names
from tap.translate.resolve import resolve
from tests.support.published import CATALOG
from tests.unit.test_translate_cases import CASES
from vo_service.catalog.model import Column


def test_every_construct_of_the_tree_is_resolved_and_emitted() -> None:
    assert set(RESOLVED_VALUES) == set(get_args(tree.Value))
    assert set(RESOLVED_CONDITIONS) == set(get_args(tree.Condition))
    assert set(EMITTED_EXPRESSIONS) == set(get_args(Expression))
    assert set(EMITTED_CONDITIONS) == set(get_args(Condition))


# Functions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.signature.partition(" ->")[0])
def test_declaration(function: Function) -> None:
    assert function.name in (function.name.upper(), function.name.lower())
    assert function in functions_named(function.name.title())
    assert function.description.endswith(".")
    assert re.fullmatch(r"\w+\(((\w+ [A-Z ]+)(, \w+ [A-Z ]+)*)?\) -> [A-Z ]+(\[\d*\])?", function.signature)
    column = Column("", "double")
    for count in range(function.fewest, len(function.parameters) + 1):
        template = function.template([column] * count)
        used = {int(place) for place in re.findall(r"\{(\d)\}", template)}
        assert used == set(range(count))


def test_forms_of_a_function_differ_in_the_number_of_arguments() -> None:
    for function in FUNCTIONS:
        forms = functions_named(function.name)
        counts = [count for form in forms for count in range(form.fewest, len(form.parameters) + 1)]
        assert len(set(counts)) == len(counts)


FEATURE_QUERIES = {
    "POINT": "SELECT POINT(ra, dec) FROM alerts",
    "CIRCLE": "SELECT CIRCLE(ra, dec, 1) FROM alerts",
    "CONTAINS": "SELECT CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3)) FROM alerts",
    "BOX": "SELECT BOX(ra, dec, 1, 1) FROM alerts",
    "POLYGON": "SELECT POLYGON(1, 2, 3, 4, ra, dec) FROM alerts",
    "REGION": "SELECT REGION('Circle ICRS 1 2 3') FROM alerts",
    "CENTROID": "SELECT CENTROID(BOX(ra, dec, 1, 1)) FROM alerts",
    "AREA": "SELECT AREA(CIRCLE(ra, dec, 1)) FROM alerts",
    "COORD1": "SELECT COORD1(POINT(ra, dec)) FROM alerts",
    "COORD2": "SELECT COORD2(POINT(ra, dec)) FROM alerts",
    "COORDSYS": "SELECT COORDSYS(POINT(ra, dec)) FROM alerts",
    "INTERSECTS": "SELECT INTERSECTS(CIRCLE(ra, dec, 1), CIRCLE(1, 2, 3)) FROM alerts",
    "DISTANCE": "SELECT DISTANCE(ra, dec, 1, 2) FROM alerts",
    "LOWER": "SELECT LOWER(alert_id) FROM alerts",
    "UPPER": "SELECT UPPER(alert_id) FROM alerts",
    "ILIKE": "SELECT ra FROM alerts WHERE alert_id ILIKE 'a%'",
    "WITH": "WITH x AS (SELECT ra FROM alerts) SELECT ra FROM x",
    "UNION": "SELECT ra FROM alerts UNION SELECT dec FROM alerts",
    "EXCEPT": "SELECT ra FROM alerts EXCEPT SELECT dec FROM alerts",
    "INTERSECT": "SELECT ra FROM alerts INTERSECT SELECT dec FROM alerts",
    "CAST": "SELECT CAST(ra AS REAL) FROM alerts",
    "COALESCE": "SELECT COALESCE(ra, dec) FROM alerts",
    "OFFSET": "SELECT ra FROM alerts OFFSET 3",
    "IN_UNIT": "SELECT IN_UNIT(ra, 'rad') FROM alerts",
}


def test_features_are_supported() -> None:
    announced = [name for names in FEATURES.values() for name in names]
    assert sorted(announced) == sorted(FEATURE_QUERIES)
    for query in FEATURE_QUERIES.values():
        assert translate(parse(query), CATALOG).sql
    for function in FUNCTIONS:
        assert function.feature in (None, UDF_FEATURE) or function.name in FEATURES[function.feature]


# Constants ------------------------------------------------------------------------------------------------------------


def constant(text: str) -> float | None:
    body = resolve(parse(f"SELECT {text} FROM alerts"), CATALOG).body
    assert isinstance(body, Select)
    return value_of(body.outputs[0].expression)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("7 / 2", 3), ("-7 / 2", -3), ("7 / -2", -3),
        ("30. / 60", 0.5), ("1e-3", 1e-3), ("-(2 - 3) * 1.5", 1.5), ("1 - 2 - 3", -4), ("8 / 2 / 2.", 2.0),
        ("1 / 0", None), ("1 / 0.", None), ("ra + 1", None), ("NULL", None), ("'5'", None), ("PI()", None),
        ("1e308 * 10", None),
    ],
)  # fmt: skip
def test_value_of(text: str, value: float | None) -> None:
    result = constant(text.replace("7 / -2", "7 / (-2)"))
    assert result == value
    assert type(result) is type(value)


def test_value_of_a_very_long_chain() -> None:
    chain = Operation(
        Constant(9e18, Column("", "double")), (("*", Constant(9, Column("", "int"))),) * 5000, Column("", "")
    )
    assert value_of(chain) is None


# Names of results -----------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "A", "b", "a_2", "A_2", "a_3", "count"]), max_size=9))
def test_names_are_made_unique(names: list[str]) -> None:
    result = [column.name for column in unique_names([Column(name, "int") for name in names])]
    assert len({name.lower() for name in result}) == len(names)
    for name, made in zip(names, result, strict=True):
        assert re.fullmatch(rf"{name}(_\d+)?", made)
    for name in {name.lower() for name in names}:
        first = [n.lower() for n in names].index(name)
        assert result[first] == names[first]


# Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "limit", "expected"), [(None, None, None), (5, None, 5), (None, 5, 5), (5, 9, 5), (9, 5, 5), (0, 5, 0)]
)
def test_limit_rows(top: int | None, limit: int | None, expected: int | None) -> None:
    query = Query(Select((), ()), (), limit=top)
    assert limit_rows(query, limit).limit == expected


# Hostile queries ------------------------------------------------------------------------------------------------------

HOSTILE = [
    "SELECT pg_sleep(10) FROM alerts",
    "SELECT PG_READ_FILE('/etc/passwd') FROM alerts",
    "SELECT current_setting('data_directory') FROM alerts",
    "SELECT set_config('x', 'y', 1) FROM alerts",
    "SELECT lo_import('/etc/passwd') FROM alerts",
    "SELECT nextval('s') FROM alerts",
    "SELECT query_to_xml('SELECT 1', 1, 1, '') FROM alerts",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_user",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM vo_service.published_table",
    'SELECT * FROM "ev"."Events; DROP TABLE ev.alerts"',
    "SELECT * FROM pg_sleep",
    "SELECT ctid, xmin, tableoid FROM alerts",
    'SELECT "hpx" FROM alerts',
    "SELECT alerts.hpx FROM alerts",
    "SELECT a FROM alerts a",
    "SELECT alerts FROM alerts",
    "SELECT c1 FROM alerts",
    "SELECT t1.ra FROM alerts",
    "SELECT q1.ra FROM (SELECT ra FROM alerts) AS x",
    "WITH x AS (SELECT ra FROM alerts) SELECT ra FROM q1",
    "SELECT ra FROM alerts WHERE alert_id = 'x\ud800'",
]


@pytest.mark.parametrize("query", HOSTILE)
def test_what_is_not_published_is_refused(query: str) -> None:
    with pytest.raises(AdqlError, match=r"line 1, column \d+"):
        translate(parse(query), CATALOG)


_WORDS = set(
    """
    SELECT DISTINCT FROM AS WHERE GROUP BY HAVING ORDER DESC LIMIT OFFSET WITH UNION ALL EXCEPT INTERSECT
    INNER LEFT RIGHT FULL JOIN ON TRUE FALSE AND OR NOT IN BETWEEN LIKE ILIKE ESCAPE IS NULL EXISTS CASE WHEN THEN END
    CAST ARRAY COALESCE E double precision bigint integer smallint real text numeric timestamp float8
    count avg sum min max round trunc mod degrees radians sin cos tan cot asin acos atan atan2 sqrt power exp ln log10
    abs ceil floor pi random setseed tanh lower upper left to_char date_part string_agg coalesce array_fill
    LATERAL unnest bigint first last int8multirange regexp_replace trim string_to_array array_to_string r c b
    in_plane polygon_plane polygon_area polygon_centroid polygon_circle polygon_in_polygon polygon_in_circle
    polygons_meet
    circle_in_polygon circle_meets_polygon disc_ranges box moc moc_text moc_area meets_moc
    adql hpx hpx_center epoch_prop epoch_prop_pos turned frame histogram has_words sexagesimal
    """.split()
)


def test_sql_consists_of_known_words() -> None:
    """Outside quotes there are only words of ours: keywords, functions, t1, c1, h1, q1, m1."""
    translated = 0
    for _, query, _ in CASES:
        try:
            sql = translate(parse(query), CATALOG).sql
        except AdqlError:
            continue
        bare = re.sub(r"\"(?:[^\"]|\"\")*\"|'(?:[^'\\]|''|\\.)*'", " ", sql)
        words = set(re.findall(r"[^\W\d]\w*", bare))
        assert {word for word in words if not re.fullmatch(r"[tchqm]\d+", word)} <= _WORDS
        assert "--" not in bare
        assert "/*" not in bare
        assert ";" not in bare
        translated += 1
    assert translated > 80


def nested(levels: int, inner: str, around: str) -> str:
    for _ in range(levels):
        inner = around.format(inner)
    return inner


@pytest.mark.parametrize(
    "query",
    [
        nested(30, "SELECT ra FROM alerts", "SELECT ra FROM ({}) AS t"),
        "SELECT ra FROM alerts WHERE " + nested(60, "ra > 1", "NOT ({})"),
        "SELECT ra FROM alerts WHERE " + nested(30, "ra > 1", "EXISTS (SELECT 1 FROM alerts WHERE {})"),
        "SELECT " + nested(60, "ra", "-({})") + " FROM alerts",
        "SELECT " + nested(60, "ra", "ABS({})") + " FROM alerts",
        nested(60, "SELECT ra FROM alerts", "({})"),
        "SELECT a1.ra FROM alerts a1 " + " ".join(f"JOIN alerts a{i} ON a1.ra = a{i}.ra" for i in range(2, 60)),
        "SELECT " + " + ".join(["ra"] * 20_000) + " FROM alerts",
        "SELECT " + " || ".join(["alert_id"] * 10_000) + " FROM alerts",
        "SELECT ra FROM alerts WHERE " + " OR ".join(["ra = 1"] * 10_000),
        "SELECT ra FROM alerts WHERE event_id IN (" + ", ".join(map(str, range(20_000))) + ")",
        " UNION ALL ".join(["SELECT ra FROM alerts"] * 100),
        "SELECT " + ", ".join(["ra"] * 1600) + " FROM alerts",
    ],
    ids=lambda query: f"{query[:40]}...{query[-20:]}",
)
def test_deep_and_long_queries(query: str) -> None:
    """What the parser lets through does not exhaust the stack here."""
    assert translate(parse(query), CATALOG).sql


@pytest.mark.parametrize(
    "query",
    [
        nested(12, "SELECT ra FROM alerts", "SELECT t.ra + t.ra / (1 + t.ra) AS ra FROM ({}) AS t"),
        nested(12, "SELECT ra, dec FROM alerts", "SELECT DISTANCE(ra, dec, dec, ra) AS ra, dec FROM ({}) AS t"),
        "SELECT " + nested(12, "ra", "DISTANCE({}, 1, 2, dec)") + " FROM alerts",
        "SELECT ra FROM alerts WHERE " + nested(12, "ra", "DISTANCE(1, 2, {}, dec)") + " > 3",
        nested(12, "SELECT ra AS a FROM alerts", "SELECT t.a FROM ({}) AS t WHERE t.a + t.a > t.a * t.a - t.a").replace(
            "SELECT t.a", "SELECT t.a + t.a + t.a AS a"
        ),
        "WITH a AS (SELECT ra - ra AS x FROM alerts), "
        + ", ".join(
            f"{b} AS (SELECT x - x - x - x AS x FROM {a})" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        )
        + " SELECT x FROM j",
        nested(12, "SELECT * FROM alerts", "SELECT t.*, t.*, t.* FROM ({}) AS t"),
        "SELECT a1.ra FROM " + ", ".join(f"alerts a{i}" for i in range(101)),
        "SELECT ra FROM alerts WHERE " + " OR ".join(["EXISTS (SELECT 1 FROM alerts)"] * 100),
    ],
    ids=lambda query: f"{query[:40]}...{query[-20:]}",
)
def test_queries_that_would_grow_without_measure(query: str) -> None:
    with pytest.raises(AdqlError, match=r"too complex|(columns|tables) at most"):
        translate(parse(query), CATALOG)


def test_messages_have_an_end() -> None:
    """Names in them can be of any length, and are not compared with all others then."""
    for query in ("SELECT {} FROM alerts", "SELECT ra FROM {}", "SELECT {}(1) FROM alerts"):
        with pytest.raises(AdqlError) as caught:
            translate(parse(query.format("x" * 900_000)), CATALOG)
        assert len(caught.value.message) < 1000


def test_only_adql_errors(shared: Path) -> None:
    """Queries of all the world either become SQL or get an AdqlError with a place."""
    lines = (shared / "conformance" / "adql" / "adql_cases.jsonl").read_text(encoding="utf-8").splitlines()
    refused = 0
    for line in lines:
        try:
            translate(parse(json.loads(line)["query"]), CATALOG)
        except AdqlError as error:
            refused += error.line > 0 and error.column > 0
    assert refused > 1000
