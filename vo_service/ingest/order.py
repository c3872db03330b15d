"""Rows in the order of a key, whatever their number.

What fits into one run is sorted in memory. Beyond that, sorted runs go to temporary files and are merged, so that the
memory needed is that of one run. Rows are byte strings that are no longer looked into.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vo_service.database.tuning import machine_memory

Keys = NDArray[np.int64]

BLOCK_ROWS = 16_384
"""Rows that are written, and read back from a run, at once."""


class Block(NamedTuple):
    """Some rows and their keys."""

    keys: Keys
    rows: pa.Array
    """Byte strings (Arrow binary or large binary), without nulls."""


def run_bytes() -> int:
    """Bytes of rows that are sorted in memory at once. Longer runs take more memory, and no less time."""
    return int(min(256 << 20, machine_memory() // 16))


def in_order(blocks: Iterable[Block], limit: int | None = None) -> Iterator[pa.Array]:
    """The rows of all blocks in the order of their keys.

    `limit` is the size of a run in bytes, and about the memory that is needed. Longer input needs as much space for
    temporary files as the rows have, in the directory that TMPDIR names (which had better not be in memory itself).
    """
    with ExitStack() as stack:
        runs: list[Iterator[Block]] = []
        run = _Run(limit or run_bytes())
        for block in blocks:
            if not run.fits(block):
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vo-service-")))
                runs.append(_spill(run.sorted_blocks(), directory / "run.arrow"))
            run.add(block)
        runs.append(run.sorted_blocks())
        for block in runs[0] if len(runs) == 1 else _merge(runs):
            yield block.rows


class _Run:
    """Rows in memory, one after the other in a buffer of which only what is used takes up memory."""

    def __init__(self, limit: int) -> None:
        self._data = np.empty(limit, np.uint8)
        self.clear()

    def clear(self) -> None:
        self._used = 0
        self._keys: list[Keys] = []
        self._ends: list[NDArray[np.int64]] = []

    def fits(self, block: Block) -> bool:
        return not self._keys or self._used + _data(block.rows).size <= self._data.size

    def add(self, block: Block) -> None:
        data = _data(block.rows)
        if self._used + data.size > self._data.size:
            # A single block that is larger than a run.
            self._data = np.empty(data.size, np.uint8)
        self._data[self._used : self._used + data.size] = data
        offsets = _offsets(block.rows)
        self._ends.append(offsets[1:] + (self._used - offsets[0]))
        self._keys.append(block.keys)
        self._used += data.size

    def sorted_blocks(self) -> Iterator[Block]:
        """The rows in order; the run has none any more then."""
        keys = np.concatenate(self._keys or [np.empty(0, np.int64)])
        offsets = np.concatenate([np.zeros(1, np.int64), *self._ends])
        self.clear()
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data)]
        rows = pa.Array.from_buffers(pa.large_binary(), len(keys), buffers)
        order = np.argsort(keys, kind="stable")
        for start in range(0, len(order), BLOCK_ROWS):
            places = order[start : start + BLOCK_ROWS]
            yield Block(keys[places], rows.take(pa.array(places)))


def row_bytes(rows: pa.Array) -> memoryview:
    """The rows, one after the other."""
    return _data(rows).data


def _offsets(rows: pa.Array) -> NDArray[np.int64]:
    kind = np.int64 if pa.types.is_large_binary(rows.type) else np.int32
    offsets = np.frombuffer(rows.buffers()[1], kind)[rows.offset : rows.offset + len(rows) + 1]
    return offsets.astype(np.int64)


def _data(rows: pa.Array) -> NDArray[np.uint8]:
    offsets = _offsets(rows)
    return np.frombuffer(rows.buffers()[2], np.uint8)[int(offsets[0]) : int(offsets[-1])]


def _spill(blocks: Iterator[Block], path: Path) -> Iterator[Block]:
    """Write a run to a file; gives what reads it again."""
    schema = pa.schema([("key", pa.int64()), ("row", pa.large_binary())])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for block in blocks:
            writer.write_batch(pa.RecordBatch.from_arrays([pa.array(block.keys), block.rows], schema=schema))
    return _read_run(path)


def _read_run(path: Path) -> Iterator[Block]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield Block(batch.column(0).to_numpy(), batch.column(1))


def _merge(runs: list[Iterator[Block]]) -> Iterator[Block]:
    """One sorted sequence of several.

    At each step, all rows up to the smallest of the last keys at hand can go: what has not been read yet comes later.
    """
    heads = [(next(run, None), run) for run in runs]
    left = [(head, run) for head, run in heads if head is not None]
    while left:
        limit = min(head.keys[-1] for head, _ in left)
        ready: list[Block] = []
        remaining: list[tuple[Block, Iterator[Block]]] = []
        for head, run in left:
            count = int(np.searchsorted(head.keys, limit, side="right"))
            ready.append(Block(head.keys[:count], head.rows[:count]))
            rest = Block(head.keys[count:], head.rows[count:]) if count < len(head.keys) else next(run, None)
            if rest is not None:
                remaining.append((rest, run))
        left = remaining
        keys = np.concatenate([block.keys for block in ready])
        order = np.argsort(keys, kind="stable")
        yield Block(keys[order], pa.concat_arrays([block.rows for block in ready]).take(pa.array(order)))
