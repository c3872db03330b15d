"""Who connects to the database as what: the owner, the writer, the reader, and how a process gets at them.

    owner    the role of the connection string: owns the database, makes the tables of `schema.sql` and the other roles
    writer   loads and publishes tables
    reader   runs queries: may read what is published, and nothing else

Writer and reader are called after the database (`DATABASE_writer`, `DATABASE_reader`). Their passwords are derived from
the owner's, so that there is one secret to keep, and every process that has it finds the same.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vo_service.config import Settings
from vo_service.database.embedded import embedded_server
from vo_service.errors import ConfigurationError

CONNECT_TIMEOUT = 10
"""Seconds that an attempt to connect may take, unless the connection string says otherwise."""

_LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role and how to connect as it."""

    name: str
    password: str = field(repr=False)
    conninfo: str = field(repr=False)
    """A libpq connection string, password included."""


@dataclass(frozen=True, slots=True)
class Access:
    """The three roles of one database."""

    database: str
    owner: Role
    writer: Role
    reader: Role


@contextmanager
def open_database(settings: Settings) -> Iterator[Access]:
    """The database to use while the block runs: the one that `settings.database_url` names, else the embedded one.

    The embedded server is started if no other process has started it, and stopped at the end unless another still
    uses it. Neither `init` nor any other change to the database is done here.

    Raises ConfigurationError or UnavailableError.
    """
    if settings.database_url is not None:
        yield derive_access(settings.database_url, settings.role_secret)
    else:
        with embedded_server(settings) as conninfo:
            yield derive_access(conninfo, settings.role_secret)


def derive_access(conninfo: str, secret: str | None = None) -> Access:
    """The roles of the database that a connection string of its owner names.

    `secret` is what the passwords of writer and reader are derived from; None for the owner's password.

    Raises ConfigurationError if the string cannot be used.
    """
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # The driver's message repeats the string, and with it the password.
        raise ConfigurationError(
            "VO_SERVICE_DATABASE_URL: expected postgresql://OWNER:PASSWORD@HOST/DATABASE or another connection string"
            " of PostgreSQL"
        ) from None
    database, owner, password = (str(parts.get(key) or "") for key in ("dbname", "user", "password"))
    if not database or not owner:
        raise ConfigurationError("VO_SERVICE_DATABASE_URL: the name of the database or of its owner is missing")
    if len(database.encode()) > _LONGEST_NAME - len("_writer"):
        raise ConfigurationError(f"VO_SERVICE_DATABASE_URL: the name of the database {database!r} is too long")
    if not (secret or password):
        raise ConfigurationError(
            "VO_SERVICE_ROLE_SECRET: the database's connection string has no password that those of the writer and"
            " reader could be derived from; set this to a long random text"
        )

    conninfo = make_conninfo(conninfo, connect_timeout=parts.get("connect_timeout") or CONNECT_TIMEOUT)

    def role(name: str) -> Role:
        derived = hmac.digest((secret or password).encode(), f"vo-service role {name}".encode(), "sha256").hex()
        return Role(name, derived, make_conninfo(conninfo, user=name, password=derived))

    return Access(
        database=database,
        owner=Role(owner, password, conninfo),
        writer=role(f"{database}_writer"),
        reader=role(f"{database}_reader"),
    )
