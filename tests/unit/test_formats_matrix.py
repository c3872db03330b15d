"""Every format with every type, NULL among the values, nothing but NULL, no NULL, in slices: read by other programs."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import uproot
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.columns import SAMPLES, Values, array_of, batch_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.base import Format, ResultTable
from vo_service.formats.registry import FORMATS, find_format

ROWS = 1000

SHAPES: dict[str, Callable[[Values], Values]] = {
    "as it is": lambda values: values,
    "no NULL": lambda values: [value for value in values if value is not None],
    "all NULL": lambda values: [None] * len(values),
    "empty first": lambda values: [None, *values],
}


def write(format_: Format, columns: tuple[Column, ...], *batches: pa.RecordBatch) -> bytes:
    return written(format_.writer(ResultTable(columns), {}), *batches)


def read_votable(document: bytes) -> dict[str, Values]:
    """Columns by name as astropy reads them, with None for what it masks or cannot tell from NULL."""
    array = parse_single_table(io.BytesIO(document), verify="ignore").array
    return {name: [_plain(value) for value in array[name].tolist()] for name in array.dtype.names}


def read_delimited(delimiter: str) -> Callable[[bytes], dict[str, Values]]:
    def read(document: bytes) -> dict[str, Values]:
        head, *rows = csv.reader(io.StringIO(document.decode(), newline=""), delimiter=delimiter)
        return {name: [row[i] or None for row in rows] for i, name in enumerate(head)}

    return read


def read_json(document: bytes) -> dict[str, Values]:
    found = json.loads(document, parse_constant=pytest.fail)
    assert found["query_status"] == "OK"
    return {column["name"]: [row[i] for row in found["data"]] for i, column in enumerate(found["metadata"])}


def read_fits(document: bytes) -> dict[str, Values]:
    """As astropy reads them. It has NULL among truth values only as bytes, and NaN within arrays of variable size."""
    with fits.open(io.BytesIO(document), logical_as_bytes=True) as hdus:
        hdus.verify("exception")
        table = Table.read(hdus[1])
        meanings = {c.name: _TRUTHS if "L" in c.format.split("(")[0] else {} for c in hdus[1].columns}
        return {name: [_meant(_plain(value), meanings[name]) for value in table[name].tolist()] for name in meanings}


_TRUTHS = {"T": True, "F": False, b"T": True, b"F": False, b"": None}


def _meant(value: object, meanings: dict[Any, Any]) -> object:
    if isinstance(value, list):
        return _plain([_meant(element, meanings) for element in value])
    return None if isinstance(value, float) and math.isnan(value) else meanings.get(value, value)


def read_parquet(document: bytes) -> dict[str, Values]:
    return _of_arrow(pq.read_table(io.BytesIO(document)))


def read_arrow(document: bytes) -> dict[str, Values]:
    return _of_arrow(pa.ipc.open_stream(document).read_all())


def read_hdf5(document: bytes) -> dict[str, Values]:
    """As astropy reads them, with the masks that it knows."""
    with h5py.File(io.BytesIO(document)) as file:
        table = Table.read(file, path="result", format="hdf5")
    return {name: [_known(value) for value in _unmasked(table[name])] for name in table.colnames}


def _unmasked(column: NDArray[Any]) -> Values:
    """Values with None for those that are masked; astropy masks the elements of arrays of one size all alike."""
    values, mask = np.ma.getdata(column), np.ma.getmaskarray(column)
    masked = np.asarray(mask.reshape(len(values), math.prod(mask.shape[1:])).all(axis=1))
    return [None if absent else value for value, absent in zip(values, masked, strict=True)]


def read_root(document: bytes) -> dict[str, Values]:
    """As uproot reads them: who wrote them."""
    with uproot.open(io.BytesIO(document)) as file:
        tree = file["result"]
        lengths = {branch.count_branch.name for branch in tree.branches if branch.count_branch is not None}
        arrays = {name: tree[name].array(library="np") for name in tree.keys() if name not in lengths}  # noqa: SIM118
    found = {name: [_known(value) for value in values] for name, values in arrays.items()}
    return {name: _where_not(found.get(f"{name}_is_null"), found[name]) for name in found if "_is_null" not in name}


def _where_not(absent: Values | None, values: Values) -> Values:
    """The values with None where those are true."""
    return [None if null else value for null, value in zip(absent or [False] * len(values), values, strict=True)]


def _known(value: object) -> object:
    """A value as one of Python's; None for NaN, and for arrays of nothing but NaN."""
    if isinstance(value, np.ndarray):
        flat = [_known(element) for element in value.ravel()]
        return None if flat and not any(element is not None for element in flat) else flat
    value = value.item() if isinstance(value, np.generic) else value
    value = value.decode() if isinstance(value, bytes) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _of_arrow(table: pa.Table) -> dict[str, Values]:
    table.validate(full=True)
    return {name: table[name].to_pylist() for name in table.column_names}


class _Cells(HTMLParser):
    """The cells of the rows of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1].append("".join(self._cell))
            self._cell = None


def read_html(document: bytes) -> dict[str, Values]:
    page = _Cells()
    page.feed(document.decode())
    head, *rows = page.rows
    return {name.split(" [")[0]: [row[i] or None for row in rows] for i, name in enumerate(head)}


READERS: dict[str, Callable[[bytes], dict[str, Values]]] = {
    "application/x-votable+xml": read_votable,
    "application/x-votable+xml;serialization=tabledata": read_votable,
    "application/x-votable+xml;serialization=binary": read_votable,
    "text/csv;header=present": read_delimited(","),
    "text/tab-separated-values": read_delimited("\t"),
    "text/html": read_html,
    "application/json": read_json,
    "application/fits": read_fits,
    "application/vnd.apache.parquet": read_parquet,
    "application/vnd.apache.arrow.stream": read_arrow,
    "application/x-hdf5": read_hdf5,
    "application/x-root": read_root,
}
"""By the MIME type of the format. Plain text is for people, who are not tested."""

READABLE = [format_ for format_ in FORMATS if format_.mime_type in READERS]


def test_every_format_has_a_reader() -> None:
    assert {format_.mime_type for format_ in FORMATS} - {"text/plain"} == set(READERS)


def _plain(value: object) -> object:
    """A value of astropy's without masks and nested arrays; None for what is empty."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        flat: list[Any] = [_plain(element) for element in value]
        while flat and isinstance(flat[0], list):
            flat = [element for part in flat for element in part]
        return None if all(element is None for element in flat) else flat
    return None if value == "" else value


def expected(format_: Format, column: Column, value: object) -> object:
    """What a reader makes of a value."""
    return EXPECTED.get(format_.mime_type, _in_votable)(column, value)


def _in_votable(column: Column, value: object) -> object:
    """NaN is as good as NULL, nothing and emptiness are alike."""
    value = _without_types_of_python(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and column.datatype == "float":
        return float(np.float32(value))
    if isinstance(value, list):
        return _plain([_in_votable(column, element) for element in value])
    return value or None if isinstance(value, str) else value


def _in_tabledata(column: Column, value: object) -> object:
    value = _in_votable(column, value)
    return value.strip() or None if isinstance(value, str) else value  # astropy takes away the space around text in XML


def _in_text(column: Column, value: object) -> str | None:
    return _as_text(column, _without_types_of_python(value))


def _in_json(column: Column, value: object) -> object:
    """No NaN and no infinities; all else as it is."""
    value = _without_types_of_python(value)
    if isinstance(value, list):
        return [_in_json(column, element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _in_fits(column: Column, value: object) -> object:
    """As in VOTable; spaces at the end of strings do not count."""
    value = _in_votable(column, value)
    return value.rstrip() or None if isinstance(value, str) else value


def _in_parquet(column: Column, value: object) -> object:
    return _without_types_of_python(value) if column.is_string else value


def _in_arrow(column: Column, value: object) -> object:
    return value


def _in_file(column: Column, value: object) -> object:
    """NaN is as good as NULL among numbers; what is empty is not NULL."""
    value = _without_types_of_python(value)
    if isinstance(value, list):
        return [_in_file(column, element) for element in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _without_types_of_python(value: object) -> object:
    """Times as text, bytes as numbers."""
    if isinstance(value, dt.datetime):
        return value.isoformat().rstrip("0").rstrip(".") if value.microsecond else value.isoformat()
    return list(value) if isinstance(value, bytes) else value


EXPECTED: dict[str, Callable[[Column, object], object]] = {
    "application/x-votable+xml;serialization=tabledata": _in_tabledata,
    "text/html": _in_text,
    "text/csv;header=present": _in_text,
    "text/tab-separated-values": _in_text,
    "application/json": _in_json,
    "application/fits": _in_fits,
    "application/vnd.apache.parquet": _in_parquet,
    "application/vnd.apache.arrow.stream": _in_arrow,
    "application/x-hdf5": _in_file,
    "application/x-root": _in_file,
}
"""What readers make of values, by MIME type, where that is not as in VOTable."""


def _as_text(column: Column, value: object) -> str | None:
    match value:
        case None | "" | []:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return _number_as_text(column, value)
        case list():
            return " ".join(_as_text(column, element) or "" for element in value)
        case _:
            return str(value)


def _number_as_text(column: Column, value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(np.float32(value) if column.datatype == "float" else np.float64(value))


def same(found: object, wanted: object) -> bool:
    """Equal; numbers in text are compared as numbers, digit for digit as far as their type holds them."""
    if isinstance(found, str) and isinstance(wanted, str) and found != wanted:
        pairs = zip(found.split(" "), wanted.split(" "), strict=True)
        return all(left == right or float(left) == float(right) for left, right in pairs)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, float) and isinstance(wanted, float) and found != wanted:
        # In some formats there is no telling float from double.
        return bool(np.float32(found) == np.float32(wanted)) or (math.isnan(found) and math.isnan(wanted))
    return bool(found == wanted)


def alike(format_: Format, one: bytes, other: bytes) -> bool:
    """Whether two documents are the same to the byte; those of ROOT, which have the time and a UUID, to a reader."""
    return read_root(one) == read_root(other) if format_.extension == "root" else one == other


def by_name(value: Format | Column) -> str:
    return value.name if isinstance(value, Column) else value.mime_type


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("column", SAMPLES, ids=by_name)
@pytest.mark.parametrize("format_", READABLE, ids=by_name)
def test_every_type_comes_back(format_: Format, column: Column, shape: str) -> None:
    values = SHAPES[shape](SAMPLES[column])
    batch = pa.RecordBatch.from_arrays([array_of(column, values)], names=[column.name])
    found = READERS[format_.mime_type](write(format_, (column,), batch))[column.name]
    wanted = [expected(format_, column, value) for value in values]
    assert len(found) == len(wanted)
    assert [pair for pair in zip(found, wanted, strict=True) if not same(*pair)] == []


@pytest.mark.parametrize("format_", READABLE, ids=by_name)
def test_all_types_in_slices_of_a_larger_batch(format_: Format) -> None:
    """Slices have offsets of their own, and NULL may hide elements."""
    whole = batch_of(SAMPLES, ROWS)
    slices = [whole.slice(3, 1), whole.slice(17, 0), whole.slice(5, 500), whole.slice(990)]
    rows = [3, *range(5, 505), *range(990, ROWS)]
    found = READERS[format_.mime_type](write(format_, tuple(SAMPLES), *slices))
    for column, values in SAMPLES.items():
        wanted = [expected(format_, column, values[row % len(values)]) for row in rows]
        assert [p for p in zip(found[column.name], wanted, strict=True) if not same(*p)] == [], column.name


@pytest.mark.parametrize("format_", [f for f in READABLE if f.extension != "arrows"], ids=by_name)
def test_the_division_into_batches_does_not_show(format_: Format) -> None:
    whole = batch_of(SAMPLES, 97)
    parts = [whole.slice(start, 5) for start in range(0, 97, 5)]
    assert alike(format_, write(format_, tuple(SAMPLES), *parts), write(format_, tuple(SAMPLES), whole))


@pytest.mark.parametrize("format_", FORMATS, ids=by_name)
def test_no_rows_are_no_rows(format_: Format) -> None:
    nothing = batch_of(SAMPLES, 9).slice(4, 0)
    document = write(format_, tuple(SAMPLES), nothing, nothing)
    assert alike(format_, document, write(format_, tuple(SAMPLES)))
    if format_ in READABLE:
        assert {name: len(v) for name, v in READERS[format_.mime_type](document).items()} == {
            column.name: 0 for column in SAMPLES
        }


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_pandas_reads_delimited_values(name: str) -> None:
    columns = tuple(column for column in SAMPLES if column.arraysize is None and column.datatype != "char")
    document = write(find_format(name).format, columns, batch_of({c: SAMPLES[c] for c in columns}, 8))
    frame = pd.read_csv(io.BytesIO(document), sep="," if name == "csv" else "\t")
    for column in columns:
        values = SAMPLES[column]
        for row, value in enumerate(frame[column.name]):
            wanted = values[row % len(values)]
            if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
                assert pd.isna(value)
            elif column.datatype not in ("short", "int", "long"):  # which NULL turns into floats in pandas
                assert np.float32(value) == np.float32(wanted) if column.datatype == "float" else value == wanted


def test_strings_in_csv_keep_the_difference_between_empty_and_null() -> None:
    column = Column("a", "char", "*")
    document = write(
        find_format("csv").format, (column, column), pa.RecordBatch.from_pydict({"a": ["", None], "b": ["x", "x"]})
    )
    assert document == b'a,a\n"",x\n,x\n'


def test_a_single_column_has_no_empty_lines() -> None:
    """Readers skip those."""
    document = write(find_format("csv").format, (Column("a", "int"),), pa.RecordBatch.from_pydict({"a": [1, None, 3]}))
    assert document == b'a\n1\n""\n3\n'
    assert len(pd.read_csv(io.BytesIO(document))) == 3


def test_overflow_is_told_in_a_line_with_as_many_fields() -> None:
    """TOPCAT refuses tables whose lines differ in this."""
    writer = find_format("csv").writer(ResultTable((Column("a", "int"), Column("b", "int"), Column("c", "int"))))
    document = written(writer, ending="overflow", told=7)
    assert document == b"a,b,c\n# OVERFLOW: there are more rows than the 7 above,,\n"


def test_header_absent() -> None:
    writer = find_format("text/csv;header=absent").writer(ResultTable((Column("a", "int"),)))
    assert writer.start() == b""


def test_names_in_csv_are_quoted() -> None:
    writer = find_format("csv").writer(ResultTable((Column('a "b", c', "int"), Column("#", "int"))))
    assert writer.start() == b'"a ""b"", c","#"\n'


def digits(number: str) -> int:
    """The number of digits that are not zeros on either side."""
    return len(Decimal(number).normalize().as_tuple().digits)


FLOATS: dict[str, tuple[pa.DataType, type[np.floating[Any]], Literal[32, 64]]] = {
    "float": (pa.float32(), np.float32, 32),
    "double": (pa.float64(), np.float64, 64),
}


@pytest.mark.parametrize("name", ["votable/td", "csv"])
@pytest.mark.parametrize("datatype", FLOATS)
@given(data=st.data())
def test_numbers_come_back_to_the_last_bit(name: str, datatype: str, data: st.DataObject) -> None:
    kind, scalar, width = FLOATS[datatype]
    values = data.draw(st.lists(st.floats(width=width, allow_nan=False, allow_infinity=False), min_size=1))
    batch = pa.RecordBatch.from_arrays([pa.array(values, kind)], names=["x"])
    text = find_format(name).writer(ResultTable((Column("x", datatype),))).batch(batch).decode()
    cells = text.replace("<TR><TD>", "").replace("</TD></TR>", "").splitlines()
    assert [scalar(cell) for cell in cells] == [scalar(value) for value in values]
    assert [digits(cell) for cell in cells] == [digits(str(scalar(value))) for value in values]


def test_random_bits_come_back() -> None:
    """Numbers of every exponent, as hypothesis seldom draws them."""
    random = np.random.default_rng(20261121)
    for bits, kind in ((np.uint64, np.float64), (np.uint32, np.float32)):
        values = random.integers(0, np.iinfo(bits).max, 50_000, bits).view(kind)
        values = values[np.isfinite(values)]
        batch = pa.RecordBatch.from_arrays([pa.array(values)], names=["x"])
        datatype = "double" if kind is np.float64 else "float"
        text = find_format("csv").writer(ResultTable((Column("x", datatype),))).batch(batch).decode()
        assert np.array_equal(np.array([kind(cell) for cell in text.split()]), values)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (Column("code", "char", "2"), ["abc"], "'code' is said to hold strings of 2 characters"),
        (Column("pair", "double", "2"), [[1.0, 2.0, 3.0]], "'pair' is said to hold arrays of 2 elements"),
        (Column("pair", "double", "2"), [[]], "'pair' is said to hold arrays of 2 elements"),
        (Column("numbers", "int", "*"), [[1, None]], "integers with NULL"),
    ],
)
def test_what_binary2_cannot_hold(column: Column, values: Values, message: str) -> None:
    batch = pa.RecordBatch.from_arrays([array_of(column, values)], names=[column.name])
    with pytest.raises(QueryError, match=message):
        find_format("votable/b2").writer(ResultTable((column,))).batch(batch)


@pytest.mark.parametrize("name", ["votable/b2", "votable/td", "csv"])
def test_times_that_have_no_iso_8601(name: str) -> None:
    column = Column("t", "char", "*", xtype="timestamp")
    late = pc.add(pa.scalar(dt.datetime(9999, 12, 31)), pa.scalar(dt.timedelta(days=1)))
    batch = pa.RecordBatch.from_arrays([pa.array([late.value], pa.timestamp("us"))], names=["t"])
    with pytest.raises(QueryError, match="years 1 to 9999"):
        find_format(name).writer(ResultTable((column,))).batch(batch)


def test_null_within_arrays_of_truth_values() -> None:
    column = Column("a", "boolean", "*")
    batch = pa.RecordBatch.from_arrays([array_of(column, [[True, None]])], names=["a"])
    assert b"<TD>true ?</TD>" in write(find_format("votable/td").format, (column,), batch)
    (found,) = parse_single_table(io.BytesIO(write(find_format("votable").format, (column,), batch))).array["a"]
    assert found.tolist() == [True, None]


def test_characters_that_a_datatype_does_not_have() -> None:
    columns = (Column("a", "char", "*"), Column("b", "unicodeChar", "*"), Column("c", "unicodeChar", "3"))
    batch = pa.RecordBatch.from_pydict({"a": ["Å\x01b"], "b": ["a😀b"], "c": ["😀"]})
    assert read_votable(write(find_format("votable").format, columns, batch)) == {
        "a": ["?\x01b"],
        "b": ["a\ufffdb"],
        "c": ["\ufffd"],
    }
    assert read_votable(write(find_format("votable/td").format, columns, batch)) == {
        "a": ["Å\ufffdb"],
        "b": ["a😀b"],
        "c": ["😀"],
    }
