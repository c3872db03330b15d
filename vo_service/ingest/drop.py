"""Unpublishing: a table leaves the catalogue and the database together."""

from __future__ import annotations

from psycopg import sql

from vo_service.catalog.model import GROWING
from vo_service.catalog.store import read_catalog, withdraw_table
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.errors import NotFoundError, UsageError


def drop_table(access: Access, name: str) -> None:
    """Unpublish the table `schema.table` and delete its rows, in one transaction; an empty schema goes with it.

    Raises NotFoundError if it is not published, UsageError if it belongs to the service itself.
    """
    schema, _, table_name = name.partition(".")
    with connect(access.writer.conninfo) as connection:
        table = read_catalog(connection).table(schema, table_name)
        if table is None:
            raise NotFoundError(
                f"There is no published table {name}; expected schema.table as `vo-service list` shows it"
            )
        if table.schema in GROWING:
            raise UsageError(f"{name} belongs to the service itself")
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table.schema, table.name)))
        withdraw_table(connection, table)
        connection.commit()
