"""Parquet. Units, UCDs and descriptions are taken from a VOTable in the metadata of the file (VOParquet 1.0, section
2.2), else from the metadata of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.base import FileColumn, damaged, names_of_their_own, pick
from vo_service.ingest.readers.votable_head import Field, scan

_VOTABLE = b"IVOA.VOTable-Parquet.content"

_BUFFER_BYTES = 1 << 20
"""Of each column, read at once."""


class ParquetReader:
    """Parquet files, by row groups."""

    name = "parquet"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"PAR1")

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        try:
            schema = pyarrow.parquet.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from None
        names = names_of_their_own(schema.names)
        described = _described(path, schema)
        return tuple(_column(field, name, described.get(field.name)) for field, name in zip(schema, names, strict=True))

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return int(pyarrow.parquet.read_metadata(path).num_rows)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        columns = self.columns(path, options)
        pick(path, columns, names)
        try:
            # Without further words, all of the file would be in memory at the end.
            with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
                all_names = [column.name for column in columns]
                # Parquet goes by names: where they are not those of the file, all columns have to be read.
                wanted = list(names) if all_names == file.schema_arrow.names else None
                for batch in file.iter_batches(batch_size=rows, columns=wanted):
                    yield batch if wanted else batch.rename_columns(all_names).select(names)
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from None


def _described(path: Path, schema: pa.Schema) -> dict[str, Field]:
    """The fields of the VOTable that describes the columns, by name."""
    document = (schema.metadata or {}).get(_VOTABLE)
    tables = scan(path, document).tables if document else []
    return {field.name: field for table in tables for field in table.fields}


def _column(field: pa.Field, name: str, described: Field | None) -> FileColumn:
    if described is not None:
        about = (described.unit, described.ucd, described.utype, described.xtype, described.description)
        return FileColumn(name, field.type, *about)
    words = {key.lower(): value.decode("utf-8", "replace") for key, value in (field.metadata or {}).items()}
    return FileColumn(
        name,
        field.type,
        unit=words.get(b"unit"),
        ucd=words.get(b"ucd"),
        utype=words.get(b"utype"),
        xtype=words.get(b"xtype"),
        description=words.get(b"description"),
    )
