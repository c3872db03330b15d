"""Uploaded tables: files of clients become tables of the schema vo_upload, for as long as a query or job needs them.

    file -> unpacked -> reader, by content -> columns as the file states them -> rows, as of any load -> random name

What a file says of its columns is kept as it stands (types, units, UCDs), right or wrong: it is the client's table.
"""

from __future__ import annotations

import gzip
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from vo_service.catalog.description_input import ColumnSource, FileOptions, TableInput
from vo_service.catalog.model import Column, Table
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.database.pools import Database
from vo_service.errors import IngestError, TooLargeError, UsageError
from vo_service.ingest.fill import Connection, copy_rows, create_table, index_positions, quoted
from vo_service.ingest.readers import READERS, FileColumn, Reader, recognise
from vo_service.ingest.readers.base import is_packed
from vo_service.ingest.rows import File, Tally, read_rows
from vo_service.ingest.survey import survey
from vo_service.ingest.upload_columns import as_column, find_position

SCHEMA = "TAP_UPLOAD"
"""The schema in which queries find uploaded tables (TAP 1.1, section 2.7.6)."""

STORED_IN = "vo_upload"

COLUMNS_LIMIT = 1_000
"""Columns of an uploaded table."""

ORDER_BYTES = 64 << 20
"""Bytes of memory in which rows are put in order: several uploads are loaded at once beside other work."""

# HDF5 and ROOT files are left out: they may refer to other files of the machine.
_READERS = {reader.name: reader for reader in READERS if reader.name not in ("hdf5", "root")}
_WITHOUT_TYPES = ("csv", "tsv")
_OPTIONS = FileOptions(first_table=True)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What uploaded tables may have: bytes of a file when it is unpacked, and rows."""

    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file, and the name of the table that it is to become."""

    name: str
    path: Path


def store_uploads(
    access: Access,
    files: Sequence[UploadedFile],
    limits: UploadLimits,
    *,
    lifetime: timedelta,
    durable: bool = False,
    expect_wanted: Callable[[], None] = lambda: None,
) -> tuple[Table, ...]:
    """Load files, in one transaction; gives their tables.

    Parameters
    ----------
    lifetime
        Time after which the tables may be removed if nobody has done it.
    durable
        Whether the rows survive a crash of the database server.
    expect_wanted
        Called now and then, to raise an error when the tables are not wanted any more.

    Raises
    ------
    UsageError
        A file cannot be read; says which, and where.
    TooLargeError
        It has more rows or bytes than it may.
    UnavailableError
        The database cannot be reached.
    """
    with connect(access.writer.conninfo) as connection:
        remove_expired(connection)
        if not durable:
            connection.execute("SET LOCAL synchronous_commit = off")
        tables = tuple(
            _UploadLoad(connection, file, limits, expect_wanted).run(access.reader.name, lifetime, durable=durable)
            for file in files
        )
        expect_wanted()
    return tables


async def drop_uploads(database: Database, tables: Sequence[Table]) -> None:
    """Remove the tables of uploads, as far as they are still there. Raises UnavailableError."""
    names = [table.sql_name[1] for table in tables]
    async with database.writer() as connection:
        for name in names:
            await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(STORED_IN, name)))
        await connection.execute("DELETE FROM vo_service.upload WHERE table_name = ANY (%s)", (names,))


def remove_expired(connection: Connection) -> None:
    """Remove tables whose time is over: those of processes that died."""
    rows = connection.execute(
        "DELETE FROM vo_service.upload WHERE table_name IN"
        " (SELECT table_name FROM vo_service.upload WHERE expires_at < now() FOR UPDATE SKIP LOCKED)"
        " RETURNING table_name"
    ).fetchall()
    for (name,) in rows:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(STORED_IN, name)))
    connection.commit()


class _UploadLoad:
    """The load of one file, within a transaction."""

    def __init__(
        self, connection: Connection, file: UploadedFile, limits: UploadLimits, expect_wanted: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._file = file
        self._limits = limits
        self._expect_wanted = expect_wanted

    def run(self, reader_role: str, lifetime: timedelta, *, durable: bool) -> Table:
        path = self._file.path
        try:
            with _unpacked(path, self._limits.size, self._expect_wanted) as plain:
                path = plain
                table = self._load(plain, durable=durable)
        except IngestError as error:
            raise UsageError(f"UPLOAD {self._file.name}: {_told(error, path)}") from None
        except psycopg.Error as error:
            # The server's words alone: what the driver adds to them is SQL of ours.
            reason = error.diag.message_primary or "the connection was lost"
            raise UsageError(f"UPLOAD {self._file.name}: the database refused the table: {reason}") from None
        self._connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(quoted(table), sql.Identifier(reader_role)))
        self._connection.execute(
            "INSERT INTO vo_service.upload (table_name, expires_at) VALUES (%s, now() + %s)",
            (table.sql_name[1], lifetime),
        )
        return table

    def _load(self, plain: Path, *, durable: bool) -> Table:
        reader = _reader(plain)
        if reader is None:
            raise IngestError("the format is not recognised; expected VOTable, FITS, Parquet, ECSV or CSV")
        watched = _Watched(reader, self._limits.rows, self._expect_wanted)
        file = File(plain, watched, _OPTIONS)
        table = self._describe(file)
        source = TableInput(
            sources={column.name: ColumnSource(column.name) for column in table.columns},
            options=_OPTIONS,
            loose_position=True,
        )
        create_table(self._connection, table, every_row_placed=False, unlogged=not durable)
        tally = Tally()
        rows = read_rows([file], table, source, tally, lambda *_: None)
        copy_rows(self._connection, table, rows, is_new=True, memory=ORDER_BYTES)
        index_positions(self._connection, table)
        self._connection.execute(sql.SQL("ANALYZE {}").format(quoted(table)))
        columns = tuple(
            replace(column, datatype="char") if _can_be_char(column, file, watched) else column
            for column in table.columns
        )
        position = table.position if self._all_on_sky(table) else None
        return replace(table, columns=columns, position=position, rows=tally.read)

    def _describe(self, file: File) -> Table:
        if not file.columns:
            raise IngestError("the table has no columns")
        if len(file.columns) > COLUMNS_LIMIT:
            raise TooLargeError(
                f"UPLOAD {self._file.name}: the table has {len(file.columns):,} columns; {COLUMNS_LIMIT:,} are accepted"
            )
        for column in file.columns:
            if column.problem:
                raise IngestError(f"column {column.name!r} cannot be read: {column.problem}")
        surveys = survey([file], file.columns) if file.reader.name in _WITHOUT_TYPES else {}
        columns = tuple(as_column(column, surveys.get(column.name)) for column in file.columns)
        return Table(
            SCHEMA,
            self._file.name,
            columns,
            position=find_position(columns),
            stored_as=(STORED_IN, f"u_{secrets.token_hex(12)}"),
        )

    def _all_on_sky(self, table: Table) -> bool:
        """Whether each row that has a position is in the index: otherwise a query with it and one without differ."""
        if table.position is None:
            return False
        strays = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE hpx IS NULL AND {} IS NOT NULL AND {} IS NOT NULL)")
        row = self._connection.execute(
            strays.format(quoted(table), *map(sql.Identifier, table.sql_position))
        ).fetchone()
        return row == (False,)


def _reader(path: Path) -> Reader | None:
    """The reader for a file, by its content."""
    reader = recognise(path, tuple(_READERS.values()))
    # Other texts are taken for CSV as well: it may have a single column, or an error that can be told.
    return _READERS["csv"] if reader is _READERS["text"] else reader


class _Watched:
    """A reader that counts the rows of what it reads, and remembers which texts are not ASCII."""

    def __init__(self, reader: Reader, limit: int, expect_wanted: Callable[[], None]) -> None:
        self.name = reader.name
        self.not_ascii: set[str] = set()
        self._reader = reader
        self._limit = limit
        self._expect_wanted = expect_wanted

    def recognises(self, path: Path, head: bytes) -> bool:
        return self._reader.recognises(path, head)

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        return self._reader.columns(path, options)

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return self._reader.rows(path, options)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        read = 0
        for batch in self._reader.batches(path, options, names, rows):
            self._expect_wanted()
            read += batch.num_rows
            if read > self._limit:
                raise TooLargeError(f"The uploaded table has too many rows: at most {self._limit:,} are accepted")
            self.not_ascii |= {name for name in names if not _is_ascii(batch.column(name))}
            yield batch


def _told(error: IngestError, path: Path) -> str:
    """What is wrong with a file, without the name that it has here."""
    return error.message.replace(str(path), "the file").replace(path.name, "the file")


def _is_ascii(values: pa.Array) -> bool:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return True
    return pc.all(pc.string_is_ascii(values)).as_py() is not False


def _can_be_char(column: Column, file: File, watched: _Watched) -> bool:
    """Whether a text is of the type char: if the file does not say otherwise, and all of it is ASCII."""
    stated = {found.name: found.datatype for found in file.columns}[column.name]
    return column.datatype == "unicodeChar" and stated in (None, "char") and column.name not in watched.not_ascii


@contextmanager
def _unpacked(path: Path, limit: int, expect_wanted: Callable[[], None]) -> Iterator[Path]:
    """The file, or its content if it is compressed with gzip. Raises TooLargeError, IngestError."""
    if not is_packed(path):
        yield path
        return
    plain = path.with_name(f"{path.stem}-unpacked")
    try:
        _unpack(path, plain, limit, expect_wanted)
        yield plain
    finally:
        plain.unlink(missing_ok=True)


def _unpack(path: Path, plain: Path, limit: int, expect_wanted: Callable[[], None]) -> None:
    try:
        with gzip.open(path) as source, plain.open("wb") as target:
            while chunk := source.read(1 << 20):
                expect_wanted()
                if target.tell() + len(chunk) > limit:
                    raise TooLargeError(
                        f"An uploaded file is too large: at most {limit:,} bytes are accepted, unpacked"
                    )
                target.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise IngestError(f"{path} cannot be unpacked: {error}") from None
