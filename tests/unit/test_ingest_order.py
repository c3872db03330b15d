"""Rows in the order of their keys, in memory and by way of files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vo_service.ingest import order
from vo_service.ingest.order import Block, in_order, row_bytes
from vo_service.ingest.prefetch import prefetch


def blocks(keys: list[int], size: int) -> list[Block]:
    """Rows that tell their key and place, of different lengths."""
    rows = [f"{key}:{place}{'x' * (place % 7)};".encode() for place, key in enumerate(keys)]
    return [
        Block(np.array(keys[start : start + size], np.int64), pa.array(rows[start : start + size], pa.binary()))
        for start in range(0, len(keys), size)
    ]


@pytest.mark.parametrize("limit", [1 << 20, 5_000, 400, 10])
@pytest.mark.parametrize("spread", [1, 5, 10**15])
def test_sorted_as_python_sorts(monkeypatch: pytest.MonkeyPatch, limit: int, spread: int) -> None:
    monkeypatch.setattr(order, "BLOCK_ROWS", 16)
    keys = np.random.default_rng(3).integers(0, spread, 1_000).tolist()
    found = b"".join(bytes(row_bytes(rows)) for rows in in_order(blocks(keys, 50), limit)).split(b";")[:-1]
    assert [int(row.split(b":")[0]) for row in found] == sorted(keys)
    assert sorted(found) == sorted(row[:-1] for block in blocks(keys, 50) for row in block.rows.to_pylist())


def test_nothing() -> None:
    assert list(in_order([])) == []


def test_slices_of_larger_arrays() -> None:
    whole = blocks(list(range(20, 0, -1)), 20)[0]
    parts = [Block(whole.keys[start : start + 5], whole.rows.slice(start, 5)) for start in range(0, 20, 5)]
    found = b"".join(bytes(row_bytes(rows)) for rows in in_order(parts))
    assert found == b"".join(reversed(whole.rows.to_pylist()))


def test_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = in_order(blocks(list(range(1000)), 50), 1000)
    next(rows)
    assert list(tmp_path.iterdir())
    rows.close()  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


def test_prefetch_gives_items_errors_and_an_end() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(5)
            raise LookupError("no more")
        finally:
            closed.append(True)

    with pytest.raises(LookupError, match="no more"):
        list(prefetch(items()))
    some = prefetch(items())
    assert next(some) == 0
    some.close()  # type: ignore[attr-defined]
    assert closed == [True, True]
    assert list(prefetch(iter([1, 2]))) == [1, 2]
