"""VOTables in every serialisation and spelling, judged by astropy, which reads them in another way."""

from __future__ import annotations

import base64
import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, writeto
from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile
from numpy import ma

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers.votable import VotableReader
from vo_service.ingest.readers.votable_cells import CHUNK_BYTES

Rows = dict[str, list[Any]]

ROWS = 60
SERIALISATIONS = ("tabledata", "binary", "binary2")


def read(path: Path, options: FileOptions | None = None, names: list[str] | None = None, rows: int = 1000) -> Rows:
    """All rows by column; numbers that stand as texts are left so."""
    reader, options = VotableReader(), options or FileOptions()
    assert reader.recognises(path, path.read_bytes()[:4096])
    chosen = names or [column.name for column in reader.columns(path, options)]
    found: Rows = {name: [] for name in chosen}
    for batch in reader.batches(path, options, chosen, rows):
        assert 0 < batch.num_rows <= rows
        for name in chosen:
            found[name] += batch.column(name).to_pylist()
    return found


FIELDS: dict[str, tuple[dict[str, str], list[Any]]] = {
    "truth": ({"datatype": "boolean"}, [True, False, None]),
    "bit": ({"datatype": "bit"}, [True, False, False]),
    "byte": ({"datatype": "unsignedByte"}, [0, 255, 7]),
    "short": ({"datatype": "short"}, [-(2**15) + 1, 2**15 - 1, None]),
    "int": ({"datatype": "int"}, [-(2**31), 2**31 - 1, None]),
    "long": ({"datatype": "long"}, [-(2**63) + 1, 2**63 - 1, None]),
    "float": ({"datatype": "float"}, [0.1, -1e30, None]),
    "double": ({"datatype": "double"}, [1 / 3, 5e-324, None, float("inf"), -float("inf")]),
    "text": ({"datatype": "char", "arraysize": "*"}, ["a", "a <b> & c\n]]>", "x y", "longer"]),
    "fixed": ({"datatype": "char", "arraysize": "4"}, ["abcd", "x"]),
    "bounded": ({"datatype": "char", "arraysize": "8*"}, ["eight ch", "x"]),
    "unicode": ({"datatype": "unicodeChar", "arraysize": "*"}, ["Ångström", "ν → τ", "x"]),
    "fixed_unicode": ({"datatype": "unicodeChar", "arraysize": "3"}, ["ñab", "x"]),
    "letter": ({"datatype": "char", "arraysize": "1"}, ["a", "&"]),
    "pair": ({"datatype": "double", "arraysize": "2"}, [[1.5, -2.5], [0.0, 1 / 3]]),
    "matrix": ({"datatype": "int", "arraysize": "2x3"}, [[1, 2, 3, 4, 5, 6], [-1] * 6]),
    "floats": ({"datatype": "float", "arraysize": "*"}, [[1.0, 2.5], [7.0], [0.5] * 9]),
    "longs": ({"datatype": "long", "arraysize": "5*"}, [[1], [2**40, -5]]),
    "truths": ({"datatype": "boolean", "arraysize": "2"}, [[True, False], [False, False]]),
    "after": ({"datatype": "int"}, [1, 2, 3, 4, 5, 6, 7]),
}


def element(names: list[str]) -> TableElement:
    """The fields of these names, with values."""
    document = VOTableFile()
    table = TableElement(document)
    resource = Resource()
    document.resources.append(resource)
    resource.tables.append(table)
    for name in names:
        about, _ = FIELDS[name]
        table.fields.append(Field(document, name=name, ID=name, **about))
        if about["datatype"] in ("short", "int", "long") and None in FIELDS[name][1]:
            table.fields[-1].values.null = -99
    table.create_arrays(ROWS)
    for name in names:
        about, values = FIELDS[name]
        size = about.get("arraysize", "")
        for row in range(ROWS):
            value = values[row % len(values)]
            if value is None:
                table.array[name][row] = -99 if about["datatype"] in ("short", "int", "long") else 0
                table.array.mask[name][row] = True
            elif size == "2x3":
                table.array[name][row] = np.reshape(value, (3, 2))
            elif isinstance(value, list) and "*" in size:
                # As an object: astropy asks it for its mask.
                table.array.data[name][row] = ma.array(
                    value, {"float": "f4", "long": "i8"}[about["datatype"]], mask=[False] * len(value)
                )
            else:
                table.array[name][row] = value
    return table


def document(path: Path, names: list[str], serialisation: str) -> Path:
    table = element(names)
    table.format = serialisation
    holder = VOTableFile(version="1.4")
    resource = Resource()
    holder.resources.append(resource)
    resource.tables.append(table)
    writeto(holder, str(path))
    return path


def judged(path: Path) -> Rows:
    """The rows as astropy reads them: lists of Python's values, None for missing ones."""
    array = parse(str(path)).get_first_table().array
    return {name: [_plain(value) for value in array[name]] for name in array.dtype.names}


def _plain(value: Any) -> Any:  # noqa: ANN401 (of any field)
    if value is ma.masked or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.reshape(-1)]
    return value.item() if isinstance(value, np.generic) else value


def _known(about: dict[str, str], value: Any) -> Any:  # noqa: ANN401
    """What our reader gives, as the field's type: cells of TABLEDATA are texts."""
    if about["datatype"] in ("char", "unicodeChar") or value is None or isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [_known(about, one) for one in value]
    if about["datatype"] == "float":
        value = np.float32(value)
    number = float(value) if about["datatype"] in ("float", "double") else int(value)
    return None if np.isnan(number) else number


@pytest.mark.parametrize("serialisation", SERIALISATIONS)
@pytest.mark.parametrize(
    "names", [list(FIELDS), *[[name] for name in FIELDS], ["int", "double", "fixed", "truth", "pair", "byte"]]
)
def test_every_type(tmp_path: Path, names: list[str], serialisation: str) -> None:
    path = document(tmp_path / "a.vot", names, serialisation)
    found, expected = read(path, rows=17), judged(path)
    for name in names:
        about = FIELDS[name][0]
        known = [_known(about, value) for value in found[name]]
        wanted = [_known(about, value) for value in expected[name]]
        if about["datatype"] == "boolean" and "arraysize" not in about and serialisation == "binary":
            # Astropy takes the NUL of a missing truth for false.
            wanted = [None if own is None else value for own, value in zip(known, wanted, strict=True)]
        assert known == wanted, name


@pytest.mark.parametrize("serialisation", SERIALISATIONS)
def test_missing_values_are_missing(tmp_path: Path, serialisation: str) -> None:
    names = ["truth", "short", "int", "long", "float", "double"]
    path = document(tmp_path / "a.vot", names, serialisation)
    for name, values in read(path).items():
        written = [FIELDS[name][1][row % len(FIELDS[name][1])] for row in range(ROWS)]
        known = [_known(FIELDS[name][0], value) for value in values]
        assert [value is None for value in known] == [value is None for value in written], name


def test_a_choice_of_columns_in_another_order(tmp_path: Path) -> None:
    for serialisation in SERIALISATIONS:
        path = document(tmp_path / f"{serialisation}.vot", list(FIELDS), serialisation)
        found = read(path, names=["after", "unicode", "truths"])
        assert list(found) == ["after", "unicode", "truths"]
        assert [int(value) for value in found["after"]] == [1 + row % 7 for row in range(ROWS)]
        assert found["unicode"][:2] == ["Ångström", "ν → τ"]


# Spellings -----------------------------------------------------------------------------------------------------------

HEAD = """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE name="t" nrows="2">
<FIELD name="n" datatype="int" unit="m" ucd="meta.id" utype="x:y" xtype="z"><VALUES null="-1"/>
<DESCRIPTION> A  &lt;number&gt;
of things </DESCRIPTION></FIELD>
<FIELD ID="s" datatype="char" arraysize="*"/><DATA>{}</DATA></TABLE></RESOURCE></VOTABLE>"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def votable(tmp_path: Path, data: str, head: str = HEAD) -> Path:
    return write(tmp_path / "a.vot", head.replace("{}", data))


def test_what_a_field_says(tmp_path: Path) -> None:
    path = votable(tmp_path, "<TABLEDATA/>")
    number, text = VotableReader().columns(path, FileOptions())
    assert (number.name, number.unit, number.ucd, number.utype, number.xtype) == ("n", "m", "meta.id", "x:y", "z")
    assert (number.datatype, number.arraysize, number.description) == ("int", None, "A <number> of things")
    assert (text.name, text.datatype, text.arraysize, text.unit) == ("s", "char", "*", None)
    assert VotableReader().rows(path, FileOptions()) == 2
    assert read(path) == {"n": [], "s": []}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("<TR><TD>1</TD><TD>a</TD></TR><TR><TD>2</TD><TD>b</TD></TR>", {"n": ["1", "2"], "s": ["a", "b"]}),
        (" <TR>\n<TD> 1 </TD>\t<TD> a </TD> </TR>\n", {"n": ["1"], "s": [" a "]}),
        ("<TR><TD/><TD/></TR><TR><TD></TD><TD></TD></TR>", {"n": [None] * 2, "s": [None] * 2}),
        ("<TR><TD />  <TD\n/></TR>", {"n": [None], "s": [None]}),
        ("<TR><TD>-1</TD><TD>-1</TD></TR>", {"n": [None], "s": ["-1"]}),
        ("<TR><TD>0x1F</TD><TD>0x1F</TD></TR>", {"n": ["31"], "s": ["0x1F"]}),
        ("<TR><TD>+7</TD><TD>+7</TD></TR>", {"n": ["7"], "s": ["+7"]}),
        ("<TR><TD>1</TD><TD>&lt;a&gt; &amp; &#228;&#x3bd;</TD></TR>", {"n": ["1"], "s": ["<a> & äν"]}),
        ("<TR><TD>1</TD><TD><![CDATA[<TD>&</TD>]]></TD></TR>", {"n": ["1"], "s": ["<TD>&</TD>"]}),
        ("<!-- <TR/> --><TR><!----><TD>1</TD><?x y?><TD>a<!-- b -->c</TD></TR>", {"n": ["1"], "s": ["ac"]}),
        ('<TR ID="r"><TD encoding="none">1</TD><TD>a</TD></TR >', {"n": ["1"], "s": ["a"]}),
        ("<TR><TD>1</TD><TD>&#xFDD0; &#xFDD1;</TD></TR>", {"n": ["1"], "s": ["\ufdd0 \ufdd1"]}),
    ],
)
def test_cells(tmp_path: Path, cells: str, expected: Rows) -> None:
    assert read(votable(tmp_path, f"<TABLEDATA>{cells}</TABLEDATA>")) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>", "a row has 1 cells, but there are 2 fields"),
        ("<TABLEDATA><TR><TD>1</TD><TD/><TD/></TR><TR><TD>1</TD></TR></TABLEDATA>", "a row has 3 cells"),
        ("<TABLEDATA><TR><TD>1</TD><TD>a</TD></TABLEDATA>", "are not XML"),
        ("<TABLEDATA><TR><TD>1</TD><TD>&j;</TD></TR></TABLEDATA>", "are not XML: Entity 'j' not defined"),
        ("<TABLEDATA><TR><TD>1</TD><TD>a</TD></TR>", "it ends within its data"),
        ("<BINARY><STREAM encoding='base64'>AAAAAQ==", "it ends within its data"),
        ("<BINARY><STREAM encoding='base64'>AAAAAQ=</STREAM></BINARY>", "is not base64"),
        ("<BINARY><STREAM encoding='base64'>A%AAAQ==</STREAM></BINARY>", "is not base64"),
        ("<BINARY><STREAM encoding='base64'>AAAAAQ==</STREAM></BINARY>", "end within a row, 4 bytes after"),
        ("<BINARY><STREAM encoding='base64'>AAAAAf////8=</STREAM></BINARY>", "has a length of -1"),
        ("<BINARY><STREAM encoding='rot13'>AAAAAQ==</STREAM></BINARY>", "encoding of its STREAM is rot13"),
        ("<BINARY><STREAM encoding='gzip base64'>AAAAAQ==</STREAM></BINARY>", "cannot be unpacked"),
        ("<FITS><STREAM encoding='base64'>AAAAAQ==</STREAM></FITS>", "cannot be read"),
    ],
)
def test_data_that_are_damaged(tmp_path: Path, data: str, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        read(votable(tmp_path, data))


def test_texts_that_are_none(tmp_path: Path) -> None:
    row = struct.pack(">ii", 1, 2) + b"\xff\xfe"
    data = f"<BINARY><STREAM encoding='base64'>{base64.b64encode(row).decode()}</STREAM></BINARY>"
    with pytest.raises(IngestError, match="cannot be read"):
        read(votable(tmp_path, data))
    cells = "<TABLEDATA><TR><TD>1</TD><TD>\udcff</TD></TR></TABLEDATA>"
    path = write(tmp_path / "b.vot", HEAD.replace("{}", cells).encode("utf-8", "surrogateescape"))
    with pytest.raises(IngestError, match="cannot be read"):
        read(path)


def test_prefixes_and_encodings(tmp_path: Path) -> None:
    cells = "<TABLEDATA><TR><TD>1</TD><TD>é &amp; é</TD></TR><TR><TD>2</TD><TD>ß</TD></TR></TABLEDATA>"
    text = HEAD.replace("{}", cells).replace("unicode", "char")
    expected = {"n": ["1", "2"], "s": ["é & é", "ß"]}
    prefixed = text.replace("<", "<v:").replace("<v:/", "</v:").replace("xmlns=", "xmlns:v=")
    declared = '<?xml version="1.0" encoding="{}"?>\n{}'
    documents = {
        "utf-8": text.encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "prefix": prefixed.encode(),
        "latin-1": declared.format("ISO-8859-1", text).encode("latin-1"),
        "latin-1, prefix": declared.format("iso-8859-1", prefixed).encode("latin-1"),
        "utf-16": declared.format("UTF-16", text).encode("utf-16"),
        "utf-16-le": text.encode("utf-16-le"),
        "gzip": gzip.compress(text.encode()),
    }
    for name, content in documents.items():
        path = write(tmp_path / f"{name}.vot", content)
        columns = VotableReader().columns(path, FileOptions())
        found: Rows = {"n": [], "s": []}
        for batch in VotableReader().batches(path, FileOptions(), [column.name for column in columns], 10):
            found["n"] += batch.column("n").to_pylist()
            found["s"] += batch.column("s").to_pylist()
        assert found == expected, name


def test_several_tables(tmp_path: Path) -> None:
    one = "<TABLE><FIELD name='a' datatype='int'/></TABLE>"
    two = (
        "<TABLE ID='two' name='second'><GROUP><FIELDref ref='b'/><PARAM name='p' datatype='int' value='1'/></GROUP>"
        "<PARAM name='q' datatype='char' arraysize='*' value='TABLEDATA>'/>"
        "<FIELD ID='b' name='b' datatype='int'/><DATA><TABLEDATA><TR><TD>5</TD></TR></TABLEDATA></DATA></TABLE>"
    )
    path = write(tmp_path / "a.vot", f"<VOTABLE><!-- <TABLEDATA> --><RESOURCE>{one}{two}{two}</RESOURCE></VOTABLE>")
    with pytest.raises(IngestError, match=r"which table holds the table .*There is: 1, two, two"):
        read(path)
    for name in ("2", "two", "second", "3"):
        assert read(path, FileOptions(table=(name,))) == {"b": ["5"]}
    assert read(path, FileOptions(first_table=True)) == {"a": []}
    with pytest.raises(IngestError, match="There is none"):
        read(write(tmp_path / "b.vot", "<VOTABLE><RESOURCE/></VOTABLE>"))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    fields = {
        "bits": "datatype='bit' arraysize='12'",
        "complex": "datatype='doubleComplex'",
        "strings": "datatype='char' arraysize='3x2'",
        "odd": "datatype='strange'",
        "size": "datatype='int' arraysize='*x2'",
    }
    head = "".join(f"<FIELD name='{name}' {about}/>" for name, about in fields.items())
    data = "<DATA><TABLEDATA><TR><TD/><TD/><TD/><TD/><TD/></TR></TABLEDATA></DATA>"
    path = write(tmp_path / "a.vot", f"<VOTABLE><RESOURCE><TABLE>{head}{data}</TABLE></RESOURCE></VOTABLE>")
    for name, why in zip(
        fields, ("several bits", "complex", "arrays of strings", "is strange", r"is \*x2"), strict=True
    ):
        with pytest.raises(IngestError, match=f"column '{name}' cannot be read: .*{why}"):
            read(path, names=[name])


def test_columns_beside_those_that_cannot_be_read(tmp_path: Path) -> None:
    head = (
        "<FIELD name='bits' datatype='bit' arraysize='*'/><FIELD name='z' datatype='floatComplex'/>"
        "<FIELD name='t' datatype='char' arraysize='2x2'/><FIELD name='n' datatype='short'/>"
    )
    rows = b"".join(struct.pack(">i", 9) + b"\1\2" + bytes(8) + b"abcd" + struct.pack(">h", n) for n in (5, -6))
    stream = f"<DATA><BINARY><STREAM encoding='base64'>{base64.b64encode(rows).decode()}</STREAM></BINARY></DATA>"
    path = write(tmp_path / "a.vot", f"<VOTABLE><RESOURCE><TABLE>{head}{stream}</TABLE></RESOURCE></VOTABLE>")
    assert read(path, names=["n"]) == {"n": [5, -6]}


@pytest.mark.parametrize("encoding", ["gzip", "base64 gzip", "gzip,base64"])
def test_packed_streams(tmp_path: Path, encoding: str) -> None:
    rows = b"".join(struct.pack(">ii", n, 3) + b"a\0z" for n in (1, -1, 3))
    packed = base64.encodebytes(gzip.compress(rows)).decode()
    path = votable(tmp_path, f"<BINARY><STREAM encoding='{encoding}'>\n{packed}</STREAM></BINARY>")
    assert read(path) == {"n": [1, None, 3], "s": ["a", "a", "a"]}


def test_fits_within(tmp_path: Path) -> None:
    columns = [fits.Column("x", "J", array=[7, 8]), fits.Column("y", "4A", array=["ab", "c"])]
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(file)
    stream = base64.encodebytes(file.getvalue()).decode()
    path = votable(tmp_path, f"<FITS extnum='1'><STREAM encoding='base64'>{stream}</STREAM></FITS>")
    assert read(path) == {"n": [7, 8], "s": ["ab", "c"]}
    assert read(path, names=["s"]) == {"s": ["ab", "c"]}


@pytest.mark.parametrize("odd", ["", "&amp;", "<!-- -->"])
def test_many_chunks(tmp_path: Path, odd: str) -> None:
    """Rows that end anywhere relative to the pieces in which the data are read."""
    count = 2 * CHUNK_BYTES // 45
    rows = [f"<TR>\n<TD>{n}</TD><TD>text {n * 7}{odd if n % 50_000 == 0 else ''}</TD></TR>\n" for n in range(count)]
    found = read(votable(tmp_path, f"<TABLEDATA>{''.join(rows)}</TABLEDATA>"), rows=65_536)
    assert found["n"] == [str(n) for n in range(count)]
    assert [text.rstrip("&") for text in found["s"]] == [f"text {n * 7}" for n in range(count)]


def test_many_pieces_of_a_stream(tmp_path: Path) -> None:
    count = 400_000
    rows = b"".join(struct.pack(">ii", n, n % 11) + b"x" * (n % 11) for n in range(count))
    data = f"<BINARY><STREAM encoding='base64'>{base64.encodebytes(rows).decode()}</STREAM></BINARY>"
    found = read(votable(tmp_path, data), rows=65_536)
    assert found["n"] == list(range(count))
    assert found["s"] == ["x" * (n % 11) for n in range(count)]


def test_a_long_cell(tmp_path: Path) -> None:
    long = "x" * (CHUNK_BYTES + 5)
    data = f"<TABLEDATA><TR><TD>1</TD><TD>{long}</TD></TR><TR><TD>2</TD><TD>b</TD></TR></TABLEDATA>"
    assert read(votable(tmp_path, data)) == {"n": ["1", "2"], "s": [long, "b"]}


def test_a_row_without_end(tmp_path: Path) -> None:
    rows = struct.pack(">ii", 1, 2**31 - 1) + bytes(70 << 20)
    data = f"<BINARY><STREAM encoding='base64'>{base64.b64encode(rows).decode()}</STREAM></BINARY>"
    with pytest.raises(IngestError, match="a row of its data has more than"):
        read(votable(tmp_path, data))
