"""Parquet. Units, UCDs and descriptions are taken from the metadata of the fields, where writers put them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.base import FileColumn, damaged, names_of_their_own, pick


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
        return tuple(_column(field, name) for field, name in zip(schema, names, strict=True))

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return int(pyarrow.parquet.read_metadata(path).num_rows)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        columns = self.columns(path, options)
        pick(path, columns, names)
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                all_names = [column.name for column in columns]
                # Parquet goes by names: where they are not those of the file, all columns have to be read.
                wanted = list(names) if all_names == file.schema_arrow.names else None
                for batch in file.iter_batches(batch_size=rows, columns=wanted):
                    yield batch if wanted else batch.rename_columns(all_names).select(names)
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from None


def _column(field: pa.Field, name: str) -> FileColumn:
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
