"""Statements whose values stand in place of the placeholders."""

from __future__ import annotations

from tests.support.database import execute
from vo_service.catalog.model import Column
from vo_service.database.access import Access
from vo_service.database.statement import Statement

COLUMNS = (Column("answer", "char", "*"),)


def test_values_read_back_the_same(access: Access) -> None:
    values = ('it\'s \\ 100% "so"', -1.5, 0.1 + 0.2, -(2**63), None, "{1,-2}")
    text = "SELECT ROW(%s::text, 1 - %s::float8, %s::float8, %s::bigint, %s::text, %s::int8[], 'a%%b', 7 %% 4)"
    statement = Statement(text, COLUMNS, values, small=True, many=True).at_length()
    assert (statement.parameters, statement.small, statement.many) == ((), False, False)
    ((row,),) = execute(access.reader.conninfo, f"SELECT row_to_json(x.row) FROM ({statement.sql}) x")
    assert list(row.values()) == [*values[:1], 2.5, *values[2:5], [1, -2], "a%b", 3]


def test_without_parameters_the_sql_stays_as_it_is() -> None:
    assert Statement("SELECT 7 % 4", COLUMNS, small=True).at_length() == Statement("SELECT 7 % 4", COLUMNS)
