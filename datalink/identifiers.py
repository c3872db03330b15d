"""Identifiers of data sets, rows and files: `ivo://AUTHORITY/schema/table`, and after it `?KEY` or `?files/NUMBER`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from vo_service.catalog.identifiers import names_in, table_ivoid
from vo_service.catalog.model import GROWING, Catalog, Table
from vo_service.dali.links import INTEGERS, has_links
from vo_service.errors import NotFoundError, UsageError

_FILE = re.compile(r"files/(\d{1,18})", re.ASCII)
"""A slash in a key is written %2F."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an identifier stands for.

    Attributes
    ----------
    identifier
        As the client gave it.
    key
        The primary key of a row, as text; None for the whole table.
    file
        The number of a file that is attached to the table; None if it is not about one.
    """

    identifier: str
    table: Table
    key: str | None = None
    file: int | None = None


def dataset_id(table: Table, authority: str, key: str | None = None) -> str:
    """The identifier of a table, or of a row of it."""
    name = table_ivoid(authority, table)
    return name if key is None else f"{name}?{quote(key, safe='')}"


def find_target(identifier: str, catalog: Catalog, authority: str, within: Table | None = None) -> Target:
    """What an identifier stands for; `within` a table a primary key alone will do. Nobody looks whether the row exists.

    Raises NotFoundError, or UsageError if this is no identifier.
    """
    name, mark, key = identifier.partition("?")
    names = names_in(authority, name)
    table = catalog.table(*names) if names is not None and len(names) == 2 else None
    if table is None and within is not None:
        return Target(identifier, within, _checked_key(identifier, within))
    if not name.lower().startswith("ivo://"):
        raise UsageError(f"{identifier[:200]} is no identifier, expected ivo://{authority}/schema/table")
    if table is None or table.schema in GROWING:
        raise NotFoundError(f"{identifier[:200]} is not published here")
    if number := _FILE.fullmatch(key):
        return Target(identifier, table, file=int(number[1]))
    return Target(identifier, table, _checked_key(unquote(key), table) if mark else None)


def _checked_key(key: str, table: Table) -> str:
    """The text of a primary key as the database writes it. Raises NotFoundError if no row can have it."""
    if table.primary_key is None or not has_links(table):
        raise NotFoundError(f"rows of {table.schema}.{table.name} have no identifiers")
    bits = INTEGERS.get(table.column(table.primary_key).datatype)
    if bits is None:
        if "\0" in key:  # PostgreSQL has no such text
            raise NotFoundError(f"{table.schema}.{table.name} has no row of this key")
        return key
    try:
        number = int(key) if key.isascii() and "_" not in key and len(key) < 25 else None
    except ValueError:
        number = None
    if number is None or not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise NotFoundError(f"{table.schema}.{table.name} has no row {key[:60]}")
    return str(number)
