"""Attached files: taken in under their checksum, and ranges of those that are elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vo_service.errors import NotFoundError, UsageError
from vo_service.files.register import Attachment
from vo_service.files.serve import file_response
from vo_service.files.storage import Stored, local_path, take_in

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def attached(stored: Stored) -> Attachment:
    return Attachment(
        1, "ev", "events", None, stored.name, "#auxiliary", "", "application/fits", None, stored.content_length,
        stored.sha256, stored.location, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip


class Client:
    """Asks for an attached file."""

    def __init__(self, attachment: Attachment, directory: Path) -> None:
        async def answer(request: Request) -> Response:
            return file_response(request, attachment, directory)

        self._app = Starlette(routes=[Route("/", answer)])

    def get(self, method: str = "GET", headers: dict[str, str] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, "/", headers=headers)

        return asyncio.run(ask())


def test_a_local_file_is_copied_under_its_checksum(tmp_path: Path) -> None:
    source, directory = tmp_path / "a.fits", tmp_path / "files"
    source.write_bytes(CONTENT)
    assert take_in(str(source), directory) == take_in(str(source), directory) == Stored("a.fits", 5120, SHA256, None)
    assert [path.name for path in directory.iterdir()] == [SHA256]
    source.unlink()
    assert local_path(SHA256, directory).read_bytes() == CONTENT
    with pytest.raises(NotFoundError):
        local_path("0" * 64, directory)


def test_a_file_at_a_url_stays_where_it_is(tmp_path: Path) -> None:
    source, directory = tmp_path / "a b.fits", tmp_path / "files"
    source.write_bytes(CONTENT)
    url = f"file://{source}"
    assert take_in(url, directory) == Stored("a b.fits", 5120, SHA256, url)
    assert not list(directory.iterdir())


@pytest.mark.parametrize("source", ["nothing.fits", ".", "file:///nothing/here", "nonsense://x/y", "memory://"])
def test_what_cannot_be_read_is_refused(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        take_in(source, tmp_path / "files")
    assert not list((tmp_path / "files").iterdir())


@pytest.fixture(params=["copied", "elsewhere"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """Answers with the file, which was copied, or stays in the memory file system of fsspec."""
    if request.param == "copied":
        source = str(tmp_path / "a.fits")
        Path(source).write_bytes(CONTENT)
    else:
        source = "memory://bucket/a.fits"
        with fsspec.open(source, "wb") as file:
            file.write(CONTENT)
    return Client(attached(take_in(source, tmp_path / "files")), tmp_path / "files")


def test_the_whole_file_has_its_length_checksum_and_date(client: Client) -> None:
    for answer in (client.get(), client.get("HEAD")):
        assert answer.status_code == 200
        assert answer.content in (CONTENT, b"")
        assert answer.headers["Content-Length"] == "5120"
        assert answer.headers["ETag"] == f'"{SHA256}"'
        assert answer.headers["Last-Modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
        assert answer.headers["Content-Type"] == "application/fits"
        assert answer.headers["Accept-Ranges"] == "bytes"
        digest = answer.headers["Repr-Digest"].removeprefix("sha-256=:").removesuffix(":")
        assert answer.headers["Digest"] == f"sha-256={digest}"
    assert client.get().content == CONTENT


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("0-0", 0, 1), ("100-199", 100, 200), ("5000-", 5000, 5120), ("-20", 5100, 5120), ("5000-9999", 5000, 5120)],
)
def test_a_range_is_that_part(client: Client, asked: str, first: int, end: int) -> None:
    answer = client.get(headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, CONTENT[first:end])
    assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/5120"
    assert answer.headers["Content-Length"] == str(end - first)


def test_a_range_beyond_the_end_is_refused(client: Client) -> None:
    answer = client.get(headers={"Range": "bytes=5120-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */5120")


def test_who_has_the_file_is_told_so(client: Client) -> None:
    assert client.get(headers={"If-None-Match": f'W/"{SHA256}"'}).status_code == 304
    assert client.get(headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_of_another_version_is_answered_by_the_whole(client: Client) -> None:
    part = {"Range": "bytes=0-9"}
    assert client.get(headers={**part, "If-Range": '"other"'}).status_code == 200
    assert client.get(headers={**part, "If-Range": f'"{SHA256}"'}).status_code == 206


def test_a_file_of_the_web_is_fetched_from_there(tmp_path: Path) -> None:
    attachment = attached(Stored("a.fits", 5120, SHA256, "https://example.org/a.fits"))

    found = Client(attachment, tmp_path).get()
    assert (found.status_code, found.headers["Location"]) == (307, "https://example.org/a.fits")
