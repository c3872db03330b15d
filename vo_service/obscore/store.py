"""ObsCore in the database: rows of event lists, written by the transaction that loads a table, and gone with the table.

The views ivoa.obscore and ivoa.obscore_hea (`schema.sql`) make identifiers and addresses of them.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from vo_service.catalog.identifiers import ivoid
from vo_service.catalog.model import GROWING, Catalog, Table
from vo_service.coverage.model import Coverage
from vo_service.coverage.store import record_coverage
from vo_service.obscore.record import event_list_record

Connection = psycopg.Connection[Any]


def record_event_list(connection: Connection, table: Table, coverage: Coverage) -> None:
    """Tell ObsCore of a published table if it is an event list, as it is now; part of the caller's transaction."""
    connection.execute(
        "DELETE FROM vo_service.observation WHERE schema_name = %s AND table_name = %s", (table.schema, table.name)
    )
    if not table.is_event_list:
        return
    nowhere = ivoid("")
    connection.execute(
        "INSERT INTO vo_service.observation (schema_name, table_name, identifier, links, record)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (schema_name, table_name) DO UPDATE SET record = EXCLUDED.record",
        (
            table.schema,
            table.name,
            identifier := ivoid("", table.schema, table.name).removeprefix(nowhere),
            quote(identifier, safe="/"),
            json.dumps(event_list_record(table, coverage, _kilobytes(connection, table))),
        ),
    )


def record_missing(connection: Connection, catalog: Catalog) -> None:
    """Tell ObsCore of event lists, and measure tables, that an earlier version of the service published."""
    known = set(connection.execute("SELECT schema_name, table_name FROM vo_service.coverage").fetchall())
    for table in catalog.tables():
        if table.schema not in GROWING and (table.schema, table.name) not in known:
            record_event_list(connection, table, record_coverage(connection, table))


def _kilobytes(connection: Connection, table: Table) -> int:
    """The size of the rows as they are stored."""
    name = sql.Identifier(*table.sql_name).as_string(connection)
    row = connection.execute("SELECT (pg_relation_size(%s::regclass) + 999) / 1000", (name,)).fetchone()
    return int(row[0]) if row else 0


def remember_address(connection: Connection, authority: str, url: str) -> None:
    """Keep what identifiers and addresses in ObsCore begin with.

    Parameters
    ----------
    authority
        Of the service's identifiers: org.example.vo.
    url
        Under which clients reach the service, without a slash at the end.
    """
    connection.execute(
        "INSERT INTO vo_service.obscore_address AS a (authority, url) VALUES (%s, %s)"
        " ON CONFLICT (only_row) DO UPDATE SET authority = EXCLUDED.authority, url = EXCLUDED.url"
        " WHERE (a.authority, a.url) IS DISTINCT FROM (EXCLUDED.authority, EXCLUDED.url)",
        (ivoid(authority), url),
    )
