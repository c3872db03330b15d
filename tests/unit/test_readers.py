"""Every reader gives the rows that other programs wrote, and says in words what it cannot read."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot
from astropy.io import fits
from astropy.table import Table
from tables import NaturalNameWarning  # type: ignore[import-untyped]

from tests.support.files import WRITERS, event_table, write_file
from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers import READERS, reader_for

OPTIONS = {"events.txt": FileOptions(header="comment")}
PACKED = [name for name in WRITERS if name.rpartition(".")[2] not in ("parquet", "root")]


def read(path: Path, options: FileOptions, names: list[str] | None = None, rows: int = 130) -> pa.Table:
    reader = reader_for(path, options.format)
    chosen = names or [column.name for column in reader.columns(path, options)]
    return pa.Table.from_batches(list(reader.batches(path, options, chosen, rows)))


def assert_same(found: pa.Table, expected: Table) -> None:
    assert found.num_rows == len(expected)
    for name in found.column_names:
        column = found[name]
        if pa.types.is_string(column.type) and expected[name].dtype.kind != "U":
            column = column.cast(pa.float64())
        wanted = np.asarray(expected[name])
        if wanted.dtype == np.float32:
            wanted, column = wanted.astype("f4"), column.cast(pa.float32())
        assert column.to_pylist() == wanted.tolist(), name


@pytest.mark.parametrize("name", WRITERS)
def test_the_rows_that_were_written(tmp_path: Path, name: str) -> None:
    table = event_table()
    path = write_file(tmp_path, name, table)
    found = read(path, OPTIONS.get(name, FileOptions()))
    assert set(table.colnames) - {"name"} <= set(found.column_names)
    assert_same(found, table)


@pytest.mark.parametrize("name", PACKED)
def test_packed_files(tmp_path: Path, name: str) -> None:
    table = event_table(50)
    path = write_file(tmp_path, name, table, packed=True)
    assert_same(read(path, OPTIONS.get(name, FileOptions())), table)


@pytest.mark.parametrize("name", WRITERS)
def test_some_columns_in_an_order_of_one_s_own(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path, name, event_table(20))
    found = read(path, OPTIONS.get(name, FileOptions()), ["mjd", "event_id"], rows=7)
    assert found.column_names == ["mjd", "event_id"]
    assert max(len(batch) for batch in found.to_batches()) <= 7
    with pytest.raises(IngestError, match=r"has no column 'flux'\. There is: .*event_id"):
        read(path, OPTIONS.get(name, FileOptions()), ["flux"])


@pytest.mark.parametrize("name", [n for n in WRITERS if n.rpartition(".")[2] in ("ecsv", "fits", "vot", "xml")])
def test_units_that_the_file_states(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path, name, event_table(5))
    columns = {column.name: column for column in reader_for(path).columns(path, FileOptions())}
    assert (columns["ra"].unit, columns["energy"].unit, columns["nhit"].unit) == ("deg", "GeV", None)
    if not name.endswith("fits"):
        assert columns["ra"].description == "The ra of the event"


@pytest.mark.parametrize("name", ["astropy.h5", "columns.h5"])
def test_units_in_hdf5(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path, name, event_table(5))
    columns = {column.name: column for column in reader_for(path).columns(path, FileOptions())}
    assert (columns["ra"].unit, columns["nhit"].unit) == ("deg", None)


def test_readers_have_names_of_their_own() -> None:
    names = [reader.name for reader in READERS]
    assert len(set(names)) == len(names)
    assert reader_for(Path("nowhere"), "fits").name == "fits"
    with pytest.raises(IngestError, match="no file format 'xls'; expected one of fits, parquet"):
        reader_for(Path("nowhere"), "xls")


# Text ----------------------------------------------------------------------------------------------------------------


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_quotes_line_ends_and_nothing(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", b'\xef\xbb\xbfname,note\r\n"Smith, J.","said ""no"""\r\n,""\r\n\r\n"two\nlines",x\r\n'
    )
    found = read(path, FileOptions())
    assert found.column_names == ["name", "note"]
    assert found.to_pydict() == {"name": ["Smith, J.", None, "two\nlines"], "note": ['said "no"', "", "x"]}


def test_names_that_repeat_or_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,a,,a_2, a \n1,2,3,4,5,6\n")
    assert read(path, FileOptions()).column_names == ["a", "b", "a_3", "column_4", "a_2", "a_4"]
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["x", "x", ""])
    pyarrow.parquet.write_table(pa.Table.from_batches([batch]), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", FileOptions(), ["x_2", "column_3"]).to_pydict() == {"x_2": [2], "column_3": [3]}
    path = fits_file(tmp_path / "a.fits", *[fits.Column(name, "J", array=[place]) for place, name in enumerate("xyz")])
    path.write_bytes(
        path.read_bytes().replace(b"TTYPE2  = 'y", b"TTYPE2  = 'x").replace(b"TTYPE3  = 'z", b"TTYPE3  = ' ")
    )
    assert read(path, FileOptions()).to_pydict() == {"x": [0], "x_2": [1], "column_3": [2]}


def test_blanks_separate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", '# a comment\n  a \t b   c  \n 1   2\t\t"x  y" \r\n#no\n\t4 5 z\n')
    assert read(path, FileOptions()).to_pydict() == {"a": ["1", "4"], "b": ["2", "5"], "c": ["x  y", "z"]}
    path = write(tmp_path / "b.dat", " 1   2 \n 3\t4\n")
    assert read(path, FileOptions(header="no")).to_pydict() == {"1": ["1", "3"], "2": ["2", "4"]}


def test_blanks_across_blocks(tmp_path: Path) -> None:
    rows = 300_000
    path = write(tmp_path / "a.txt", "#  x  y\n" + "".join(f"  {row}   {row / 8} \n" for row in range(rows)))
    found = read(path, FileOptions(header="comment"), rows=65_536)
    assert found["x"].cast(pa.int64()).to_pylist() == list(range(rows))
    assert found["y"].cast(pa.float64()).to_pylist() == [row / 8 for row in range(rows)]


def test_skipped_lines_and_delimiters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Made by hand\n\nx;y\n% not this\n1;2\n")
    options = FileOptions(format="csv", skip=2, delimiter=";", comment="%")
    assert read(path, options).to_pydict() == {"x": ["1"], "y": ["2"]}


@pytest.mark.parametrize("content", [b"name,x\nKr\xf6ger,1\n", b"n\xf6,x\na,1\n"])
def test_other_encodings_have_to_be_said(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(IngestError, match=r"a\.csv is not utf-8 text; say which it is"):
        read(path, FileOptions())
    assert "ö" in str(read(path, FileOptions(encoding="latin-1")).to_pydict())


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", FileOptions(), "row 2: 3 values are there, 2 are expected: 1,2,3"),
        ("a b\n1 2\n\n1\n", FileOptions(format="text"), "row 2: 1 values are there, 2 are expected"),
        ("1,2\n1\n", FileOptions(header="no"), "row 2: 1 values are there, 2 are expected"),
        ("1,2\n", FileOptions(header="comment"), "no comment with the names of the columns"),
        ("a" + ",a" * 2000, FileOptions(), "has 2001 columns in its first line"),
        ("a,b\n", FileOptions(format="fits"), "cannot be read"),
    ],
)
def test_text_that_is_no_table(tmp_path: Path, content: str, options: FileOptions, message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(IngestError, match=message):
        read(path, options)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\x01\x02binary", b'{"a": 1}', b"# only a comment\n"])
def test_files_that_nobody_recognises(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(IngestError, match="the format is not recognised; say input: format:"):
        reader_for(write(tmp_path / "a.xyz", content))


def test_files_that_are_not_there_or_broken_off(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"Cannot read .*: No such file"):
        reader_for(tmp_path / "nothing.csv")
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    path = write(tmp_path / "a.csv.gz", whole[: len(whole) // 2])
    with pytest.raises(IngestError, match="cannot be read"):
        read(path, FileOptions())


# FITS ----------------------------------------------------------------------------------------------------------------


def fits_file(path: Path, *columns: fits.Column, name: str = "EVENTS") -> Path:
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name=name)]).writeto(
        path, output_verify="fix"
    )
    return path


def test_fits_types(tmp_path: Path) -> None:
    path = fits_file(
        tmp_path / "a.fits",
        fits.Column("flag", "L", array=np.array([True, False, True])),
        fits.Column("byte", "B", array=np.array([0, 7, 255], "u1"), null=7),
        fits.Column("short", "I", array=np.array([-5, -99, 9], "i2"), null=-99),
        fits.Column("unsigned", "J", bzero=2**31, array=np.array([0, 5, 2**32 - 1], "u4")),
        fits.Column("signed", "B", bzero=-128, array=np.array([-128, 0, 127], "i1")),
        fits.Column("huge", "K", bzero=2**63, array=np.array([0, 5, 2**64 - 1], "u8")),
        fits.Column("text", "8A", array=np.array(["abc", "", "x y"])),
        fits.Column("vector", "3E", array=np.arange(9, dtype="f4").reshape(3, 3)),
        fits.Column("real", "D", array=np.array([1.5, np.nan, -2.0])),
    )
    found = read(path, FileOptions()).to_pydict()
    assert found["flag"] == [True, False, True]
    assert found["byte"] == [0, None, 255]
    assert found["short"] == [-5, None, 9]
    assert found["unsigned"] == [0, 5, 2**32 - 1]
    assert found["signed"] == [-128, 0, 127]
    assert found["huge"] == [0, 5, 2**64 - 1]
    assert found["text"][::2] == ["abc", "x y"]
    assert found["vector"] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert found["real"][0] == 1.5
    assert np.isnan(found["real"][1])


def test_fits_scaled(tmp_path: Path) -> None:
    path = fits_file(tmp_path / "a.fits", fits.Column("x", "I", array=np.array([0, 1, -4], "i2"), unit="m"))
    card = fits.Card("TSCAL1", 0.5).image + fits.Card("TZERO1", 10.0).image
    unused = b"END" + b" " * 77 + b" " * 160
    content = path.read_bytes()
    table = content.index(b"XTENSION")
    head = content[table:].replace(unused, card.encode() + b"END" + b" " * 77, 1)
    write(path, content[:table] + head)
    assert read(path, FileOptions()).to_pydict() == {"x": [10.0, 10.5, 8.0]}


def test_fits_with_several_tables(tmp_path: Path) -> None:
    first = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])], name="EVENTS")
    second = fits.BinTableHDU.from_columns([fits.Column("b", "J", array=[3])], name="GTI")
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), first, second]).writeto(path)
    with pytest.raises(IngestError, match=r"which binary table holds the table .*There is: EVENTS, GTI"):
        read(path, FileOptions())
    assert read(path, FileOptions(table=("GTI",))).to_pydict() == {"b": [3]}
    assert read(path, FileOptions(table=("1",))).to_pydict() == {"a": [1, 2]}
    with pytest.raises(IngestError, match=r"has no binary table 'IRF'\. There is: EVENTS, GTI"):
        read(path, FileOptions(table=("IRF",)))


def test_fits_that_cannot_be_read(tmp_path: Path) -> None:
    path = fits_file(
        tmp_path / "a.fits", fits.Column("x", "J", array=np.arange(1000)), fits.Column("z", "C", array=np.ones(1000))
    )
    with pytest.raises(IngestError, match="column 'z' cannot be read: it holds complex numbers"):
        read(path, FileOptions(), ["z"])
    cut = write(tmp_path / "cut.fits", path.read_bytes()[:9000])
    with pytest.raises(IngestError, match="it ends before its 1000 rows do"):
        read(cut, FileOptions(), ["x"])
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(IngestError, match="There is none"):
        read(tmp_path / "image.fits", FileOptions())


# VOTable -------------------------------------------------------------------------------------------------------------

VOTABLE = """<?xml version="1.0"?>{doctype}
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE name="t">
<FIELD name="a" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/>{data}
</TABLE></RESOURCE></VOTABLE>"""
ROW = "<DATA><TABLEDATA><TR><TD>1</TD><TD>{}</TD></TR></TABLEDATA></DATA>"


def test_votable_entities_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE V [<!ENTITY a "0123456789">' + "".join(
        f'<!ENTITY {chr(98 + depth)} "{f"&{chr(97 + depth)};" * 10}">' for depth in range(9)
    )
    external = f'<!DOCTYPE V [<!ENTITY a SYSTEM "file://{tmp_path}/secret">'
    for doctype in (f"{bomb}]>", f"{external}]>", '<!DOCTYPE VOTABLE SYSTEM "http://127.0.0.1:1/v.dtd">'):
        path = write(tmp_path / "a.vot", VOTABLE.format(doctype=doctype, data=ROW.format("&j;")))
        for encoding in ("utf-8", "utf-16"):
            path.write_bytes(path.read_text("utf-8").encode(encoding) if encoding == "utf-16" else path.read_bytes())
            with pytest.raises(IngestError, match="is refused: it has a DOCTYPE"):
                read(path, FileOptions(format="votable"))


def test_votable_data_elsewhere_are_refused(tmp_path: Path) -> None:
    for href in ("file:///etc/passwd", "http://127.0.0.1:1/data"):
        data = f'<DATA><BINARY><STREAM href="{href}"/></BINARY></DATA>'
        path = write(tmp_path / "a.vot", VOTABLE.format(doctype="", data=data))
        with pytest.raises(IngestError, match="its data stand elsewhere"):
            read(path, FileOptions())


def test_votable_nulls_and_errors(tmp_path: Path) -> None:
    data = "<DATA><TABLEDATA><TR><TD/><TD>x &amp; y</TD></TR></TABLEDATA></DATA>"
    path = write(tmp_path / "a.vot", VOTABLE.format(doctype="", data=data))
    assert read(path, FileOptions()).to_pydict() == {"a": [None], "s": ["x & y"]}
    path.write_text("<VOTABLE><RESOURCE>")
    with pytest.raises(IngestError, match="cannot be read: no element found"):
        read(path, FileOptions())


# Parquet, HDF5, ROOT -------------------------------------------------------------------------------------------------


def test_parquet_metadata_and_damage(tmp_path: Path) -> None:
    field = pa.field("e", pa.float32(), metadata={"unit": "TeV", "ucd": "em.energy", "description": "Energy"})
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table([[1.5, None]], schema=pa.schema([field])), path)
    (column,) = reader_for(path).columns(path, FileOptions())
    assert (column.unit, column.ucd, column.description) == ("TeV", "em.energy", "Energy")
    assert read(path, FileOptions()).to_pydict() == {"e": [1.5, None]}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IngestError, match="cannot be read"):
        read(path, FileOptions())


def test_parquet_with_a_votable_in_its_metadata(tmp_path: Path) -> None:
    document = (
        "<VOTABLE><RESOURCE><TABLE><FIELD name='e' datatype='float' unit='TeV' ucd='em.energy' utype='a:b' xtype='c'>"
        "<DESCRIPTION>Energy</DESCRIPTION></FIELD></TABLE></RESOURCE></VOTABLE>"
    )
    field = pa.field("e", pa.float32(), metadata={"unit": "not this"})
    schema = pa.schema([field, ("x", pa.int8())], metadata={"IVOA.VOTable-Parquet.content": document})
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table([[1.5], [2]], schema=schema), path)
    energy, other = reader_for(path).columns(path, FileOptions())
    assert (energy.unit, energy.ucd, energy.utype, energy.xtype) == ("TeV", "em.energy", "a:b", "c")
    assert (energy.description, energy.type, other.unit) == ("Energy", pa.float32(), None)
    bomb = schema.with_metadata({"IVOA.VOTable-Parquet.content": f"<!DOCTYPE a>{document}"})
    pyarrow.parquet.write_table(pa.table([[1.5], [2]], schema=bomb), path)
    with pytest.raises(IngestError, match="DOCTYPE"):
        reader_for(path).columns(path, FileOptions())


def test_hdf5_types(tmp_path: Path) -> None:
    kind = np.dtype([("text", "S5"), ("flag", "?"), ("vector", ">f4", 2), ("note", h5py.string_dtype()), ("z", "c8")])
    rows = np.zeros(2, kind)
    rows["text"], rows["flag"], rows["vector"], rows["note"] = (
        [b"ab", b"cdefg"],
        [True, False],
        [[1, 2], [3, 4]],
        ["ä", ""],
    )
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["deep/down/events"] = rows
        file["other"] = np.zeros(3, [("x", "i4")])
    with pytest.raises(IngestError, match="There is: deep/down/events, other"):
        read(path, FileOptions())
    options = FileOptions(table=("/deep/down/events",))
    found = read(path, options, ["text", "flag", "vector", "note"]).to_pydict()
    assert found == {"text": ["ab", "cdefg"], "flag": [True, False], "vector": [[1, 2], [3, 4]], "note": ["ä", ""]}
    with pytest.raises(IngestError, match="column 'z' cannot be read: its type is complex64"):
        read(path, options, ["z"])


def test_pandas_index(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    frame = event_table(3).to_pandas().drop(columns="name").set_index("event_id")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NaturalNameWarning)
        frame.to_hdf(path, key="deep/events")
    assert read(path, FileOptions())["event_id"].to_pylist() == [1, 2, 3]


def test_root_trees_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("E", {"run": "i4", "trk_e": "var * float64"})
        file["E"].extend({"run": [1, 1, 2], "trk_e": ak.Array([[10.0, 5.0], [], [3.0]])})
        file.mktree("T", {"mjd": "f8", "run": "i4"}).extend({"mjd": [1.0, 2.0, 3.0], "run": [7, 8, 9]})
        file.mktree("short", {"x": "i4"}).extend({"x": [1]})
    with pytest.raises(IngestError, match=r"which tree holds the table .*There is: E, T, short"):
        read(path, FileOptions())
    found = read(path, FileOptions(table=("E", "T")), ["E/run", "T/run", "mjd", "trk_e"], rows=2)
    assert found.to_pydict() == {
        "E/run": [1, 1, 2], "T/run": [7, 8, 9], "mjd": [1, 2, 3], "trk_e": [[10, 5], [], [3]],
    }  # fmt: skip
    with pytest.raises(IngestError, match="do not stand side by side"):
        read(path, FileOptions(table=("E", "short")))
    with pytest.raises(IngestError, match="cannot be read"):
        read(write(tmp_path / "b.root", path.read_bytes()[:300]), FileOptions())
