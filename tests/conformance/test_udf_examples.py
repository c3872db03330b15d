"""The examples of the IVOA Catalogue of User-Defined Functions 1.2, run in PostgreSQL.

An example is an expression and what it becomes. Those that speak of tables of other services run on tables made here,
whose values fall into the bins as the example counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tap.adql import AdqlError, parse
from tap.translate import translate
from tests.support.published import CATALOG
from vo_service.catalog.model import Catalog, Column, Schema, Table
from vo_service.database.access import Access

NOT_HERE = {
    "ivo_simbadpoint('GJ 699')": "the service asks no other one while it answers; Simbad has a TAP service of its own"
}
"""Examples that fail, and why."""

TOLERANCE = (1e-10, 1e-7)
"""Degrees, days or 1: a unit of the last digit that the example has, but not less and not more than these."""

NSS = Table("gaiadr3", "nss_vim_fl", (Column("parallax", "double", unit="mas"),))
CLUSTERS = Table("mwsc", "main", (Column("n_star", "double"),))
WITH_FOREIGN = Catalog((*CATALOG.schemas, Schema("gaiadr3", (NSS,)), Schema("mwsc", (CLUSTERS,))))

Run = Callable[[str], list[tuple[Any, ...]]]
Example = dict[str, str]


@pytest.fixture(scope="module")
def examples(shared: Path) -> list[Example]:
    found: list[Example] = json.loads((shared / "conformance/adql/udf_examples.json").read_text(encoding="utf-8"))
    assert len(found) == 55
    return found


@pytest.fixture(scope="module")
def run(access: Access, examples: list[Example]) -> Iterator[Run]:
    """Gives the rows of a query; what it speaks of is made here, and gone at the end."""
    with psycopg.connect(access.owner.conninfo) as connection:
        for schema, table, column in (("gaiadr3", "nss_vim_fl", "parallax"), ("mwsc", "main", "n_star")):
            connection.execute(f"CREATE SCHEMA {schema}".encode())
            connection.execute(f"CREATE TABLE {schema}.{table} ({column} double precision)".encode())
        fill(connection, examples)

        def run(query: str) -> list[tuple[Any, ...]]:
            with connection.transaction():
                return connection.execute(translate(parse(query), WITH_FOREIGN).sql.encode()).fetchall()

        yield run
        connection.rollback()


def fill(connection: psycopg.Connection[Any], examples: list[Example]) -> None:
    """Values in the middle of the bins, as many as the examples count."""
    for example in examples:
        match = re.search(r"ivo_histogram\((.*), (\S+), (\S+), (\d+)\) FROM (\S+)", example["expression"])
        if match is None:
            continue
        low, high, bins = float(match[2]), float(match[3]), int(match[4])
        width = (high - low) / bins
        counts = map(int, example["becomes"].split())
        value = "10 ^ x - 1" if match[1].startswith("LOG10") else "x"
        for place, count in enumerate(counts):
            connection.execute(
                f"INSERT INTO {match[5]} SELECT {value} FROM generate_series(1, %s),"
                " (SELECT %s::double precision AS x) AS x".encode(),
                (count, low + (place - 0.5) * width),
            )


def outcome(expression: str, run: Run) -> list[Any] | None:
    """What an expression or a query gives (one is followed by a stray sign): arrays as items; None if it fails."""
    query = expression.replace("|", "", 1) if expression.startswith("SELECT") else None
    try:
        first, *_ = run(query or f"SELECT {expression} FROM tap_schema.tables")
    except (AdqlError, psycopg.Error):
        return None
    return first[0] if isinstance(first[0], list) else list(first)


def agrees(example: Example, values: list[Any] | None) -> bool:
    """Whether the values are what the example says."""
    becomes = example["becomes"]
    if becomes in ("an error", "undefined") or becomes.startswith("ivo_"):
        # Of "undefined" it says that implementations had better fail; in one the text of the next example slipped in.
        return values is None
    if values is None:
        return False
    if "normal_random" in example["expression"]:
        return len(set(values)) == 2 and all(isinstance(value, float) for value in values)
    if "string_agg" in example["expression"]:
        return set(becomes.strip("'").split(" <//> ")[:2]) < set(values[0].split(" <//> "))
    if "This could also be 0" in example["note"]:
        return values in ([0], [1])
    if becomes == "NULL":
        return values == [None]
    numbers = re.findall(r"-?\d+\.?\d*", becomes)
    return len(values) == len(numbers) and all(map(is_close, values, numbers))


def is_close(value: float | None, written: str) -> bool:
    decimals = len(written.partition(".")[2])
    tolerance = min(max(10.0**-decimals, TOLERANCE[0]), TOLERANCE[1])
    return value is not None and abs(value - float(written)) <= tolerance


def test_examples(examples: list[Example], run: Run) -> None:
    values = {example["expression"]: outcome(example["expression"], run) for example in examples}
    wrong = {e["expression"]: values[e["expression"]] for e in examples if not agrees(e, values[e["expression"]])}
    assert len(values) == 55
    assert wrong.keys() == NOT_HERE.keys(), wrong


def test_the_second_of_two_examples_that_were_run_together(examples: list[Example], run: Run) -> None:
    """The errors of both: a position and an epoch that are not known."""
    (example,) = (e for e in examples if e["becomes"].startswith("ivo_"))
    assert outcome(example["becomes"], run) is None
