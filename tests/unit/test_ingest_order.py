"""Rows in the order of their keys, in memory and by way of files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vo_service.ingest import order
from vo_service.ingest.order import in_order
from vo_service.ingest.prefetch import prefetch


def batches(keys: list[int | None], size: int) -> list[pa.RecordBatch]:
    """Rows that tell their key and place, of different lengths."""
    rows = [f"{key}:{place}{'x' * (place % 7)}" for place, key in enumerate(keys)]
    whole = pa.record_batch({"row": rows, "place": list(range(len(keys))), "key": pa.array(keys, pa.int64())})
    return [whole[start : start + size] for start in range(0, len(keys), size)]


def read(found: Iterable[pa.RecordBatch]) -> list[tuple[str, int, int | None]]:
    return [tuple(row.values()) for batch in found for row in batch.to_pylist()]


@pytest.mark.parametrize("limit", [1 << 20, 5_000, 400, 10])
@pytest.mark.parametrize("lowest", [0, -1, -(10**15)])
@pytest.mark.parametrize("spread", [1, 5, 10**15])
def test_sorted_as_python_sorts(monkeypatch: pytest.MonkeyPatch, limit: int, lowest: int, spread: int) -> None:
    monkeypatch.setattr(order, "BLOCK_ROWS", 16)
    keys = (np.random.default_rng(3).integers(0, spread, 1_000) + lowest).tolist()
    found = read(in_order(batches(keys, 50), limit))
    assert [key for _, _, key in found] == sorted(keys)
    assert sorted(found) == sorted(read(batches(keys, 50)))


def test_keys_close_together_far_from_others() -> None:
    """So close that all but two of them have the same leading bits."""
    keys = [0, 12 * 4**29, *np.random.default_rng(5).integers(10**17, 10**17 + 1_000, 50_000).tolist()]
    assert [key for _, _, key in read(in_order(batches(keys, 20_000)))] == sorted(keys)


@pytest.mark.parametrize("limit", [1 << 20, 400])
def test_rows_without_a_key_come_first(limit: int) -> None:
    keys = [None if place % 3 else place for place in range(100, 0, -1)]
    found = [key for _, _, key in read(in_order(batches(keys, 10), limit))]
    assert found == [None] * 67 + sorted(key for key in keys if key is not None)


def test_nothing() -> None:
    assert list(in_order([])) == []
    assert list(in_order([batches([1], 1)[0][:0]])) == []


def test_blocks_of_long_rows_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BLOCK_BYTES", 1_000)
    found = list(in_order(batches(list(range(1_000)), 100)))
    assert max(batch.nbytes for batch in found) < 1_500


def test_slices_of_larger_arrays() -> None:
    assert [place for _, place, _ in read(in_order(batches(list(range(20, 0, -1)), 5)))] == list(range(19, -1, -1))


def test_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = in_order(batches(list(range(1000)), 50), 5000)
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
    some.close()
    assert closed == [True, True]
    assert list(prefetch(iter([1, 2]))) == [1, 2]
