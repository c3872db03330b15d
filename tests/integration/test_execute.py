"""Statements as streams of record batches: right, typed, flat in memory, and ended when nobody listens any more."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.database import execute, new_database
from tests.support.service import state_directory
from vo_service.catalog.model import Column
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access, derive_access
from vo_service.database.embedded import embedded_server
from vo_service.database.execute import FRESH_SECONDS, is_reachable, stream
from vo_service.database.init import initialise
from vo_service.database.pools import Database
from vo_service.database.quick import CHUNK_ROWS
from vo_service.database.statement import Statement
from vo_service.errors import (
    QueryError,
    QueryTimeoutError,
    ServiceError,
    TooManyRequestsError,
    UnavailableError,
)

ROWS = 300_000
EVENTS = (Column("id", "long"), Column("ra", "double"), Column("energy", "float"), Column("name", "char", "*"))
NUMBER = (Column("n", "long"),)

Shape = Callable[[str, tuple[Column, ...]], Statement]


def without_parameters(sql: str, columns: tuple[Column, ...]) -> Statement:
    return Statement(sql.replace("{one}", "1"), columns)


def with_parameters(sql: str, columns: tuple[Column, ...]) -> Statement:
    return Statement(sql.replace("%", "%%").replace("{one}", "%s::integer"), columns, (1,))


def of_many_rows(sql: str, columns: tuple[Column, ...]) -> Statement:
    return replace(with_parameters(sql, columns), many=True)


@pytest.fixture(params=[without_parameters, with_parameters, of_many_rows])
def shape(request: pytest.FixtureRequest) -> Shape:
    """Makes a statement of SQL that holds `{one}` once: for each way of reading."""
    made: Shape = request.param
    return made


@pytest.fixture(scope="module", autouse=True)
def events(each_access: Access) -> Iterator[None]:
    writer = each_access.writer.conninfo
    execute(writer, "CREATE SCHEMA ex")
    execute(
        writer,
        "CREATE TABLE ex.events AS SELECT i::bigint AS id, i * 0.001::float8 AS ra, (i % 7)::real AS energy,"
        f" CASE WHEN i % 3 > 0 THEN 'event ' || i END AS name FROM generate_series(1, {ROWS}) i",
    )
    execute(writer, f"GRANT USAGE ON SCHEMA ex TO {each_access.reader.name}")
    execute(writer, f"GRANT SELECT ON ex.events TO {each_access.reader.name}")
    yield
    execute(writer, "DROP SCHEMA ex CASCADE")


ALL_EVENTS = "SELECT id, ra, energy, name FROM ex.events WHERE {one} = 1 ORDER BY id"
SLOW = "SELECT pg_sleep(60)::text WHERE {one} = 1"


async def read(database: Database, statement: Statement, seconds: float = 60.0) -> pa.Table:
    async with stream(database, statement, timeout=seconds) as batches:
        return pa.Table.from_batches([batch async for batch in batches])


def queries(access: Access, state: str = "active") -> list[tuple[str, str]]:
    """Process and wait event of what the reader runs."""
    return execute(
        access.owner.conninfo,
        "SELECT pid, wait_event FROM pg_stat_activity WHERE usename = %s AND state = %s",
        access.reader.name,
        state,
    )


def end_sessions(access: Access) -> None:
    """End all sessions of the reader, as a restart of the server does."""
    execute(
        access.owner.conninfo,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
        access.reader.name,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)


async def test_all_rows_arrive_in_order(each_database: Database, shape: Shape) -> None:
    table = await read(each_database, shape(ALL_EVENTS, EVENTS))
    assert table.column("id").combine_chunks().equals(pa.array(range(1, ROWS + 1), pa.int64()))
    assert pc.sum(table.column("ra")).as_py() == pytest.approx(ROWS * (ROWS + 1) / 2 * 0.001)
    assert table.column("name").null_count == ROWS // 3
    assert table.column("name")[99_999].as_py() == "event 100000"


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 5 * CHUNK_ROWS])
async def test_any_number_of_rows(rows: int, each_database: Database, shape: Shape) -> None:
    statement = shape(f"SELECT i::bigint FROM generate_series(1, {rows}) i WHERE {{one}} = 1", NUMBER)
    async with stream(each_database, statement, timeout=60) as batches:
        numbers = [n async for batch in batches for n in batch.column(0).to_pylist()]
    assert numbers == list(range(1, rows + 1))


VALUES: tuple[tuple[str, str | None, str | None, str, object], ...] = (
    ("boolean", None, None, "true", True),
    ("unsignedByte", None, None, "255::smallint", 255),
    ("short", None, None, "(-32768)::smallint", -32768),
    ("int", None, None, "2147483647", 2147483647),
    ("long", None, None, "9223372036854775807", 9223372036854775807),
    ("long", None, None, "12::numeric", 12),
    ("float", None, None, "1.5::real", 1.5),
    ("float", None, None, "1.5::float8", 1.5),
    ("double", None, None, "0.1::float8", 0.1),
    ("double", None, None, "0.1::numeric", 0.1),
    ("double", None, None, "7::bigint", 7.0),
    ("double", None, None, "'-Infinity'::float8", -math.inf),
    ("char", None, None, "'x'::text", "x"),
    ("char", "*", None, "'ν → µ'::text", "ν → µ"),
    ("char", "4", None, "'ab'::varchar(4)", "ab"),
    ("unicodeChar", "*", None, "''::text", ""),
    ("char", "*", None, "17::bigint", "17"),
    ("char", "*", "timestamp", "'2017-09-22 20:54:30.43'::timestamp", dt.datetime(2017, 9, 22, 20, 54, 30, 430000)),
    ("char", "*", "timestamp", "'2017-09-22 22:54+02'::timestamptz", dt.datetime(2017, 9, 22, 20, 54)),
    ("char", "*", "timestamp", "'2017-09-22'::date", dt.datetime(2017, 9, 22)),
    ("double", "*", None, "'{1.5,NULL}'::float8[]", [1.5, None]),
    ("double", "2", "point", "'{77.36,5.69}'::float8[]", [77.36, 5.69]),
    ("long", "*", None, "'{1,2}'::int[]", [1, 2]),
    ("float", "0", None, "'{}'::real[]", []),
    ("boolean", "*", None, "'{t,f}'::boolean[]", [True, False]),
    ("unsignedByte", "*", None, r"'\x00ff'::bytea", b"\x00\xff"),
)


async def test_every_type_arrives_as_declared(each_database: Database, shape: Shape) -> None:
    columns = tuple(Column(f"c{i}", *value[:3]) for i, value in enumerate(VALUES))
    selected = ", ".join(value[3] for value in VALUES)
    nulls = ", ".join(f"NULL::{value[3].rpartition('::')[2]}" if "::" in value[3] else "NULL" for value in VALUES)
    table = await read(each_database, shape(f"SELECT {selected} WHERE {{one}} = 1 UNION ALL SELECT {nulls}", columns))
    first, second = table.to_pylist()
    assert list(first.values()) == [value[4] for value in VALUES]
    assert set(second.values()) == {None}


async def test_nan_is_not_null(each_database: Database, shape: Shape) -> None:
    columns = (Column("f", "double"), Column("g", "float"), Column("n", "double"))
    table = await read(
        each_database,
        shape(
            "SELECT 'NaN'::float8, 'NaN'::real, 'NaN'::numeric WHERE {one} = 1 UNION ALL SELECT NULL, NULL, NULL",
            columns,
        ),
    )
    assert [column.is_null().to_pylist() for column in table.columns] == [[False, True]] * 3
    assert all(math.isnan(column[0].as_py()) for column in table.columns)


async def test_memory_does_not_grow_with_the_rows(each_database: Database, shape: Shape) -> None:
    before, most, whole = pa.total_allocated_bytes(), 0, 0
    async with stream(each_database, shape(ALL_EVENTS, EVENTS), timeout=60) as batches:
        async for batch in batches:
            most = max(most, pa.total_allocated_bytes() - before)
            whole += batch.nbytes
    assert whole > 9_000_000
    assert most < 4_000_000


async def test_database_waits_for_the_reader_of_its_rows(each_database: Database, shape: Shape) -> None:
    access = each_database.access
    async with stream(each_database, shape(ALL_EVENTS, EVENTS), timeout=60) as batches:
        assert (await anext(batches)).num_rows < ROWS / 10
        await until(lambda: [event for _, event in queries(access)] == ["ClientWrite"])


async def test_leaving_early_ends_the_query(each_database: Database, shape: Shape) -> None:
    async with stream(each_database, shape(ALL_EVENTS, EVENTS), timeout=60) as batches:
        async for _ in batches:
            break
    await until(lambda: not queries(each_database.access))
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


@pytest.mark.parametrize("times", [1, 5])
async def test_cancelling_the_task_ends_the_query(times: int, each_database: Database, shape: Shape) -> None:
    """Web servers cancel again at every step that the task takes to clean up."""
    reading = asyncio.create_task(read(each_database, shape(SLOW, (Column("c", "char", "*"),))))
    await until(lambda: len(queries(each_database.access)) == 1)
    for _ in range(times):
        reading.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: not queries(each_database.access))
    for _ in range(4):  # more than the pools hold
        assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


async def test_cancelling_at_any_moment_leaves_nothing_behind(each_database: Database, shape: Shape) -> None:
    for steps in range(30):
        reading = asyncio.create_task(read(each_database, shape(ALL_EVENTS, EVENTS)))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: not queries(each_database.access))
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


async def test_slow_query_is_ended_in_time(each_database: Database, shape: Shape) -> None:
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.2 seconds"):
        await read(each_database, shape(SLOW, (Column("c", "char", "*"),)), seconds=0.2)
    assert not queries(each_database.access)
    assert (await read(each_database, shape("SELECT {one} FROM pg_sleep(0.3)", NUMBER))).num_rows == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 / (n - 1) FROM generate_series({one}, 3) n", "division by zero"),
        ("SELECT 1 / (n - 200000) FROM generate_series({one}, 300000) n", "division by zero"),
        ("SELECT exp(1000::float8 * {one})::bigint", "out of range"),
        ("SELECT (n || 'x')::bigint FROM generate_series({one}, 3) n", "invalid input syntax for type bigint"),
        ("SELECT n FROM ex.gone WHERE {one} = 1", "not available"),
        ("SELECT gone FROM ex.events WHERE {one} = 1", "not available"),
        ("SELECT version FROM vo_service.catalog_version WHERE {one} = 1", "not available"),
        ("SELECT 2.5::float8 WHERE {one} = 1", "Column 'n' .* int64"),
        ("SELECT repeat('x', 2000000000 * {one})::bigint", "memory"),
    ],
)
async def test_errors_are_told_in_words_for_the_client(
    sql: str, words: str, each_database: Database, shape: Shape
) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        await read(each_database, shape(sql, NUMBER))
    for secret in ("SELECT", "COPY", "libpq", "SQLSTATE", "$1", "/"):
        assert secret not in caught.value.message
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


async def test_type_that_cannot_travel_is_named(each_database: Database) -> None:
    with pytest.raises(QueryError, match="'where' of the result is of the database's type point"):
        await read(each_database, Statement("SELECT point(1, 2) AS where", NUMBER))
    assert (await read(each_database, Statement("SELECT 1", NUMBER))).num_rows == 1


async def test_character_that_no_query_can_hold_is_named(each_database: Database) -> None:
    with pytest.raises(QueryError, match="NUL"):
        await read(each_database, Statement("SELECT length('a\0b')", NUMBER))
    assert (await read(each_database, Statement("SELECT 1", NUMBER))).num_rows == 1


@pytest.mark.parametrize(
    "sql", ["SELECT n FROM generate_series(1, 500000) n", "SELECT n FROM generate_series(1, 500000) n WHERE %s = 1"]
)
async def test_statements_beyond_the_limit_are_told_to_come_back(
    sql: str, each_access: Access, settings: Settings
) -> None:
    busy = settings.model_copy(update={"busy_timeout": 0.2})
    statement = Statement(sql, NUMBER, (1,) if "%s" in sql else ())
    async with Database(each_access, busy) as database, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(stream(database, statement, timeout=60))
        with pytest.raises(TooManyRequestsError) as caught:
            await read(database, statement)
        assert int(caught.value.headers()["Retry-After"]) > 0
        await stack.aclose()
        assert (await read(database, statement)).num_rows == 500_000


async def test_statements_whose_rows_have_come_leave_room(
    each_access: Access, settings: Settings, shape: Shape
) -> None:
    busy = settings.model_copy(update={"busy_timeout": 0.2})
    async with Database(each_access, busy) as database, AsyncExitStack() as stack:
        for _ in range(3):
            batches = await stack.enter_async_context(stream(database, shape("SELECT {one}", NUMBER), timeout=60))
        assert [batch.num_rows async for batch in batches] == [1]


async def test_slow_queries_do_not_hold_up_small_ones(each_database: Database) -> None:
    async with asyncio.TaskGroup() as tasks:
        slow = [
            tasks.create_task(read(each_database, without_parameters(SLOW, (Column("c", "char", "*"),))))
            for _ in range(2)
        ]
        await until(lambda: len(queries(each_database.access)) == 2)
        assert (await read(each_database, with_parameters("SELECT {one}", NUMBER))).num_rows == 1
        for task in slow:
            task.cancel()


@pytest.mark.parametrize("shape", [with_parameters, of_many_rows], indirect=True)
async def test_an_answer_that_is_not_small_after_all_takes_no_room_of_small_ones(
    each_database: Database, shape: Shape
) -> None:
    statement = replace(shape(ALL_EVENTS, EVENTS), small=True)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            batches = await stack.enter_async_context(stream(each_database, statement, timeout=60))
            assert (await anext(batches)).column(0)[0].as_py() == 1
        assert (await read(each_database, with_parameters("SELECT {one}", NUMBER))).num_rows == 1
        assert sum([batch.num_rows async for batch in batches]) > ROWS - 50_000
    slow = replace(shape("SELECT n FROM pg_sleep(0.5), generate_series(1, 3) n WHERE {one} = 1", NUMBER), small=True)
    assert (await read(each_database, slow))["n"].to_pylist() == [1, 2, 3]


async def test_closed_connections_are_replaced_unseen(each_database: Database, shape: Shape) -> None:
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1
    end_sessions(each_database.access)
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


async def test_connection_lost_on_the_way_is_an_error(each_database: Database, shape: Shape) -> None:
    async with stream(each_database, shape(ALL_EVENTS, EVENTS), timeout=60) as batches:
        await anext(batches)
        end_sessions(each_database.access)
        with pytest.raises(UnavailableError, match="try again"):
            [batch async for batch in batches]
    assert (await read(each_database, shape("SELECT {one}", NUMBER))).num_rows == 1


async def test_server_that_is_away_and_comes_back(shape: Shape, settings: Settings) -> None:
    with state_directory() as state:
        embedded = load_settings(state=state)
        statement = shape("SELECT {one}", NUMBER)
        async with AsyncExitStack() as stack:
            with embedded_server(embedded) as conninfo:
                access = derive_access(conninfo)
                initialise(access)
                database = await stack.enter_async_context(Database(access, settings))
                assert (await read(database, statement)).num_rows == 1
            with pytest.raises(UnavailableError, match="try again"):
                await read(database, statement)
            with embedded_server(embedded):
                async with asyncio.timeout(30):
                    while (rows := await attempt(database, statement)) is None:  # noqa: ASYNC110 (nothing tells)
                        await asyncio.sleep(0.1)
                assert rows == 1
                await stack.aclose()


async def attempt(database: Database, statement: Statement) -> int | None:
    try:
        return int((await read(database, statement)).num_rows)
    except ServiceError:
        return None


async def test_whether_it_is_reachable_is_known_for_a_second(settings: Settings) -> None:
    with state_directory() as state:
        async with AsyncExitStack() as stack:
            with embedded_server(load_settings(state=state)) as conninfo:
                access = derive_access(conninfo)
                initialise(access)
                database = await stack.enter_async_context(Database(access, settings))
                assert await is_reachable(database)
            asked = database.answered
            assert await is_reachable(database) or time.monotonic() - asked > FRESH_SECONDS
            assert database.answered == asked
            await asyncio.sleep(FRESH_SECONDS)
            assert not await is_reachable(database)


async def test_database_that_was_not_initialised_is_named(server: Access, settings: Settings) -> None:
    with new_database(server) as access, pytest.raises(UnavailableError, match="Has `vo-service init` been run"):
        async with Database(access, settings):
            pass


async def test_writer_commits_or_rolls_back(each_database: Database) -> None:
    async with each_database.writer() as connection:
        await connection.execute("CREATE TABLE ex.written (n integer)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await insert_and_fail(each_database)
    assert execute(each_database.writer_conninfo, "SELECT count(*) FROM ex.written") == [(0,)]
    execute(each_database.writer_conninfo, "DROP TABLE ex.written")


async def insert_and_fail(database: Database) -> None:
    async with database.writer() as connection:
        await connection.execute("INSERT INTO ex.written VALUES (1)")
        await connection.execute("SELECT 1 / 0")


async def test_notifications_arrive_and_go_on_after_a_lost_connection(each_database: Database) -> None:
    access = each_database.access
    async with aclosing(each_database.listen("a channel")) as payloads:
        assert await anext(payloads) == ""
        execute(access.writer.conninfo, "SELECT pg_notify('a channel', 'first')")
        assert await anext(payloads) == "first"
        end_sessions(access)
        assert await anext(payloads) == ""
        execute(access.writer.conninfo, "SELECT pg_notify('a channel', 'second')")
        assert await anext(payloads) == "second"
