"""`vo-service attach`: a file becomes a link of a published table, or of one of its rows."""

from __future__ import annotations

import mimetypes
import re
import time
from dataclasses import dataclass
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
from vo_service.files.register import attach
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


def attach_file(access: Access, wish: Wish, directory: Path) -> tuple[int, Stored]:
    """Take the file in and register it; one of the same name takes the place of the one before.

    Gives its identifier, and what is known of the file.

    Raises UsageError or NotFoundError if the wish cannot be met, UnavailableError.
    """
    semantics, product = checked_semantics(wish.semantics), _product_type(wish.product_type)
    with connect(access.writer.conninfo) as connection:
        table = _table(connection, wish.table)
        key = None if wish.row is None else _key(connection, table, wish.row)
        stored = take_in(wish.source, directory)
        identifier = attach(
            connection,
            table,
            key,
            name=stored.name,
            semantics=semantics,
            description=wish.description,
            content_type=_content_type(wish.content_type, stored.name),
            content_qualifier=product,
            content_length=stored.content_length,
            sha256=stored.sha256,
            location=stored.location,
        )
    return identifier, stored


def remove_unused(access: Access, directory: Path) -> None:
    """Delete the copies of files that nothing is attached to any more.

    Not those of the last hour: somebody else may be about to register them.
    """
    if not directory.is_dir():
        return
    old = [path for path in directory.iterdir() if path.stat().st_mtime < time.time() - _NEW_SECONDS]
    with connect(access.writer.conninfo) as connection:
        used = {sha256 for (sha256,) in connection.execute("SELECT sha256 FROM vo_service.attachment")}
    for path in old:
        if path.name not in used:
            path.unlink(missing_ok=True)


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


def _content_type(given: str | None, name: str) -> str:
    if given is not None:
        if not _MEDIA_TYPE.fullmatch(given):
            raise UsageError(f"content type {given}: expected a media type such as application/fits")
        return given
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
