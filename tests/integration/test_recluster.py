"""Reclustering on a real database: what changes (the order of rows), what does not (all else), and who notices."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest

from conesearch.query import cone_statement
from conesearch.request import ConeRequest
from tests.support.database import SECRET, execute, new_database
from tests.support.served import served
from vo_service.catalog.description import Description, load_description
from vo_service.catalog.model import Position, Table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import NotFoundError, ServiceError, UsageError
from vo_service.formats.registry import find_format
from vo_service.ingest import duplicate
from vo_service.ingest.load import load
from vo_service.ingest.recluster import recluster

ROWS = 20_000
"""Of each load."""

DESCRIPTION = """
name: Grown
description: Events of a test
resource: {title: Test}
tables:
  - name: Events
    input: {files: ["*.parquet"]}
    primaryKey: event_id
    position: {}
    epoch: mjd
    columns:
      - {name: event_id, datatype: long}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra;meta.main}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec;meta.main}
      - {name: mjd, datatype: double, "ivoa:unit": d, indexed: true}
      - {name: label, datatype: unicode, "votable:arraysize": "*"}
  - name: notes
    input: {files: ["*.csv"]}
    columns: [{name: text, datatype: char, "votable:arraysize": "*"}]
"""
TABLE = '"Grown"."Events"'


def write_rows(directory: Path, number: int) -> Path:
    """A file with the rows of one load; NULLs among them."""
    random = np.random.default_rng(number)
    ids = np.arange(number * ROWS, (number + 1) * ROWS)
    labels = pa.array([None if i % 7 == 0 else f"ä{i}" for i in ids])
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, ROWS)))
    columns = {"event_id": ids, "ra": random.uniform(0, 360, ROWS), "dec": dec, "mjd": random.uniform(5e4, 6e4, ROWS)}
    path = directory / f"Events{number}.parquet"
    pa.parquet.write_table(pa.table({**columns, "label": labels}), path)
    return path


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Description:
    path = tmp_path_factory.mktemp("description") / "description.yaml"
    path.write_text(DESCRIPTION, encoding="utf-8")
    return load_description(path)


@pytest.fixture(scope="module")
def used(server: Access) -> Iterator[Access]:
    """A database that tests share."""
    with new_database(server) as access:
        initialise(access)
        yield access


@pytest.fixture
def grown(used: Access, described: Description, tmp_path: Path) -> Access:
    """A database with a table whose rows are in no order on the sky, as if they had come one by one."""
    grow(used, described, tmp_path)
    return used


@pytest.fixture
def each_grown(each_server: Access, described: Description, tmp_path: Path) -> Iterator[Access]:
    """The same on each server."""
    with new_database(each_server) as access:
        initialise(access)
        grow(access, described, tmp_path)
        yield access


def grow(access: Access, described: Description, directory: Path) -> None:
    load(access, described, [write_rows(directory, 0)], mode="replace")
    of_key = f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{TABLE}'::regclass AND indisprimary"
    ((index,),) = ask(access, of_key)
    ask(access, f"CLUSTER {TABLE} USING {index.rpartition('.')[2]}")
    ask(access, f"ALTER TABLE {TABLE} SET WITHOUT CLUSTER")


def ask(access: Access, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return execute(access.owner.conninfo, query, *parameters)


def descents(access: Access) -> int:
    """How often a row of the table is followed by one with a smaller index."""
    following = f"SELECT hpx, lead(hpx) OVER (ORDER BY ctid) AS following FROM {TABLE}"
    ((number,),) = ask(access, f"SELECT count(*) FILTER (WHERE following < hpx) FROM ({following}) t")
    return int(number)


def properties(access: Access) -> list[Any]:
    """All of the table that is to stay as it is, but for its rows."""
    about = f"'{TABLE}'::regclass"
    return [
        ask(access, f"SELECT relacl::text, reloptions, pg_get_userbyid(relowner) FROM pg_class WHERE oid = {about}"),
        ask(access, f"SELECT obj_description({about}, 'pg_class')"),
        ask(
            access,
            "SELECT attname, atttypid, attnotnull, attacl::text, attstattarget, col_description(attrelid, attnum)"
            f" FROM pg_attribute WHERE attrelid = {about} AND attnum > 0 ORDER BY attnum",
        ),
        ask(
            access,
            "SELECT pg_get_indexdef(indexrelid), indisprimary, obj_description(indexrelid, 'pg_class')"
            f" FROM pg_index WHERE indrelid = {about} ORDER BY 1",
        ),
        ask(
            access,
            f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = {about} ORDER BY 1",
        ),
        ask(access, f"SELECT count(*), sum(hashtextextended(e::text, 0)) FROM {TABLE} e"),
    ]


def published(access: Access) -> list[Any]:
    """All that clients and harvesters are told of the table."""
    names = ("published_table", "catalog_version", "registry_record", "coverage", "observation")
    return [ask(access, f"SELECT * FROM vo_service.{name} t ORDER BY t::text") for name in names]


def left_over(access: Access) -> list[Any]:
    return ask(access, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '~%'")


BY_HAND = """
    CREATE TABLE "Grown".kinds (kind integer PRIMARY KEY);
    INSERT INTO "Grown".kinds VALUES (1);
    ALTER TABLE "Grown".kinds OWNER TO "{writer}";
    ALTER TABLE {table} ADD COLUMN kind integer DEFAULT 1 REFERENCES "Grown".kinds;
    ALTER TABLE {table} ADD COLUMN twice double precision GENERATED ALWAYS AS (2 * mjd) STORED;
    ALTER TABLE {table} ADD CONSTRAINT "north to south" CHECK (dec BETWEEN -90 AND 90);
    ALTER TABLE {table} ALTER COLUMN mjd SET STATISTICS 200;
    ALTER TABLE {table} SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01);
    CREATE INDEX "by label's length" ON {table} (length(label), mjd DESC) WHERE label IS NOT NULL;
    COMMENT ON INDEX "Grown"."by label's length" IS 'an index';
    COMMENT ON TABLE {table} IS 'it''s a table';
    COMMENT ON COLUMN {table}.mjd IS 'a time';
    GRANT SELECT (mjd) ON {table} TO PUBLIC;
    GRANT SELECT, UPDATE ON {table} TO "{reader}" WITH GRANT OPTION;
"""


def test_rows_are_in_order_again_and_all_else_is_as_it_was(each_grown: Access) -> None:
    with psycopg.connect(each_grown.owner.conninfo) as connection:
        by_hand = BY_HAND.format(table=TABLE, writer=each_grown.writer.name, reader=each_grown.reader.name)
        connection.execute(by_hand.encode())
    before, told = properties(each_grown), published(each_grown)
    assert descents(each_grown) > ROWS / 3
    report = recluster(each_grown, "grown.EVENTS")
    assert descents(each_grown) == 0
    assert properties(each_grown) == before
    assert published(each_grown) == told
    assert left_over(each_grown) == []
    assert report.after is not None
    assert report.before.pages > 5 * report.after.pages
    assert report.after.in_order
    assert execute(each_grown.reader.conninfo, f"SELECT count(*) FROM {TABLE}") == [(ROWS,)]
    # The planner knows the new rows.
    ((correlation,),) = ask(
        each_grown,
        "SELECT correlation FROM pg_stats WHERE schemaname = 'Grown' AND tablename = 'Events' AND attname = 'hpx'",
    )
    assert correlation > 0.99
    oid = ask(each_grown, f"SELECT '{TABLE}'::regclass::oid")
    assert recluster(each_grown, "Grown.Events").after is None
    assert ask(each_grown, f"SELECT '{TABLE}'::regclass::oid") == oid


@contextmanager
def reading(access: Access) -> Iterator[None]:
    """A query of the table that takes as long as the block."""
    with psycopg.connect(access.reader.conninfo) as connection:
        connection.execute(f"SELECT 1 FROM {TABLE} LIMIT 1".encode())
        yield


@contextmanager
def repeating(act: Callable[[], object]) -> Iterator[list[object]]:
    """Do something again and again in a thread; gives the results, exceptions among them."""
    results: list[object] = []
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            try:
                results.append(act())
            except Exception as error:
                results.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield results
    finally:
        over.set()
        thread.join()


@contextmanager
def at_the_exchange(access: Access, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    """A recluster that has done all its work, and waits for a query to end; when the block ends so does the query."""
    monkeypatch.setattr(duplicate, "PAUSE", 0.05)
    waiting = threading.Event()

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("waiting"):
            waiting.set()

    thread = threading.Thread(target=recluster, args=(access, "Grown.Events", progress))
    try:
        with reading(access):
            thread.start()
            assert waiting.wait(30)
            yield thread
    finally:
        thread.join(30)
    assert not thread.is_alive()


def test_clients_notice_nothing(grown: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are the same all the time, also those to queries that came before the exchange and read after it."""
    cone = {"RA": "30", "DEC": "20", "SR": "40", "RESPONSEFORMAT": "csv"}
    few = {"RA": "200", "DEC": "-10", "SR": "3", "RESPONSEFORMAT": "csv"}
    query = {"LANG": "ADQL", "QUERY": f"SELECT * FROM {TABLE} WHERE ra < 30 ORDER BY event_id", "FORMAT": "csv"}
    with served(grown) as address, httpx.Client(base_url=address, timeout=30) as client:

        def answers() -> list[str]:
            asked = [("/scs/Grown/Events", cone), ("/scs/Grown/Events", few), ("/tap/sync", query)]
            return [client.get(path, params=parameters).raise_for_status().text for path, parameters in asked]

        expected = answers()
        assert [len(text.splitlines()) > 10 for text in expected] == [True] * 3
        with psycopg.connect(grown.reader.conninfo) as earlier, repeating(answers) as seen:
            earlier.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            earlier.execute("SELECT 1")
            with at_the_exchange(grown, monkeypatch):
                time.sleep(0.5)
            count = earlier.execute(f"SELECT count(*) FROM {TABLE}".encode()).fetchone()
    assert count == (ROWS,)
    assert descents(grown) == 0
    assert len(seen) > 3
    assert [answer for answer in seen if answer != expected] == []


def test_appends_wait_for_their_turn(
    grown: Access, described: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = threading.Thread(
        target=load, args=(grown, described, [write_rows(tmp_path, 1)]), kwargs={"mode": "append"}
    )
    with at_the_exchange(grown, monkeypatch):
        appended.start()
        appended.join(1)
        assert appended.is_alive()
    appended.join(30)
    assert ask(grown, f"SELECT count(*), count(DISTINCT event_id) FROM {TABLE}") == [(2 * ROWS,) * 2]
    ((definition,),) = ask(grown, "SELECT definition FROM vo_service.published_table WHERE table_name = 'Events'")
    assert definition["rows"] == 2 * ROWS


def test_killed_at_the_worst_moment(grown: Access) -> None:
    """The copy is complete and stored, but has not taken the table's place."""
    before = properties(grown)
    ((oid,),) = ask(grown, f"SELECT '{TABLE}'::regclass::oid")
    command = [sys.executable, "-m", "vo_service", "recluster", "Grown.Events"]
    environment = os.environ | {"VO_SERVICE_DATABASE_URL": grown.owner.conninfo, "VO_SERVICE_ROLE_SECRET": SECRET}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        with reading(grown):
            await_true(lambda: bool(left_over(grown)))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert properties(grown) == before
            assert ask(grown, f"SELECT '{TABLE}'::regclass::oid") == [(oid,)]
            assert left_over(grown) != []
    finally:
        process.kill()
        process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"{ROWS:,} rows put in order" in done.stdout
    assert left_over(grown) == []
    assert descents(grown) == 0
    assert properties(grown) == before


def test_interrupted_by_hand(grown: Access) -> None:
    """Nothing is left of it, and the table is as it was."""
    before = properties(grown)

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("waiting"):
            assert left_over(grown) != []
            raise KeyboardInterrupt

    with reading(grown), pytest.raises(KeyboardInterrupt):
        recluster(grown, "Grown.Events", progress)
    assert left_over(grown) == []
    assert properties(grown) == before
    assert descents(grown) > ROWS / 3


def await_true(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (f'CREATE VIEW "Grown".bright AS SELECT * FROM {TABLE}', "bright"),
        (f'CREATE TABLE "Grown".other (id bigint REFERENCES {TABLE})', "other_id_fkey"),
        (f"ALTER TABLE {TABLE} ADD COLUMN parent bigint REFERENCES {TABLE}", "Events_parent_fkey"),
        (f"ALTER TABLE {TABLE} OWNER TO CURRENT_USER", "belongs to the role"),
        (
            f"CREATE TRIGGER t BEFORE UPDATE ON {TABLE} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger t",
        ),
        (f"CREATE FUNCTION \"Grown\".f() RETURNS {TABLE} LANGUAGE sql AS 'SELECT NULL::{TABLE}'", "f()"),
    ],
)
def test_nothing_that_depends_on_the_table_is_lost(kept: Access, statement: str, named: str) -> None:
    """It is refused before any work is done, in words that name what is in the way."""
    with psycopg.connect(kept.owner.conninfo, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute(statement.encode())
        connection.execute(f'SET ROLE "{kept.writer.name}"'.encode())
        with pytest.raises(UsageError, match=re.escape(named)):
            duplicate.Duplicate(Table("Grown", "Events", ())).check(connection)
        connection.execute("ROLLBACK")


@pytest.fixture(scope="module")
def kept(server: Access, described: Description, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A database with the tables of the description, each loaded once."""
    directory = tmp_path_factory.mktemp("kept")
    notes = directory / "notes.csv"
    notes.write_text("text\na note\n", encoding="utf-8")
    with new_database(server) as access:
        initialise(access)
        load(access, described, [write_rows(directory, 0), notes])
        yield access


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("Grown.nothing", NotFoundError, "no published table Grown.nothing"),
        ("Events", NotFoundError, "expected schema.table"),
        ("Grown.notes", UsageError, "has no position"),
        ("tap_schema.columns", UsageError, "belongs to the service"),
    ],
)
def test_tables_that_have_no_order(kept: Access, name: str, expected: type[ServiceError], words: str) -> None:
    with pytest.raises(expected, match=words):
        recluster(kept, name)


PARTITIONS = 12

BY_PARTITIONS = """
    ALTER TABLE {table} RENAME TO "before";
    CREATE TABLE {table} (LIKE "Grown"."before" INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (hpx);
    ALTER TABLE {table} OWNER TO "{writer}";
    {parts}
    INSERT INTO {table} SELECT * FROM "Grown"."before" ORDER BY hpx;
    CREATE INDEX ON {table} (hpx);
    CREATE INDEX ON {table} (event_id);
    DROP TABLE "Grown"."before";
    GRANT SELECT ON {table} TO "{reader}";
    ANALYZE {table};
"""


def test_a_table_that_was_partitioned_by_hand(grown: Access, described: Description, tmp_path: Path) -> None:
    """Answers are the same, read from the partitions that they need; rows can be appended."""
    cone = {"RA": "45", "DEC": "40", "SR": "4", "RESPONSEFORMAT": "csv"}
    inside = "1 = CONTAINS(POINT(ra, dec), CIRCLE(45, 40, 4))"
    query = {"LANG": "ADQL", "QUERY": f"SELECT * FROM {TABLE} WHERE {inside} ORDER BY event_id", "FORMAT": "csv"}
    groups = {
        **query,
        "QUERY": f"SELECT ivo_healpix_index(1, ra, dec) AS h, COUNT(*) AS n FROM {TABLE} GROUP BY h ORDER BY h",
    }
    with served(grown) as address, httpx.Client(base_url=address, timeout=30) as client:

        def answers() -> list[str]:
            asked = [("/scs/Grown/Events", cone), ("/tap/sync", query), ("/tap/sync", groups)]
            return [client.get(path, params=parameters).raise_for_status().text for path, parameters in asked]

        whole = answers()
        partition_by_hand(grown)
        assert answers() == whole
        assert [len(text.splitlines()) > 10 for text in whole] == [True] * 3
        load(grown, described, [write_rows(tmp_path, 1)], mode="append")
        assert [len(text) for text in answers()] > [len(text) for text in whole]
    (table, _) = described.schema.tables
    for rows in (ROWS, 1000 * ROWS):
        request = ConeRequest(45, 40, 4, 3, 1000, find_format(None))
        statement = cone_statement(replace(table, rows=rows), Position("ra", "dec"), request)
        with psycopg.connect(grown.reader.conninfo) as connection:
            plan = connection.execute(f"EXPLAIN (ANALYZE) {statement.sql}".encode(), statement.parameters or None)
            read = [line for (line,) in plan if "never executed" not in line]
        assert set(re.findall(r'"(Events \d+)', " ".join(read))) == {"Events 0"}
    with pytest.raises(UsageError, match="partitioned"):
        recluster(grown, "Grown.Events")


def partition_by_hand(access: Access) -> None:
    whole = 12 * 4**29
    parts = "".join(
        f'CREATE TABLE "Grown"."Events {part}" PARTITION OF {TABLE}'
        f" FOR VALUES FROM ({whole * part // PARTITIONS}) TO ({whole * (part + 1) // PARTITIONS});"
        for part in range(PARTITIONS)
    )
    with psycopg.connect(access.owner.conninfo) as connection:
        names = {"writer": access.writer.name, "reader": access.reader.name}
        connection.execute(BY_PARTITIONS.format(table=TABLE, parts=parts, **names).encode())
