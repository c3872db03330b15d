"""Documents from record batches: where they are cut, what is passed on, what happens to those who leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

import pyarrow as pa
import pytest

from vo_service.errors import QueryError
from vo_service.formats.base import Writer
from vo_service.formats.document import document
from vo_service.threads import THREAD_BYTES, in_thread


class Log(Writer):
    """Writes what it was asked to, and in which thread."""

    def __init__(self, *, spooled: bool = False) -> None:
        self._spooled = spooled
        self.threads: list[threading.Thread] = []

    def start(self) -> bytes:
        return b"start "

    def batch(self, batch: pa.RecordBatch) -> bytes:
        self.threads.append(threading.current_thread())
        return f"{batch.num_rows} ".encode()

    def end(self) -> Iterable[bytes]:
        return self._pieces(b"end") if self._spooled else (b"end",)

    def overflow(self, maxrec: int) -> Iterable[bytes]:
        text = f"overflow {maxrec}".encode()
        return self._pieces(text) if self._spooled else (text,)

    def failure(self, message: str) -> Iterable[bytes]:
        raise QueryError(message)

    def _pieces(self, text: bytes) -> Iterator[bytes]:
        for start in range(0, len(text), 2):
            self.threads.append(threading.current_thread())
            yield text[start : start + 2]


async def batches(*sizes: int) -> AsyncIterator[pa.RecordBatch]:
    for size in sizes:
        yield pa.RecordBatch.from_pydict({"n": pa.array(range(size), pa.int32())})


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize(
    ("sizes", "maxrec", "expected"),
    [
        ((), 10, b"start end"),
        ((3, 4), 10, b"start 3 4 end"),
        ((3, 4), 7, b"start 3 4 end"),
        ((3, 4, 0), 7, b"start 3 4 0 end"),
        ((3, 4), 6, b"start 3 3 overflow 6"),
        ((3, 4), 3, b"start 3 0 overflow 3"),
        ((3, 4, 5), 2, b"start 2 overflow 2"),
    ],
)
async def test_where_documents_are_cut(sizes: tuple[int, ...], maxrec: int, expected: bytes, spooled: bool) -> None:
    writer = Log(spooled=spooled)
    assert b"".join([piece async for piece in document(writer, batches(*sizes), maxrec)]) == expected


async def test_without_batches_it_is_cut_before_its_first_row() -> None:
    assert b"".join([piece async for piece in document(Log(), None, 0)]) == b"start overflow 0"


async def test_large_batches_and_pieces_of_a_spool_are_made_in_threads() -> None:
    writer = Log(spooled=True)
    enough = THREAD_BYTES // 4
    async for _ in document(writer, batches(enough - 1, enough), 10**6):
        pass
    here = threading.current_thread()
    assert [thread is here for thread in writer.threads] == [True, False, False, False]


async def test_what_batches_raise_is_passed_on() -> None:
    async def broken() -> AsyncIterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"n": [1]})
        raise QueryError("broken")

    pieces = document(Log(), broken(), 10)
    assert [await anext(pieces), await anext(pieces)] == [b"start ", b"1 "]
    with pytest.raises(QueryError, match="broken"):
        await anext(pieces)


async def test_who_is_cancelled_waits_for_the_thread() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(20)
        ended.set()

    working = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 20)
    working.cancel()
    await asyncio.sleep(0)
    assert not working.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ended.is_set()
