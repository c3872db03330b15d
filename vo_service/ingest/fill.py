"""Filling a table of PostgreSQL: create it, write rows into it, index their positions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from vo_service.catalog.model import HPX_COLUMN, Table
from vo_service.database.arrow import sql_type
from vo_service.ingest.copy_binary import HEADER, TRAILER, encode_rows, row_bytes
from vo_service.ingest.order import in_order
from vo_service.ingest.prefetch import prefetch

Connection = psycopg.Connection[Any]


def create_table(
    connection: Connection,
    table: Table,
    *,
    required: Iterable[str] = (),
    every_row_placed: bool = True,
    unlogged: bool = False,
) -> None:
    """Create the table without rows or indexes.

    Parameters
    ----------
    required
        Columns in which a value must not be missing.
    every_row_placed
        Whether each row must have an index of its position, if the table has positions.
    unlogged
        Whether the table may be empty after the server has crashed.
    """
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(name), sql.SQL(sql_type(column)), sql.SQL(" NOT NULL" if column.name in required else "")
        )
        for name, column in zip(table.sql_columns, table.columns, strict=True)
    ]
    if table.position is not None:
        kind = sql.SQL(" bigint NOT NULL" if every_row_placed else " bigint")
        columns.append(sql.Identifier(HPX_COLUMN) + kind)
    connection.execute(
        sql.SQL("CREATE {} {} ({})").format(
            sql.SQL("UNLOGGED TABLE" if unlogged else "TABLE"), quoted(table), sql.SQL(", ").join(columns)
        )
    )


def copy_rows(
    connection: Connection,
    table: Table,
    batches: Generator[pa.RecordBatch, None, None],
    *,
    is_new: bool,
    memory: int | None = None,
    look: Callable[[pa.RecordBatch], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write rows into the table, those with a position in the order of its index.

    Parameters
    ----------
    batches
        With the columns of the table, and that of the index if there is a position.
    is_new
        Whether the table was created in this transaction.
    memory
        Bytes of rows that are put in order at once, if not what the machine has for it.
    look
        Called in another thread with all rows that are written.
    progress
        Called with the number of rows that have been written.
    """
    positioned = table.position is not None
    names = [*table.sql_columns, HPX_COLUMN] if positioned else table.sql_columns
    # FREEZE: rows of a table that nobody has seen yet need no check of who may see them, then or later.
    statement = sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
        quoted(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL("FORMAT binary, FREEZE" if is_new else "FORMAT binary"),
    )
    stored = 0
    # Rows are sorted, looked at and encoded in a thread while the server stores those before them.
    encoded = prefetch(_encoded(batches, positioned, memory, look))
    with connection.cursor().copy(statement) as copy, closing(encoded):
        copy.write(HEADER)
        for rows in encoded:
            copy.write(row_bytes(rows))
            stored += len(rows)
            progress(stored)
        copy.write(TRAILER)


def _encoded(
    batches: Generator[pa.RecordBatch, None, None],
    positioned: bool,
    memory: int | None,
    look: Callable[[pa.RecordBatch], None],
) -> Iterator[pa.BinaryArray]:
    with closing(batches):
        for batch in in_order(batches, memory) if positioned else batches:
            look(batch)
            yield encode_rows(batch.columns)


def index_positions(connection: Connection, table: Table) -> None:
    """Give the table the index of its positions, if it has any."""
    if table.position is not None:
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(quoted(table), sql.Identifier(HPX_COLUMN)))


def quoted(table: Table) -> sql.Identifier:
    """The name of the table in SQL."""
    return sql.Identifier(*table.sql_name)
