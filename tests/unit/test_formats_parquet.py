"""Parquet with a VOTable's head (VOParquet 1.0): as pyarrow, pandas and astropy read it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io.votable import parse as parse_votable
from astropy.io.votable.tree import VOTableFile
from astropy.table import Table

from tests.support.columns import SAMPLES, batch_of
from tests.support.documents import written
from vo_service.catalog.model import Column
from vo_service.errors import QueryError
from vo_service.formats import parquet
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

TABLE = ResultTable(
    (
        Column("id", "long", ucd="meta.id;meta.main"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Länge"),
        Column("time", "char", "*", xtype="timestamp"),
    ),
    name="events",
    description="All events",
    infos=(Info("publisher", "A & B"),),
)
ROWS = pa.RecordBatch.from_pydict(
    {"id": [1, 2, 3], "ra": [0.5, 1.5, 2.5], "time": pa.array([0, 1, 2_000_000], pa.timestamp("us"))}
)


def votable_of(document: bytes) -> VOTableFile:
    metadata = pq.read_metadata(io.BytesIO(document)).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    return parse_votable(io.BytesIO(metadata[b"IVOA.VOTable-Parquet.content"]))


def test_the_votable_describes_the_columns() -> None:
    (resource,) = votable_of(written(find_format("parquet").writer(TABLE), ROWS)).resources
    (table,) = resource.tables
    assert [(info.name, info.value) for info in resource.infos] == [("publisher", "A & B")]
    assert (table.name, table.description, len(table.array)) == ("events", "All events", 0)
    assert [(field.name, field.datatype, field.ucd, field.ref) for field in table.fields] == [
        ("id", "long", "meta.id;meta.main", None),
        ("ra", "double", "pos.eq.ra;meta.main", "system"),
        ("time", "char", None, "time_UTC"),
    ]
    assert (table.fields[1].unit, table.fields[1].description) == (units.deg, "Länge")


def test_an_overflow_is_told_in_the_votable() -> None:
    (resource,) = votable_of(written(find_format("parquet").writer(TABLE), ROWS, ending="overflow", told=3)).resources
    (info,) = [info for info in resource.infos if info.name == "QUERY_STATUS"]
    assert (info.value, info.content) == ("OVERFLOW", "There are more rows than the 3 given here")


def test_astropy_reads_rows_and_metadata() -> None:
    """Of numbers: it cannot bring strings together with their description (astropy 8.0)."""
    numbers = ResultTable(TABLE.columns[:2])
    document = written(find_format("parquet").writer(numbers), ROWS.select(["id", "ra"]))
    table = Table.read(io.BytesIO(document), format="parquet.votable")
    assert (table["ra"].unit, table["ra"].meta["ucd"]) == (units.deg, "pos.eq.ra;meta.main")
    assert (table["id"].tolist(), table["ra"].tolist()) == ([1, 2, 3], [0.5, 1.5, 2.5])


def test_pandas_reads_it() -> None:
    frame = pd.read_parquet(io.BytesIO(written(find_format("parquet").writer(TABLE), ROWS)))
    assert frame["id"].tolist() == [1, 2, 3]
    assert pd.to_datetime(frame["time"], format="ISO8601").dt.second.tolist() == [0, 0, 2]


def test_pyarrow_shows_the_votable_with_the_schema() -> None:
    table = pq.read_table(io.BytesIO(written(find_format("parquet").writer(TABLE), ROWS)))
    assert b"pos.eq.ra;meta.main" in table.schema.metadata[b"IVOA.VOTable-Parquet.content"]


def test_row_groups_leave_when_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = batch_of(SAMPLES, 100)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 3 * whole.nbytes)
    writer = find_format("parquet").writer(ResultTable(tuple(SAMPLES)))
    begun = writer.start()
    pieces = [writer.batch(whole) for _ in range(7)]
    assert [bool(piece) for piece in pieces] == [False, False, True, False, False, True, False]
    document = b"".join([begun, *pieces, *writer.end()])
    metadata = pq.read_metadata(io.BytesIO(document))
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [300, 300, 100]
    numbers = pq.read_table(io.BytesIO(document))["longs"].to_pylist()
    assert numbers == 7 * whole.column("longs").to_pylist()


def test_statistics_help_readers_to_skip_rows() -> None:
    document = written(find_format("parquet").writer(TABLE), ROWS)
    statistics = pq.read_metadata(io.BytesIO(document)).row_group(0).column(1).statistics
    assert (statistics.min, statistics.max, statistics.null_count) == (0.5, 2.5, 0)
    filtered = pq.read_table(io.BytesIO(document), filters=[("ra", ">", 1)])
    assert np.array_equal(filtered["id"], [2, 3])


def test_a_failure_is_raised() -> None:
    with pytest.raises(QueryError, match="it broke"):
        written(find_format("parquet").writer(TABLE), ROWS, ending="failure")
