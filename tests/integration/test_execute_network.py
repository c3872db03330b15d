"""Answers of any size from a server on the network: encrypted, when libpq reads them, and not, when we do."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import trustme
from psycopg.conninfo import make_conninfo

from tests.support.database import debian_bin, execute
from tests.support.service import state_directory
from vo_service.catalog.model import Column
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access, derive_access
from vo_service.database.embedded import embedded_server
from vo_service.database.execute import stream
from vo_service.database.init import initialise
from vo_service.database.pools import Database
from vo_service.database.statement import Statement
from vo_service.errors import QueryError, UnavailableError

ADDRESS = "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))
"""Servers of other tests may have the port."""

ROWS = 200_000
COLUMNS = (Column("id", "long"), Column("x", "double"), Column("name", "char", "*"))
MANY = (
    "SELECT i::bigint, nullif(i, 3)::float8, CASE WHEN i % 3 > 0 THEN 'event ' || i END"
    f" FROM generate_series(1, {ROWS}) i"
)
NUMBER = (Column("n", "long"),)
ENDLESS = "SELECT i::bigint FROM generate_series(1, 10000) i, generate_series(1, 100000) j"
"""More than the kernel holds for a client that does not read."""


@pytest.fixture(scope="module")
def conninfo() -> Iterator[str]:
    """The owner's connection string, by the network, of a server that can encrypt: Debian's, as ours cannot."""
    programs = debian_bin()
    if programs is None:
        pytest.skip("Debian's PostgreSQL is not installed")
    with state_directory() as state:
        settings = load_settings(state=state, postgres_bin=programs)
        with embedded_server(settings) as local:
            data = Path(execute(local, "SHOW data_directory")[0][0])
            provide_certificate(data)
            execute(local, "ALTER SYSTEM SET ssl = on")
            execute(local, f"ALTER SYSTEM SET listen_addresses = '{ADDRESS}'")
        with embedded_server(settings) as local:
            yield make_conninfo(local, host=ADDRESS)


def provide_certificate(data: Path) -> None:
    """Where the server looks for it; and let it talk to the network."""
    certificate, owner = trustme.CA().issue_cert(ADDRESS), data.stat()
    certificate.cert_chain_pems[0].write_to_path(data / "server.crt")
    certificate.private_key_pem.write_to_path(data / "server.key")
    (data / "server.key").chmod(0o600)
    os.chown(data / "server.key", owner.st_uid, owner.st_gid)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 127.0.0.0/8 scram-sha-256\n")


@pytest.fixture(params=["require", "disable"], scope="module")
def network_access(request: pytest.FixtureRequest, conninfo: str) -> Access:
    """By the network, with encryption and without."""
    access = derive_access(make_conninfo(conninfo, sslmode=request.param))
    initialise(access)
    encrypted = execute(access.reader.conninfo, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert encrypted == [(request.param == "require",)]
    return access


@pytest.fixture
async def network(network_access: Access, settings: Settings) -> AsyncIterator[Database]:
    """Open pools on it."""
    async with Database(network_access, settings) as database:
        yield database


async def read(database: Database, sql: str, columns: tuple[Column, ...]) -> pa.Table:
    async with stream(database, Statement(sql, columns), timeout=60) as batches:
        return pa.Table.from_batches([batch async for batch in batches])


async def test_all_rows_arrive(network: Database) -> None:
    table = await read(network, MANY, COLUMNS)
    assert table.column("id").to_pylist() == list(range(1, ROWS + 1))
    assert table.column("x").null_count == 1
    assert table.column("name").null_count == ROWS // 3
    assert table.slice(99_999, 1).to_pylist() == [{"id": 100_000, "x": 100_000.0, "name": "event 100000"}]


@pytest.mark.parametrize("rows", [0, 1, 2])
async def test_few_rows(rows: int, network: Database) -> None:
    assert (await read_numbers(network, f"SELECT i::bigint FROM generate_series(1, {rows}) i")) == [1, 2][:rows]


async def read_numbers(database: Database, sql: str) -> list[int]:
    async with stream(database, Statement(sql, NUMBER), timeout=60) as batches:
        return [n async for batch in batches for n in batch.column(0).to_pylist()]


@pytest.mark.parametrize("sql", ["SELECT gone", "SELECT 1 / (n - 200000) FROM generate_series(1, 300000) n"])
async def test_connection_is_used_again_after_an_error(sql: str, network: Database) -> None:
    process = "SELECT pg_backend_pid()"
    before = await read_numbers(network, process)
    with pytest.raises(QueryError):
        await read(network, sql, NUMBER)
    # With another time limit, which libpq sets: it finds the connection as it was.
    async with stream(network, Statement(process, NUMBER), timeout=30) as batches:
        assert [batch.column(0).to_pylist() async for batch in batches] == [before]


async def test_the_process_goes_on_while_the_next_row_is_awaited(network: Database) -> None:
    rows = "SELECT CASE WHEN n = 3000 THEN length(pg_sleep(1)::text) ELSE n END::bigint FROM generate_series(1, 3001) n"
    ticks = 0
    reading = asyncio.create_task(read_numbers(network, rows))
    while not reading.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert len(reading.result()) == 3001
    assert ticks > 50


async def test_leaving_early_ends_the_query(network: Database) -> None:
    access = network.access
    async with stream(network, Statement(ENDLESS, NUMBER), timeout=60) as batches:
        await anext(batches)
        async with asyncio.timeout(30):
            while running(access) != [("ClientWrite",)]:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        while running(access):  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
    assert await read_numbers(network, "SELECT 1") == [1]


async def test_connection_lost_on_the_way_is_an_error(network: Database) -> None:
    async with stream(network, Statement(MANY, COLUMNS), timeout=60) as batches:
        await anext(batches)
        execute(
            network.access.owner.conninfo,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
            network.access.reader.name,
        )
        with pytest.raises(UnavailableError, match="try again"):
            [batch async for batch in batches]
    assert await read_numbers(network, "SELECT 1") == [1]


def running(access: Access) -> list[tuple[str]]:
    return execute(
        access.owner.conninfo,
        "SELECT wait_event FROM pg_stat_activity WHERE usename = %s AND state = 'active'",
        access.reader.name,
    )
