"""UPLOAD: what it may say, files that come in forms, and what is fetched from where."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from starlette.requests import Request

from tests.unit.test_dali_parameters import multipart, request
from vo_service.dali.fetch import REDIRECTS, FetchLimits, fetch, is_public
from vo_service.dali.forms import BODY_LIMIT, discard_files
from vo_service.dali.parameters import Parameters, read_parameters
from vo_service.dali.uploads import UPLOADS_LIMIT, Upload, read_uploads
from vo_service.errors import TooLargeError, UsageError

FORM = "multipart/form-data; boundary=x"


def form(*parts: tuple[bytes, bytes]) -> Request:
    return request("", multipart(*parts), FORM)


# Files in forms ------------------------------------------------------------------------------------------------------


async def test_files_go_to_disk() -> None:
    content = bytes(range(256)) * 1000 + b"\r\n--y\r\n-"
    asked = form(
        (b'name="t"; filename="a/b/My Table.csv"', content), (b'name="Q"', b"1"), (b'name="u"; filename=""', b"")
    )
    parameters = await read_parameters(asked, file_limit=len(content))
    assert parameters.one("q") == "1"
    assert list(parameters.files) == ["t", "u"]
    assert parameters.files["t"].read_bytes() == content
    assert [path.suffix for path in parameters.files.values()] == [".csv", ""]
    assert parameters.files["u"].read_bytes() == b""
    discard_files(asked.scope)
    assert not parameters.files["t"].parent.exists()


@pytest.mark.parametrize("chunk", [1, 7, 64])
async def test_a_file_in_small_pieces(chunk: int) -> None:
    boundary = "<<<--------------MULTIPART-BOUNDARY------->>>"
    content = b"x\r\n--<<<-\r\n\r\ny"
    body = (
        b'\r\n--%b\r\nContent-Disposition: form-data; name="upload_mine"; filename="upload_mine"\r\n'
        b"Content-Type: application/x-votable+xml\r\n\r\n%b\r\n--%b--\r\n"
    ) % (boundary.encode(), content, boundary.encode())
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    asked = request("", pieces, f'multipart/form-data; boundary="{boundary}"')
    parameters = await read_parameters(asked, file_limit=100)
    assert parameters.files["upload_mine"].read_bytes() == content
    discard_files(asked.scope)


async def test_files_may_have_so_many_bytes_in_all() -> None:
    for sizes, fits in (((60, 40), True), ((60, 41), False)):
        parts = [(b'name="t%d"; filename="f"' % place, b"x" * size) for place, size in enumerate(sizes)]
        asked = form(*parts)
        if fits:
            assert len((await read_parameters(asked, file_limit=100)).files) == 2
        else:
            with pytest.raises(TooLargeError, match="at most 100 bytes are accepted in all"):
                await read_parameters(asked, file_limit=100)
        discard_files(asked.scope)
        assert "vo_service.files" not in asked.scope


async def test_files_are_counted_apart_from_texts() -> None:
    file = (b'name="t"; filename="f"', b"x" * (BODY_LIMIT + 1))
    asked = form(file)
    assert (await read_parameters(asked, file_limit=2 * BODY_LIMIT)).files["t"].stat().st_size == BODY_LIMIT + 1
    discard_files(asked.scope)
    with pytest.raises(TooLargeError, match="at most"):
        await read_parameters(form(file))
    text = (b'name="QUERY"', b"x" * (BODY_LIMIT + 1))
    with pytest.raises(TooLargeError, match=f"at most {BODY_LIMIT:,} bytes"):
        await read_parameters(form(text), file_limit=2 * BODY_LIMIT)


async def test_two_files_in_one_part_name() -> None:
    asked = form(*[(b'name="t"; filename="f"', b"x")] * 2)
    with pytest.raises(UsageError, match="two files in parts called 't'"):
        await read_parameters(asked, file_limit=100)
    discard_files(asked.scope)


async def test_the_recorded_uploads_of_clients(shared: Path) -> None:
    records = map(json.loads, (shared / "conformance/clients/http_clients.jsonl").read_text().splitlines())
    seen = set()
    for record in records:
        body = (record["body"] or "").encode("latin-1", "replace")
        # Long bodies were cut when they were recorded.
        if record["m"] != "POST" or b'name="UPLOAD"' not in body or len(body) != record["blen"]:
            continue
        asked = request("", body, record["req"]["Content-Type"])
        parameters = await read_parameters(asked, file_limit=100_000)
        for upload in read_uploads(parameters):
            assert upload.part is not None
            assert b"<VOTABLE" in parameters.files[upload.part].read_bytes()
            seen.add(record["req"]["User-Agent"].partition("/")[0])
        discard_files(asked.scope)
    assert {"pyVO", "STILTS"} <= seen


# The parameter -------------------------------------------------------------------------------------------------------


def parameters(*values: str) -> Parameters:
    pairs = [("upload", value) for value in values]
    return Parameters([*pairs, ("text", "x")], {"p": Path("p"), "q;r": Path("q")})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a,param:p"], [Upload("a", part="p")]),
        (["a,param:p;b,param:q;r"], [Upload("a", part="p"), Upload("b", part="q;r")]),
        ([" a , param:p ;", "B_2,HTTP://h/x"], [Upload("a", part="p"), Upload("B_2", url="HTTP://h/x")]),
        (
            ["a,http://h/x;y?z;c=1,2;b,https://h/;;"],
            [Upload("a", url="http://h/x;y?z;c=1,2"), Upload("b", url="https://h/")],
        ),
        (['"my ""x"";,ü",param:p', "my,param:p"], [Upload('my "x";,ü', part="p"), Upload("my", part="p")]),
        (['"select",param:p'], [Upload("select", part="p")]),
        (["", " ", ";"], []),
    ],
)
def test_what_upload_says(values: list[str], expected: list[Upload]) -> None:
    assert list(read_uploads(parameters(*values))) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a,param:r"], "no file in a part called 'r'.*there is 'p', 'q;r'"),
        (["a,param:P"], "no file in a part called 'P'"),
        (["a,param:text"], "the part 'text' is a text"),
        (["a"], "UPLOAD=a: expected NAME,param:PART"),
        (["a,"], "expected NAME,param:PART"),
        ([",param:p"], "expected NAME,param:PART"),
        (["a,p"], "expected NAME,param:PART"),
        (["a b,param:p"], "expected NAME,param:PART"),
        (["a,file:///etc/passwd"], "file: is not accepted"),
        (["a,FTP://h/x"], "ftp: is not accepted"),
        (["a,data:text/csv,x"], "data: is not accepted"),
        (["1a,param:p"], "cannot be called 1a, as it is no name in ADQL"),
        (["s.a,param:p"], "cannot be called s.a"),
        (["größe,param:p"], "cannot be called größe"),
        (["Select,param:p"], "cannot be called Select, as it is a reserved word"),
        (['"",param:p'], 'cannot be called ""'),
        (["a,param:p", "A,param:q;r"], "two tables are called a"),
        (['a,param:p;"A",param:q;r'], "two tables are called a"),
        (["a" * 129 + ",param:p"], "may have 128 characters"),
        ([f"a{i},param:p" for i in range(UPLOADS_LIMIT + 1)], "21 tables come with the request, 20 are accepted"),
    ],
)
def test_what_upload_cannot_say(values: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_uploads(parameters(*values))


# What is fetched -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    """
    127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254 100.64.0.1 192.0.2.1
    198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
    :: ::1 fe80::1 fec0::1 fc00::1 fd12::1 ff02::1 ff0e::1 2001:db8::1 100::1 ::127.0.0.1 ::8.8.8.8
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1:: 2002:a00:1:: 2001:0:7f00:1::1
    """.split(),
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    """
    8.8.8.8 141.30.1.1 172.32.0.1 2001:4860:4860::8888 2a01:4f8::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::
    """.split(),
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class _Handler(BaseHTTPRequestHandler):
    """Answers by path; remembers what was asked."""

    asked: ClassVar[list[str]]
    stop: ClassVar[threading.Event]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        command, _, argument = self.path[1:].partition("/")
        getattr(self, command)(argument)

    def bytes(self, size: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(b"x" * int(size))

    def endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.is_set():
            self.wfile.write(b"x" * 1000)

    def dripping(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stop.is_set():
            self.wfile.write(b"x")
            time.sleep(0.02)

    def cut(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x")

    def redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.end_headers()

    def loop(self, number: str) -> None:
        self.redirect(f"/loop/{int(number) + 1}")

    def table(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x,y\n1,2\n")

    def missing(self, _: str) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[tuple[int, list[str]]]:
    """A server on the loopback address; gives its port, and the paths that are asked for."""

    class Handler(_Handler):
        asked: ClassVar[list[str]] = []
        stop = threading.Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that leave are what is tested
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port, Handler.asked
        finally:
            Handler.stop.set()
            server.shutdown()
            thread.join()


OPEN = FetchLimits(size=1000, seconds=5, private=True)
CLOSED = FetchLimits(size=1000, seconds=5)


def test_a_file_is_fetched(tmp_path: Path) -> None:
    with web_server() as (port, asked):
        fetch(f"http://127.0.0.1:{port}/bytes/1000", tmp_path / "a", OPEN)
        fetch(f"http://localhost:{port}/bytes/7", tmp_path / "b", OPEN)
    assert (tmp_path / "a").stat().st_size == 1000
    assert asked[0] == "/bytes/1000"


def test_redirects_are_followed(tmp_path: Path) -> None:
    with web_server() as (port, asked):
        fetch(f"http://127.0.0.1:{port}/redirect//bytes/7", tmp_path / "a", OPEN)
        assert asked == ["/redirect//bytes/7", "/bytes/7"]
        with pytest.raises(UsageError, match="more than 5 redirects"):
            fetch(f"http://127.0.0.1:{port}/loop/1", tmp_path / "b", OPEN)
        assert len(asked) == 2 + REDIRECTS + 1
    assert (tmp_path / "a").read_bytes() == b"x" * 7


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("bytes/1001", TooLargeError, "at most 1,000 bytes"),
        ("endless/", TooLargeError, "at most 1,000 bytes"),
        ("cut/", UsageError, "ends 99 bytes before its end"),
        ("missing/", UsageError, "answers 404"),
        ("redirect/file:///etc/passwd", UsageError, "expected http:// or https://, not file"),
        ("redirect/gopher://127.0.0.1/", UsageError, "not gopher"),
    ],
)
def test_what_cannot_be_fetched(tmp_path: Path, path: str, error: type[Exception], message: str) -> None:
    with web_server() as (port, _), pytest.raises(error, match=message):
        fetch(f"http://127.0.0.1:{port}/{path}", tmp_path / "a", OPEN)


def test_a_server_that_drips(tmp_path: Path) -> None:
    with web_server() as (port, _), pytest.raises(UsageError, match=r"takes longer than 0\.5 seconds"):
        fetch(f"http://127.0.0.1:{port}/dripping/", tmp_path / "a", FetchLimits(10**6, 0.5, private=True))


def test_a_fetch_that_nobody_wants_any_more(tmp_path: Path) -> None:
    class LeftError(Exception):
        pass

    def left() -> None:
        raise LeftError

    with web_server() as (port, _), pytest.raises(LeftError):
        fetch(f"http://127.0.0.1:{port}/endless/", tmp_path / "a", FetchLimits(10**9, 60, private=True), left)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.0.0.1."],
)
def test_the_own_network_is_not_reached(tmp_path: Path, host: str) -> None:
    with web_server() as (port, asked):
        with pytest.raises(UsageError, match="cannot be fetched"):
            fetch(f"http://{host}:{port}/bytes/1", tmp_path / "a", CLOSED)
        assert asked == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1", "8.8.8.8"]])
def test_names_of_private_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    resolve(monkeypatch, lambda _: addresses)
    with web_server() as (port, asked):
        with pytest.raises(UsageError, match=r"evil\.example is not a public address"):
            fetch(f"http://evil.example:{port}/bytes/1", tmp_path / "a", CLOSED)
        assert asked == []


def test_a_name_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address between check and use (DNS rebinding)."""
    answers = iter([["203.0.114.1"], ["127.0.0.1"]])
    resolve(monkeypatch, lambda _: next(answers))
    connected: list[object] = []

    def connect(_: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(UsageError, match="refused"):
        fetch("http://evil.example:1234/x", tmp_path / "a", CLOSED)
    assert connected == [("203.0.114.1", 1234)]


def test_redirects_into_the_own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_server() as (port, asked):
        # The public host is played by the local server: its address alone is let through.
        monkeypatch.setattr(
            "vo_service.dali.fetch.is_public", lambda address: str(address) == "127.0.0.1" and len(asked) == 0
        )
        for target in (f"http://127.0.0.1:{port}/bytes/1", f"http://localhost:{port}/bytes/1"):
            asked.clear()
            with pytest.raises(UsageError, match="is not a public address"):
                fetch(f"http://127.0.0.1:{port}/redirect/{target}", tmp_path / "a", CLOSED)
            assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "not file URLs"),
        ("http://", "is not a URL"),
        ("http:///x", "is not a URL"),
        ("http://h:0/", "is not a URL"),
        ("http://h:99999/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://h/a b", "is not a URL"),
        ("http://h/a\r\nX: y", "is not a URL"),
        ("http://me:secret@h/", "names and passwords"),
        ("http://no-such-host.invalid/", "cannot be fetched"),
        ("http://" + "a" * 70 + ".example/", "cannot be fetched"),
    ],
)
def test_urls_that_are_none(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetch(url, tmp_path / "a", CLOSED)


def resolve(monkeypatch: pytest.MonkeyPatch, addresses_of: Callable[[str], list[str]]) -> None:
    """Let names have these addresses, as another name server could say."""

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (families[ipaddress.ip_address(a).version], socket.SOCK_STREAM, 6, "", (a, port))
            for a in addresses_of(host)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
