"""Bodies of POST requests: urlencoded forms and multipart/form-data.

Their texts, strictly in UTF-8, become pairs of names and values; their files go to disk as they come.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from vo_service.errors import TooLargeError, UsageError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

Pairs = list[tuple[str, str]]

BODY_LIMIT: Final = 20_000_000
"""Bytes of a request's texts at most; queries are refused far below by the parser, with a better message."""

PAIRS_LIMIT: Final = 20_000
"""Parameters of a request at most: each costs far more memory than the two bytes that it may consist of."""

_FILES = "vo_service.files"
"""Where the scope of a request keeps the directory of its files."""

_EXTENSION = re.compile(rb"\.[A-Za-z0-9]{1,8}\Z")


@dataclass(frozen=True, slots=True)
class Form:
    """The content of a request's body: texts in order; files by the names of their parts."""

    pairs: Pairs = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)


async def read_form(request: Request, file_limit: int | None = None) -> Form:
    """What the body of a request holds.

    Files go to a directory that `discard_files` removes; they keep the extension of the name that the client has for
    them. `file_limit` is the number of bytes that all of them together may have; without it they are left out.

    Raises UsageError if the body cannot be decoded, TooLargeError if there is too much of anything.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind.lower() == b"multipart/form-data":
        return await _read_multipart(request, options.get(b"boundary", b""), file_limit)
    body = bytearray()
    async for chunk in _chunks(request):
        body += chunk
        _check_size(len(body))
    if kind.lower() == b"application/x-www-form-urlencoded":
        return Form(decode_urlencoded(bytes(body)))
    if body.strip():
        raise UsageError(
            f"A body of type {kind.decode('latin-1') or 'unknown'} cannot be read; expected"
            " application/x-www-form-urlencoded or multipart/form-data"
        )
    return Form()


def discard_files(scope: Scope) -> None:
    """Remove the files that came with a request, if any."""
    directory = scope.pop(_FILES, None)
    if directory is not None:
        directory.cleanup()


def decode_urlencoded(text: bytes) -> Pairs:
    """Pairs of a query or an urlencoded form; blank values are kept."""
    _check_number(text.count(b"&"))
    pairs = []
    for part in text.replace(b"+", b" ").split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append(_decoded(unquote_to_bytes(name), unquote_to_bytes(value)))
    return pairs


def _decoded(raw_name: bytes, raw_value: bytes) -> tuple[str, str]:
    name = _text(raw_name, "The name of a parameter")
    return name, _text(raw_value, name)


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is not UTF-8: byte {error.start + 1} is {raw[error.start]:#04x}") from None


def _check_number(number: int) -> None:
    if number > PAIRS_LIMIT:
        raise TooLargeError(f"The request has too many parameters: at most {PAIRS_LIMIT:,} are accepted")


def _check_size(size: int) -> None:
    if size > BODY_LIMIT:
        raise TooLargeError(f"The request's body is too large: at most {BODY_LIMIT:,} bytes are accepted")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise UsageError("The request ended before its body was complete") from None


async def _read_multipart(request: Request, boundary: bytes, file_limit: int | None) -> Form:
    with ExitStack() as open_files:
        parts = _Parts(request.scope, file_limit, open_files)
        try:
            parser = MultipartParser(boundary, parts.callbacks())
            async for chunk in _chunks(request):
                parser.write(chunk)
        except FormParserError as error:
            raise UsageError(f"The form cannot be read: {error}") from None
    if not parts.complete:
        raise UsageError("The form cannot be read: it ends before its last boundary")
    return parts.form


class _Parts:
    """What the parser of multipart bodies calls as it finds parts, headers and data."""

    def __init__(self, scope: Scope, file_limit: int | None, open_files: ExitStack) -> None:
        self.form = Form()
        self.complete = False
        self._scope = scope
        self._file_limit = file_limit
        self._open_files = open_files
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        self._text_bytes = 0
        self._header = b""
        self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._disposition, self._data = {}, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_text(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_text(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(self._value)
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        if b"name" not in self._disposition:
            raise UsageError("The form cannot be read: a part has no name")
        if self._is_file and self._file_limit is not None:
            self._file = self._open_files.enter_context(self._new_file().open("wb"))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._count_text(end - start)
            self._data += data[start:end]
        elif self._file is None:
            self._count_text(end - start)
        else:
            self._count_file(end - start)
            self._file.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        elif not self._is_file:
            self.form.pairs.append(_decoded(self._disposition[b"name"], bytes(self._data)))
            _check_number(len(self.form.pairs))

    def _end(self) -> None:
        self.complete = True

    @property
    def _is_file(self) -> bool:
        return b"filename" in self._disposition

    def _new_file(self) -> Path:
        """Where the file of this part goes."""
        name = _text(self._disposition[b"name"], "The name of a part")
        if name in self.form.files:
            raise UsageError(f"The form has two files in parts called {name!r}")
        _check_number(len(self.form.files))
        directory = self._scope.get(_FILES)
        if directory is None:
            directory = self._scope[_FILES] = tempfile.TemporaryDirectory(prefix="vo-service-")
        extension = _EXTENSION.search(self._disposition[b"filename"])
        path = Path(directory.name) / f"upload-{len(self.form.files)}{extension[0].decode() if extension else ''}"
        self.form.files[name] = path
        return path

    def _count_text(self, size: int) -> None:
        self._text_bytes += size
        _check_size(self._text_bytes)

    def _count_file(self, size: int) -> None:
        self._file_bytes += size
        if self._file_limit is not None and self._file_bytes > self._file_limit:
            raise TooLargeError(
                f"The uploaded files are too large: at most {self._file_limit:,} bytes are accepted in all"
            )
