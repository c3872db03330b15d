"""Answers over a real socket: when the head leaves, where rows are cut, how failures are told, what disconnects do."""

from __future__ import annotations

import asyncio
import gzip
import io
import socket
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from vo_service.catalog.model import Column
from vo_service.dali.answer import WHOLE_BYTES, Answer, accepts_gzip
from vo_service.dali.endpoints import READ_OR_POST, endpoint
from vo_service.errors import QueryError
from vo_service.formats.base import ResultTable
from vo_service.formats.registry import find_format

COLUMNS = (Column("n", "long"), Column("x", "double"))
ROWS = 20_000
"""Rows of a batch: more bytes than an answer that is sent whole."""


def rows(start: int, count: int = ROWS) -> pa.RecordBatch:
    numbers = np.arange(start, start + count)
    return pa.RecordBatch.from_pydict({"n": numbers, "x": numbers / 3})


class Source:
    """Rows from a script: batches, and what happens between them."""

    def __init__(self, *script: pa.RecordBatch | Exception | asyncio.Event) -> None:
        self.script = script
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[pa.RecordBatch]]:
        try:
            yield self._batches()
        finally:
            self.closed.set()

    async def _batches(self) -> AsyncIterator[pa.RecordBatch]:
        for step in self.script:
            match step:
                case Exception():
                    raise step
                case asyncio.Event():
                    await step.wait()
                case _:
                    yield step


class Server(uvicorn.Server):
    """Leaves the signals of the process alone."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


Serve = Callable[..., Coroutine[Any, Any, httpx.AsyncClient]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a source at `/` by uvicorn; gives a client."""
    servers, tasks, clients = [], [], []

    async def start(source: Source, *, maxrec: int = 10**9, columns: tuple[Column, ...] = COLUMNS) -> httpx.AsyncClient:
        async def handler(request: Request) -> Response:
            choice = find_format(request.query_params.get("format"))
            answer = Answer(request, ResultTable(columns), choice, maxrec)
            if request.method != "HEAD":
                await answer.begin(source.open())
            return answer

        app = Starlette(routes=[endpoint("/", handler, READ_OR_POST)])
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=2))
        servers.append(server)
        tasks.append(asyncio.create_task(server.serve(sockets=[listener])))
        port = listener.getsockname()[1]
        clients.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20))
        return clients[-1]

    yield start
    for client in clients:
        await client.aclose()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


Spools = Callable[[], list[Path]]


@pytest.fixture
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spools:
    """Lists the temporary files, which have no names, that are open now."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def listed() -> list[Path]:
        files = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                files.append(descriptor.readlink())
        return [file for file in files if tmp_path in file.parents]

    return listed


def table_of(content: bytes) -> tuple[list[int], list[str]]:
    """The first column of a document, and the values of its QUERY_STATUS."""
    (resource,) = parse_votable(io.BytesIO(content)).resources
    states = [str(info.value) for info in resource.infos if info.name == "QUERY_STATUS"]
    return resource.tables[0].array["n"].tolist(), states


async def test_a_small_answer_has_its_length(serve: Serve) -> None:
    source = Source(rows(0, 3), rows(3, 2))
    answer = await (await serve(source)).get("/", headers={"accept-encoding": "identity"})
    assert table_of(answer.content) == ([0, 1, 2, 3, 4], ["OK"])
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-disposition"] == 'inline; filename="result.vot"'
    assert answer.headers["vary"] == "Accept-Encoding"
    assert source.closed.is_set()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_first_rows_leave_before_the_last_ones_are_there(serve: Serve, encoding: str) -> None:
    more = asyncio.Event()
    client = await serve(Source(rows(0), more, rows(ROWS)))
    async with client.stream("GET", "/?format=votable/td", headers={"accept-encoding": encoding}) as answer:
        chunks = answer.aiter_bytes()
        content = b""
        while b"<TD>19999</TD>" not in content:
            content += await anext(chunks)
        assert not more.is_set()
        more.set()
        content += b"".join([chunk async for chunk in chunks])
    assert answer.headers["transfer-encoding"] == "chunked"
    assert table_of(content) == (list(range(2 * ROWS)), ["OK"])


@pytest.mark.parametrize(
    ("maxrec", "expected", "states"),
    [
        (2 * ROWS, 2 * ROWS, ["OK"]),
        (2 * ROWS - 1, 2 * ROWS - 1, ["OK", "OVERFLOW"]),
        (ROWS, ROWS, ["OK", "OVERFLOW"]),
        (1, 1, ["OK", "OVERFLOW"]),
    ],
)
async def test_where_rows_are_cut(serve: Serve, maxrec: int, expected: int, states: list[str]) -> None:
    source = Source(rows(0), rows(ROWS))
    client = await serve(source, maxrec=maxrec)
    assert table_of((await client.get("/")).content) == (list(range(expected)), states)
    await asyncio.wait_for(source.closed.wait(), 10)


@pytest.mark.parametrize("name", ["votable", "csv"])
async def test_a_failure_before_anything_was_sent_is_an_error_document(serve: Serve, name: str) -> None:
    source = Source(rows(0, 10), QueryError("division by zero"))
    answer = await (await serve(source)).get("/", params={"format": name})
    assert answer.status_code == 400
    assert b"division by zero" in answer.content
    assert b"<TABLE" not in answer.content
    assert source.closed.is_set()


async def test_rows_that_cannot_be_written_are_an_error_document(serve: Serve) -> None:
    columns = (Column("n", "char", "1"),)
    client = await serve(Source(pa.RecordBatch.from_pydict({"n": ["too long"]})), columns=columns)
    answer = await client.get("/")
    assert answer.status_code == 400
    assert b"strings of 1 characters" in answer.content


async def test_a_failure_afterwards_is_told_at_the_end(serve: Serve) -> None:
    answer = await (await serve(Source(rows(0), QueryError("<timeout>")))).get("/")
    assert answer.status_code == 200
    assert table_of(answer.content) == (list(range(ROWS)), ["OK", "ERROR"])
    assert b"&lt;timeout&gt;" in answer.content


async def test_an_unexpected_failure_is_logged_and_not_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    answer = await (await serve(Source(rows(0), RuntimeError("secret")))).get("/")
    assert table_of(answer.content)[1] == ["OK", "ERROR"]
    assert b"secret" not in answer.content
    assert "secret" in caplog.text


async def test_a_failure_in_csv_breaks_the_transfer(serve: Serve) -> None:
    client = await serve(Source(rows(0), QueryError("broken")))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/", params={"format": "csv"})


async def test_a_format_that_knows_its_head_at_the_end_tells_of_failures_in_error_documents(
    serve: Serve, spools: Spools
) -> None:
    client = await serve(Source(*[rows(i * ROWS) for i in range(5)], QueryError("broken")))
    answer = await client.get("/", params={"format": "fits"})
    assert answer.status_code == 400
    assert b"broken" in answer.content
    assert spools() == []


async def test_such_a_format_leaves_in_pieces(serve: Serve, spools: Spools) -> None:
    client = await serve(Source(*[rows(i * ROWS) for i in range(20)]), maxrec=19 * ROWS)
    answer = await client.get("/", params={"format": "fits"})
    assert answer.headers["transfer-encoding"] == "chunked"
    with fits.open(io.BytesIO(answer.content)) as hdus:
        assert hdus[1].header["QSTATUS"] == "OVERFLOW"
        assert np.array_equal(hdus[1].data["n"], np.arange(19 * ROWS))
    assert spools() == []


@pytest.mark.parametrize("left", ["while rows come", "while it reads"])
async def test_a_client_that_leaves_lets_the_temporary_file_go(serve: Serve, spools: Spools, left: str) -> None:
    many = [rows(i * 10 * ROWS, 10 * ROWS) for i in range(20)]
    source = Source(*many, asyncio.Event()) if left == "while rows come" else Source(*many)
    client = await serve(source)
    with suppress(httpx.ReadTimeout):
        async with client.stream("GET", "/?format=fits", timeout=2) as answer:
            await anext(answer.aiter_raw())
            assert spools() != []
    await asyncio.wait_for(source.closed.wait(), 10)
    for _ in range(1000):
        if not spools():
            return
        await asyncio.sleep(0.01)
    pytest.fail("The temporary file is still open")


@pytest.mark.parametrize("left", ["while it waits for the first rows", "while it reads"])
async def test_a_client_that_leaves_closes_the_stream_of_rows(serve: Serve, left: str) -> None:
    never = asyncio.Event()
    source = Source(never) if left.endswith("first rows") else Source(rows(0), never)
    client = await serve(source)
    with suppress(httpx.ReadTimeout):
        async with client.stream("GET", "/", timeout=0.5) as answer:
            async for _ in answer.aiter_raw():
                pass
    await asyncio.wait_for(source.closed.wait(), 10)


async def test_gzip(serve: Serve) -> None:
    client = await serve(Source(rows(0), rows(ROWS)))
    async with client.stream("GET", "/?format=csv", headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) < 2 * ROWS * 20
    assert gzip.decompress(packed).count(b"\n") == 2 * ROWS + 1
    assert zlib.decompressobj(31).decompress(packed[: len(packed) // 2]).startswith(b"n,x\n0,0\n1,0.3333")


async def test_the_event_loop_stays_free(serve: Serve) -> None:
    """While large batches are written the loop runs: a task that sleeps for moments wakes in between."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    client = await serve(Source(*[rows(0, 400_000)]))
    counting = asyncio.create_task(count())
    await client.get("/?format=csv", headers={"accept-encoding": "gzip"})
    counting.cancel()
    assert turns > 100


async def test_head_opens_nothing(serve: Serve) -> None:
    source = Source(RuntimeError("opened"))
    answer = await (await serve(source)).head("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-votable+xml"
    assert answer.content == b""
    assert not source.closed.is_set()


def test_an_answer_sent_whole_is_small() -> None:
    assert WHOLE_BYTES < ROWS * 16  # or the tests above test something else


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=1.0, identity; q=0.5", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, deflate", False),
        ("gzipped", False),
    ],
)
def test_who_reads_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
