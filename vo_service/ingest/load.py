"""Loading: files become a published table, in one transaction.

    files -> rows (`rows`) -> in HEALPix order (`order`) -> COPY -> indexes -> rights -> catalogue

A new table, and one that replaces another, is filled under a name of its own and gets its proper name at the end: until
the transaction is committed nobody sees anything of it, and queries of the old one go on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from vo_service.catalog.description import Description
from vo_service.catalog.description_input import Rank, TableInput
from vo_service.catalog.model import HPX_COLUMN, ForeignKey, Table
from vo_service.catalog.store import publish_schema, publish_table, read_catalog
from vo_service.database.access import Access
from vo_service.database.arrow import sql_type
from vo_service.database.failures import connect
from vo_service.errors import IngestError
from vo_service.ingest.copy_binary import HEADER, TRAILER
from vo_service.ingest.order import Block, in_order, row_bytes
from vo_service.ingest.rows import Progress, Rejections, encode_files, open_files

Connection = psycopg.Connection[Any]
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
    with connect(access.writer.conninfo) as connection:
        try:
            loading = _Loading(connection, access, description, mode, progress or (lambda *_: None))
            for table, files in _assign(description, paths):
                loading.load(table, files)
            loading.publish()
            connection.commit()
        except psycopg.Error as error:
            raise _explain(error) from None
    return loading.report(time.monotonic() - started)


def _assign(description: Description, paths: Sequence[Path]) -> list[tuple[Table, list[Path]]]:
    """The files of each table. Raises IngestError for files that belong to none."""
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


class _Loading:
    """One transaction that loads some tables of a schema."""

    def __init__(
        self, connection: Connection, access: Access, description: Description, mode: Mode, progress: Progress
    ) -> None:
        self._connection = connection
        self._reader = access.reader.name
        self._description = description
        self._mode = mode
        self._progress = progress
        self._rejections = Rejections()
        self._loaded: list[tuple[Table, int]] = []

    def load(self, table: Table, paths: Sequence[Path]) -> None:
        """Load the rows of one table."""
        source = self._description.inputs[table.name]
        # One load of a table at a time; another one waits here rather than fail at its end.
        self._connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table.full_name,))
        published = self._published(table)
        if self._mode == "append":
            _check_same(table, published, source)
        target = table if self._mode == "append" else replace(table, name=_working_name(table))
        if self._mode != "append":
            self._create(table, target)
        rows = self._copy(table, target, source, paths)
        if self._mode != "append":
            self._progress("indexing", 0, None)
            self._index(table, target)
            self._put_in_place(table, target, published)
        self._connection.execute(sql.SQL("ANALYZE {}").format(_identifier(table)))
        before = published.rows if published and self._mode == "append" else 0
        self._loaded.append((replace(table, rows=before + rows), rows))

    def publish(self) -> None:
        """Enter the tables into the catalogue."""
        publish_schema(self._connection, self._description.schema)
        for table, _ in self._loaded:
            publish_table(self._connection, table)
        for table, _ in self._loaded:
            keys = [key for key in self._description.keys if key.from_table == table.full_name]
            if keys:
                self._check_targets(keys)
                publish_table(self._connection, table, keys)

    def report(self, seconds: float) -> LoadReport:
        return LoadReport(
            tables=tuple(table for table, _ in self._loaded),
            rows=sum(rows for _, rows in self._loaded),
            rejected=self._rejections.count,
            seconds=seconds,
            reasons=tuple(self._rejections.reasons),
        )

    def _published(self, table: Table) -> Table | None:
        """The table of this name that is published. Raises IngestError if that does not go with the mode."""
        catalog = read_catalog(self._connection)
        for schema in catalog.schemas:
            if schema.name.lower() == table.schema.lower() and schema.name != table.schema:
                raise IngestError(
                    f"The schema {schema.name} is published, which differs from {table.schema} by case only"
                )
        published = catalog.table(table.schema, table.name)
        if published is not None and published.name != table.name:
            raise IngestError(f"{published.full_name} is published, which differs from {table.name} by case only")
        if published is not None and self._mode == "create":
            raise IngestError(
                f"{table.full_name} is published already; say --append to add rows or --replace to replace it"
            )
        if published is None and self._mode == "append":
            raise IngestError(f"{table.full_name} is not published yet, so that no rows can be appended")
        return published

    def _create(self, table: Table, target: Table) -> None:
        self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(table.schema)))
        required = self._description.inputs[table.name].required
        columns = [
            sql.SQL("{} {}{}").format(
                sql.Identifier(column.name),
                sql.SQL(sql_type(column)),  # type: ignore[arg-type]
                sql.SQL(" NOT NULL" if column.name in required else ""),
            )
            for column in table.columns
        ]
        if table.position is not None:
            columns.append(sql.SQL("{} bigint NOT NULL").format(sql.Identifier(HPX_COLUMN)))
        self._connection.execute(
            sql.SQL("CREATE TABLE {} ({})").format(_identifier(target), sql.SQL(", ").join(columns))
        )

    def _copy(self, table: Table, target: Table, source: TableInput, paths: Sequence[Path]) -> int:
        """Write the rows of the files, those with a position in the order of the index. Gives their number."""
        names = [column.name for column in table.columns] + ([HPX_COLUMN] if table.position else [])
        # FREEZE: rows of a table that nobody has seen yet need no check of who may see them, then or later.
        options = "FORMAT binary" if self._mode == "append" else "FORMAT binary, FREEZE"
        statement = sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
            _identifier(target), sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(options)
        )
        read = 0

        def counted() -> Any:
            nonlocal read
            for block in blocks:
                read += len(block.rows)
                yield block

        stored = 0
        with (
            closing(encode_files(open_files(paths, source), table, source, self._rejections, self._progress)) as blocks,
            self._connection.cursor().copy(statement) as copy,
        ):
            copy.write(HEADER)
            for rows in in_order(counted()) if table.position else (block.rows for block in counted()):
                copy.write(row_bytes(rows))
                stored += len(rows)
                self._progress("storing", stored, read if table.position else None)
            copy.write(TRAILER)
        return stored

    def _index(self, table: Table, target: Table) -> None:
        if table.position is not None:
            self._execute("CREATE INDEX ON {} ({})", target, HPX_COLUMN)
        if table.primary_key is not None:
            self._execute("ALTER TABLE {} ADD PRIMARY KEY ({})", target, table.primary_key)
        for column in self._description.inputs[table.name].indexed:
            self._execute("CREATE INDEX ON {} ({})", target, column)

    def _put_in_place(self, table: Table, target: Table, published: Table | None) -> None:
        if published is not None:
            self._execute("DROP TABLE {}", table)
        self._execute("ALTER TABLE {} RENAME TO {}", target, table.name)
        reader, schema = sql.Identifier(self._reader), sql.Identifier(table.schema)
        self._connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, reader))
        self._connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(_identifier(table), reader))

    def _execute(self, statement: Any, table: Table, *names: str) -> None:
        self._connection.execute(sql.SQL(statement).format(_identifier(table), *map(sql.Identifier, names)))

    def _check_targets(self, keys: Sequence[ForeignKey]) -> None:
        known = {table.full_name for table in read_catalog(self._connection).tables()}
        for key in keys:
            if key.target_table not in known:
                raise IngestError(
                    f"The foreign key of {key.from_table} refers to {key.target_table}, which is not published"
                )


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


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
