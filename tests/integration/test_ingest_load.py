"""Loading files into a real database: what is stored, published and allowed, and what a failure leaves behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.database import new_database
from tests.support.files import WRITERS, arrow_table, event_table, write_file
from vo_service.catalog.description import Description, load_description
from vo_service.catalog.model import Catalog, Table
from vo_service.catalog.store import read_catalog
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import IngestError
from vo_service.ingest import order
from vo_service.ingest.describe import describe
from vo_service.ingest.drop import drop_table
from vo_service.ingest.load import load
from vo_service.sky.healpix import hpx

EVENTS = """
name: ingest
description: Events of a test
resource: {title: Test}
tables:
  - name: events
    primaryKey: event_id
    position: {}
    epoch: mjd
    columns:
      - {name: event_id, datatype: long}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec}
      - {name: mjd, datatype: double, "ivoa:unit": d, indexed: true}
      - {name: energy, datatype: float, "ivoa:unit": GeV}
"""
SMALL = """
name: ingest
tables:
  - name: t
    {more}
    columns: [{columns}]
"""
PLACE = "{name: ra, datatype: double}, {name: dec, datatype: double}"


@pytest.fixture
def fresh(server: Access) -> Iterator[Access]:
    """A new database in which nothing is published."""
    with new_database(server) as access:
        initialise(access)
        yield access


@pytest.fixture(scope="module")
def used(each_server: Access) -> Iterator[Access]:
    """A database that the tests of this module share, on each server. They replace what stands there."""
    with new_database(each_server) as access:
        initialise(access)
        yield access


def description(tmp_path: Path, text: str) -> Description:
    path = tmp_path / "description.yaml"
    path.write_text(text, encoding="utf-8")
    return load_description(path)


def small(tmp_path: Path, columns: str, more: str = "") -> Description:
    return description(tmp_path, SMALL.format(columns=columns, more=more))


def file(tmp_path: Path, content: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def read(access: Access, query: str) -> list[tuple[Any, ...]]:
    """What the reader sees."""
    with psycopg.connect(access.reader.conninfo) as connection:
        return connection.execute(query.encode()).fetchall()


def catalog(access: Access) -> Catalog:
    with psycopg.connect(access.writer.conninfo) as connection:
        return read_catalog(connection)


def published(access: Access, name: str = "events") -> Table:
    table = catalog(access).table("ingest", name)
    assert table is not None
    return table


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_and_its_own_draft(used: Access, tmp_path: Path, name: str) -> None:
    """The rows of each file, described by its own draft, are those that were written."""
    table = event_table()
    path = write_file(tmp_path, name, table)
    drafted = description(tmp_path, describe([path]).replace(describe([path]).split("\n")[1], "name: ingest"))
    report = load(used, drafted, [path], mode="replace")
    assert (report.rows, report.rejected, report.reasons) == (len(table), 0, ())
    (loaded,) = report.tables
    assert published(used, loaded.name) == loaded
    stored = read(
        used, f"SELECT event_id, ra, dec, mjd, energy::real::float8, nhit FROM {loaded.full_name} ORDER BY event_id"
    )
    columns = ("event_id", "ra", "dec", "mjd", "energy", "nhit")
    assert stored == list(zip(*(np.asarray(table[column]).tolist() for column in columns), strict=True))
    names = [column.name for column in loaded.columns]
    if "name" in names:
        assert read(used, f"SELECT min(name), max(name) FROM {loaded.full_name}") == [("E00001", "E00500")]


def test_what_is_published(fresh: Access, tmp_path: Path) -> None:
    path = write_file(tmp_path, "events.parquet", event_table())
    load(fresh, description(tmp_path, EVENTS), [path])
    table = published(fresh)
    assert (table.rows, table.primary_key, table.epoch_column) == (500, "event_id", "mjd")
    assert table.resource is not None
    assert [column.name for column in table.columns if column.indexed] == ["event_id", "ra", "dec", "mjd"]
    assert read(
        fresh,
        "SELECT column_name, datatype, unit FROM tap_schema.columns WHERE table_name = 'ingest.events'"
        " ORDER BY column_index",
    ) == [
        ("event_id", "long", None),
        ("ra", "double", "deg"),
        ("dec", "double", "deg"),
        ("mjd", "double", "d"),
        ("energy", "float", "GeV"),
    ]
    rights = (
        "SELECT has_table_privilege('ingest.events', right_) FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) right_"
    )
    assert read(fresh, rights) == [(True,), (False,), (False,)]


def test_rows_lie_in_the_order_of_the_index(used: Access, tmp_path: Path) -> None:
    path = write_file(tmp_path, "events.parquet", event_table(5_000))
    load(used, description(tmp_path, EVENTS), [path], mode="replace")
    stored = read(used, "SELECT ra, dec, hpx FROM ingest.events ORDER BY ctid")
    ra, dec, index = (np.array(column) for column in zip(*stored, strict=True))
    assert (index == hpx(ra, dec)).all()
    assert (np.diff(index) >= 0).all()
    indexes = read(used, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ingest' AND tablename = 'events'")
    assert sorted(line.rpartition(" USING btree ")[2] for (line,) in indexes) == ["(event_id)", "(hpx)", "(mjd)"]


def test_more_rows_than_fit_into_memory(used: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "run_bytes", lambda: 100_000)
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(arrow_table(event_table(20_000)), path, row_group_size=1_000)
    load(used, description(tmp_path, EVENTS), [path], mode="replace")
    index = np.array(read(used, "SELECT hpx, event_id FROM ingest.events ORDER BY ctid"))
    assert (np.diff(index[:, 0]) >= 0).all()
    assert len(set(index[:, 1])) == 20_000


def test_every_type_there_and_back(used: Access, tmp_path: Path) -> None:
    columns = {
        "boolean": pa.array([True, None, False]),
        "unsignedByte": pa.array([0, None, 255], pa.uint8()),
        "short": pa.array([-(2**15), None, 2**15 - 1], pa.int16()),
        "int": pa.array([-(2**31), None, 2**31 - 1], pa.int32()),
        "long": pa.array([-(2**63), None, 2**63 - 1], pa.int64()),
        "float": pa.array([0.1, None, -math.inf], pa.float32()),
        "double": pa.array([0.1, math.nan, math.inf]),
        "char": pa.array(["", None, "a\tb\nc\\N'\""]),
        "unicodeChar": pa.array(["Größe ∑ 𝄞", None, " "]),
        "timestamp": pa.array([datetime(1969, 7, 20, 20, 17, 40, 1), None, datetime(2026, 11, 21)]),
        "binary": pa.array([[0, 255], None, []], pa.list_(pa.uint8())),
    }
    lists = {
        "boolean": pa.array([[True, False], None, []]),
        "short": pa.array([[-1, 2], None, []]),
        "int": pa.array([[-1, 2], None, []]),
        "long": pa.array([[2**62], None, []]),
        "float": pa.array([[0.5, math.inf], None, []]),
        "double": pa.array([[0.1, math.nan], None, []]),
    }
    table = pa.table({f"c_{name}": array for name, array in columns.items()} | {f"l_{k}": a for k, a in lists.items()})
    path = tmp_path / "types.parquet"
    pyarrow.parquet.write_table(table, path)
    described = [f"{{name: c_{name}, datatype: {name}}}" for name in columns]
    described += [f'{{name: l_{name}, datatype: {name}, "votable:arraysize": "*"}}' for name in lists]
    load(used, small(tmp_path, ", ".join(described)), [path], mode="replace")
    stored = read(used, "SELECT * FROM ingest.t ORDER BY ctid")
    expected = [list(row.values()) for row in table.to_pylist()]
    expected[1][6] = None  # NaN is what VOTable takes for nothing
    expected[0][5] = float(np.float32(0.1))
    for row in expected:
        row[10] = None if row[10] is None else bytes(row[10])
    found = [
        [float(np.float32(value)) if place == 5 and value else value for place, value in enumerate(row)]
        for row in stored
    ]
    assert str(found) == str(expected)


def test_ranks_across_files(used: Access, tmp_path: Path) -> None:
    columns = (
        '{name: id, datatype: char, length: 4, derive: {rank: t, format: "A{:03d}"}},'
        " {name: n, datatype: int, derive: {rank: t}}, {name: t, datatype: double}"
    )
    paths = [file(tmp_path, "t\n3\n1\n", "a.csv"), file(tmp_path, "t\n2\n10\n", "b.csv")]
    load(used, small(tmp_path, columns, "primaryKey: id"), paths, mode="replace")
    assert read(used, "SELECT id, n, t FROM ingest.t ORDER BY id") == [
        ("A001", 1, 1.0), ("A002", 2, 2.0), ("A003", 3, 3.0), ("A004", 4, 10.0),
    ]  # fmt: skip
    with pytest.raises(IngestError, match="id is the rank among all rows, so that none can be appended"):
        load(used, small(tmp_path, columns, "primaryKey: id"), paths, mode="append")


def test_right_ascensions_at_the_edge(used: Access, tmp_path: Path) -> None:
    path = file(tmp_path, "ra,dec\n360.0,90\n0,-90\n359.9999999,0\n")
    load(used, small(tmp_path, PLACE, "position: {}"), [path], mode="replace")
    assert read(used, "SELECT ra, dec FROM ingest.t ORDER BY dec") == [(0.0, -90.0), (359.9999999, 0.0), (0.0, 90.0)]
    # As a float the last one is 360: the index must be that of what is stored.
    floats = PLACE.replace("double", "float")
    load(used, small(tmp_path, floats, "position: {}"), [path], mode="replace")
    ra, dec, index = zip(*read(used, "SELECT ra, dec, hpx FROM ingest.t"), strict=True)
    assert set(ra) == {0.0}
    assert list(index) == hpx(ra, dec).tolist()


@pytest.mark.parametrize(
    ("content", "columns", "more", "message"),
    [
        ("ra,dec\n1,2\n361,0\n", PLACE, "position: {}", r"t\.csv, row 2: RA 361\.0, Dec 0\.0 is out of range"),
        ("ra,dec\n1,90.5\n", PLACE, "position: {}", r"row 1: RA 1\.0, Dec 90\.5 is out of range"),
        ("ra,dec\n1,2\n,\n", PLACE, "position: {}", r"row 2: it has no position"),
        ("ra,dec\n1,2\nnan,2\n", PLACE, "position: {}", r"row 2: it has no position"),
        ("ra,dec\n-999,-999\n", PLACE, "position: {}", r"row 1: RA -999\.0, Dec -999\.0 is out of range"),
        ("l,b\n1,2\n400,2\n", "{name: l, datatype: float}",
         "position: {source: {frame: galactic, longitude: l, latitude: b}}",
         r"row 2: l, b: 400\.0, 2\.0 deg is no place on the sky"),
        ("x\n1\n1.5\n", "{name: x, datatype: int}", "", r"row 2: x: 1\.5 does not fit int"),
        ("x\n1\nabc\n", "{name: x, datatype: int}", "", r"row 2: x: 'abc' is not a number"),
        ("x\n1\n70000\n", "{name: x, datatype: short}", "", r"row 2: x: 70000 does not fit short"),
        ("x\na\nb\x00c\n", "{name: x, datatype: char}", "input: {format: csv}", r"row 2: x: 'b\\x00c' contains NUL"),
        ("x,y\n1,\n", "{name: x, datatype: int}, {name: y, datatype: int, nullable: false}", "",
         r"row 1: y: a value is required"),
        ("x,y\n,1\n", "{name: x, datatype: char}", "primaryKey: x", r"row 1: x: a value is required"),
        ("x\n1\n1\n", "{name: x, datatype: int}", "primaryKey: x",
         r"does not identify rows: Key \(x\)=\(1\) is duplicated"),
        ("x\n1\n", "{name: y, datatype: int}", "", r"t\.csv has no column 'y'\. There is: x"),
        ("x\n1\n1,2\n", "{name: x, datatype: int}", "", r"t\.csv, row 2: 2 values are there, 1 are expected"),
    ],
)  # fmt: skip
def test_refusals(used: Access, tmp_path: Path, content: str, columns: str, more: str, message: str) -> None:
    good = small(tmp_path, "{name: kept, datatype: int}")
    load(used, good, [file(tmp_path, "kept\n7\n", "good.csv")], mode="replace")
    before = catalog(used)
    with pytest.raises(IngestError, match=message):
        load(used, small(tmp_path, columns, more), [file(tmp_path, content)], mode="replace")
    assert catalog(used) == before
    assert read(used, "SELECT * FROM ingest.t") == [(7,)]
    assert read(used, "SELECT count(*) FROM pg_class WHERE relname LIKE '~%' AND relkind = 'r'") == [(0,)]


def test_rows_that_are_left_out(used: Access, tmp_path: Path) -> None:
    rows = ["1,2,3", "400,2,3", "1,2,x", "5,6,7", ",,3"]
    path = file(tmp_path, "ra,dec,n\n" + "\n".join(rows) + "\n")
    columns = f"{PLACE}, {{name: n, datatype: int}}"
    report = load(used, small(tmp_path, columns, "position: {}\n    reject: skip"), [path], mode="replace")
    assert (report.rows, report.rejected) == (2, 3)
    assert report.reasons == (
        "t.csv, row 2: RA 400.0, Dec 2.0 is out of range (0 to 360, -90 to 90 degrees)",
        "t.csv, row 3: n: 'x' is not a number; if it stands for a missing value, say so (source: null:)",
        "t.csv, row 5: it has no position",
    )
    assert read(used, "SELECT ra FROM ingest.t ORDER BY ra") == [(1.0,), (5.0,)]
    assert published(used, "t").rows == 2


def test_rows_are_counted_through_batches(used: Access, tmp_path: Path) -> None:
    bad = 150_000
    lines = ["x"] + [str(row) for row in range(1, 200_001)]
    lines[bad] = "bad"
    path = file(tmp_path, "\n".join(lines))
    with pytest.raises(IngestError, match=rf"row {bad}: x: 'bad' is not a number"):
        load(used, small(tmp_path, "{name: x, datatype: int}"), [path], mode="replace")


def test_declared_nulls_units_and_frames(used: Access, tmp_path: Path) -> None:
    path = file(tmp_path, "a,e,s\n3.141592653589793,-999,None\n0,2,x\n")
    columns = (
        '{name: ra, datatype: double, "ivoa:unit": deg, source: {name: a, unit: rad}},'
        ' {name: e, datatype: float, "ivoa:unit": GeV, source: {unit: TeV, null: -999}},'
        " {name: s, datatype: char, source: {null: None}}"
    )
    load(used, small(tmp_path, columns), [path], mode="replace")
    assert read(used, "SELECT ra, e, s FROM ingest.t ORDER BY ra") == [(0.0, 2000.0, "x"), (180.0, None, None)]


def test_units_that_contradict_the_file(used: Access, tmp_path: Path) -> None:
    path = write_file(tmp_path, "events.ecsv", event_table(5))
    with pytest.raises(IngestError, match="the unit of column 'energy' is GeV, the description says TeV; say source:"):
        load(used, description(tmp_path, EVENTS.replace("GeV", "TeV")), [path], mode="replace")
    converted = EVENTS.replace('"ivoa:unit": GeV}', '"ivoa:unit": TeV, source: {unit: GeV}}')
    load(used, description(tmp_path, converted), [path], mode="replace")
    energies = [energy for (energy,) in read(used, "SELECT energy FROM ingest.events ORDER BY event_id")]
    assert energies == pytest.approx((np.asarray(event_table(5)["energy"]) / 1000).tolist(), rel=1e-6)


def test_append(fresh: Access, tmp_path: Path) -> None:
    whole = event_table(300)
    paths = [tmp_path / f"{part}.parquet" for part in range(3)]
    for part, path in enumerate(paths):
        pyarrow.parquet.write_table(arrow_table(whole[part * 100 : part * 100 + 100]), path)
    events = description(tmp_path, EVENTS)
    with pytest.raises(IngestError, match=r"ingest\.events is not published, so that no rows can be appended"):
        load(fresh, events, paths[:1], mode="append")
    load(fresh, events, paths[:1])
    with pytest.raises(IngestError, match=r"ingest\.events is published already; say --append"):
        load(fresh, events, paths[:1])
    report = load(fresh, events, paths[1:], mode="append")
    assert (report.rows, published(fresh).rows) == (200, 300)
    assert read(fresh, "SELECT count(*), count(DISTINCT event_id) FROM ingest.events") == [(300, 300)]
    with pytest.raises(IngestError, match=r"does not identify rows: Key \(event_id\)=\(\d+\) already exists"):
        load(fresh, events, paths[2:], mode="append")
    assert (published(fresh).rows, read(fresh, "SELECT count(*) FROM ingest.events")) == (300, [(300,)])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("datatype: float", "datatype: double", "energy is described otherwise"),
        ("GeV", "TeV", "energy is described otherwise"),
        ("name: energy", "name: e, source: energy", "e, energy is described otherwise"),
        ("primaryKey: event_id", "", "position or primaryKey is another"),
    ],
)
def test_append_to_another_table(used: Access, tmp_path: Path, before: str, after: str, message: str) -> None:
    path = write_file(tmp_path, "events.parquet", event_table(10))
    load(used, description(tmp_path, EVENTS), [path], mode="replace")
    with pytest.raises(IngestError, match=message):
        load(used, description(tmp_path, EVENTS.replace(before, after)), [path], mode="append")


def test_replacing_while_it_is_read(used: Access, tmp_path: Path) -> None:
    """Queries see the old rows or the new ones, never none; replacing waits for those that run."""
    events = description(tmp_path, EVENTS)
    paths = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    for path, rows in zip(paths, (100, 2_000), strict=True):
        pyarrow.parquet.write_table(arrow_table(event_table(rows)), path)
    load(used, events, paths[:1], mode="replace")
    counts: list[int] = []
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(used.reader.conninfo, autocommit=True) as connection:
            while not done.is_set():
                counts.append(connection.execute("SELECT count(*) FROM ingest.events").fetchall()[0][0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        load(used, events, paths[1:], mode="replace")
    finally:
        done.set()
        watcher.join()
    assert set(counts) <= {100, 2_000}
    assert read(used, "SELECT count(*) FROM ingest.events") == [(2_000,)]


def test_two_loads_at_once(fresh: Access, tmp_path: Path) -> None:
    path = write_file(tmp_path, "events.parquet", event_table())
    events = description(tmp_path, EVENTS)
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(load(fresh, events, [path]).rows)
        except IngestError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes))[0] == "500"
    assert "is published already" in sorted(map(str, outcomes))[1]


def test_several_tables_and_their_keys(fresh: Access, tmp_path: Path) -> None:
    text = """
        name: ingest
        tables:
          - name: events
            input: {files: "ev*.csv"}
            constraints: [{"@type": ForeignKey, columns: run, referencedColumns: runs.Run}]
            columns: [{name: run, datatype: int}]
          - name: runs
            input: {files: runs.csv}
            primaryKey: Run
            columns: [{name: Run, datatype: int}]
    """
    both = description(tmp_path, text)
    paths = [file(tmp_path, "run\n1\n1\n", "ev1.csv"), file(tmp_path, "run\n2\n", "ev2.csv")]
    with pytest.raises(IngestError, match=r"a foreign key to ingest\.runs, which is not published"):
        load(fresh, both, paths)
    wrong = description(tmp_path, text.replace("runs.Run", "runs.Name"))
    with pytest.raises(IngestError, match=r"a foreign key to ingest\.runs, which has no column Name"):
        load(fresh, wrong, [*paths, file(tmp_path, "Run\n1\n2\n", "runs.csv")])
    with pytest.raises(IngestError, match=r"No table of the description takes .*stray\.csv"):
        load(fresh, both, [*paths, file(tmp_path, "a\n1\n", "stray.csv")])
    with pytest.raises(IngestError, match="No file is given"):
        load(fresh, both, [])
    report = load(fresh, both, [*paths, file(tmp_path, "Run\n1\n2\n", "runs.csv")])
    assert [(table.name, table.rows) for table in report.tables] == [("events", 3), ("runs", 2)]
    assert [
        (key.from_table, key.target_table, key.columns) for key in catalog(fresh).keys if key.from_table[:6] == "ingest"
    ] == [("ingest.events", "ingest.runs", (("run", "Run"),))]
    assert read(
        fresh,
        "SELECT from_table, target_table, from_column, target_column FROM tap_schema.keys"
        " JOIN tap_schema.key_columns USING (key_id) WHERE from_table = 'ingest.events'",
    ) == [("ingest.events", "ingest.runs", "run", "Run")]


def test_names_that_differ_by_case_only(fresh: Access, tmp_path: Path) -> None:
    path = file(tmp_path, "x\n1\n")
    load(fresh, small(tmp_path, "{name: x, datatype: int}"), [path])
    for before, after in (("name: t", "name: T"), ("name: ingest", "name: Ingest")):
        text = SMALL.format(columns="{name: x, datatype: int}", more="").replace(before, after)
        for mode in ("create", "replace"):
            with pytest.raises(IngestError, match="is published, which differs by letter case only"):
                load(fresh, description(tmp_path, text), [path], mode=mode)


def test_awkward_names_and_dropping(fresh: Access, tmp_path: Path) -> None:
    text = """
        name: odd "schema"
        tables:
          - name: "it's 100% {}"
            primaryKey: "a\\"b %s"
            columns:
              - {name: "a\\"b %s", datatype: int, source: x}
              - {name: "select", datatype: int, indexed: 1, source: x}
    """
    report = load(fresh, description(tmp_path, text), [file(tmp_path, "x\n1\n2\n")])
    (table,) = report.tables
    assert table.rows == 2
    assert read(fresh, f'SELECT "select" FROM {table.full_name}') == [(1,), (2,)]
    drop_table(fresh, f"{table.schema}.{table.name}")
    assert catalog(fresh).table(table.schema, table.name) is None


def test_progress(used: Access, tmp_path: Path) -> None:
    path = write_file(tmp_path, "events.parquet", event_table())
    seen: list[tuple[str, int, int | None]] = []
    load(used, description(tmp_path, EVENTS), [path], mode="replace", progress=lambda *step: seen.append(step))
    assert [stage for stage, _, _ in seen] == sorted(
        (s for s, _, _ in seen), key=["reading", "storing", "indexing"].index
    )
    assert ("reading", 500, 500) in seen
    assert ("storing", 500, 500) in seen


def test_empty_files(used: Access, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(arrow_table(event_table(5)).slice(0, 0), path)
    assert load(used, description(tmp_path, EVENTS), [path], mode="replace").rows == 0
    assert published(used).rows == 0
