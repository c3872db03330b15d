"""Reclustering: the rows of a table back in the order of their positions, while the service answers from it.

    order lost? -> copy in order beside the table -> indexes -> commit -> the copy takes the table's place

Rows that are appended stand in order among themselves, but behind all others: a region of the sky is in as many places
as there were loads. Nothing of what is published changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg import sql

from vo_service.catalog.model import GROWING, HPX_COLUMN, Table
from vo_service.catalog.store import read_catalog
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.errors import IngestError, NotFoundError, UsageError
from vo_service.ingest.duplicate import Duplicate
from vo_service.ingest.order import run_bytes
from vo_service.ingest.prefetch import prefetch
from vo_service.ingest.rows import Progress
from vo_service.ingest.turns import take_turn

Connection = psycopg.Connection[Any]

NEIGHBOURS: Final = 1000
"""Rows next to each other on the sky by which the order of a table is judged."""

PLACES: Final = 64
"""Places of a table where it is looked for them."""

TOLERANCE: Final = 1.25
"""Pages on which neighbours may lie, in relation to those that they need."""

_BLOCK_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How scattered the rows of a table are.

    Attributes
    ----------
    pages
        On how many pages of the table NEIGHBOURS rows next to each other on the sky lie, on average.
    needed
        On how many they would lie if they were in order.
    """

    pages: float
    needed: float

    @property
    def in_order(self) -> bool:
        return self.pages <= TOLERANCE * self.needed


@dataclass(frozen=True, slots=True)
class ReclusterReport:
    """What was done: `after` is None if the rows were in order already, so that nothing was."""

    table: Table
    before: Neighbours
    after: Neighbours | None
    seconds: float


def recluster(access: Access, name: str, progress: Progress = lambda *_: None) -> ReclusterReport:
    """Put the rows of the published table `schema.table` in the order of their HEALPix index, if they are not.

    Queries go on meanwhile. Loads of the table wait until it is done. It needs as much free space as the table has.
    However it ends before that, the table stays as it was.

    Parameters
    ----------
    progress
        Called as work goes on with what is being done, the rows it is done for, and their number if it is known.

    Raises
    ------
    NotFoundError
        There is no such table.
    UsageError
        It has no position, belongs to the service itself, or something depends on it that a copy would lose.
    IngestError
        The database refused.
    """
    started = time.monotonic()
    with connect(access.writer.conninfo) as guard, connect(access.writer.conninfo) as builder:
        table = _published(guard, name)
        take_turn(guard, [table.full_name])
        # Whoever had the turn before may have changed it.
        table = _published(guard, name)
        try:
            before, after = _recluster(guard, builder, table, progress)
        except psycopg.Error as error:
            reason = error.diag.message_primary or error
            raise IngestError(f"The database refused: {reason}. {table.full_name} is as it was") from None
    return ReclusterReport(table, before, after, time.monotonic() - started)


def _published(connection: Connection, name: str) -> Table:
    schema, _, table_name = name.partition(".")
    table = read_catalog(connection).table(schema, table_name)
    if table is None:
        raise NotFoundError(f"There is no published table {name}; expected schema.table as `vo-service list` shows it")
    if table.schema in GROWING:
        raise UsageError(f"{name} belongs to the service itself")
    if table.position is None:
        raise UsageError(f"{name} has no position, by which its rows could be put in order")
    return table


def _recluster(
    guard: Connection, builder: Connection, table: Table, progress: Progress
) -> tuple[Neighbours, Neighbours | None]:
    duplicate = Duplicate(table)
    # From here to the exchange nobody writes, whoever it is; reading goes on.
    guard.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(duplicate.original))
    guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    duplicate.check(guard)
    before = measure(guard, table)
    if before.in_order:
        return before, None
    try:
        duplicate.create(builder)
        _copy_rows(guard, builder, duplicate, table.rows, progress)
        progress("indexing", table.rows, None)
        duplicate.index(builder)
        # Now, as it writes all of it to disk: nobody waits for that.
        builder.commit()
        duplicate.put_in_place(guard, lambda: progress("waiting for running queries of", table.rows, None))
        guard.commit()
    finally:
        # Whatever was in the way: the next attempt would remove it too, but until then it takes up space.
        builder.rollback()
        duplicate.remove(builder)
        builder.commit()
    return before, measure(guard, table)


def _copy_rows(guard: Connection, builder: Connection, duplicate: Duplicate, total: int, progress: Progress) -> None:
    """Write the rows of the original into its duplicate, in order."""
    columns = duplicate.columns(guard)
    guard.execute(sql.SQL("SET LOCAL work_mem = {}").format(f"{run_bytes() >> 10}kB"))
    select = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
        columns, duplicate.original, sql.Identifier(HPX_COLUMN)
    )
    # FREEZE: a query that began before the exchange, and waits for it, is to see the rows all the same.
    store = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(duplicate.identifier, columns)
    with guard.cursor().copy(select) as rows, builder.cursor().copy(store) as copy:
        done = 0
        for block in prefetch(_blocks(iter(rows))):
            copy.write(block)
            done = min(done + _BLOCK_ROWS, total)
            progress("putting in order", done, total)


def _blocks(rows: Iterator[Any]) -> Iterator[bytes]:
    while block := b"".join(islice(rows, _BLOCK_ROWS)):
        yield block


# The first number of a ctid is the page.
_MEASURE: Final = """
    WITH places AS (
        SELECT DISTINCT ON ((ctid::text::point)[0]) {hpx}
        FROM {table} TABLESAMPLE SYSTEM (%(share)s) REPEATABLE (1)
        ORDER BY (ctid::text::point)[0])
    SELECT avg(pages), avg(rows) FROM places, LATERAL (
        SELECT count(DISTINCT (ctid::text::point)[0]) AS pages, count(*) AS rows
        FROM (SELECT ctid FROM {table} WHERE {hpx} >= places.{hpx} ORDER BY {hpx} LIMIT %(neighbours)s) n) l
"""


def measure(connection: Connection, table: Table) -> Neighbours:
    """How scattered the rows of a table are, seen at some places of it."""
    size = connection.execute(
        "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::float8",
        (sql.Identifier(*table.sql_name).as_string(connection),),
    ).fetchone()
    pages = max(size[0] if size else 0, 1)
    parameters = {"share": min(100.0, 100 * PLACES / pages), "neighbours": NEIGHBOURS}
    query = sql.SQL(_MEASURE).format(hpx=sql.Identifier(HPX_COLUMN), table=sql.Identifier(*table.sql_name))
    found = connection.execute(query, parameters).fetchone()
    if found is None or found[0] is None:
        return Neighbours(0, 0)
    return Neighbours(float(found[0]), float(found[1]) * pages / max(table.rows, 1) + 1)
