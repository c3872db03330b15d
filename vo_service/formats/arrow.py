"""Arrow IPC streams: record batches as they come from the database, with a VOTable's head in the schema's metadata.

The VOTable is under the keys of VOParquet, so that what is saved as Parquet is one. Fields have their VOTable
attributes as metadata too. Times are Arrow timestamps without zone. An overflow is told in the metadata of a last
record batch without rows (QUERY_STATUS); a failure ends the transfer before its end, which HTTP clients report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from vo_service.catalog.model import Column
from vo_service.database.arrow import arrow_type
from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.head import metadata_document
from vo_service.formats.outlet import Outlet

_ATTRIBUTES = ("datatype", "arraysize", "xtype", "unit", "ucd", "utype", "description")


@dataclass(frozen=True, slots=True)
class Arrow:
    """The format."""

    mime_type: str = "application/vnd.apache.arrow.stream"
    aliases: tuple[str, ...] = ("arrow",)
    extension: str = "arrows"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> ArrowWriter:
        return ArrowWriter(table)


class ArrowWriter(Writer):
    """Writes one stream."""

    def __init__(self, table: ResultTable) -> None:
        self._schema = pa.schema(map(_field, table.columns), voparquet_metadata(table))
        self._outlet = Outlet()

    def start(self) -> bytes:
        self._writer = pa.ipc.new_stream(self._outlet, self._schema)
        return self._outlet.take()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        if batch.num_rows:
            self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        return self._outlet.take()

    def end(self) -> tuple[bytes, ...]:
        self._writer.close()
        return (self._outlet.take(),)

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        nothing = pa.RecordBatch.from_pylist([], schema=self._schema)
        message = f"There are more rows than the {maxrec} given here"
        self._writer.write_batch(nothing, custom_metadata={"QUERY_STATUS": "OVERFLOW", "message": message})
        return self.end()

    def failure(self, message: str) -> Iterable[bytes]:
        raise QueryError(message)


def voparquet_metadata(table: ResultTable, *infos: Info) -> dict[str, str]:
    """What describes a table in the metadata of a file (VOParquet 1.0, section 2.2); `infos` are further ones."""
    return {
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": metadata_document(table, *infos).decode(),
    }


def _field(column: Column) -> pa.Field:
    """A column as a field, with its VOTable attributes as metadata."""
    attributes = {name: value for name in _ATTRIBUTES if (value := getattr(column, name))}
    return pa.field(column.name, arrow_type(column), metadata=attributes)
