"""Where attached files are: copied into the state directory under their checksum, or left where a URL says.

Local paths are copied. http and https are fetched once, for size and checksum; every other URL is read by fsspec, some
of whose schemes need a further package (s3fs for s3://).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO
from urllib.parse import unquote, urlsplit

import fsspec

from vo_service.dali.fetch import FetchLimits, fetch
from vo_service.errors import NotFoundError, UsageError

CHUNK_BYTES = 1_000_000

FETCH_SECONDS = 3_600.0
"""Seconds that fetching a file may take, of which it is to be known how long it is and what its checksum."""

_WEB = ("http", "https")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is taken in; the fields as in `register.Attachment`."""

    name: str
    content_length: int
    sha256: str
    location: str | None


def is_url(source: str) -> bool:
    return "://" in source


def is_web(location: str) -> bool:
    """Whether clients can fetch a file from where it is."""
    return urlsplit(location).scheme in _WEB


def take_in(source: str, directory: Path) -> Stored:
    """Copy a local file into a directory, or read the file at a URL, which stays there.

    Raises UsageError if it cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not is_url(source):
        return _copy(Path(source), directory)
    # fsspec takes names as they stand.
    name = unquote(urlsplit(source).path.rpartition("/")[2]) if is_web(source) else source.rpartition("/")[2]
    if not name:
        raise UsageError(f"{source} names no file")
    if is_web(source):
        with NamedTemporaryFile(dir=directory) as kept:
            limits = FetchLimits(size=1 << 50, seconds=FETCH_SECONDS, private=True)
            fetch(source, Path(kept.name), limits)
            with Path(kept.name).open("rb") as file:
                return Stored(name, *_measure(file), source)
    with opened(source) as file:
        return Stored(name, *_measure(file), source)


@contextmanager
def opened(location: str) -> Iterator[BinaryIO]:
    """The file at a URL that fsspec knows, for reading. Raises UsageError."""
    try:
        with fsspec.open(location, "rb") as file:
            yield file
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{location} cannot be read: {error}") from None


def local_path(sha256: str, directory: Path) -> Path:
    """Where a file that was copied is. Raises NotFoundError if it has gone."""
    path = directory / sha256
    if not path.is_file():
        raise NotFoundError("The file has been removed")
    return path


def _copy(source: Path, directory: Path) -> Stored:
    """A copy under the checksum: of two that are the same one is kept, and none is ever seen in parts."""
    try:
        with source.open("rb") as file, NamedTemporaryFile(dir=directory, delete=False) as copy:
            try:
                length, sha256 = _measure(file, copy)
                os.fsync(copy.fileno())
                Path(copy.name).chmod(0o644)
                Path(copy.name).replace(directory / sha256)
            except BaseException:
                Path(copy.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    return Stored(source.name, length, sha256, None)


def _measure(file: IO[bytes], copy: IO[bytes] | None = None) -> tuple[int, str]:
    """Number of bytes and checksum of what is read, and written to `copy`."""
    digest, length = hashlib.sha256(), 0
    while data := file.read(CHUNK_BYTES):
        digest.update(data)
        length += len(data)
        if copy is not None:
            copy.write(data)
    if copy is not None:
        copy.flush()
    return length, digest.hexdigest()
