"""Rows in the order of a key, whatever their number.

What fits into one run is sorted in memory. Beyond that, sorted runs go to temporary files and are merged, so that the
memory needed is that of one run. The rows come in Arrow record batches, of which the last column is the key (int64).
They are sorted column by column, which takes half the memory, and time, of rows that are encoded for the database.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vo_service.database.tuning import machine_memory

Keys = NDArray[np.int64]
Places = NDArray[np.int64]

BLOCK_ROWS = 16_384
BLOCK_BYTES = 8 << 20
"""Rows that are given, and read back from a run, at once, at most; and the size that they should not exceed."""

_PARTS = 16
"""Parts in which a run is gathered."""

_COARSE_BITS = 16
"""Bits of a key by which all rows are sorted first: as many as numpy sorts by in linear time."""

_NO_KEY = -1
"""Stands for a key that is missing; no HEALPix index is as low."""


def run_bytes() -> int:
    """Bytes of rows that are sorted in memory at once."""
    return int(min(512 << 20, machine_memory() // 16))


def in_order(batches: Iterable[pa.RecordBatch], limit: int | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of all batches in the order of their last column, those without a key first.

    `limit` is the size of a run in bytes; about one and a half times as much memory is needed. Longer input needs as
    much space for temporary files as the rows have, in the directory that TMPDIR names (which had better not be in
    memory itself).
    """
    limit = limit or run_bytes()
    with ExitStack() as stack:
        runs: list[Iterator[pa.RecordBatch]] = []
        run: list[pa.RecordBatch] = []
        size = 0
        for batch in _larger(batches, limit // _PARTS):
            if run and size + batch.nbytes > limit:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vo-service-")))
                runs.append(_spill(_sorted_run(run), directory / "run.arrow"))
                size = 0
            run.append(batch)
            size += batch.nbytes
        if run:
            runs.append(_sorted_run(run))
        yield from runs[0] if len(runs) == 1 else _merge(runs)


def _larger(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches of this size or more. Memory in pieces so large goes back to the system once it is free."""
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            parts.append(batch)
        if sum(part.nbytes for part in parts) > size:
            yield pa.concat_batches(parts)
            parts = []
    if parts:
        yield pa.concat_batches(parts)


def _sorted_run(run: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of the batches in order. The list is emptied, to let go of their memory."""
    schema = run[0].schema
    block_rows = _block_rows(run)
    parts = [batch.columns for batch in run]
    run.clear()
    whole = []
    for _ in schema:
        # One column after the other, so that only one at a time is there twice.
        whole.append(pa.concat_arrays([columns.pop(0) for columns in parts]))
        pa.default_memory_pool().release_unused()
    for places in _sorted_places(_keys(whole[-1]), block_rows):
        taken = pa.array(places)
        yield pa.RecordBatch.from_arrays([column.take(taken) for column in whole], schema=schema)


def _block_rows(run: list[pa.RecordBatch]) -> int:
    row_bytes = sum(int(batch.nbytes) for batch in run) / sum(len(batch) for batch in run)
    return max(1, min(BLOCK_ROWS, int(BLOCK_BYTES / row_bytes)))


def _keys(column: pa.Array) -> Keys:
    keys: Keys = (column.fill_null(_NO_KEY) if column.null_count else column).to_numpy()
    return keys


def _sorted_places(keys: Keys, block_rows: int) -> Iterator[Places]:
    """The places of the keys (at least one) in their order, so many at a time.

    All are sorted by their leading bits. The rest is done block by block, in the caches, and only when a block is
    wanted: the first rows are there before the last ones are sorted.
    """
    lowest = int(keys.min())
    shift = max(0, (int(keys.max()) - lowest).bit_length() - _COARSE_BITS)
    coarse = keys - lowest
    coarse >>= shift
    coarse = coarse.astype(np.uint16)
    order = np.argsort(coarse, kind="stable")
    ends = np.cumsum(np.bincount(coarse))
    start = 0
    while start < len(order):
        end = int(ends[np.searchsorted(ends, min(start + block_rows, len(order)))])
        places = order[start:end]
        places = places[np.argsort(keys[places], kind="stable")]
        for first in range(0, len(places), block_rows):
            yield places[first : first + block_rows]
        start = end


def _spill(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Write a run to a file; gives what reads it again."""
    first = next(batches)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)
    return _read_run(path)


def _read_run(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        yield from reader


def _merge(runs: list[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """One sorted sequence of several.

    At each step, all rows up to the smallest of the last keys at hand can go: what has not been read yet comes later.
    """
    left = [(head, run) for run in runs if (head := next(run, None)) is not None]
    while left:
        limit = min(_keys(head[-1])[-1] for head, _ in left)
        ready: list[pa.RecordBatch] = []
        remaining: list[tuple[pa.RecordBatch, Iterator[pa.RecordBatch]]] = []
        for head, run in left:
            count = int(np.searchsorted(_keys(head[-1]), limit, side="right"))
            ready.append(head[:count])
            rest = head[count:] if count < head.num_rows else next(run, None)
            if rest is not None:
                remaining.append((rest, run))
        left = remaining
        together = pa.concat_batches(ready)
        order = np.argsort(_keys(together[-1]), kind="stable")
        yield together.take(pa.array(order))
