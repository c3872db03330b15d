"""Which queries are known to be small, and go by the quick lane."""

from __future__ import annotations

import pytest

from tap.adql import parse
from tap.translate import translate
from vo_service.catalog.model import Catalog, Column, Position, Schema, Table

EVENTS = Table(
    "big", "events", (Column("id", "long"), Column("ra", "double"), Column("dec", "double"), Column("e", "float")),
    position=Position("ra", "dec"), primary_key="id", rows=1_000_000,
)  # fmt: skip
RUNS = Table("big", "runs", (Column("run", "long"),), rows=100)
GROWING = Table("alerts", "voevent", (Column("ivoid", "char", "*"),))
META = Table("tap_schema", "tables", (Column("table_name", "char", "*"),))
CATALOG = Catalog((Schema("big", (EVENTS, RUNS)), Schema("alerts", (GROWING,)), Schema("tap_schema", (META,))))

CONE = "1=CONTAINS(POINT(ra, dec), CIRCLE(10, 20, {}))"


def is_small(query: str) -> bool:
    return translate(parse(query), CATALOG, limit=2_000_001).small


@pytest.mark.parametrize(
    "query",
    [
        "SELECT TOP 1 * FROM big.events",
        "SELECT TOP 100 ra + dec FROM big.events OFFSET 100",
        "SELECT * FROM big.events WHERE " + CONE.format(1),
        "SELECT * FROM big.events WHERE e > 1 AND " + CONE.format(1) + " ORDER BY e",
        "SELECT COUNT(*) FROM big.events WHERE DISTANCE(POINT(ra, dec), POINT(10, 20)) < 0.5",
        "SELECT * FROM big.events WHERE id = 7",
        "SELECT * FROM big.runs",
        "SELECT COUNT(*) FROM big.runs AS a, big.runs AS b",
        "SELECT * FROM tap_schema.tables",
        "SELECT TOP 5 * FROM alerts.voevent",
    ],
)
def test_small(query: str) -> None:
    assert is_small(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM big.events",
        "SELECT TOP 1000 * FROM big.events",
        "SELECT TOP 1 * FROM big.events ORDER BY e",
        "SELECT TOP 1 * FROM big.events OFFSET 900000",
        "SELECT TOP 1 * FROM big.events WHERE e > 1",
        "SELECT DISTINCT TOP 1 e FROM big.events",
        "SELECT COUNT(*) FROM big.events",
        "SELECT TOP 1 e, COUNT(*) FROM big.events GROUP BY e",
        "SELECT * FROM big.events WHERE " + CONE.format(20),
        "SELECT * FROM big.events WHERE e > 1 OR " + CONE.format(1),
        "SELECT * FROM big.events WHERE NOT " + CONE.format(1),
        "SELECT TOP 1 * FROM big.events AS a JOIN big.runs AS b ON a.id = b.run",
        "SELECT TOP 1 * FROM (SELECT * FROM big.events) AS a",
        "SELECT * FROM big.events WHERE id = 7 AND e IN (SELECT run FROM big.runs)",
        "SELECT COUNT(*) FROM big.runs AS a, big.runs AS b, big.runs AS c",
        "SELECT * FROM alerts.voevent",
    ],
)
def test_not_small(query: str) -> None:
    assert not is_small(query)
