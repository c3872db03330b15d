"""What `vo-service init` does: the service's own tables, functions and roles (`schema.sql`), created or upgraded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg

from vo_service.catalog.model import ForeignKey, Schema
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.catalog.tap_schema import publish_tap_schema
from vo_service.database.access import Access, Role
from vo_service.database.failures import connect
from vo_service.errors import ConfigurationError, UnavailableError

OLDEST_SERVER = 140000
"""PostgreSQL 14, as the server states its version."""

_LOCK = 0x564F5345
"""Key of the advisory lock that one `init` at a time holds on a database."""

_FOR_THE_OPERATOR = "VOS01"
"""SQLSTATE of errors that `schema.sql` raises with a message of its own."""


Published = tuple[Schema, Sequence[ForeignKey]]
"""A schema with its tables, and the foreign keys between them."""


def initialise(access: Access, own: Sequence[Published] = ()) -> None:
    """Create or upgrade the service's part of the database, in one transaction. A repetition changes nothing.

    `own` are the schemas of the service's own tables, beside TAP_SCHEMA, that are published.

    Raises ConfigurationError if the server or the rights of its owner do not suffice (the message says what to run
    as whom), UnavailableError if it cannot be reached.
    """
    with connect(access.owner.conninfo) as connection:
        _check_server(connection)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for role, setting in ((access.writer, "writer_verifier"), (access.reader, "reader_verifier")):
            connection.execute(
                "SELECT set_config(%s, %s, true)", (f"vo_service.{setting}", _verifier(connection, role))
            )
        try:
            connection.execute(schema_sql().encode())
        except psycopg.Error as error:
            if error.sqlstate in (_FOR_THE_OPERATOR, "42501"):
                raise ConfigurationError(f"{error.diag.message_primary}") from None
            raise
        publish_tap_schema(connection)
        for schema, keys in own:
            _publish(connection, schema, keys)
    for role in (access.writer, access.reader):
        _check_login(role)


def _publish(connection: psycopg.Connection[Any], schema: Schema, keys: Sequence[ForeignKey]) -> None:
    publish_schema(connection, schema)
    for table in schema.tables:
        publish_table(connection, table, [key for key in keys if key.from_table == table.full_name])


def schema_sql() -> str:
    """The text of `schema.sql`: beside this module where the service is installed, at the top of a checkout."""
    installed = files("vo_service.database") / "schema.sql"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "schema.sql").read_text(encoding="utf-8")


def _check_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise ConfigurationError(
            f"The database server is PostgreSQL {version // 10000}; the service needs {OLDEST_SERVER // 10000} or newer"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(f"The database has the encoding {encoding}; create it with ENCODING 'UTF8'")


def _verifier(connection: psycopg.Connection[Any], role: Role) -> str:
    """What the server keeps of a password (RFC 5802): so that the password itself neither travels nor is logged."""
    return connection.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256").decode()


def _check_login(role: Role) -> None:
    try:
        connect(role.conninfo).close()
    except UnavailableError as error:
        raise ConfigurationError(
            f"The role {role.name} exists, but cannot log in with its password. See that pg_hba.conf lets it in with"
            f" scram-sha-256. {error.message}"
        ) from None
