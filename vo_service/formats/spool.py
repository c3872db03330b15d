"""Rows in a temporary file, for the formats that know their head only at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import pyarrow as pa

MEMORY_BYTES = 1_000_000
"""A spool of up to this size stays in memory."""


class Spool:
    """Keeps record batches of one schema, to be read again and again; the file is gone with `close`."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 (closed by close)
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep some rows; not after the first reading."""
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._file, batch.schema)
        self._writer.write_batch(batch)

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows from the first one, in the batches in which they came; of some columns, if these are given."""
        if self._writer is None:
            return
        self._writer.close()
        self._file.seek(0)
        options = pa.ipc.IpcReadOptions(included_fields=None if columns is None else list(columns))
        yield from pa.ipc.open_stream(self._file, options=options)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
