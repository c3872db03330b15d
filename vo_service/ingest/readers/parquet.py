"""Parquet. Units, UCDs and descriptions are taken from the metadata of the fields, where writers put them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.base import FileColumn, damaged, pick


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
        return tuple(_column(field) for field in schema)

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return int(pyarrow.parquet.read_metadata(path).num_rows)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        pick(path, self.columns(path, options), names)
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=rows, columns=list(names))
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from None


def _column(field: pa.Field) -> FileColumn:
    words = {key.lower(): value.decode("utf-8", "replace") for key, value in (field.metadata or {}).items()}
    return FileColumn(
        field.name,
        field.type,
        unit=words.get(b"unit"),
        ucd=words.get(b"ucd"),
        description=words.get(b"description"),
    )
