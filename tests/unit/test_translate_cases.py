"""Queries and what becomes of them: `tests/data/adql/translate/*.adql`.

A case is a query and, in lines that begin with

    =>  the SQL it becomes (ranges of an index are written <index>),
    !!  or the error it gets, with line and column,
    ::  the result's columns as name, datatype, arraysize, xtype, unit, UCD with - for none.

Cases are separated by blank lines; lines that begin with # are comments.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tap.adql import AdqlError, parse
from tap.translate import translate
from tests.support.published import CATALOG
from vo_service.catalog.model import Column
from vo_service.database.statement import Statement

FILES = sorted((Path(__file__).parents[1] / "data" / "adql" / "translate").glob("*.adql"))

_RANGE = r"(?:BETWEEN \d+ AND \d+|= \d+)"
_RANGES = re.compile(rf'\((t\d+\."\w+") {_RANGE}(?: OR \1 {_RANGE})*\)')


def cases() -> list[tuple[str, str, list[str]]]:
    """File and line, query, and expectations."""
    found = []
    for path in FILES:
        line = 1
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            lines = [text for text in block.splitlines() if text and not text.startswith("#")]
            wanted = [text for text in lines if text[:3] in ("=> ", "!! ", ":: ")]
            query = "\n".join(text for text in lines if text not in wanted)
            if query:
                found.append((f"{path.stem}:{line}", query, wanted))
            line += block.count("\n") + 2
    return found


CASES = cases()


@pytest.mark.parametrize(("query", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case(query: str, wanted: list[str]) -> None:
    kinds = {line[:2] for line in wanted}
    assert kinds, "a case needs an expectation"
    assert [line for line in outcome(query) if line[:2] in kinds] == wanted


def outcome(query: str) -> list[str]:
    """What the translator makes of a query, in the form of the files."""
    try:
        statement = translate(parse(query), CATALOG)
    except AdqlError as error:
        return ["!! " + error.message.split("\n", maxsplit=1)[0]]
    return [f"=> {shortened(statement)}", *(f":: {described(column)}" for column in statement.columns)]


def shortened(statement: Statement) -> str:
    """SQL without the numbers of ranges."""
    return _RANGES.sub(r"<\1>", statement.sql)


def described(column: Column) -> str:
    values = (column.name, column.datatype, column.arraysize, column.xtype, column.unit, column.ucd)
    return " ".join(value or "-" for value in values)
