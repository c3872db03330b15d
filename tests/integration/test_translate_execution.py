"""Translated queries on real servers: the rows they give, against SQL written by hand or counted in Python.

Whatever is run, the columns must arrive in the types that the statement promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap.adql import AdqlError, parse
from tap.functions.registry import FUNCTIONS, USER_DEFINED
from tap.translate import translate
from tests.support.published import ALERTS, CATALOG, EVENTS, ROWS, Row, tables_in
from vo_service.catalog.model import Table
from vo_service.database.access import Access
from vo_service.database.arrow import arrow_schema, sql_type
from vo_service.database.execute import stream
from vo_service.database.pools import Database

Run = Callable[..., list[Row]]


@pytest.fixture(scope="module")
def connection(each_access: Access) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the tables of the catalogue."""
    with psycopg.connect(each_access.owner.conninfo, autocommit=True) as connection, tables_in(connection):
        yield connection


@pytest.fixture(scope="module")
def run(connection: psycopg.Connection[Any]) -> Run:
    """Translates a query, runs it, checks the types of its columns, gives its rows."""
    types: dict[int, str] = {}

    def type_name(oid: int) -> str:
        if oid not in types:
            row = connection.execute("SELECT %s::regtype::text", (oid,)).fetchone()
            assert row is not None
            types[oid] = row[0].replace("timestamp without time zone", "timestamp")
        return types[oid]

    def run(query: str, *, limit: int | None = None) -> list[Row]:
        statement = translate(parse(query), CATALOG, limit=limit)
        cursor = connection.execute(statement.sql.encode())
        assert cursor.description is not None
        promised = [sql_type(column) for column in statement.columns]
        assert [type_name(column.type_code) for column in cursor.description] == promised
        return cursor.fetchall()

    return run


def rows_of(table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in ROWS[table]]


E, A = rows_of(EVENTS), rows_of(ALERTS)

SAME = {
    "SELECT event_id, energy FROM ev.events WHERE energy > 1000 AND NOT nhits BETWEEN 2 AND 4": (
        'SELECT event_id, "Energy" FROM ev."Events" WHERE "Energy" > 1000 AND nhits NOT BETWEEN 2 AND 4'
    ),
    "SELECT event_id FROM ev.events WHERE nhits IS NULL OR quality <> 1": (
        'SELECT event_id FROM ev."Events" WHERE nhits IS NULL OR quality <> 1'
    ),
    "SELECT event_id FROM ev.events WHERE label IN ('a', 'it''s', 'back\\slash')": (
        "SELECT event_id FROM ev.\"Events\" WHERE label = ANY (ARRAY['a', 'it''s', E'back\\\\slash'])"
    ),
    "SELECT event_id FROM ev.events WHERE label NOT IN ('a', 'b_c')": (
        "SELECT event_id FROM ev.\"Events\" WHERE label <> 'a' AND label <> 'b_c'"
    ),
    "SELECT event_id FROM ev.events WHERE label LIKE 'b_c'": (
        "SELECT event_id FROM ev.\"Events\" WHERE label IN ('b_c', 'b%c', 'bxc')"
    ),
    "SELECT event_id FROM ev.events WHERE label LIKE '%\\%'": (
        "SELECT event_id FROM ev.\"Events\" WHERE label = E'back\\\\slash'"
    ),
    "SELECT event_id FROM ev.events WHERE label ILIKE 'A'": (
        "SELECT event_id FROM ev.\"Events\" WHERE label IN ('a', 'A')"
    ),
    "SELECT event_id FROM ev.events WHERE obs_time >= '2017-09-20' AND flag = 1": (
        "SELECT event_id FROM ev.\"Events\" WHERE obs_time >= timestamp '2017-09-20' AND flag"
    ),
    "SELECT event_id FROM ev.events WHERE flag = 'false'": 'SELECT event_id FROM ev."Events" WHERE NOT flag',
    "SELECT DISTINCT quality, flag FROM ev.events": 'SELECT quality, flag FROM ev."Events" GROUP BY 1, 2',
    "SELECT label, COUNT(*) AS n, AVG(energy), SUM(nhits), MIN(obs_time), MAX(label) FROM ev.events GROUP BY label": (
        'SELECT label, count(*), avg("Energy"::float8), sum(nhits), min(obs_time), max(label)'
        ' FROM ev."Events" GROUP BY label'
    ),
    "SELECT COUNT(*), COUNT(energy), COUNT(DISTINCT label), SUM(DISTINCT quality) FROM ev.events": (
        'SELECT count(*), count("Energy"), count(DISTINCT label), sum(DISTINCT quality) FROM ev."Events"'
    ),
    "SELECT FLOOR(ra / 30) AS bin, COUNT(*) FROM ev.events GROUP BY bin HAVING COUNT(*) > 20": (
        'SELECT floor(ra / 30), count(*) FROM ev."Events" GROUP BY 1 HAVING count(*) > 20'
    ),
    "SELECT nhits / 2, nhits / 2., -nhits, quality * 2, energy * energy, ra - dec FROM ev.events": (
        'SELECT nhits / 2, nhits / 2.0::float8, -nhits, quality * 2, "Energy" * "Energy", ra - dec FROM ev."Events"'
    ),
    'SELECT label || \'/\' || "größe" || 1 FROM ev.events': (
        "SELECT label || '/' || größe || '1' FROM ev.\"Events\""
    ),
    "SELECT a.alert_id, e.energy FROM alerts a JOIN ev.events e ON a.event_id = e.event_id": (
        'SELECT a.alert_id, e."Energy" FROM ev.alerts a, ev."Events" e WHERE e.event_id = a.event_id'
    ),
    "SELECT a.alert_id, e.energy FROM alerts a LEFT JOIN ev.events e ON a.event_id = e.event_id AND e.nhits > 3": (
        'SELECT a.alert_id, e."Energy" FROM ev.alerts a LEFT JOIN ev."Events" e'
        " ON a.event_id = e.event_id AND e.nhits > 3"
    ),
    "SELECT * FROM alerts RIGHT JOIN cosmic.events USING (event_id)": (
        "SELECT event_id, alert_id, ra, dec, radius, energy FROM ev.alerts RIGHT JOIN cosmic.events USING (event_id)"
    ),
    "SELECT event_id, energy, alert_id FROM alerts FULL JOIN cosmic.events USING (event_id)": (
        "SELECT event_id, energy, alert_id FROM ev.alerts FULL JOIN cosmic.events USING (event_id)"
    ),
    "SELECT * FROM cosmic.events NATURAL LEFT JOIN alerts": (
        "SELECT event_id, energy, alert_id, ra, dec, radius FROM cosmic.events NATURAL LEFT JOIN ev.alerts"
    ),
    "SELECT s.e, c.energy FROM cosmic.showers s, cosmic.events c": (
        'SELECT s."E", c.energy FROM cosmic.showers s CROSS JOIN cosmic.events c'
    ),
    "SELECT alert_id FROM alerts a WHERE EXISTS (SELECT * FROM ev.events e WHERE e.event_id = a.event_id AND flag=1)": (
        'SELECT alert_id FROM ev.alerts WHERE event_id IN (SELECT event_id FROM ev."Events" WHERE flag)'
    ),
    "SELECT alert_id FROM alerts WHERE event_id NOT IN (SELECT event_id FROM ev.events WHERE energy > 10)": (
        'SELECT alert_id FROM ev.alerts a WHERE event_id IS NOT NULL AND NOT EXISTS'
        ' (SELECT FROM ev."Events" e WHERE e.event_id = a.event_id AND "Energy" > 10)'
    ),
    "SELECT n FROM (SELECT label AS l, COUNT(*) AS n FROM ev.events GROUP BY label) AS t WHERE t.n > 70 OR l IS NULL": (
        'SELECT count(*) FROM ev."Events" GROUP BY label HAVING count(*) > 70 OR label IS NULL'
    ),
    "WITH t AS (SELECT TOP 9 event_id AS i FROM ev.events ORDER BY energy DESC) SELECT x.i, y.i FROM t x, t y": (
        'WITH t AS (SELECT event_id AS i FROM ev."Events" ORDER BY "Energy" DESC LIMIT 9)'
        " SELECT x.i, y.i FROM t x CROSS JOIN t y"
    ),
    "SELECT event_id FROM alerts UNION SELECT quality FROM ev.events EXCEPT ALL SELECT 3 FROM cosmic.showers": (
        'SELECT event_id FROM ev.alerts UNION SELECT quality FROM ev."Events"'
        " EXCEPT ALL SELECT 3 FROM cosmic.showers"
    ),
    "SELECT nhits FROM ev.events UNION ALL SELECT radius FROM alerts": (
        'SELECT nhits::float8 FROM ev."Events" UNION ALL SELECT radius FROM ev.alerts'
    ),
    "SELECT COALESCE(nhits, quality, -1), COALESCE(label, 'none') FROM ev.events": (
        "SELECT coalesce(nhits, quality, -1), coalesce(label, 'none') FROM ev.\"Events\""
    ),
    "SELECT CAST(obs_time AS CHAR), CAST(flag AS INTEGER), CAST(energy AS BIGINT), CAST('12' AS REAL) FROM ev.events": (
        "SELECT replace(obs_time::text, ' ', 'T') || '0000', flag::int, \"Energy\"::bigint, 12::real FROM ev.\"Events\""
    ),
    "SELECT CAST(ra AS VARCHAR(4)), CAST('2020-01-01T00:00:00Z' AS TIMESTAMP), LOWER('ÄB') FROM alerts": (
        "SELECT left(ra::text, 4), timestamp '2020-01-01', 'äb' FROM ev.alerts"
    ),
    "SELECT levels, POINT(e, zenith), CIRCLE(e, zenith, 1) FROM showers": (
        'SELECT levels, CASE WHEN zenith IS NOT NULL THEN ARRAY["E", zenith] END,'
        ' CASE WHEN zenith IS NOT NULL THEN ARRAY["E", zenith, 1] END FROM cosmic.showers'
    ),
    "SELECT NULL, 1, 'x', 3000000000, 1.5, NULL + 1, -NULL, MAX(NULL), ABS(NULL) FROM alerts": (
        "SELECT NULL, 1, 'x', 3000000000, 1.5::float8, NULL::int, NULL::float8, NULL, NULL::float8"
    ),
    'SELECT "select", "x; DROP TABLE y --", "a""b" FROM showers WHERE "Mixed" = "mixed" / 2': (
        'SELECT "select", "x; DROP TABLE y --", "a""b" FROM cosmic.showers'
    ),
    'SELECT * FROM "odd""one"."the table"': "VALUES (1), (2)",
    "SELECT table_name, \"size\" FROM TAP_SCHEMA.columns WHERE table_name LIKE 'tap_schema.%'": (
        "SELECT table_name, size FROM tap_schema.columns WHERE starts_with(table_name, 'tap_schema.')"
    ),
    "SELECT keys.key_id, from_column FROM TAP_SCHEMA.keys NATURAL JOIN TAP_SCHEMA.key_columns": (
        "SELECT key_id, from_column FROM tap_schema.keys JOIN tap_schema.key_columns USING (key_id)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("query", "sql"), SAME.items(), ids=range(len(SAME)))
def test_same_rows_as_sql_written_by_hand(query: str, sql: str, run: Run, connection: psycopg.Connection[Any]) -> None:
    expected = connection.execute(sql.encode()).fetchall()
    assert expected
    assert Counter(map(repr, run(query))) == Counter(map(repr, expected))


ORDERED = {
    "SELECT TOP 7 event_id FROM ev.events ORDER BY event_id DESC": [(i,) for i in range(999, 992, -1)],
    "SELECT event_id FROM ev.events ORDER BY 1 OFFSET 997": [(997,), (998,), (999,)],
    "SELECT TOP 2 event_id FROM ev.events ORDER BY event_id OFFSET 3": [(3,), (4,)],
    "SELECT TOP 0 event_id FROM ev.events": [],
    "SELECT -event_id AS event_id FROM cosmic.events ORDER BY event_id": [(-5,), (-5,), (-3,)],
    "SELECT energy FROM cosmic.events ORDER BY energy DESC": [(None,), (2.5,), (1.5,)],
    "SELECT event_id, COUNT(*) AS n FROM cosmic.events GROUP BY event_id ORDER BY n DESC, MAX(energy)": [
        (5, 2), (3, 1)
    ],
    "SELECT DISTINCT event_id * 2 FROM cosmic.events ORDER BY event_id * 2 DESC": [(10,), (6,)],
    "SELECT event_id FROM cosmic.events UNION SELECT zenith FROM showers ORDER BY event_id DESC OFFSET 7": [
        (5.0,), (3.0,), (0.0,)
    ],
    "(SELECT TOP 2 zenith AS z FROM showers ORDER BY e DESC) ORDER BY z": [(60.0,), (70.0,)],
    "SELECT t.event_id FROM (SELECT TOP 3 event_id FROM ev.events ORDER BY event_id) AS t ORDER BY t.event_id DESC": [
        (2,), (1,), (0,)
    ],
}  # fmt: skip


@pytest.mark.parametrize("query", ORDERED)
def test_order_and_number_of_rows(query: str, run: Run) -> None:
    assert run(query) == ORDERED[query]


@pytest.mark.parametrize(
    ("query", "limit", "count"),
    [
        ("SELECT ra FROM ev.events", 5, 5),
        ("SELECT TOP 3 ra FROM ev.events", 5, 3),
        ("SELECT TOP 9 ra FROM ev.events", 5, 5),
        ("SELECT ra FROM ev.events", 0, 0),
        ("SELECT ra FROM alerts UNION ALL SELECT ra FROM ev.events", 41, 41),
        ("SELECT ra FROM ev.events OFFSET 998", 5, 2),
        ("SELECT COUNT(*) FROM ev.events", 1, 1),
    ],
)
def test_limit_and_top_the_smaller_counts(query: str, limit: int, count: int, run: Run) -> None:
    assert len(run(query, limit=limit)) == count


def test_order_is_kept_under_a_limit(run: Run) -> None:
    expected = sorted((e["ra"] for e in E), reverse=True)[:10]
    assert [ra for (ra,) in run("SELECT ra FROM ev.events ORDER BY ra DESC", limit=10)] == expected


async def test_rows_arrive_in_the_types_of_the_columns(
    connection: psycopg.Connection[Any], each_database: Database
) -> None:
    """By the way that answers take: Arrow batches of exactly the promised types, NULLs included."""
    assert connection
    query = (
        "SELECT e.*, POINT(e.ra, e.dec), energy * 2, nhits / 2, COUNT(*), SUM(quality), MAX(obs_time), ABS(nhits), NULL"
        " FROM ev.events AS e GROUP BY event_id, ra, dec, energy, nhits, quality, flag, obs_time, label,"
        ' "größe" ORDER BY event_id'
    )
    statement = translate(parse(query), CATALOG)
    async with stream(each_database, statement, timeout=60) as batches:
        table = pa.Table.from_batches([batch async for batch in batches])
    assert table.schema == arrow_schema(statement.columns)
    assert len(set(table.schema.names)) == len(table.schema.names)
    assert table.num_rows == len(E)
    assert table["Energy"].to_pylist() == [event["Energy"] for event in E]
    assert table["point"].to_pylist() == [[event["ra"], event["dec"]] for event in E]


# Functions ------------------------------------------------------------------------------------------------------------

VALUES = {
    "ABS(-2.5)": 2.5, "ABS(-3)": 3.0, "CEILING(-1.5)": -1.0, "FLOOR(-1.5)": -2.0, "DEGREES(PI())": 180.0,
    "RADIANS(180)": 3.141592653589793, "EXP(1)": 2.718281828459045, "LOG(EXP(2))": 2.0, "LOG10(1000)": 3.0,
    "POWER(2, 10)": 1024.0, "POWER(2, 0.5)": 2**0.5, "SQRT(2)": 2**0.5,
    "MOD(7, 3)": 1.0, "MOD(-7, 3)": -1.0, "MOD(7, -3)": 1.0, "MOD(5.5, 2)": 1.5, "MOD(-0.3, 0.1)": -0.0,
    "MOD(58018.87, 1)": 0.87,
    "ROUND(2.5)": 3.0, "ROUND(-2.5)": -3.0, "ROUND(1.005, 2)": 1.01, "ROUND(1234.5, -2)": 1200.0, "ROUND(2, 1)": 2.0,
    "ROUND(123456789.123456789, 7)": 123456789.1234568, "TRUNCATE(-1.999)": -1.0, "TRUNCATE(1.999, 2)": 1.99,
    "TRUNCATE(1999, -3)": 1000.0,
    "SIN(0)": 0.0, "COS(0)": 1.0, "TAN(0)": 0.0, "COT(PI() / 4)": 1.0, "ASIN(1)": 1.5707963267948966,
    "ACOS(-1)": 3.141592653589793, "ATAN(1)": 0.7853981633974483, "ATAN2(1, -1)": 2.356194490192345,
    "LOWER('AbÄ')": "abä", "UPPER('abä')": "ABÄ",
    "1 - 2 - 3": -4, "2 * 3 / 4 * 5": 5, "2 - (3 - 4)": 3, "-(2 - 3)": 1, "7 / 2": 3, "-7 / 2": -3, "7 / 2.": 3.5,
    "1.5e3 + 1": 1501.0, ".5": 0.5, "'it''s' || ' ' || 1": "it's 1", "1 + 2 * 3": 7,
}  # fmt: skip


@pytest.mark.parametrize("expression", VALUES)
def test_value(expression: str, run: Run) -> None:
    ((value,),) = run(f"SELECT TOP 1 {expression} FROM alerts")
    assert value == (pytest.approx(VALUES[expression]) if isinstance(value, float) else VALUES[expression])


def test_every_function_is_called_above() -> None:
    called = {name for name in (f.name for f in FUNCTIONS) if any(f"{name}(" in query for query in [*VALUES, *SAME])}
    assert called == {function.name for function in FUNCTIONS if function not in USER_DEFINED} - {"RAND"}


def test_random_numbers(run: Run) -> None:
    numbers = [x for (x,) in run("SELECT RAND() FROM ev.events")]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= x < 1 for x in numbers)
    assert run("SELECT RAND(7) FROM ev.events") == run("SELECT RAND(7) FROM ev.events")
    assert run("SELECT RAND(7) FROM alerts") != run("SELECT RAND(8) FROM alerts")


def test_integer_columns_as_arguments(run: Run) -> None:
    """Functions take numbers of any type; NULLs give NULLs."""
    for function in FUNCTIONS:
        takes_numbers = all(p.type in ("DOUBLE PRECISION", "INTEGER") for p in function.parameters)
        if function.aggregate or function in USER_DEFINED or not takes_numbers:
            continue
        arguments = ["quality", "nhits"][: len(function.parameters)]
        if function.name in ("RAND", "ROUND", "TRUNCATE"):
            arguments = arguments[: function.fewest]
        where = "quality = 1 AND nhits BETWEEN 1 AND 3" if function.name != "PI" else "quality IS NULL"
        assert run(f"SELECT {function.name}({', '.join(arguments)}) FROM ev.events WHERE {where}")
        if arguments:
            nulls = run(f"SELECT {function.name}({', '.join(arguments)}) FROM ev.events WHERE quality IS NULL")
            assert {value for (value,) in nulls} == {None}


# Whatever a user writes -----------------------------------------------------------------------------------------------

fast = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "'; DROP TABLE ev.alerts; --",
        "\\'; SELECT pg_sleep(9) --",
        "$$",
        "E'\\x27'",
        "%s",
        "{0}",
        "\\",
        "\\\\'",
        "/*",
        "*/",
    ]
)


@fast
@given(text=texts)
def test_strings_come_back_as_they_are(text: str, run: Run) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert run(f"SELECT TOP 1 {quoted}, LOWER({quoted}) FROM alerts WHERE {quoted} = {quoted}")[0][0] == text
    expected = sum(e["label"] == text for e in E)
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE label = {quoted}") == [(expected,)]


@pytest.mark.parametrize("setting", ["on", "off"])
def test_backslashes_whatever_the_server_makes_of_them(
    setting: str, run: Run, connection: psycopg.Connection[Any]
) -> None:
    connection.execute(f"SET standard_conforming_strings = {setting}".encode())
    try:
        assert run("SELECT TOP 1 'a\\' || '''; \\n' FROM alerts") == [("a\\'; \\n",)]
    finally:
        connection.execute("RESET standard_conforming_strings")


@fast
@given(alias=texts.filter(bool))
def test_aliases_do_not_reach_sql(alias: str, connection: psycopg.Connection[Any]) -> None:
    quoted = '"' + alias.replace('"', '""') + '"'
    query = f"SELECT {quoted}.{quoted} AS {quoted} FROM (SELECT ra AS {quoted} FROM alerts AS {quoted}) AS {quoted}"
    statement = translate(parse(query + f" ORDER BY {quoted}"), CATALOG)
    assert statement.sql == (
        'SELECT t2."c1" AS c1 FROM (SELECT t1."ra" AS c1 FROM "ev"."alerts" AS t1) AS t2 ORDER BY 1'
    )
    assert [column.name for column in statement.columns] == [alias]
    assert [ra for (ra,) in connection.execute(statement.sql.encode())] == sorted(a["ra"] for a in A)


@fast
@given(name=texts.filter(bool))
def test_unknown_names_are_refused(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    for query in (
        f"SELECT {quoted} FROM alerts",
        f"SELECT ra FROM {quoted}",
        f"SELECT ra FROM ev.{quoted}",
        f"SELECT ra FROM alerts ORDER BY {quoted}",
        f"SELECT {quoted}.ra FROM alerts",
        f"SELECT ra FROM alerts JOIN ev.events USING ({quoted})",
    ):
        if name in ("alerts", "Events", "ra", "dec", "event_id", "alert_id", "radius"):
            continue
        with pytest.raises(AdqlError):
            translate(parse(query), CATALOG)


_numbers = st.sampled_from(["ra", "dec", "x", "1", "2.5", "7"])
_expressions = st.recursive(
    _numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=8,
)


@fast
@given(expression=_expressions)
def test_precedence_is_that_of_the_text(expression: str, run: Run, connection: psycopg.Connection[Any]) -> None:
    """PostgreSQL reads the text itself as it reads our SQL: with columns for numbers, so that types are the same."""
    query = f"SELECT {expression} FROM (SELECT ra, dec, ra - dec AS x FROM alerts) AS t ORDER BY ra, dec"
    rows = connection.execute(query.replace("FROM alerts", "FROM ev.alerts").encode()).fetchall()
    assert [float(value) for (value,) in run(query)] == pytest.approx([float(value) for (value,) in rows])


_conditions = st.recursive(
    st.sampled_from(["flag = 1", "nhits > 2", "label IS NULL", "quality IN (1, 2)", "NOT energy < 99"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join),
        inner.map(lambda text: f"NOT ({text})"),
    ),
    max_leaves=8,
)


@fast
@given(condition=_conditions)
def test_conditions_with_nulls(condition: str, run: Run, connection: psycopg.Connection[Any]) -> None:
    sql = condition.replace("flag = 1", "flag").replace("energy", '"Energy"')
    expected = connection.execute(f'SELECT event_id FROM ev."Events" WHERE {sql} ORDER BY 1'.encode()).fetchall()
    assert run(f"SELECT event_id FROM ev.events WHERE {condition} ORDER BY 1") == expected
