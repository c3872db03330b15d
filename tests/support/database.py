"""Databases for tests: real servers, started once per session, and a new database on them for whoever needs one.

The server is the one that the environment names, as for the service itself: `VO_SERVICE_DATABASE_URL` (whose owner must
be allowed to create databases), else the embedded one, with the programs in `VO_SERVICE_POSTGRES_BIN` if that is set.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.service import state_directory
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access, derive_access, open_database
from vo_service.database.init import initialise
from vo_service.database.pools import Database

SECRET = "a secret of the tests"  # noqa: S105


def debian_bin() -> Path | None:
    """The programs of Debian's newest PostgreSQL, if there is one."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def execute(conninfo: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement outside a transaction; gives its rows."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def new_database(server: Access) -> Iterator[Access]:
    """A new database without anything in it; it is dropped at the end, with the roles that `initialise` made."""
    name = f"test_{secrets.token_hex(6)}"
    owner = server.owner.conninfo
    execute(owner, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield derive_access(make_conninfo(owner, dbname=name), SECRET)
    finally:
        execute(owner, f"DROP DATABASE {name} WITH (FORCE)")
        execute(owner, f"DROP ROLE IF EXISTS {name}_writer")
        execute(owner, f"DROP ROLE IF EXISTS {name}_reader")


@pytest.fixture(scope="session")
def server() -> Iterator[Access]:
    """The server of the session, as its owner."""
    with state_directory() as state, open_database(load_settings(state=state, role_secret=SECRET)) as access:
        yield access


@pytest.fixture(scope="session")
def debian_server() -> Iterator[Access]:
    """A server of Debian's PostgreSQL; skipped where it is not installed."""
    programs = debian_bin()
    if programs is None:
        pytest.skip("Debian's PostgreSQL is not installed")
    settings = load_settings(role_secret=SECRET, postgres_bin=programs)
    with state_directory() as state:
        # Embedded also where the environment names a server.
        settings = settings.model_copy(update={"state": state, "database_url": None})
        with open_database(settings) as access:
            yield access


@pytest.fixture(params=["server", "debian_server"], scope="session")
def each_server(request: pytest.FixtureRequest) -> Access:
    """First the server of the session, then Debian's."""
    access: Access = request.getfixturevalue(request.param)
    return access


@pytest.fixture
def empty_access(each_server: Access) -> Iterator[Access]:
    """A new database of each server, as `CREATE DATABASE` makes it."""
    with new_database(each_server) as access:
        yield access


@pytest.fixture(scope="session")
def access(server: Access) -> Iterator[Access]:
    """A database of the session that has been initialised. Tests leave in it what they find."""
    with new_database(server) as access:
        initialise(access)
        yield access


@pytest.fixture(scope="session")
def each_access(each_server: Access) -> Iterator[Access]:
    """As `access`, on each server."""
    with new_database(each_server) as access:
        initialise(access)
        yield access


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings for pools; short waits."""
    return load_settings(busy_timeout=2, reader_pool_size=2, stream_pool_size=2)


@pytest.fixture
async def database(access: Access, settings: Settings) -> AsyncIterator[Database]:
    """Open pools on `access`."""
    async with Database(access, settings) as database:
        yield database


@pytest.fixture
async def each_database(each_access: Access, settings: Settings) -> AsyncIterator[Database]:
    """Open pools on `each_access`."""
    async with Database(each_access, settings) as database:
        yield database
