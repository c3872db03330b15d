"""Every format, every type, NULL everywhere: read back by another reader."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse as parse_votable
from astropy.io.votable import parse_single_table

from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_schema
from vo_service.errors import QueryError, UsageError
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import FORMATS, find_format

COLUMNS = (
    Column("truth", "boolean"),
    Column("byte", "unsignedByte"),
    Column("short", "short"),
    Column("int", "int"),
    Column("long", "long"),
    Column("float", "float", unit="GeV", ucd="em.energy"),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension <&> \x01"),
    Column("mjd", "double", unit="d", ucd="time.epoch"),
    Column("text", "char", "*"),
    Column("code", "char", "4"),
    Column("name", "unicodeChar", "*"),
    Column("time", "char", "*", xtype="timestamp"),
    Column("numbers", "double", "*"),
    Column("pair", "float", "2"),
    Column("bytes", "unsignedByte", "*"),
)

VALUES: dict[str, list[object]] = {
    "truth": [True, False, None, True],
    "byte": [0, 255, None, 7],
    "short": [-(2**15), 2**15 - 1, None, 7],
    "int": [-(2**31), 2**31 - 1, None, 7],
    "long": [-(2**63), 2**63 - 1, None, 7],
    "float": [0.1, -1e30, None, math.nan],
    "ra": [0.1, 1 / 3, None, math.inf],
    "mjd": [58018.87118560489, -0.0, None, -math.inf],
    "text": ["", 'a "quoted", <b>&amp;</b>\nline', None, "plain"],
    "code": ["ab", "abcd", None, "x"],
    "name": ["Ångström", "ν_μ → τ", None, "x"],
    "time": [dt.datetime(2017, 9, 22, 20, 54, 30, 430000), dt.datetime(2000, 1, 1), None, dt.datetime(1987, 2, 23)],
    "numbers": [[1.5, 2.5, 1 / 3], [], None, [7.0]],
    "pair": [[1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0]],
    "bytes": [b"\x00\xff", b"", None, b"x"],
}

ROWS = 4


def batch(columns: tuple[Column, ...] = COLUMNS) -> pa.RecordBatch:
    schema = arrow_schema(columns)
    return pa.RecordBatch.from_arrays(
        [pa.array(VALUES[column.name], field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def document(name: str, *batches: pa.RecordBatch, columns: tuple[Column, ...] = COLUMNS) -> bytes:
    writer = find_format(name).writer(ResultTable(columns, infos=(Info("query", "SELECT <1>", "why & how"),)))
    return written(writer, *batches)


def equal(found: object, expected: object) -> bool:
    if isinstance(expected, float) and math.isnan(expected):
        return found is np.ma.masked or math.isnan(float(found))  # type: ignore[arg-type]
    if isinstance(expected, list):
        return np.array_equal(np.asarray(found, float), np.asarray(expected, float))
    return bool(found == expected)


@pytest.mark.parametrize("name", ["votable/b2", "votable/td"])
@pytest.mark.parametrize("split", [False, True])
def test_votable_read_by_astropy(name: str, split: bool) -> None:
    whole = batch()
    batches = [whole.slice(0, 1), whole.slice(1, 2), whole.slice(3)] if split else [whole]
    table = parse_single_table(io.BytesIO(document(name, *batches)), verify="ignore")
    assert len(table.array) == ROWS
    for column in COLUMNS:
        for found, masked, value in zip(
            table.array[column.name], np.ma.getmaskarray(table.array[column.name]), VALUES[column.name], strict=True
        ):
            if value is None:
                if name == "votable/b2" and column.name not in (
                    "text",
                    "code",
                    "name",
                    "time",
                    "numbers",
                    "pair",
                    "bytes",
                ):
                    assert np.all(masked), column.name
                continue
            if column.name == "time":
                assert dt.datetime.fromisoformat(str(found)) == value
            elif column.name == "float" and isinstance(value, float):
                assert equal(found, float(np.float32(value)))
            elif column.name == "bytes":
                assert bytes(np.asarray(found, np.uint8)) == value
            else:
                assert equal(found, value), (column.name, found, value)


def test_votable_head() -> None:
    votable = parse_votable(io.BytesIO(document("votable", batch())), verify="ignore")
    (resource,) = votable.resources
    fields = {field.name: field for field in resource.tables[0].fields}
    assert [(info.name, info.value) for info in resource.infos] == [("QUERY_STATUS", "OK"), ("query", "SELECT <1>")]
    assert (fields["ra"].unit, fields["ra"].ucd, fields["ra"].ref) == ("deg", "pos.eq.ra;meta.main", "system")
    assert fields["ra"].description == "Right ascension <&> \ufffd"
    assert (fields["mjd"].ref, fields["time"].ref) == ("mjd_UNKNOWN", "time_UTC")
    scales = {system.ID: (system.timescale, system.timeorigin) for system in resource.time_systems}
    assert scales == {"mjd_UNKNOWN": ("UNKNOWN", "MJD-origin"), "time_UTC": ("UTC", None)}
    assert resource.coordinate_systems[0].system == "ICRS"


@pytest.mark.parametrize("name", ["votable/b2", "votable/td"])
def test_votable_endings(name: str) -> None:
    table = ResultTable((Column("a", "int"),))
    rows = pa.RecordBatch.from_pydict({"a": pa.array([1], pa.int32())})
    for ending, status, text in (("overflow", "OVERFLOW", "more rows"), ("failure", "ERROR", "it <broke>")):
        told = 1 if ending == "overflow" else "it <broke>"
        votable = parse_votable(io.BytesIO(written(find_format(name).writer(table), rows, ending=ending, told=told)))
        infos = votable.resources[0].infos
        assert [info.value for info in infos if info.name == "QUERY_STATUS"] == ["OK", status]
        assert text in infos[-1].content


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_read_by_the_standard_library(name: str, delimiter: str) -> None:
    rows = list(csv.DictReader(io.StringIO(document(name, batch()).decode(), newline=""), delimiter=delimiter))
    assert len(rows) == ROWS
    assert [row["text"] for row in rows] == ["", 'a "quoted", <b>&amp;</b>\nline', "", "plain"]
    assert [float(row["ra"]) for row in rows if row["ra"]] == [0.1, 1 / 3, math.inf]
    assert rows[0]["time"] == "2017-09-22T20:54:30.43"
    assert rows[1]["time"] == "2000-01-01T00:00:00"
    assert rows[3]["float"] == "NaN"
    assert rows[0]["numbers"].split() == ["1.5", "2.5", repr(1 / 3)]
    assert rows[2] == dict.fromkeys(VALUES, "")


def test_delimited_endings() -> None:
    writer = find_format("csv").writer(ResultTable((Column("a", "int"),)))
    assert written(writer, ending="overflow", told=5).startswith(b"a\n# OVERFLOW")
    with pytest.raises(QueryError, match="broke"):
        writer.failure("it broke")


def test_text_is_aligned() -> None:
    columns = (Column("id", "int"), Column("energy", "double", unit="GeV"), Column("name", "char", "*"))
    rows = pa.RecordBatch.from_pydict({"id": [1, 100], "energy": [1.5, None], "name": ["a", "long name"]})
    assert document("txt", rows, columns=columns).decode().splitlines() == [
        "id   energy  name",
        "     [GeV]",
        "---  ------  ---------",
        "  1     1.5  a",
        "100          long name",
    ]
    assert document("txt", columns=columns).decode().startswith("id")


@pytest.mark.parametrize("format_", FORMATS, ids=lambda f: f.mime_type)
def test_a_table_without_rows(format_: object) -> None:
    (chosen,) = [f for f in FORMATS if f is format_]
    assert b"truth" in written(chosen.writer(ResultTable(COLUMNS), {}), batch().slice(0, 0))


def test_strings_with_offsets_and_long_rows() -> None:
    """Slices of larger arrays have offsets of their own."""
    columns = (Column("a", "char", "*"), Column("b", "int"), Column("c", "unicodeChar", "*"))
    count = 5000
    names = [f"{'ä' * (i % 7)}{i}" for i in range(count)]
    plain = [name.replace("ä", "a") for name in names]
    whole = pa.RecordBatch.from_pydict({"a": plain, "b": pa.array(range(count), pa.int32()), "c": names})
    data = document("votable", whole.slice(100, 50), whole.slice(4000), columns=columns)
    table = parse_single_table(io.BytesIO(data)).array
    expected = [*range(100, 150), *range(4000, count)]
    assert table["b"].tolist() == expected
    assert table["a"].tolist() == [plain[i] for i in expected]
    assert table["c"].tolist() == [names[i] for i in expected]


def test_char_holds_ascii() -> None:
    columns = (Column("a", "char", "*"),)
    data = document("votable", pa.RecordBatch.from_pydict({"a": ["Ångström", "plain"]}), columns=columns)
    assert parse_single_table(io.BytesIO(data)).array["a"].tolist() == ["?ngstr?m", "plain"]


@pytest.mark.parametrize(
    ("requested", "content_type", "tabledata"),
    [
        (None, "application/x-votable+xml", False),
        ("", "application/x-votable+xml", False),
        ("votable", "application/x-votable+xml", False),
        ("VOTable/TD", "application/x-votable+xml;serialization=tabledata", True),
        ("application/x-votable+xml;serialization=TABLEDATA", None, True),
        ("application/x-votable+xml; serialization=BINARY2; charset=utf-8", None, False),
        ("text/xml", None, False),
    ],
)
def test_finding_votable(requested: str | None, content_type: str | None, tabledata: bool) -> None:
    choice = find_format(requested)
    assert choice.content_type == (content_type or requested)
    assert (b"<TABLEDATA>" in choice.writer(ResultTable(COLUMNS)).start()) is tabledata


@pytest.mark.parametrize("requested", ["csv", "CSV", "text/csv", "text/csv; header=present", "text/csv;header=present"])
def test_finding_csv(requested: str) -> None:
    assert find_format(requested).format.extension == "csv"


@pytest.mark.parametrize(
    ("column", "system"),
    [
        (Column("ra", "double", unit="deg", ucd="POS_EQ_RA_MAIN"), "system"),
        (Column("ha", "double", unit="h", ucd="pos.eq.ha"), None),
        (Column("mjd", "double", unit="d", ucd="time.epoch", description="MJD (TT)"), "mjd_TT"),
        (Column("t0", "double", unit="d", ucd="time.start", description="Begin, Modified Julian Date, UTC"), "mjd_UTC"),
        (Column("mjd_error", "double", unit="d", ucd="stat.error;time.epoch"), None),
        (Column("jd", "double", unit="d", ucd="time.epoch"), None),
        (Column("t", "char", "*", xtype="timestamp", description="in TDB"), "time_TDB"),
    ],
)
def test_which_system_a_column_refers_to(column: Column, system: str | None) -> None:
    (field,) = parse_single_table(io.BytesIO(document("votable", columns=(column,)))).fields
    assert field.ref == system


def test_a_serialization_that_we_do_not_write() -> None:
    choice = find_format("application/x-votable+xml;serialization=FITS")
    with pytest.raises(UsageError, match=r"serialization=FITS: expected one of BINARY2, BINARY, TABLEDATA"):
        choice.writer(ResultTable(COLUMNS))


def test_a_plus_sign_that_was_not_encoded() -> None:
    choice = find_format("application/x-votable xml;serialization=TABLEDATA")
    assert choice.content_type == "application/x-votable+xml;serialization=TABLEDATA"
    assert b"<TABLEDATA>" in choice.writer(ResultTable(COLUMNS)).start()


@pytest.mark.parametrize("requested", ["application/bogus", "bogus", "votable/csv", "text/csv\r\nX: y/z"])
def test_unknown_formats(requested: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)RESPONSEFORMAT=.*expected one of application/x-votable"):
        find_format(requested)
