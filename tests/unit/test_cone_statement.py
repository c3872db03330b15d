"""Which statement answers a cone search: prepared or literal, in order or not."""

from __future__ import annotations

import pytest

from conesearch.query import LARGE, cone_statement
from conesearch.request import ConeRequest
from tests.support.published import EVENTS
from vo_service.catalog.model import Position, Table
from vo_service.database.statement import FEW_ROWS
from vo_service.formats.registry import find_format

COLUMNS = EVENTS.columns


def statement(rows: int, radius: float, maxrec: int = 10_000_000) -> tuple[str, tuple[object, ...]]:
    position = Position("ra", "dec")
    table = Table("ev", "Events", COLUMNS, position=position, primary_key="event_id", rows=rows)
    request = ConeRequest(10, 20, radius, verbosity=2, maxrec=maxrec, format=find_format(None))
    made = cone_statement(table, position, request)
    return made.sql, made.parameters


def test_few_rows_are_asked_for_by_one_prepared_statement() -> None:
    first, some = statement(2 * FEW_ROWS, 1)
    second, others = statement(2 * FEW_ROWS, 90, maxrec=5)
    assert first == second
    assert (some[-2:], others[-2:]) == ((1, 10_000_001), (90, 6))


@pytest.mark.parametrize(
    ("rows", "maxrec", "ordered"),
    [(2 * LARGE, 10_000_000, True), (3 * LARGE, 10_000_000, False), (3 * LARGE, 2 * LARGE, True)],
)
def test_very_many_rows_come_unordered_unless_some_may_be_cut(rows: int, maxrec: int, ordered: bool) -> None:
    text, parameters = statement(rows, 90, maxrec)
    assert parameters == ()
    assert ("ORDER BY" in text) is ordered
    assert text.endswith(f"LIMIT {maxrec + 1}")


def test_a_radius_of_zero_asks_for_no_rows() -> None:
    assert statement(1_000_000, 0)[1][-1] == 0
