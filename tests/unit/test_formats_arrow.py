"""Arrow IPC streams: rows leave as they come, and metadata says what a VOTable says."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table

from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

TABLE = ResultTable(
    (
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", utype="a:b", description="Länge"),
        Column("time", "char", "*", xtype="timestamp"),
    ),
    infos=(Info("publisher", "A & B"),),
)
ROWS = pa.RecordBatch.from_pydict({"ra": [0.5, None], "time": pa.array([None, 1], pa.timestamp("us"))})


def test_metadata() -> None:
    schema = pa.ipc.open_stream(written(find_format("arrow").writer(TABLE), ROWS)).schema
    assert schema.field("ra").metadata == {
        b"datatype": b"double",
        b"unit": b"deg",
        b"ucd": b"pos.eq.ra;meta.main",
        b"utype": b"a:b",
        b"description": "Länge".encode(),
    }
    assert schema.field("time").type == pa.timestamp("us")
    votable = parse_single_table(io.BytesIO(schema.metadata[b"IVOA.VOTable-Parquet.content"]))
    assert [(field.name, field.ref) for field in votable.fields] == [("ra", "system"), ("time", "time_UTC")]


def test_what_is_saved_as_parquet_is_voparquet() -> None:
    file = io.BytesIO()
    pq.write_table(pa.ipc.open_stream(written(find_format("arrow").writer(TABLE), ROWS)).read_all(), file)
    assert pq.read_metadata(file).metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"


def test_rows_leave_as_they_come() -> None:
    writer = find_format("arrow").writer(TABLE)
    reader = pa.ipc.open_stream(writer.start() + writer.batch(ROWS))
    assert reader.read_next_batch().to_pydict() == ROWS.to_pydict()


def test_an_overflow_is_told_with_the_last_batch() -> None:
    document = written(find_format("arrow").writer(TABLE), ROWS, ending="overflow", told=2)
    reader = pa.ipc.open_stream(document)
    batch, metadata = reader.read_next_batch_with_custom_metadata()
    assert (batch.num_rows, metadata) == (2, None)
    batch, metadata = reader.read_next_batch_with_custom_metadata()
    assert batch.num_rows == 0
    assert metadata == {b"QUERY_STATUS": b"OVERFLOW", b"message": b"There are more rows than the 2 given here"}
    assert pa.ipc.open_stream(document).read_all().num_rows == 2


def test_a_failure_is_raised() -> None:
    with pytest.raises(QueryError, match="it broke"):
        written(find_format("arrow").writer(TABLE), ROWS, ending="failure")
