"""Coverages in the database: measured by the transaction that loads a table, and gone with the table."""

from __future__ import annotations

from typing import Any

import psycopg
from pydantic import TypeAdapter

from vo_service.catalog.model import Table
from vo_service.coverage.measure import measure
from vo_service.coverage.model import Coverage

Connection = psycopg.Connection[Any]

_COVERAGE = TypeAdapter(Coverage)


def record_coverage(connection: Connection, table: Table, coverage: Coverage | None = None) -> Coverage:
    """Keep what a published table covers, which is measured if it is not known; part of the caller's transaction."""
    if coverage is None:
        coverage = measure(connection, table)
    connection.execute(
        "INSERT INTO vo_service.coverage AS c (schema_name, table_name, measured) VALUES (%s, %s, %s)"
        " ON CONFLICT (schema_name, table_name) DO UPDATE SET measured = EXCLUDED.measured, measured_at = now()",
        (table.schema, table.name, _COVERAGE.dump_json(coverage).decode()),
    )
    return coverage


def coverage_of(connection: Connection, table: Table) -> Coverage:
    """What a published table covers.

    Tables that grow while the service runs, and those that an earlier version of the service published, have nothing
    kept: they are measured now.
    """
    kept = kept_coverage(connection, table)
    return measure(connection, table) if kept is None else kept


def kept_coverage(connection: Connection, table: Table) -> Coverage | None:
    """What is kept of a published table, if anything is."""
    kept = connection.execute(
        "SELECT measured::text FROM vo_service.coverage WHERE schema_name = %s AND table_name = %s",
        (table.schema, table.name),
    ).fetchone()
    return None if kept is None else _COVERAGE.validate_json(kept[0])
