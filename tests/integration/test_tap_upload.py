"""Uploaded tables: every format, what clients send, limits, and nothing left behind."""

from __future__ import annotations

import gzip
import io
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest
import pyvo
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io.votable import from_table, parse, writeto
from astropy.table import MaskedColumn, Table

from tap.upload import Uploads
from tests.support.database import execute, new_database
from tests.support.judges import stilts
from tests.support.served import served
from tests.unit.test_dali_uploads import web_server
from vo_service.catalog.model import Column, Position, Schema
from vo_service.catalog.model import Table as ModelTable
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.database.pools import Database
from vo_service.errors import TooLargeError, UsageError
from vo_service.ingest.upload import UploadedFile, UploadLimits, store_uploads
from vo_service.ingest.upload_columns import find_position
from vo_service.sky.healpix import hpx

EVENTS = ModelTable(
    "sky",
    "events",
    (
        Column("id", "long"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
    ),
    position=Position("ra", "dec"),
)
LIMIT_BYTES, LIMIT_ROWS = 3_000_000, 30_000
LIMITS = UploadLimits(LIMIT_BYTES, LIMIT_ROWS)


def places(
    count: int, seed: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Positions near the poles, near RA = 0, and anywhere in a small field."""
    random = np.random.default_rng(seed)
    third = count // 3
    ra = np.concatenate(
        [random.uniform(0, 360, third), random.normal(0, 1, third) % 360, random.uniform(80, 90, count - 2 * third)]
    )
    dec = np.concatenate(
        [90 - np.abs(random.normal(0, 1, third)), random.normal(0, 1, third), random.uniform(20, 30, count - 2 * third)]
    )
    return ra, np.clip(dec, -90, 90)


@pytest.fixture(scope="module")
def access(server: Access) -> Iterator[Access]:
    ra, dec = places(9_000, 1)
    with new_database(server) as access:
        initialise(access)
        with psycopg.connect(access.writer.conninfo) as connection:
            connection.execute("CREATE SCHEMA sky")
            connection.execute("CREATE TABLE sky.events (id int8, ra float8, dec float8, hpx int8 NOT NULL)")
            with connection.cursor().copy("COPY sky.events FROM STDIN") as copy:
                for row in zip(range(len(ra)), ra.tolist(), dec.tolist(), hpx(ra, dec).tolist(), strict=True):
                    copy.write_row(row)
            connection.execute("CREATE INDEX ON sky.events (hpx)")
            connection.execute(f"GRANT USAGE ON SCHEMA sky TO {access.reader.name}".encode())
            connection.execute(f"GRANT SELECT ON sky.events TO {access.reader.name}".encode())
            publish_schema(connection, Schema("sky", ()))
            publish_table(connection, EVENTS)
        yield access


@pytest.fixture(scope="module")
def url(access: Access) -> Iterator[str]:
    limits = {"upload_limit_bytes": LIMIT_BYTES, "upload_limit_rows": LIMIT_ROWS}
    with served(access, sync_timeout=5, upload_private_urls=True, **limits) as url:
        yield url


@pytest.fixture(autouse=True)
def nothing_left(access: Access) -> Iterator[None]:
    """No test leaves a table behind: neither in the database nor in the list."""
    yield
    deadline = time.monotonic() + 10
    while left := uploaded(access):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def uploaded(access: Access) -> list[tuple[Any, ...]]:
    return execute(
        access.owner.conninfo,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'vo_upload'"
        " UNION ALL SELECT table_name FROM vo_service.upload",
    )


def post(url: str, query: str, upload: str = "t,param:t", **files: bytes) -> httpx.Response:
    data = {"LANG": "ADQL", "QUERY": query, "UPLOAD": upload}
    parts = {name: (name, content) for name, content in files.items()}
    return httpx.post(f"{url}/tap/sync", data=data, files=parts, timeout=60)


def result(answer: httpx.Response) -> Any:  # noqa: ANN401 (astropy)
    """The table of an answer, as astropy reads it."""
    assert answer.status_code == 200, answer.text
    return parse(io.BytesIO(answer.content)).get_first_table()


# Formats -------------------------------------------------------------------------------------------------------------


def sample() -> Table:
    """Columns of many types, with units and missing values."""
    rows = 50
    missing = np.arange(rows) % 7 == 3
    ra, dec = places(rows, 2)
    table = Table()
    table["long"] = np.arange(rows) * 10**12
    table["int"] = MaskedColumn(np.arange(rows, dtype="i4") - 7, mask=missing, fill_value=-99)
    table["short"] = np.arange(rows, dtype="i2")
    table["ra"], table["dec"] = ra * u.deg, dec * u.deg
    table["energy"] = MaskedColumn(np.linspace(1, 5, rows, dtype="f4"), mask=missing, unit="TeV")
    table["name"] = [f"Event {row} <&>" for row in range(rows)]
    table["flag"] = np.arange(rows) % 2 == 0
    table["ra"].description = "Right ascension"
    return table


def write_votable(serialisation: str) -> Callable[[Table, Path], None]:
    def write(table: Table, path: Path) -> None:
        document = from_table(table)
        fields = {field.name: field for field in document.get_first_table().fields}
        fields["ra"].ucd, fields["dec"].ucd, fields["energy"].ucd = "pos.eq.ra", "pos.eq.dec", "em.energy"
        fields["int"].values.null = -99
        fields["energy"].utype, fields["long"].xtype = "a:b.c", "made-up"
        writeto(document, str(path), tabledata_format=serialisation)

    return write


def write_parquet(table: Table, path: Path) -> None:
    arrays = {name: pa.array(table[name].tolist()) for name in table.colnames}
    kinds = {"int": pa.int32(), "short": pa.int16(), "energy": pa.float32()}
    metadata = {name: {"unit": str(table[name].unit)} if table[name].unit else None for name in table.colnames}
    fields = [pa.field(name, kinds.get(name, arrays[name].type), metadata=metadata[name]) for name in table.colnames]
    columns = [arrays[field.name].cast(field.type) for field in fields]
    pyarrow.parquet.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path)


WRITERS: dict[str, Callable[[Table, Path], None]] = {
    "tabledata": write_votable("tabledata"),
    "binary": write_votable("binary"),
    "binary2": write_votable("binary2"),
    "fits": lambda table, path: table.write(path, format="fits"),
    "csv": lambda table, path: table.write(path, format="ascii.csv"),
    "ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    "parquet": write_parquet,
}
TYPES = {
    "long": "long", "int": "int", "short": "short", "ra": "double", "dec": "double", "energy": "float", "name": "char",
    "flag": "boolean",
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_formats_and_the_way_back(url: str, tmp_path: Path, name: str, packed: bool) -> None:
    table, path = sample(), tmp_path / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        WRITERS[name](table, path)
    content = path.read_bytes()
    query = 'SELECT * FROM TAP_UPLOAD.t ORDER BY "long"'
    found = result(post(url, query, t=gzip.compress(content) if packed else content))
    fields = {field.name: field for field in found.fields}
    assert list(fields) == table.colnames
    if name == "csv":
        types = TYPES | {"short": "int", "energy": "double"}
    else:
        types = TYPES | {"name": "unicodeChar" if name in ("tabledata", "binary", "binary2") else "char"}
        assert str(fields["ra"].unit) == "deg"
        assert str(fields["energy"].unit) == "TeV"
    assert {field: fields[field].datatype for field in fields} == types
    if name in ("tabledata", "binary", "binary2"):
        assert (fields["ra"].ucd, fields["energy"].ucd, fields["energy"].utype) == ("pos.eq.ra", "em.energy", "a:b.c")
        assert (fields["long"].xtype, fields["ra"].description) == ("made-up", "Right ascension")
    for column in table.colnames:
        values, wanted = found.array[column], table[column]
        mask = np.zeros(len(table), bool) if not hasattr(wanted, "mask") else np.asarray(wanted.mask)
        assert np.array_equal(np.ma.getmaskarray(values), mask), column
        kept = np.asarray(values)[~mask]
        expected = np.asarray(wanted)[~mask]
        assert (
            [str(v) for v in kept] == [str(v) for v in expected]
            if column == "name"
            else np.array_equal(kept.astype(expected.dtype), expected)
        ), column


def test_arrays_and_times(url: str) -> None:
    document = b"""<VOTABLE><RESOURCE><TABLE>
        <FIELD name="v" datatype="double" arraysize="*"/><FIELD name="m" datatype="int" arraysize="2x2"/>
        <FIELD name="p" datatype="double" arraysize="2" xtype="point"/>
        <FIELD name="t" datatype="char" arraysize="*" xtype="timestamp"/>
        <FIELD name="c" datatype="char"/><FIELD name="f" datatype="unicodeChar" arraysize="4"/>
        <FIELD name="b" datatype="unsignedByte" arraysize="*"/><DATA><TABLEDATA>
        <TR><TD>1 2.5 3</TD><TD>1 2 3 4</TD><TD>10 -20</TD><TD>2017-09-22T20:54:30.43</TD><TD>x</TD><TD>\xc3\xa4b</TD>
        <TD>0 255</TD></TR>
        <TR><TD/><TD/><TD/><TD/><TD/><TD/><TD/></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    found = result(post(url, "SELECT * FROM TAP_UPLOAD.t WHERE c = 'x'", t=document))
    about = {f.name: (f.datatype, f.arraysize, f.xtype) for f in found.fields}
    assert about == {
        "v": ("double", "*", None), "m": ("int", "2x2", None), "p": ("double", "2", "point"),
        "t": ("char", "*", "timestamp"), "c": ("char", None, None) if about["c"][1] is None else ("char", "1", None),
        "f": ("unicodeChar", "4", None), "b": ("unsignedByte", "*", None),
    }  # fmt: skip
    (row,) = found.array
    assert (row["v"].tolist(), row["m"].reshape(-1).tolist(), row["p"].tolist()) == (
        [1, 2.5, 3],
        [1, 2, 3, 4],
        [10, -20],
    )
    assert (row["t"], row["c"], row["f"], row["b"].tolist()) == ("2017-09-22T20:54:30.43", "x", "äb", [0, 255])
    found = result(post(url, "SELECT * FROM TAP_UPLOAD.t WHERE c IS NULL", t=document))
    assert len(found.array) == 1


@pytest.mark.parametrize("name", ["votable/td", "votable/b2", "fits", "parquet"])
def test_answers_can_be_uploaded(url: str, name: str) -> None:
    """What one query gives, in a format, the next one takes: with the same metadata."""
    query = "SELECT id, ra, dec, id / 2.0 AS half FROM sky.events WHERE id < 100"
    answer = httpx.get(f"{url}/tap/sync", params={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": name})
    assert answer.status_code == 200, answer.text
    found = result(post(url, "SELECT * FROM TAP_UPLOAD.t", t=answer.content))
    about = {f.name: (f.datatype, f.ucd, str(f.unit or "")) for f in found.fields}
    assert about == {
        "id": ("long", None, ""),
        "ra": ("double", "pos.eq.ra;meta.main", "deg"),
        "dec": ("double", "pos.eq.dec;meta.main", "deg"),
        "half": ("double", None, ""),
    }
    assert sorted(found.array["id"].tolist()) == list(range(100))


def test_letters_beyond_ascii_in_char(url: str) -> None:
    """They have no place in char, but are common in TABLEDATA."""
    cells = "<TR><TD>Ångström</TD><TD>A</TD></TR>"
    fields = "".join(f'<FIELD name="{name}" datatype="char" arraysize="*"/>' for name in "ab")
    document = (
        f"<VOTABLE><RESOURCE><TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    found = result(post(url, "SELECT * FROM TAP_UPLOAD.t", t=document.encode()))
    assert [field.datatype for field in found.fields] == ["unicodeChar", "char"]
    assert found.array["a"][0] == "Ångström"


def test_names_of_columns(url: str) -> None:
    names = [
        "a",
        "A",
        "a",
        "",
        "select",
        "two words",
        'quo"te',
        "größe",
        "ctid",
        "hpx",
        "c1",
        "x" * 100,
        "x" * 99 + "y",
    ]
    written = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    content = f"{written}\n{','.join(map(str, range(13)))}\n".encode()
    found = result(post(url, "SELECT * FROM TAP_UPLOAD.t", t=content))
    own = ["a", "A", "a_2", "column_4", *names[4:]]
    # In results names differ by more than letter case.
    assert [field.name for field in found.fields] == ["a", "A_3", *own[2:]]
    assert list(found.array[0]) == list(range(13))
    for place, name in enumerate(own):
        quoted = '"' + name.replace('"', '""') + '"'
        answer = post(url, f"SELECT {quoted} AS it FROM TAP_UPLOAD.t AS u WHERE u.{quoted} = {place}", t=content)
        assert result(answer).array["it"][0] == place


def test_names_of_tables(url: str) -> None:
    for upload, name in (
        ("Mine,param:t", "tap_upload.mIne"),
        ('"My table",param:t', 'TAP_UPLOAD."My table"'),
        ('"select",param:t', 'Tap_Upload."select"'),
        ("t1,param:t;t2,param:t", "TAP_UPLOAD.t1 NATURAL JOIN TAP_UPLOAD.t2"),
    ):
        assert result(post(url, f"SELECT x FROM {name}", upload, t=b"x,y\n1,2\n")).array["x"].tolist() == [1]
    answer = post(url, "SELECT x FROM TAP_UPLOAD.u", t=b"x,y\n1,2\n")
    assert answer.status_code == 400
    assert "There is no table TAP_UPLOAD.u" in answer.text
    answer = httpx.get(f"{url}/tap/sync", params={"LANG": "ADQL", "QUERY": "SELECT * FROM TAP_UPLOAD.zzz"})
    assert "Tables in TAP_UPLOAD come with the query" in answer.text


def test_an_upload_is_not_published(url: str) -> None:
    query = "SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables WHERE schema_name ILIKE '%upload%'"
    assert result(post(url, query, t=b"x,y\n1,2\n")).array["n"][0] == 0


# Clients -------------------------------------------------------------------------------------------------------------


def test_pyvo(url: str) -> None:
    table = sample()
    service = pyvo.dal.TAPService(f"{url}/tap")
    assert {method.ivo_id.rpartition("#")[2] for method in service.upload_methods} == {
        "upload-inline", "upload-http", "upload-https",
    }  # fmt: skip
    found = service.search('SELECT * FROM TAP_UPLOAD.mine ORDER BY "long"', uploads={"mine": table}).to_table()
    assert found["long"].tolist() == table["long"].tolist()
    assert found["name"].tolist() == table["name"].tolist()
    assert str(found["energy"].unit) == "TeV"


@pytest.mark.parametrize("radius", [0.02, 0.5])
@pytest.mark.parametrize(
    "condition",
    [
        "DISTANCE(e.ra, e.dec, t.ra, t.dec) < {}",
        "DISTANCE(POINT(t.ra, t.dec), POINT(e.ra, e.dec)) < {}",
        "1 = CONTAINS(POINT(e.ra, e.dec), CIRCLE(t.ra, t.dec, {}))",
        "CONTAINS(POINT(t.ra, t.dec), CIRCLE(e.ra, e.dec, {})) = 1",
    ],
)
def test_a_cross_match_equals_brute_force(url: str, condition: str, radius: float) -> None:
    own, dec = places(300, 3)
    table = Table({"n": np.arange(300), "ra": own, "dec": dec})
    query = f"SELECT n, id FROM TAP_UPLOAD.t AS t JOIN sky.events AS e ON {condition.format(radius)}"
    found = pyvo.dal.TAPService(f"{url}/tap").search(query, uploads={"t": table}, maxrec=1_000_000).to_table()
    events = SkyCoord(*places(9_000, 1), unit="deg")
    expected = set()
    for n, place in enumerate(SkyCoord(own, dec, unit="deg")):
        expected |= {(n, int(i)) for i in np.flatnonzero(place.separation(events).deg < radius)}
    assert set(zip(found["n"].tolist(), found["id"].tolist(), strict=True)) == expected
    assert len(found) == len(expected) > 100


@pytest.mark.parametrize("layout", ["TABLEDATA", "BINARY", "BINARY2"])
def test_stilts(url: str, tmp_path: Path, layout: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,ra,dec,name\n" + "".join(f"{n},{n / 7},{-n / 9},no {n}\n" for n in range(100)))
    done = stilts(
        "tapquery", f"tapurl={url}/tap", "sync=true", "nupload=1", f"upload1={path}", "upname1=mine",
        f"upvotformat={layout}", "adql=SELECT * FROM TAP_UPLOAD.mine ORDER BY id", "ofmt=csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert lines[0] == "id,ra,dec,name"
    assert len(done.stdout.splitlines()) == 101


# What is wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the format is not recognised; expected VOTable, FITS, Parquet, ECSV or CSV"),
        (b"\x00\x01\x02", "the format is not recognised"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "the format is not recognised"),
        (b"<html><body>Not found</body></html>", "the format is not recognised"),
        (b"<VOTABLE><RESOURCE/></VOTABLE>", "There is none"),
        (b"<VOTABLE><RESOURCE><TABLE/></RESOURCE></VOTABLE>", "the table has no columns"),
        (b"<VOTABLE><RESOURCE>", "the file cannot be read: no element found"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><VOTABLE/>', "it has a DOCTYPE"),
        (b"a,b\n1,2\n1\n", "the file, row 2: 1 values are there, 2 are expected"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 1000, mtime=0)[:-9], "the file cannot be unpacked"),
        (b"a,b\n" + ("1" * 5 + "\0,2\n").encode(), "the format is not recognised"),
        (
            b"<VOTABLE><RESOURCE><TABLE><FIELD name='n' datatype='int'/><DATA><TABLEDATA><TR><TD>x</TD></TR>"
            b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>",
            "the file, row 1: n: &#x27;x&#x27; is not a number",
        ),
        (
            b"<VOTABLE><RESOURCE><TABLE><FIELD name='n' datatype='floatComplex'/></TABLE></RESOURCE></VOTABLE>",
            "column &#x27;n&#x27; cannot be read: it holds complex numbers",
        ),
    ],
)  # fmt: skip
def test_files_that_are_no_tables(url: str, content: bytes, message: str) -> None:
    answer = post(url, "SELECT * FROM TAP_UPLOAD.t", t=content)
    assert answer.status_code == 400, answer.text
    text = answer.text.replace("'", "&#x27;")
    assert "UPLOAD t: " in text
    assert message in text, text
    assert "vo-service-" not in text


@pytest.mark.parametrize(
    ("upload", "message"),
    [
        ("t,param:other", "no file in a part called 'other'"),
        ("t,file:///etc/passwd", "file: is not accepted"),
        ("t,http://[::1", "is not a URL"),
        ("1t,param:t", "cannot be called 1t"),
        ("t", "expected NAME,param:PART"),
    ],
)
def test_upload_parameters_that_cannot_be(url: str, upload: str, message: str) -> None:
    answer = post(url, "SELECT * FROM TAP_UPLOAD.t", upload, t=b"x,y\n1,2\n")
    assert answer.status_code == 400
    assert message in answer.text


def test_limits(url: str) -> None:
    row = b"1234567,1234567\n"
    rows = b"x,y\n" + b"1,2\n" * LIMIT_ROWS
    assert result(post(url, "SELECT COUNT(*) AS n FROM TAP_UPLOAD.t", t=rows)).array["n"][0] == LIMIT_ROWS
    for content, message in (
        (rows + b"1,2\n", "too many rows: at most 30,000"),
        (b"x,y\n" + row * (LIMIT_BYTES // len(row)), "at most 3,000,000 bytes are accepted in all"),
        (gzip.compress(b"x,y\n" + b"1,2\n" * 10**6), "at most 3,000,000 bytes are accepted, unpacked"),
        (b",".join(b"c%d" % n for n in range(1001)) + b"\n", "has 1,001 columns; 1,000 are accepted"),
    ):
        answer = post(url, "SELECT * FROM TAP_UPLOAD.t", t=content)
        assert answer.status_code == 413, answer.text
        assert message in answer.text


def test_capabilities_name_the_limits(url: str) -> None:
    text = httpx.get(f"{url}/tap/capabilities").text
    assert f'<uploadLimit><default unit="row">{LIMIT_ROWS}</default><hard unit="byte">{LIMIT_BYTES}</hard>' in text


def test_a_query_that_fails_leaves_nothing(url: str) -> None:
    for query in ("SELECT nothing FROM TAP_UPLOAD.t", "SELCT", "SELECT 1 / (x - 1) AS y FROM TAP_UPLOAD.t"):
        assert post(url, query, t=b"x,y\n1,2\n").status_code == 400


def test_a_client_that_leaves(url: str, access: Access) -> None:
    """While its query runs."""
    rows = b"x,y\n" + b"1,2\n" * 20_000
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.t AS a JOIN TAP_UPLOAD.t AS b ON SIN(a.x) + COS(b.x) > 5"
    form = httpx.Request(
        "POST",
        f"{url}/tap/sync",
        data={"LANG": "ADQL", "QUERY": query, "UPLOAD": "t,param:t"},
        files={"t": ("t", rows)},
    )
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
        connection.sendall(f"POST /tap/sync HTTP/1.1\r\n{head}\r\n".encode() + form.read())
        deadline = time.monotonic() + 10
        while not uploaded(access):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_client_that_leaves_while_it_sends(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nContent-Type: multipart/form-data;"
            b' boundary=x\r\n\r\n--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\nabc'
        )
    assert post(url, "SELECT * FROM TAP_UPLOAD.t", t=b"x,y\n1,2\n").status_code == 200


# Addresses -----------------------------------------------------------------------------------------------------------


def test_tables_that_are_fetched(url: str, access: Access) -> None:
    source = "tap/sync?LANG=ADQL%26QUERY=x"
    with web_server() as (port, asked):
        answer = post(url, "SELECT * FROM TAP_UPLOAD.t", f"t,http://127.0.0.1:{port}/redirect//table/{source}")
        assert result(answer).array["x"].tolist() == [1]
        assert asked[-1] == f"/table/{source}"
        answer = post(url, "SELECT * FROM TAP_UPLOAD.t", f"t,http://127.0.0.1:{port}/missing/")
        assert answer.status_code == 400
        assert "answers 404" in answer.text
        answer = post(url, "SELECT * FROM TAP_UPLOAD.t", f"t,http://127.0.0.1:{port}/endless/")
        assert answer.status_code == 413
        asked.clear()
        with served(access) as closed:
            answer = post(closed, "SELECT * FROM TAP_UPLOAD.t", f"t,http://localhost:{port}/table/")
        assert answer.status_code == 400
        assert "localhost is not a public address" in answer.text
        assert asked == []


# In the database -----------------------------------------------------------------------------------------------------


def store(access: Access, directory: Path, content: bytes, **options: Any) -> ModelTable:  # noqa: ANN401
    path = directory / "file.csv"
    path.write_bytes(content)
    (table,) = store_uploads(
        access, [UploadedFile("t", path)], LIMITS, **{"lifetime": timedelta(seconds=-1), **options}
    )
    return table


def sweep(access: Access) -> None:
    """Remove what has expired, as every upload does."""
    store_uploads(access, [], LIMITS, lifetime=timedelta(0))


def test_positions_get_an_index(access: Access, tmp_path: Path) -> None:
    ra, dec = places(500, 4)
    rows = [f"{n},{x!r},{y!r}" for n, (x, y) in enumerate(zip((ra - 90).tolist(), dec.tolist(), strict=True))]
    table = store(access, tmp_path, "\n".join(["n,ra,dec", *rows, "500,,10", "501,10,", "502,,", ""]).encode())
    assert table.position == Position("ra", "dec")
    assert table.rows == 503
    name = table.sql_name[1]
    found = execute(access.owner.conninfo, f'SELECT c1, c2, hpx FROM vo_upload."{name}" ORDER BY ctid')
    indices = hpx((ra - 90) % 360, dec).tolist()
    assert {row: index for row, _, index in found} == dict(enumerate(indices)) | dict.fromkeys((500, 501, 502))
    assert [index for _, _, index in found if index is not None] == sorted(indices)
    assert {row: value for row, value, _ in found}[7] == ra[7] - 90
    described = execute(
        access.owner.conninfo,
        "SELECT relpersistence, reltuples, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) FROM pg_class c"
        " WHERE relname = %s",
        name,
    )
    assert described == [("u", 503.0, 1)]
    sweep(access)


@pytest.mark.parametrize("stray", ["10,90.5", "10,1e300", "10,inf"])
def test_an_index_is_of_no_use_where_positions_are_none(access: Access, tmp_path: Path, stray: str) -> None:
    table = store(access, tmp_path, f"ra,dec\n1,2\n{stray}\n".encode())
    assert (table.position, table.rows) == (None, 2)
    sweep(access)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("x", "deg", "pos.eq.ra;meta.main"), ("y", "deg", "pos.eq.dec;meta.main")], ("x", "y")),
        ([("x", None, "POS_EQ_RA_MAIN"), ("y", None, "POS_EQ_DEC_MAIN")], ("x", "y")),
        ([("x", "deg", "pos.eq.ra"), ("y", "deg", "pos.eq.dec"), ("ra", None, None), ("dec", None, None)], ("x", "y")),
        ([("x", "deg", "pos.eq.ra"), ("z", "deg", "pos.eq.ra"), ("y", "deg", "pos.eq.dec")], None),
        ([("RAJ2000", "deg", None), ("DEJ2000", "deg", None)], ("RAJ2000", "DEJ2000")),
        ([("ra", "rad", None), ("dec", "rad", None)], None),
        ([("ra_rad", None, None), ("dec_rad", None, None)], None),
        ([("lon", None, None), ("lat", None, None)], ("lon", "lat")),
        ([("l", "deg", None), ("b", "deg", None)], None),
        ([("ra", "deg", None)], None),
    ],
)
def test_which_columns_are_a_position(
    columns: list[tuple[str, str | None, str | None]], expected: tuple[str, str] | None
) -> None:
    found = find_position([Column(name, "double", unit=unit, ucd=ucd) for name, unit, ucd in columns])
    assert found == (Position(*expected) if expected else None)
    assert find_position([Column(name, "char", "*", unit=unit, ucd=ucd) for name, unit, ucd in columns]) is None


def test_tables_of_the_dead_are_removed(access: Access, tmp_path: Path) -> None:
    store(access, tmp_path, b"x,y\n1,2\n", lifetime=timedelta(seconds=-1))
    kept = store(access, tmp_path, b"x,y\n1,2\n", lifetime=timedelta(hours=1))
    assert {name for (name,) in uploaded(access)} == {kept.sql_name[1]}
    execute(access.owner.conninfo, "UPDATE vo_service.upload SET expires_at = now() - interval '1 second'")
    sweep(access)
    assert uploaded(access) == []


def test_what_fails_is_rolled_back(access: Access, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.csv", tmp_path / "b.csv"
    good.write_bytes(b"x,y\n1,2\n")
    bad.write_bytes(b"x,y\n1\n")
    with pytest.raises(UsageError, match="UPLOAD bad: "):
        store_uploads(
            access, [UploadedFile("good", good), UploadedFile("bad", bad)], LIMITS, lifetime=timedelta(hours=1)
        )
    with pytest.raises(TooLargeError):
        store_uploads(access, [UploadedFile("good", good)], UploadLimits(10, 0), lifetime=timedelta(hours=1))


async def test_uploads_of_jobs(access: Access, settings: Settings, tmp_path: Path) -> None:
    table = store(access, tmp_path, b"x,ra,dec\n1,2,3\n", lifetime=timedelta(hours=1), durable=True)
    (persistence,) = execute(
        access.owner.conninfo, "SELECT relpersistence FROM pg_class WHERE relname = %s", table.sql_name[1]
    )
    assert persistence == ("p",)
    async with Database(access, settings) as database:
        uploads = Uploads.from_json(Uploads((table,), database).to_json(), database)
        assert uploads.tables == (table,)
        assert (uploads.schema.name, uploads.schema.tables) == ("TAP_UPLOAD", (table,))
        await uploads.drop()
        await uploads.drop()
    assert uploaded(access) == []
