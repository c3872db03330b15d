"""Parquet with a VOTable's head in its metadata (VOParquet 1.0), which a reader finds at the file's end.

Row groups leave when they are full, so that memory stays flat. Types are those of Arrow (`database/arrow.py`), but
times are strings, so that both descriptions of a column agree (section 2.3). An overflow is told in the VOTable; a
failure ends the transfer before its end, which HTTP clients report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vo_service.database.arrow import arrow_type
from vo_service.errors import QueryError
from vo_service.formats.arrow import voparquet_metadata
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.outlet import Outlet
from vo_service.formats.values import timestamps_as_text

GROUP_BYTES = 4_000_000
"""Size from which rows are written as a row group, in bytes of memory: about 75,000 rows of a plain event list.

Writing takes ten times as much for a moment.
"""


@dataclass(frozen=True, slots=True)
class Parquet:
    """The format."""

    mime_type: str = "application/vnd.apache.parquet"
    aliases: tuple[str, ...] = ("parquet", "application/x-parquet")
    extension: str = "parquet"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> ParquetWriter:
        return ParquetWriter(table)


class ParquetWriter(Writer):
    """Writes one file."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._schema = pa.schema([(c.name, pa.string() if c.is_string else arrow_type(c)) for c in table.columns])
        self._outlet = Outlet()
        self._group: list[pa.RecordBatch] = []
        self._group_bytes = 0

    def start(self) -> bytes:
        # Measurements seldom repeat: dictionaries of them take four times the time and more room.
        repeating = [field.name for field in self._schema if not pa.types.is_floating(field.type)]
        # A stored Arrow schema would hide the metadata that comes at the end from pyarrow.
        self._writer = pq.ParquetWriter(self._outlet, self._schema, use_dictionary=repeating, store_schema=False)
        return self._outlet.take()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        arrays = [timestamps_as_text(a) if pa.types.is_timestamp(a.type) else a for a in batch.columns]
        self._group.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._group_bytes += batch.nbytes
        if self._group_bytes >= GROUP_BYTES:
            self._write_group()
        return self._outlet.take()

    def end(self) -> Iterable[bytes]:
        return self._ending()

    def overflow(self, maxrec: int) -> Iterable[bytes]:
        return self._ending(Info("QUERY_STATUS", "OVERFLOW", f"There are more rows than the {maxrec} given here"))

    def failure(self, message: str) -> Iterable[bytes]:
        raise QueryError(message)

    def close(self) -> None:
        # What a group took would stay with the process otherwise.
        pa.default_memory_pool().release_unused()

    def _write_group(self) -> None:
        rows = pa.Table.from_batches(self._group, self._schema).combine_chunks()
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=rows.num_rows)
        self._group, self._group_bytes = [], 0

    def _ending(self, *infos: Info) -> Iterator[bytes]:
        self._write_group()
        self._writer.add_key_value_metadata(voparquet_metadata(self._table, *infos))
        self._writer.close()
        yield self._outlet.take()
