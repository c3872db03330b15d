"""VOTable beyond BINARY2 in version 1.4: the serialization BINARY with its numbers for NULL, and version 1.5."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest
from astropy.io.votable import parse, parse_single_table
from lxml import etree

from tests.support.columns import SAMPLES, Values, array_of, batch_of
from tests.support.documents import ENDINGS, written
from tests.support.judges import stilts, votlint_complaints
from tests.support.xsd import complaints
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

FIELD = "{http://www.ivoa.net/xml/VOTable/v1.3}FIELD"
WORDY = (
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension"),
    Column("mjd", "double", unit="d", ucd="time.epoch", description="MJD, UTC"),
    Column("run", "int", description="Run", ucd="meta.id"),
)


def binary(column: Column, *batches: Values) -> bytes:
    parts = [pa.RecordBatch.from_arrays([array_of(column, values)], names=[column.name]) for values in batches]
    return written(find_format("votable/b").writer(ResultTable((column,))), *parts)


def read(document: bytes) -> Values:
    array = parse_single_table(io.BytesIO(document), verify="exception").array
    return array[array.dtype.names[0]].tolist()  # type: ignore[no-any-return]


def nulls(document: bytes) -> list[str | None]:
    """The numbers that FIELDs name for NULL."""
    values = (field.find(f"{FIELD[:-5]}VALUES") for field in etree.fromstring(document).iter(FIELD))
    return [None if value is None else value.get("null") for value in values]


def test_every_byte_comes_back_in_binary() -> None:
    """No byte can stand for NULL: they are written as short."""
    column = Column("byte", "unsignedByte")
    document = binary(column, list(range(256)), [None])
    assert read(document) == [*range(256), None]
    assert b'datatype="short"' in document


@pytest.mark.parametrize("size", ["*", "300*", "256"])
def test_every_byte_of_an_array_comes_back_in_binary(size: str) -> None:
    (found,) = read(binary(Column("bytes", "unsignedByte", size), [bytes(range(256))]))
    assert list(found) == list(range(256))


def test_arrays_of_variable_length_have_all_numbers() -> None:
    numbers = [1 - 2**15, -(2**15), 0]
    document = binary(Column("shorts", "short", "*"), [numbers, None])
    assert nulls(document) == [None]
    first, second = read(document)
    assert list(first) == numbers
    assert list(second) == []


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column("a", "short"), [1 - 2**15]),
        (Column("a", "int"), [1 - 2**31, None]),
        (Column("a", "long"), [None, 1 - 2**63]),
        (Column("a", "int", "2"), [[0, 1 - 2**31]]),
    ],
)
def test_a_number_that_stands_for_null_is_refused(column: Column, values: Values) -> None:
    """Also where there is no NULL yet: one may come with the next rows."""
    with pytest.raises(QueryError, match=r"'a' has the value -\d+7, which stands for NULL"):
        binary(column, values)


@pytest.mark.parametrize("version", ["1.4", "1.5"])
@pytest.mark.parametrize("serialization", ["tabledata", "binary", "binary2"])
def test_documents_are_valid(serialization: str, version: str, shared: Path) -> None:
    choice = find_format(f"application/x-votable+xml;serialization={serialization};version={version}")
    table = ResultTable((*SAMPLES, *WORDY), infos=(Info("query", "SELECT <1>", "how & why"),))
    for ending in ENDINGS:
        document = written(
            choice.writer(table), batch_of({**SAMPLES, **{column: [1] for column in WORDY}}, 9), ending=ending
        )
        assert complaints(document, shared) == []
        assert etree.fromstring(document).get("version") == version
        votable = parse(io.BytesIO(document), verify="ignore")
        assert (votable.version, len(votable.get_first_table().array)) == (version, 9)


def test_stilts_reads_binary(tmp_path: Path) -> None:
    """Both serializations read alike, NULL too, but of arrays and single characters, which BINARY has none of."""
    columns = tuple(column for column in SAMPLES if column.is_string == (column.arraysize is not None))
    rows = batch_of({column: SAMPLES[column] for column in columns}, 100)
    told = []
    for name in ("votable/b", "votable/b2"):
        path = tmp_path / f"{name[8:]}.vot"
        path.write_bytes(written(find_format(name).writer(ResultTable(columns)), rows))
        done = stilts("tpipe", "ifmt=votable", f"in={path}", "omode=out", "ofmt=csv", "out=-")
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert told[0].count("\n") > 100


def test_votlint_finds_nothing_in_binary(tmp_path: Path) -> None:
    path = tmp_path / "binary.vot"
    path.write_bytes(
        written(
            find_format("votable/b").writer(ResultTable(WORDY)), batch_of({column: [1, None] for column in WORDY}, 9)
        )
    )
    assert votlint_complaints(str(path)) == []
