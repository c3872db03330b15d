"""`vo-service attach` and `detach`: a file becomes a link of a published table or row, or is one no more."""

from __future__ import annotations

import mimetypes
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from vo_service.catalog.model import GROWING, Table
from vo_service.catalog.store import read_catalog
from vo_service.dali.links import has_links
from vo_service.database.access import Access
from vo_service.database.arrow import sql_type
from vo_service.database.failures import connect
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.register import Attachment, attach, attached, detach
from vo_service.files.semantics import checked_semantics
from vo_service.files.storage import Stored, take_in

_TYPES = {
    ".ecsv": "application/x-ecsv",
    ".fit": "application/fits",
    ".fits": "application/fits",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".root": "application/x-root",
    ".vot": "application/x-votable+xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
"""Media types by extension, of those that others do not know or know by other names."""

_NEW_SECONDS = 3_600

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+( *; *[\w.+-]+=([\w.+-]+|\"[\w.+ -]*\"))*", re.ASCII)
_PRODUCT_TYPE = re.compile(r"#[a-z0-9-]+|[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"]+")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be attached to what.

    Attributes
    ----------
    table
        `schema.table`
    source
        A path, or a URL.
    row
        Primary key of a row; None for the whole table.
    content_type
        Media type; if None, the one that the file's extension tells.
    product_type
        Term of the IVOA vocabulary product-type, such as `response-function`; None if it is no data product.
    """

    table: str
    source: str
    semantics: str
    description: str = ""
    row: str | None = None
    content_type: str | None = None
    product_type: str | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that is attached now, and the one of the same name that was before, if there was one."""

    identifier: int
    stored: Stored
    before: Attachment | None


def attach_file(access: Access, wish: Wish, directory: Path) -> Attached:
    """Take the file in and register it; one of the same name takes the place of the one before.

    That can take long, and is done while nothing in the database is held. Raises UsageError or NotFoundError if the
    wish cannot be met, UnavailableError.
    """
    _expect_utf8(wish)
    semantics, product = checked_semantics(wish.semantics), _product_type(wish.product_type)
    given_type = _given_type(wish.content_type)
    with connect(access.writer.conninfo) as connection:
        _target(connection, wish)
    stored = take_in(wish.source, directory)
    with connect(access.writer.conninfo) as connection:
        table, key = _target(connection, wish)
        before = attached(connection, table, key, stored.name)
        identifier = attach(
            connection,
            table,
            key,
            **asdict(stored),
            semantics=semantics,
            description=wish.description,
            content_type=given_type or _told_type(stored.name),
            content_qualifier=product,
        )
    return Attached(identifier, stored, before)


def detach_file(access: Access, table: str, row: str | None, name: str) -> None:
    """Forget an attached file; `row` is the primary key as the database writes it.

    Raises NotFoundError if there is none of this name, UnavailableError.
    """
    with connect(access.writer.conninfo) as connection:
        # Rows may have gone since.
        detach(connection, _table(connection, table), row, name)


def remove_unused(access: Access, directory: Path) -> None:
    """Delete the copies of files that nothing is attached to any more.

    Not those of the last hour: somebody else may be about to register them.
    """
    if not directory.is_dir():
        return
    with connect(access.writer.conninfo) as connection:
        used = {sha256 for (sha256,) in connection.execute("SELECT sha256 FROM vo_service.attachment")}
    for path in directory.iterdir():
        # Others may rename and delete files at the same time.
        with suppress(FileNotFoundError):
            if path.name not in used and path.stat().st_mtime < time.time() - _NEW_SECONDS:
                path.unlink()


def _expect_utf8(wish: Wish) -> None:
    for name, value in asdict(wish).items():
        try:
            (value or "").encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name.replace('_', ' ')} {value!a}: expected UTF-8") from None


def _target(connection: psycopg.Connection[Any], wish: Wish) -> tuple[Table, str | None]:
    """The table, and the key of the row, that the file is to belong to. Raises UsageError, NotFoundError."""
    table = _table(connection, wish.table)
    return table, None if wish.row is None else _key(connection, table, wish.row)


def _table(connection: psycopg.Connection[Any], name: str) -> Table:
    schema, _, table_name = name.partition(".")
    table = read_catalog(connection).table(schema, table_name)
    if table is None or table.schema in GROWING:
        raise NotFoundError(f"There is no published table {name}; expected schema.table as `vo-service list` shows it")
    return table


def _key(connection: psycopg.Connection[Any], table: Table, row: str) -> str:
    """The primary key of a row as the database writes it. Raises NotFoundError if there is no such row."""
    if table.primary_key is None or not has_links(table):
        raise UsageError(f"{table.full_name} has no primary key of integers or texts, hence no links of rows")
    column = table.column(table.primary_key)
    # The value as a literal: names may have per cent signs, which are placeholders where there are parameters.
    select = sql.SQL("SELECT e.{0}::text FROM {1} e WHERE e.{0} = CAST({2} AS {3})").format(
        sql.Identifier(column.name),
        sql.Identifier(table.schema, table.name),
        sql.Literal(row),
        sql.SQL(sql_type(column)),
    )
    try:
        found = connection.execute(select).fetchone()
    except psycopg.DataError:
        found = None
    if found is None:
        raise NotFoundError(f"{table.full_name} has no row {row}")
    return str(found[0])


def _given_type(given: str | None) -> str | None:
    if given is not None and not _MEDIA_TYPE.fullmatch(given):
        raise UsageError(f"content type {given}: expected a media type such as application/fits")
    return given


def _told_type(name: str) -> str:
    """The media type that the extension of a file's name tells."""
    known = _TYPES.get(Path(name).suffix.lower())
    guessed, packed = mimetypes.guess_type(name)
    return known or (guessed if guessed and not packed else "application/octet-stream")


def _product_type(given: str | None) -> str | None:
    if given is None:
        return None
    term = given if ":" in given else f"#{given.removeprefix('#')}"
    if not _PRODUCT_TYPE.fullmatch(term):
        raise UsageError(f"product type {given}: expected a term such as response-function, or a whole URI")
    return term
