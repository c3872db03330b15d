"""The register of attached files, `vo_service.attachment`: what belongs to a table or a row, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from vo_service.catalog.model import Table
from vo_service.database.pools import Database
from vo_service.database.records import read_records
from vo_service.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that is attached.

    Attributes
    ----------
    schema_name, table_name
        The published table.
    row_key
        The primary key, as text, of the row that it belongs to; None if it belongs to the whole table.
    name
        The file's name, which is the last part of its address; one for each table or row.
    semantics
        What it is to the table or row: `#preview` or another term of the DataLink core vocabulary, or a whole URI.
    content_qualifier
        Kind of data product (IVOA vocabulary product-type): `#response-function`; None if it is none.
    content_length
        Bytes.
    sha256
        Checksum of the content, in hexadecimal digits.
    location
        URL of the file; None if it was copied into the state directory.
    fingerprint
        What the file system at the URL tells of this version of the file, such as its date; None if nothing.
    """

    attachment_id: int
    schema_name: str
    table_name: str
    row_key: str | None
    name: str
    semantics: str
    description: str
    content_type: str
    content_qualifier: str | None
    content_length: int
    sha256: str
    location: str | None
    modified_at: datetime
    fingerprint: str | None = None


_NAMES = tuple(field.name for field in fields(Attachment))
_SELECT = sql.SQL("SELECT {} FROM vo_service.attachment WHERE ").format(sql.SQL(", ").join(map(sql.Identifier, _NAMES)))

_KINDS = {"attachment_id": "long", "content_length": "long", "modified_at": "time"}
_COLUMNS = " ".join(f"{name}:{_KINDS.get(name, 'text')}" for name in _NAMES)

_OF_NAME: LiteralString = "(schema_name, table_name) = (%s, %s) AND row_key IS NOT DISTINCT FROM %s AND name = %s"


def attach(connection: psycopg.Connection[Any], table: Table, row_key: str | None, **values: object) -> int:
    """Register a file, or what has changed of the one of this name; gives its identifier, which stays the same.

    `values` are the fields of `Attachment` but `attachment_id` and `modified_at`. Raises NotFoundError if the table
    has been dropped just now.
    """
    known = {"schema_name": table.schema, "table_name": table.name, "row_key": row_key, **values}
    columns, changed = list(map(sql.Identifier, known)), [name for name in values if name != "name"]
    statement = sql.SQL(
        "INSERT INTO vo_service.attachment ({columns}) VALUES ({values})"
        " ON CONFLICT (schema_name, table_name, (row_key IS NULL), coalesce(row_key, ''), name)"
        " DO UPDATE SET {changes}, modified_at = now() RETURNING attachment_id"
    ).format(
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(map(sql.Placeholder, known)),
        changes=sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in changed),
    )
    try:
        row = connection.execute(statement, known).fetchone()
    except psycopg.errors.ForeignKeyViolation:
        raise NotFoundError(f"{table.full_name} has been dropped") from None
    return int(row[0]) if row else 0


def attached(connection: psycopg.Connection[Any], table: Table, row_key: str | None, name: str) -> Attachment | None:
    """The file of this name that belongs to a table, or to one of its rows; None if there is none."""
    with connection.cursor(row_factory=class_row(Attachment)) as cursor:
        cursor.execute(_SELECT + sql.SQL(_OF_NAME), (table.schema, table.name, row_key, name))
        return cursor.fetchone()


def detach(connection: psycopg.Connection[Any], table: Table, row_key: str | None, name: str) -> None:
    """Forget the file of this name. Raises NotFoundError if there is none."""
    statement = sql.SQL("DELETE FROM vo_service.attachment WHERE ") + sql.SQL(_OF_NAME)
    if not connection.execute(statement, (table.schema, table.name, row_key, name)).rowcount:
        whom = table.full_name if row_key is None else f"row {row_key} of {table.full_name}"
        raise NotFoundError(f"There is no file {name} attached to {whom}")


async def attached_to(database: Database, table: Table, keys: Sequence[str]) -> list[Attachment]:
    """The files of a table, and those of its rows with these keys, in the order in which they were attached.

    Raises UnavailableError, TooManyRequestsError.
    """
    condition = "(schema_name, table_name) = (%s, %s) AND (row_key IS NULL OR row_key = ANY(%s))"
    return await _select(database, condition, (table.schema, table.name, list(keys)))


async def find_attachment(database: Database, identifier: int, name: str) -> Attachment:
    """The file of this identifier and name. Raises NotFoundError if there is none; and as `attached_to`."""
    # PostgreSQL has no texts with NUL.
    if "\0" not in name:
        found = await _select(database, "attachment_id = %s AND name = %s", (identifier, name))
        if found:
            return found[0]
    raise NotFoundError(f"There is no file {name[:60]} here")


async def _select(database: Database, condition: str, values: Sequence[object]) -> list[Attachment]:
    text = f"{_SELECT.as_string(None)}{condition} ORDER BY attachment_id"
    rows = await read_records(database, text, _COLUMNS, values)
    return [Attachment(**row | {"modified_at": row["modified_at"].replace(tzinfo=UTC)}) for row in rows]
