"""Attached files: taken in under their checksum, and ranges of those that are elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import os
import zipfile
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vo_service.dali.errors import error_response
from vo_service.errors import NotFoundError, ServiceError, UsageError
from vo_service.files.register import Attachment
from vo_service.files.serve import file_response
from vo_service.files.storage import Stored, open_attached, take_in

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def attached(stored: Stored) -> Attachment:
    return Attachment(
        1, "ev", "events", None, stored.name, "#auxiliary", "", "application/fits", None, stored.content_length,
        stored.sha256, stored.location, datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC), stored.fingerprint,
    )  # fmt: skip


class Client:
    """Asks for an attached file."""

    def __init__(self, attachment: Attachment, directory: Path) -> None:
        async def answer(request: Request) -> Response:
            try:
                return await file_response(request, attachment, directory)
            except ServiceError as error:
                return error_response(error)

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
    with open_attached(attached(Stored("a.fits", 5120, SHA256, None)), directory).file as file:
        assert file.read() == CONTENT
    with pytest.raises(NotFoundError):
        open_attached(attached(Stored("a.fits", 5120, "0" * 64, None)), directory)


def test_a_file_at_a_url_stays_where_it_is(tmp_path: Path) -> None:
    source, directory = tmp_path / "a b.fits", tmp_path / "files"
    source.write_bytes(CONTENT)
    url = f"file://{source}"
    stored = take_in(url, directory)
    assert stored == Stored("a b.fits", 5120, SHA256, url, f"mtime {source.stat().st_mtime}")
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


@pytest.mark.parametrize(
    "asked",
    ["lines=1-2", "bytes=5-2", "bytes=-", "bytes=", "bytes=a-b", "bytes=0-9,20-29", "bytes 0-9", f"bytes={'9' * 99}-"],
)
def test_what_is_no_range_or_several_is_answered_by_the_whole(client: Client, asked: str) -> None:
    answer = client.get(headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


def test_units_of_ranges_are_written_in_any_case_and_asked_for_by_get_alone(client: Client) -> None:
    assert client.get(headers={"Range": "Bytes=0-9"}).content == CONTENT[:10]
    head = client.get("HEAD", {"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "5120")


BEFORE, THEN, AFTER = (f"Fri, 02 Jan 2026 03:04:0{second} GMT" for second in (4, 5, 6))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": f'W/"{SHA256}"'}, 304),
        ({"If-None-Match": f'"a,b", "{SHA256}"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": AFTER}, 200),
        ({"If-Modified-Since": THEN}, 304),
        ({"If-Modified-Since": "Friday, 02-Jan-26 03:04:05 GMT"}, 304),
        ({"If-Modified-Since": BEFORE}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": f'"{SHA256}"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f'W/"{SHA256}"'}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"other"', "If-None-Match": "*"}, 412),
        ({"If-Match": f'"{SHA256}"', "If-Unmodified-Since": BEFORE}, 200),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": THEN}, 200),
        ({"If-Unmodified-Since": "yesterday"}, 200),
    ],
)
def test_conditions_are_kept(client: Client, headers: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        answer = client.get(method, headers)
        assert (answer.status_code, answer.headers["ETag"]) == (status, f'"{SHA256}"')
        assert answer.content == (CONTENT if (method, status) == ("GET", 200) else b"")


def test_a_range_of_another_version_is_answered_by_the_whole(client: Client) -> None:
    part = {"Range": "bytes=0-9"}
    assert client.get(headers={**part, "If-Range": '"other"'}).status_code == 200
    assert client.get(headers={**part, "If-Range": f'"{SHA256}"'}).status_code == 206


def archive(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("in/x.html", content)
    return packed.getvalue()


@pytest.mark.parametrize("chain", ["", "zip://in/x.html::"])
def test_a_file_elsewhere_is_served_as_it_was_when_it_was_attached_or_not_at_all(
    chain: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, pack = tmp_path / "a.fits", archive if chain else bytes
    source.write_bytes(pack(CONTENT))
    client = Client(attached(take_in(f"{chain}file://{source}", tmp_path / "files")), tmp_path / "files")
    assert client.get().content == CONTENT

    for changed in (CONTENT[::-1], CONTENT[:-1]):
        source.write_bytes(pack(changed))
        os.utime(source, (1e9, 1e9))
        for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
            answer = client.get(headers=headers)
            assert (answer.status_code, "changed" in answer.text, "ETag" in answer.headers) == (503, True, False)
    source.unlink()
    answer = client.get()
    assert (answer.status_code, str(tmp_path) in answer.text) == (404, False)
    assert "Traceback" not in caplog.text


def test_a_copy_that_was_cut_is_not_served(tmp_path: Path) -> None:
    source = tmp_path / "a.fits"
    source.write_bytes(CONTENT)
    stored = take_in(str(source), tmp_path / "files")
    (tmp_path / "files" / SHA256).write_bytes(CONTENT[:-1])
    assert Client(attached(stored), tmp_path / "files").get().status_code == 503


def test_a_file_that_ends_while_it_is_sent_leaves_the_answer_without_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, directory = tmp_path / "a.fits", tmp_path / "files"
    source.write_bytes(CONTENT)
    attachment = attached(take_in(f"file://{source}", directory))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "headers": [], "path": "/"}
        answer = await file_response(Request(scope), attachment, directory)
        os.truncate(source, 100)
        await answer(scope, receive, send)

    with caplog.at_level(logging.WARNING):
        asyncio.run(ask())
    assert sent[0]["status"] == 200
    assert all(message["more_body"] for message in sent[1:])
    assert "ended 5020 bytes before its end" in caplog.text


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_what_is_no_regular_file_is_refused(form: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UsageError, match="no regular file"):
            take_in(form.format(source), tmp_path / "files")


def test_the_first_of_a_chain_of_file_systems_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(archive(CONTENT))
    assert take_in(f"zip://in/x.html::file://{tmp_path}/z.zip", tmp_path / "files").name == "x.html"
    assert take_in(f"simplecache::file://{tmp_path}/z.zip", tmp_path / "files").name == "z.zip"


@pytest.mark.parametrize("name", ["a\nb", "a\x7f", "a\udcff", "..", "x" * 256])
def test_names_that_no_address_can_end_with_are_refused(name: str, tmp_path: Path) -> None:
    for source in (f"{tmp_path}/{name}", f"memory://bucket/{name}"):
        with pytest.raises(UsageError):
            take_in(source, tmp_path / "files")


def test_a_file_of_the_web_is_fetched_from_there(tmp_path: Path) -> None:
    attachment = attached(Stored("a.fits", 5120, SHA256, "https://example.org/a.fits"))

    found = Client(attachment, tmp_path).get()
    assert (found.status_code, found.headers["Location"]) == (307, "https://example.org/a.fits")
