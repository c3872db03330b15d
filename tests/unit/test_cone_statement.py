"""Which statement answers a cone search: prepared and complete, or one for all rows of the cells."""

from __future__ import annotations

from conesearch.query import AT_ONCE, DISTANCE, cone_columns, cone_statement
from conesearch.request import ConeRequest
from tests.support.published import EVENTS
from vo_service.catalog.model import Position, Table
from vo_service.database.statement import FEW_ROWS, Statement
from vo_service.formats.registry import find_format

COLUMNS = EVENTS.columns


def statement(rows: int, radius: float, maxrec: int = 10_000_000) -> Statement:
    position = Position("ra", "dec")
    table = Table("ev", "Events", COLUMNS, position=position, primary_key="event_id", rows=rows)
    request = ConeRequest(10, 20, radius, verbosity=2, maxrec=maxrec, format=find_format(None))
    made = cone_statement(table, position, request)
    complete = cone_columns(table, position, 2)
    assert made.columns in (complete, (table.column("event_id"), *complete[1:-1]))
    return made


def test_few_rows_are_asked_for_by_one_prepared_statement() -> None:
    first, second = statement(2 * FEW_ROWS, 1), statement(2 * FEW_ROWS, 90, maxrec=5)
    assert first.sql == second.sql
    assert (first.parameters[-2:], second.parameters[-2:]) == ((1, 10_000_001), (90, 6))
    assert first.columns[-1] is DISTANCE


def test_of_many_rows_all_in_the_cells_are_asked_for() -> None:
    made = statement(4 * FEW_ROWS, 90, maxrec=6 * FEW_ROWS)
    assert made.many
    assert len(made.parameters) == 2
    assert made.columns[-1] is not DISTANCE
    assert "LIMIT" not in made.sql


def test_very_many_rows_are_asked_for_without_parameters() -> None:
    made = statement(AT_ONCE, 90)
    assert made.parameters == ()
    assert made.columns[-1] is not DISTANCE


def test_where_maxrec_may_cut_the_nearest_are_asked_for() -> None:
    made = statement(4 * FEW_ROWS, 90, maxrec=6 * FEW_ROWS - 1)
    assert made.parameters == ()
    assert made.columns[-1] is DISTANCE
    assert made.sql.endswith(f"ORDER BY c{len(made.columns)} LIMIT ({6 * FEW_ROWS})")


def test_a_radius_of_zero_asks_for_no_rows() -> None:
    assert statement(1_000_000, 0).parameters[-1] == 0
