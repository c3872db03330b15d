"""The catalogue in the database: publish, withdraw, read.

The truth is one JSON document per schema and table (`vo_service.published_schema`, `vo_service.published_table`); the
rows of TAP_SCHEMA are written from it in the same transaction, so that the two never differ. Callers own the
transaction: what they load and what they publish becomes visible together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from pydantic import TypeAdapter

from vo_service.catalog.model import Catalog, Column, ForeignKey, Schema, Table, adql_name

LAST_SCHEMA = 1_000_000
"""Index of TAP_SCHEMA: it comes after all that is published."""

_TABLE = TypeAdapter(Table)

Connection = psycopg.Connection[Any]


def publish_schema(connection: Connection, schema: Schema) -> None:
    """Make a schema known, or change its description (not its tables); a repetition changes nothing."""
    connection.execute(
        "INSERT INTO vo_service.published_schema AS s (schema_name, description, utype, schema_index)"
        " VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (schema_name) DO UPDATE"
        " SET description = EXCLUDED.description, utype = EXCLUDED.utype, schema_index = EXCLUDED.schema_index"
        " WHERE (s.description, s.utype, s.schema_index)"
        " IS DISTINCT FROM (EXCLUDED.description, EXCLUDED.utype, EXCLUDED.schema_index)",
        (schema.name, schema.description, schema.utype, schema.schema_index),
    )
    connection.execute(
        "INSERT INTO tap_schema.schemas AS s (schema_name, description, utype) VALUES (%s, %s, %s)"
        " ON CONFLICT (schema_name) DO UPDATE SET description = EXCLUDED.description, utype = EXCLUDED.utype"
        " WHERE (s.description, s.utype) IS DISTINCT FROM (EXCLUDED.description, EXCLUDED.utype)",
        (adql_name(schema.name), schema.description, schema.utype),
    )
    _number_schemas(connection)


def publish_table(connection: Connection, table: Table, keys: Sequence[ForeignKey] = ()) -> None:
    """Publish a table, or what has changed of it. Its schema must have been published; a repetition changes nothing.

    `keys` are the foreign keys from this table; they replace the ones published before.
    """
    changed = connection.execute(
        "INSERT INTO vo_service.published_table AS t (schema_name, table_name, definition) VALUES (%s, %s, %s)"
        " ON CONFLICT (schema_name, table_name) DO UPDATE"
        " SET definition = EXCLUDED.definition, updated_at = now()"
        " WHERE t.definition IS DISTINCT FROM EXCLUDED.definition"
        " RETURNING table_name",
        (table.schema, table.name, _TABLE.dump_json(table).decode()),
    ).fetchone()
    if changed is None and tuple(keys) == _keys_from(connection, table):
        return
    _write_table_row(connection, table)
    _write_column_rows(connection, table)
    _number_tables(connection, table.schema)
    _delete_keys(connection, "from_table = %(t)s", table)
    for key in keys:
        _insert_key(connection, key)


def withdraw_table(connection: Connection, table: Table) -> None:
    """Take a table out of the catalogue, and its schema with it if it was the last; the data stay where they are."""
    _delete_keys(connection, "from_table = %(t)s OR target_table = %(t)s", table)
    connection.execute("DELETE FROM tap_schema.columns WHERE table_name = %s", (table.full_name,))
    connection.execute("DELETE FROM tap_schema.tables WHERE table_name = %s", (table.full_name,))
    connection.execute(
        "DELETE FROM vo_service.published_table WHERE schema_name = %s AND table_name = %s", (table.schema, table.name)
    )
    left = connection.execute(
        "SELECT 1 FROM vo_service.published_table WHERE schema_name = %s LIMIT 1", (table.schema,)
    ).fetchone()
    if left is None:
        connection.execute("DELETE FROM tap_schema.schemas WHERE schema_name = %s", (adql_name(table.schema),))
        connection.execute("DELETE FROM vo_service.published_schema WHERE schema_name = %s", (table.schema,))
    _number_tables(connection, table.schema)
    _number_schemas(connection)


def renew_rows(connection: Connection) -> None:
    """Write the rows of TAP_SCHEMA again that an earlier version wrote without what it did not know of yet."""
    counted = dict(connection.execute("SELECT table_name, nrows FROM tap_schema.tables").fetchall())
    for table in _read_tables(connection):
        if counted[table.full_name] != table.counted_rows:
            _write_table_row(connection, table)
            _write_column_rows(connection, table)
            _number_tables(connection, table.schema)
    _number_schemas(connection)


def read_catalog(connection: Connection) -> Catalog:
    """All that is published, as of one snapshot of the database."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        version = connection.execute("SELECT version FROM vo_service.catalog_version").fetchone()
        schemas = _read_schemas(connection)
        tables = _read_tables(connection)
        keys = _read_keys(connection)
    return Catalog(
        schemas=tuple(
            Schema(
                name=name,
                tables=tuple(table for table in tables if table.schema == name),
                description=description or "",
                utype=utype,
                schema_index=index,
            )
            for name, description, utype, index in schemas
        ),
        keys=keys,
        version=version[0] if version else 0,
    )


def _read_schemas(connection: Connection) -> list[tuple[str, str | None, str | None, int | None]]:
    """Name, description, utype and index of the schemas in the order in which they are shown: those without an index
    after those with one, but before TAP_SCHEMA."""
    return connection.execute(
        "SELECT schema_name, description, utype, schema_index FROM vo_service.published_schema"
        " ORDER BY coalesce(schema_index, %s), schema_name",
        (LAST_SCHEMA - 1,),
    ).fetchall()


def _read_tables(connection: Connection) -> list[Table]:
    """All tables, those of a schema in the order in which they are shown."""
    documents = connection.execute(
        "SELECT definition::text FROM vo_service.published_table"
        " ORDER BY (definition->>'table_index')::integer NULLS LAST, table_name"
    ).fetchall()
    return [_TABLE.validate_json(document) for (document,) in documents]


def _number_schemas(connection: Connection) -> None:
    """Give every schema its index in TAP_SCHEMA: those that have none are counted on from those that have one."""
    numbers = _counted_on([(adql_name(name), index) for name, _, _, index in _read_schemas(connection)])
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE tap_schema.schemas SET schema_index = %(n)s"
            " WHERE schema_name = %(name)s AND schema_index IS DISTINCT FROM %(n)s",
            [{"name": name, "n": number} for name, number in numbers],
        )


def _number_tables(connection: Connection, schema: str) -> None:
    """The same for the tables of a schema."""
    tables = connection.execute(
        "SELECT table_name, (definition->>'table_index')::integer FROM vo_service.published_table"
        " WHERE schema_name = %s ORDER BY 2 NULLS LAST, 1",
        (schema,),
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE tap_schema.tables SET table_index = %(n)s"
            " WHERE table_name = %(name)s AND table_index IS DISTINCT FROM %(n)s",
            [{"name": f"{adql_name(schema)}.{adql_name(name)}", "n": number} for name, number in _counted_on(tables)],
        )


def _counted_on(entries: Iterable[tuple[str, int | None]]) -> Iterator[tuple[str, int]]:
    number = 0
    for name, index in entries:
        number = number + 1 if index is None else index
        yield name, number


def _write_table_row(connection: Connection, table: Table) -> None:
    connection.execute(
        "INSERT INTO tap_schema.tables (schema_name, table_name, table_type, description, utype, nrows)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (table_name) DO UPDATE SET table_type = EXCLUDED.table_type,"
        " description = EXCLUDED.description, utype = EXCLUDED.utype, nrows = EXCLUDED.nrows",
        (
            adql_name(table.schema),
            table.full_name,
            table.table_type,
            table.description,
            table.utype,
            table.counted_rows,
        ),
    )


def _write_column_rows(connection: Connection, table: Table) -> None:
    connection.execute("DELETE FROM tap_schema.columns WHERE table_name = %s", (table.full_name,))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tap_schema.columns (table_name, column_name, datatype, arraysize, xtype, size, description,"
            " utype, unit, ucd, indexed, principal, std, column_index, min_value, max_value, null_count)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [_column_row(table, column, index) for index, column in enumerate(table.columns, start=1)],
        )


def _column_row(table: Table, column: Column, index: int) -> tuple[object, ...]:
    size = int(column.arraysize) if column.arraysize and column.arraysize.isdigit() else None
    statistics = column.statistics
    return (
        table.full_name,
        adql_name(column.name),
        column.datatype,
        column.arraysize,
        column.xtype,
        size,
        column.description,
        column.utype,
        column.unit,
        column.ucd,
        int(column.indexed),
        int(column.principal),
        int(column.std),
        index,
        statistics and statistics.smallest,
        statistics and statistics.largest,
        statistics and statistics.nulls,
    )


def _delete_keys(connection: Connection, condition: LiteralString, table: Table) -> None:
    which = sql.SQL("SELECT key_id FROM tap_schema.keys WHERE ") + sql.SQL(condition)
    parameters = {"t": table.full_name}
    connection.execute(sql.SQL("DELETE FROM tap_schema.key_columns WHERE key_id IN ({})").format(which), parameters)
    connection.execute(sql.SQL("DELETE FROM tap_schema.keys WHERE ") + sql.SQL(condition), parameters)


def _insert_key(connection: Connection, key: ForeignKey) -> None:
    connection.execute(
        "INSERT INTO tap_schema.keys (key_id, from_table, target_table, description, utype)"
        " VALUES (%s, %s, %s, %s, %s)",
        (key.key_id, key.from_table, key.target_table, key.description, key.utype),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tap_schema.key_columns (key_id, from_column, target_column) VALUES (%s, %s, %s)",
            [(key.key_id, source, target) for source, target in key.columns],
        )


def _keys_from(connection: Connection, table: Table) -> tuple[ForeignKey, ...]:
    return tuple(key for key in _read_keys(connection) if key.from_table == table.full_name)


def _read_keys(connection: Connection) -> tuple[ForeignKey, ...]:
    rows = connection.execute(
        "SELECT key_id, from_table, target_table, k.description, k.utype,"
        " array_agg(ARRAY[from_column, target_column] ORDER BY from_column)"
        " FROM tap_schema.keys k JOIN tap_schema.key_columns USING (key_id) GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"
    ).fetchall()
    return tuple(
        ForeignKey(key_id, source, target, tuple((a, b) for a, b in pairs), description, utype)
        for key_id, source, target, description, utype, pairs in rows
    )
