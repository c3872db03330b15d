"""Labelled queries that are accepted run in PostgreSQL, on tables made for them, and give what was promised."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tap.adql import AdqlError, parse
from tap.translate import translate
from tests.support.guessed import guessed_catalog
from vo_service.catalog.model import HPX_COLUMN, Catalog
from vo_service.database.access import Access
from vo_service.database.arrow import sql_type
from vo_service.database.statement import Statement

FAILS = {"adql-0778"}
"""ivo_epoch_prop_pos of a NULL position: an error, as the catalogue of functions asks."""


@pytest.fixture
def connection(access: Access) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(access.owner.conninfo, autocommit=True) as connection:
        yield connection


def test_accepted_queries_run(shared: Path, connection: psycopg.Connection[Any]) -> None:
    lines = (shared / "conformance" / "adql" / "adql_cases.jsonl").read_text(encoding="utf-8").splitlines()
    outcomes = {case["id"]: outcome(case["query"], connection) for line in lines if (case := json.loads(line))}
    failed = {name: told for name, told in outcomes.items() if told not in ("ran", "refused")}
    assert set(failed) == FAILS, failed
    assert Counter(outcomes.values())["ran"] > 850


def outcome(text: str, connection: psycopg.Connection[Any]) -> str:
    try:
        query = parse(text)
        catalog = guessed_catalog(query)
        statement = translate(query, catalog, limit=10)
    except AdqlError:
        return "refused"
    with connection.transaction(force_rollback=True):
        connection.execute("DROP SCHEMA tap_schema, ivoa CASCADE")
        create(catalog, connection)
        return run(statement, connection)


def create(catalog: Catalog, connection: psycopg.Connection[Any]) -> None:
    for schema in catalog.schemas:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema.name)))
    for table in catalog.tables():
        columns = [(column.name, sql_type(column)) for column in table.columns]
        columns += [(HPX_COLUMN, "bigint")] if table.position else []
        body = sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(f" {kind}") for name, kind in columns)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table.schema, table.name), body))


def run(statement: Statement, connection: psycopg.Connection[Any]) -> str:
    try:
        with connection.transaction():
            cursor = connection.execute(statement.sql.encode())
    except psycopg.Error as error:
        return str(error)
    types = [description.type_code for description in cursor.description or ()]
    promised = [sql_type(column) for column in statement.columns]
    wanted = connection.execute("SELECT %s::text[]::regtype[]::oid[]::bigint[]", (promised,)).fetchone()
    return "ran" if wanted == (types,) else f"types {types} instead of {promised}"
