"""TAP_SCHEMA as clients read it: statistics of the rows, the order of all things, keys, and its upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.database import execute, new_database
from vo_service.catalog.description import Description, load_description
from vo_service.catalog.model import Catalog, Column, Schema, Statistics, Table
from vo_service.catalog.store import publish_schema, publish_table, read_catalog, withdraw_table
from vo_service.catalog.tap_schema import TABLES
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.ingest.load import load

RUNS = """
name: st
description: A test
tables:
  - name: runs
    columns:
      - {name: run, datatype: long, nullable: false}
      - {name: rate, datatype: double, source: {name: rate, null: "-"}}
      - {name: gain, datatype: float, source: {name: gain, null: "-"}}
      - {name: began, datatype: timestamp, source: {name: began, null: "-"}}
      - {name: label, datatype: string, source: {name: label, null: "-"}}
      - {name: good, datatype: boolean, source: {name: good, null: "-"}}
    input: {format: csv}
    reject: skip
"""
HEAD = "run,rate,gain,began,label,good\n"
FIRST = HEAD + (
    "9007199254740993,2.5,0.1,2020-01-01T00:00:00.25,b,true\n"
    "-7,-,-,2019-12-31T23:00:00,-,false\n"
    "10,1e-300,inf,-,a,-\n"
    "no number,-99,1,2001-01-01T00:00:00,c,true\n"
)
MORE = HEAD + "9,1000,-0.5,2021-06-01T12:00:00,-,-\n"


@pytest.fixture
def fresh(server: Access) -> Iterator[Access]:
    """A new database in which nothing is published."""
    with new_database(server) as access:
        initialise(access)
        yield access


def description(folder: Path, text: str) -> Description:
    path = folder / "description.yaml"
    path.write_text(text, encoding="utf-8")
    return load_description(path)


def write(folder: Path, content: str, name: str = "runs.csv") -> list[Path]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return [path]


def read(access: Access, query: str) -> list[tuple[Any, ...]]:
    return execute(access.reader.conninfo, query)


def catalog(access: Access) -> Catalog:
    with psycopg.connect(access.writer.conninfo) as connection:
        return read_catalog(connection)


def statistics(access: Access) -> dict[str, tuple[Any, ...]]:
    """By column of st.runs, as clients find them; the catalogue says the same."""
    rows = read(
        access,
        "SELECT column_name, min_value, max_value, null_count FROM tap_schema.columns WHERE table_name = 'st.runs'",
    )
    table = catalog(access).table("st", "runs")
    assert table is not None
    known = {column.name: column.statistics for column in table.columns}
    assert known == {name: Statistics(*values) for name, *values in rows}
    return {name: tuple(values) for name, *values in rows}


def number_of_rows(access: Access) -> int | None:
    ((rows,),) = read(access, "SELECT nrows FROM tap_schema.tables WHERE table_name = 'st.runs'")
    return rows  # type: ignore[no-any-return]


def test_statistics_of_a_load(fresh: Access, tmp_path: Path) -> None:
    """Of the rows that were stored: exact, without infinities, in the words of a query."""
    load(fresh, description(tmp_path, RUNS), write(tmp_path, FIRST))
    assert number_of_rows(fresh) == 3
    assert statistics(fresh) == {
        "run": ("-7", "9007199254740993", 0),
        "rate": ("1e-300", "2.5", 1),
        "gain": ("0.10000000149011612", "0.10000000149011612", 1),
        "began": ("2019-12-31T23:00:00", "2020-01-01T00:00:00.25", 1),
        "label": (None, None, 1),
        "good": (None, None, 1),
    }


def test_statistics_grow_with_appended_rows_and_begin_anew_with_others(fresh: Access, tmp_path: Path) -> None:
    described = description(tmp_path, RUNS)
    load(fresh, described, write(tmp_path, FIRST))
    load(fresh, described, write(tmp_path, MORE), mode="append")
    assert number_of_rows(fresh) == 4
    both = statistics(fresh)
    assert (both["run"], both["rate"]) == (("-7", "9007199254740993", 0), ("1e-300", "1000", 1))
    assert (both["gain"], both["began"]) == (
        ("-0.5", "0.10000000149011612", 1),
        ("2019-12-31T23:00:00", "2021-06-01T12:00:00", 1),
    )
    assert (both["label"], both["good"]) == ((None, None, 2), (None, None, 2))
    load(fresh, described, write(tmp_path, HEAD), mode="append")
    assert statistics(fresh) == both
    load(fresh, described, write(tmp_path, MORE), mode="replace")
    assert (number_of_rows(fresh), statistics(fresh)["run"]) == (1, ("9", "9", 0))
    load(fresh, described, write(tmp_path, HEAD), mode="replace")
    assert (number_of_rows(fresh), statistics(fresh)["run"]) == (0, (None, None, 0))


def test_statistics_are_those_that_the_database_finds(fresh: Access, tmp_path: Path) -> None:
    """Many batches, some of them without values."""
    content = "".join(f"{i},{i * 7919 % 100003 if i % 3 else '-'},{0.1 + i / 7},-,x,-\n" for i in range(200_000))
    load(fresh, description(tmp_path, RUNS), write(tmp_path, HEAD + content))
    found = statistics(fresh)
    for name, kind in (("run", "bigint"), ("rate", "float8"), ("gain", "real")):
        ((smallest, largest, nulls),) = read(
            fresh, f"SELECT min({name}), max({name}), count(*) - count({name}) FROM st.runs"
        )
        assert read(fresh, f"SELECT '{found[name][0]}'::{kind}, '{found[name][1]}'::{kind}") == [(smallest, largest)]
        everything = f"{name} IS NULL OR {name} BETWEEN {found[name][0]} AND {found[name][1]}"
        assert read(fresh, f"SELECT count(*) FROM st.runs WHERE {everything}") == [(200_000,)]
        assert found[name][2] == nulls


def test_times_that_cannot_be_written_have_no_extremes(fresh: Access, tmp_path: Path) -> None:
    path = tmp_path / "far.parquet"
    times = pa.array([400_000_000_000_000_000, None], pa.timestamp("us"))
    pq.write_table(pa.table({"t": times}), path)
    text = "name: st\ntables: [{name: runs, columns: [{name: t, datatype: timestamp}]}]"
    load(fresh, description(tmp_path, text), [path])
    assert statistics(fresh) == {"t": (None, None, 1)}


def test_everything_has_its_place(fresh: Access) -> None:
    """What the publisher numbers keeps its number, the rest follows; TAP_SCHEMA comes last."""
    one = (Column("x", "int"), Column("y", "int"))
    with psycopg.connect(fresh.writer.conninfo) as connection:
        for name, index in (("b", None), ("z", 2), ("Order", None)):
            publish_schema(connection, Schema(name, (), schema_index=index))
        for name, index in (("two", None), ("one", None), ("late", 7)):
            publish_table(connection, Table("b", name, one, table_index=index))
        publish_table(connection, Table("Order", "SELECT", one))
        publish_table(connection, Table("z", "t", one))
    assert read(fresh, "SELECT schema_name, schema_index FROM tap_schema.schemas ORDER BY 2") == [
        ("z", 2),
        ('"Order"', 3),
        ("b", 4),
        ("tap_schema", 1_000_000),
    ]
    tables = "SELECT table_name, table_index FROM tap_schema.tables WHERE schema_name !~ 'tap' ORDER BY 1"
    assert set(read(fresh, tables)) == {
        ('"Order"."SELECT"', 1),
        ("b.late", 7),
        ("b.one", 8),
        ("b.two", 9),
        ("z.t", 1),
    }
    columns = "SELECT column_index FROM tap_schema.columns WHERE table_name = 'z.t' ORDER BY 1"
    assert read(fresh, columns) == [(1,), (2,)]
    assert [schema.name for schema in catalog(fresh).schemas] == ["z", "Order", "b", "tap_schema"]
    with psycopg.connect(fresh.writer.conninfo) as connection:
        withdraw_table(connection, Table("z", "t", one))
    assert read(fresh, "SELECT schema_index FROM tap_schema.schemas WHERE schema_name = 'b'") == [(2,)]


def test_nothing_is_left_without_a_place(fresh: Access, tmp_path: Path) -> None:
    load(fresh, description(tmp_path, RUNS), write(tmp_path, FIRST))
    for table, column in (("schemas", "schema_index"), ("tables", "table_index"), ("columns", "column_index")):
        assert read(fresh, f"SELECT count(*) FROM tap_schema.{table} WHERE {column} IS NULL") == [(0,)]


def test_it_describes_itself_as_it_is(fresh: Access) -> None:
    """Every column that the tables have, with its type."""
    kinds = {"text": "char", "integer": "int", "bigint": "long"}
    stored = read(
        fresh,
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'tap_schema'",
    )
    described = {(table.name, column.name): column.datatype for table in TABLES for column in table.columns}
    assert {(table, column): kinds[kind] for table, column, kind in stored} == described


def test_a_database_of_an_earlier_version_is_brought_up_to_date(fresh: Access, tmp_path: Path) -> None:
    described = description(tmp_path, RUNS)
    load(fresh, described, write(tmp_path, FIRST))
    before = read(fresh, "SELECT * FROM tap_schema.schemas ORDER BY 1")
    for statement in (
        "ALTER TABLE tap_schema.tables DROP COLUMN nrows",
        "ALTER TABLE tap_schema.columns DROP COLUMN min_value, DROP COLUMN max_value, DROP COLUMN null_count",
        "UPDATE tap_schema.schemas SET schema_index = NULL",
        "UPDATE tap_schema.tables SET table_index = NULL",
        "DELETE FROM tap_schema.columns WHERE column_name IN ('nrows', 'min_value', 'max_value', 'null_count')",
        "UPDATE vo_service.published_table SET definition = jsonb_set(definition, '{columns}', (SELECT"
        " jsonb_agg(c - 'statistics') FROM jsonb_array_elements(definition->'columns') c"
        " WHERE c->>'name' NOT IN ('nrows', 'min_value', 'max_value', 'null_count')))",
    ):
        execute(fresh.owner.conninfo, statement)
    initialise(fresh)
    assert read(fresh, "SELECT * FROM tap_schema.schemas ORDER BY 1") == before
    assert read(fresh, "SELECT table_index, nrows FROM tap_schema.tables WHERE table_name = 'st.runs'") == [(1, 3)]
    assert read(fresh, "SELECT count(*) FROM tap_schema.columns WHERE column_name = 'nrows'") == [(1,)]
    # What nobody counted stays unknown, also with more rows, until the table is loaded anew.
    unknown = "SELECT DISTINCT min_value, null_count FROM tap_schema.columns WHERE table_name = 'st.runs'"
    assert read(fresh, unknown) == [(None, None)]
    load(fresh, described, write(tmp_path, MORE), mode="append")
    assert (number_of_rows(fresh), read(fresh, unknown)) == (4, [(None, None)])
    load(fresh, described, write(tmp_path, FIRST), mode="replace")
    assert statistics(fresh)["run"] == ("-7", "9007199254740993", 0)
