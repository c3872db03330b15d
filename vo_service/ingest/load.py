"""Loading: files become a published table, in one transaction.

    files -> rows (`rows`) -> in HEALPix order (`order`) -> COPY -> indexes -> rights -> catalogue -> coverage, ObsCore

A new table, and one that replaces another, is filled under a name of its own and gets its proper name at the end: until
the transaction is committed nobody sees anything of it, and queries of the old one go on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, LiteralString

import psycopg
import pyarrow as pa
from psycopg import sql

from vo_service.catalog.description import Description
from vo_service.catalog.description_input import Rank, TableInput
from vo_service.catalog.model import Catalog, ForeignKey, Table, adql_name
from vo_service.catalog.store import publish_schema, publish_table, read_catalog
from vo_service.coverage.axes import axes_of
from vo_service.coverage.gather import Gathering
from vo_service.coverage.model import Coverage
from vo_service.coverage.store import kept_coverage, record_coverage
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.errors import IngestError
from vo_service.ingest.cover import gather
from vo_service.ingest.fill import Connection, copy_rows, create_table, index_positions
from vo_service.ingest.rows import BadRowError, Progress, Tally, open_files, read_rows
from vo_service.ingest.statistics import Summary
from vo_service.ingest.turns import take_turn
from vo_service.obscore.store import record_event_list

Mode = Literal["create", "append", "replace"]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was loaded.

    Attributes
    ----------
    tables
        As they are published now.
    rows, rejected
        Rows that were stored, and that were left out, of all tables.
    seconds
        Time from the first look at the files to the commit.
    reasons
        Why rows were left out, for the first of them: file, row (from 1) and what was wrong.
    """

    tables: tuple[Table, ...]
    rows: int
    rejected: int
    seconds: float
    reasons: tuple[str, ...] = ()


def load(
    access: Access,
    description: Description,
    paths: Sequence[Path],
    *,
    mode: Mode = "create",
    progress: Progress | None = None,
) -> LoadReport:
    """Load files into the tables that a description describes, and publish them.

    Parameters
    ----------
    mode
        "create": the tables must not be published yet. "append": rows are added to published tables. "replace": they
        take the place of those that are published, if any.
    progress
        Called as work goes on with what is being done, the rows it is done for, and their number if it is known.

    Raises
    ------
    IngestError
        A file or row cannot be loaded, or does not go with what is published. Nothing has changed then.
    UnavailableError
        The database cannot be reached.
    """
    started = time.monotonic()
    assigned = _assign(description, paths)
    with connect(access.writer.conninfo) as connection:
        take_turn(connection, (table.full_name for table, _ in assigned))
        catalog = read_catalog(connection)
        loads = [
            _TableLoad(connection, table, description.inputs[table.name], _published(catalog, table, mode), mode)
            for table, _ in assigned
        ]
        try:
            for table_load, (_, files) in zip(loads, assigned, strict=True):
                table_load.run(files, access.reader.name, progress or (lambda *_: None))
            tables = tuple(table_load.result() for table_load in loads)
            _publish(connection, description, tables, catalog)
            for table, table_load in zip(tables, loads, strict=True):
                coverage = record_coverage(connection, table, table_load.coverage())
                record_event_list(connection, table, coverage)
            connection.commit()
        except BadRowError as error:
            raise IngestError(
                f"{error.message}. Nothing was loaded; with reject: skip such rows are left out"
            ) from None
        except psycopg.Error as error:
            raise _explain(error) from None
    tallies = [table_load.tally for table_load in loads]
    return LoadReport(
        tables=tables,
        rows=sum(tally.read - tally.rejected for tally in tallies),
        rejected=sum(tally.rejected for tally in tallies),
        seconds=time.monotonic() - started,
        reasons=tuple(reason for tally in tallies for reason in tally.reasons),
    )


def _assign(description: Description, paths: Sequence[Path]) -> list[tuple[Table, list[Path]]]:
    """The tables that there are files for, with their files. Raises IngestError for files that belong to none."""
    assigned = []
    for table in description.schema.tables:
        patterns = description.inputs[table.name].files
        files = [path for path in paths if not patterns or any(fnmatch(path.name, pattern) for pattern in patterns)]
        if files:
            assigned.append((table, files))
    strays = [str(path) for path in paths if not any(path in files for _, files in assigned)]
    if strays or not paths:
        raise IngestError(f"No table of the description takes {', '.join(strays)}" if strays else "No file is given")
    return assigned


def _published(catalog: Catalog, table: Table, mode: Mode) -> Table | None:
    """The table of this name that is published. Raises IngestError if that does not go with the mode."""
    name = table.full_name
    for schema in catalog.schemas:
        if schema.name.lower() == table.schema.lower() and schema.name != table.schema:
            raise IngestError(f"{name}: a schema {schema.name} is published, which differs by letter case only")
    published = catalog.table(table.schema, table.name)
    if published is not None and published.name != table.name:
        raise IngestError(f"{name}: {published.full_name} is published, which differs by letter case only")
    if published is not None and mode == "create":
        raise IngestError(f"{name} is published already; say --append to add rows, or --replace to replace it")
    if published is None and mode == "append":
        raise IngestError(f"{name} is not published, so that no rows can be appended")
    return published


class _TableLoad:
    """The load of one table, within a transaction."""

    def __init__(
        self, connection: Connection, table: Table, source: TableInput, published: Table | None, mode: Mode
    ) -> None:
        self.tally = Tally()
        self._connection = connection
        self._table = table
        self._source = source
        self._published = published
        self._append = mode == "append"
        if self._append:
            _check_same(table, published, source)
        self._summary = Summary()
        self._gathering = self._begin_gathering()
        # Where the rows are written.
        self._target = table if self._append else replace(table, name=_working_name(table))

    def run(self, files: Sequence[Path], reader: str, progress: Progress) -> None:
        """Load the rows, and put the table in its place."""
        if not self._append:
            self._create()
        self._copy(files, progress)
        if not self._append:
            progress("indexing", self.tally.read - self.tally.rejected, None)
            self._index()
            self._put_in_place()
            self._grant(reader)
        self._execute("ANALYZE {}", self._table)

    def result(self) -> Table:
        """The table as it is now."""
        loaded = self.tally.read - self.tally.rejected
        if self._append and self._published:
            columns = self._summary.describe(self._table.columns, self._published.columns)
            return replace(self._table, rows=self._published.rows + loaded, columns=columns)
        return replace(self._table, rows=loaded, columns=self._summary.describe(self._table.columns))

    def coverage(self) -> Coverage | None:
        """What the table covers now; None if that must be measured."""
        return None if self._gathering is None else self._gathering.coverage()

    def _begin_gathering(self) -> Gathering | None:
        """To be told of the rows that come; knows of those that are there. None if these must be measured."""
        if not self._append or self._published is None:
            return Gathering(self._table)
        kept = kept_coverage(self._connection, self._table)
        same = axes_of(self._published).names == axes_of(self._table).names
        return Gathering(self._table, kept) if kept is not None and same else None

    def _create(self) -> None:
        schema = sql.Identifier(self._table.schema)
        self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        create_table(self._connection, self._target, required=self._source.required)

    def _copy(self, paths: Sequence[Path], progress: Progress) -> None:
        """Write the rows of the files."""
        rows = read_rows(open_files(paths, self._source), self._table, self._source, self.tally, progress)

        def tell(stored: int) -> None:
            whole = None if self._table.position is None else self.tally.read - self.tally.rejected
            progress("storing", stored, whole)

        copy_rows(self._connection, self._target, rows, is_new=not self._append, look=self._look, progress=tell)

    def _look(self, batch: pa.RecordBatch) -> None:
        """Note what rows hold and cover, while the server is busy with those before them."""
        self._summary.add(batch.columns[: len(self._table.columns)])
        if self._gathering is not None:
            gather(self._gathering, self._table, batch)

    def _index(self) -> None:
        index_positions(self._connection, self._target)
        if self._table.primary_key is not None:
            self._execute("ALTER TABLE {} ADD PRIMARY KEY ({})", self._target, self._table.primary_key)
        for column in self._source.indexed:
            self._execute("CREATE INDEX ON {} ({})", self._target, column)

    def _put_in_place(self) -> None:
        if self._published is not None:
            self._execute("DROP TABLE {}", self._table)
        self._execute("ALTER TABLE {} RENAME TO {}", self._target, self._table.name)

    def _grant(self, reader: str) -> None:
        schema = sql.Identifier(self._table.schema)
        self._connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, sql.Identifier(reader)))
        self._execute("GRANT SELECT ON {} TO {}", self._table, reader)

    def _execute(self, statement: LiteralString, table: Table, *names: str) -> None:
        name = sql.Identifier(table.schema, table.name)
        self._connection.execute(sql.SQL(statement).format(name, *map(sql.Identifier, names)))


def _publish(connection: Connection, description: Description, tables: Sequence[Table], catalog: Catalog) -> None:
    publish_schema(connection, description.schema)
    for table in tables:
        publish_table(connection, table)
    # Keys come last, as they may refer to any of the tables.
    known = {table.full_name: table for table in (*catalog.tables(), *tables)}
    for table in tables:
        keys = [key for key in description.keys if key.from_table == table.full_name]
        for key in keys:
            _check_target(key, known)
        if keys:
            publish_table(connection, table, keys)


def _check_target(key: ForeignKey, known: dict[str, Table]) -> None:
    target = known.get(key.target_table)
    if target is None:
        raise IngestError(f"{key.from_table} has a foreign key to {key.target_table}, which is not published")
    names = {adql_name(column.name) for column in target.columns}
    for _, column in key.columns:
        if column not in names:
            raise IngestError(f"{key.from_table} has a foreign key to {key.target_table}, which has no column {column}")


def _working_name(table: Table) -> str:
    """A name that no publisher would choose, for the table while it is filled."""
    return f"~{hashlib.sha256(table.name.encode()).hexdigest()[:16]}"


def _check_same(table: Table, published: Table | None, source: TableInput) -> None:
    """Raises IngestError unless the rows of `table` can stand among those that are published."""
    if published is None:
        raise ValueError("only rows of published tables are appended")
    ranked = [name for name, where in source.sources.items() if isinstance(where, Rank)]
    if ranked:
        raise IngestError(
            f"{table.full_name}: {ranked[0]} is the rank among all rows, so that none can be appended; say --replace"
        )
    old, new = ({c.name: (c.datatype, c.arraysize, c.xtype, c.unit) for c in t.columns} for t in (published, table))
    different = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if different:
        raise IngestError(
            f"{table.full_name}: rows cannot be appended, as {', '.join(different)} is described otherwise than it was"
            " published (name, datatype or unit); say --replace"
        )
    if (published.position, published.primary_key) != (table.position, table.primary_key):
        raise IngestError(f"{table.full_name}: position or primaryKey is another than was published; say --replace")


def _explain(error: psycopg.Error) -> IngestError:
    detail = f" {error.diag.message_detail}" if error.diag.message_detail else ""
    if isinstance(error, psycopg.errors.UniqueViolation):
        return IngestError(f"The primary key does not identify rows:{detail} Nothing was loaded")
    return IngestError(f"The database refused: {error.diag.message_primary or error}{detail}. Nothing was loaded")
