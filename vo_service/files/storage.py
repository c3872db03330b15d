"""Where attached files are: copied into the state directory under their checksum, or left where a URL says.

Local paths are copied. http and https are fetched once, for size and checksum; every other URL is read by fsspec, some
of whose schemes need a further package (s3fs for s3://).
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO
from urllib.parse import unquote, urlsplit

from fsspec.core import url_to_fs

from vo_service.dali.fetch import FetchLimits, fetch
from vo_service.errors import NotFoundError, UnavailableError, UsageError
from vo_service.files.register import Attachment

CHUNK_BYTES = 1_000_000

FETCH_SECONDS = 3_600.0
"""Seconds that fetching a file may take, of which it is to be known how long it is and what its checksum."""

_WEB = ("http", "https")

_NAME_BYTES = 255

_VERSION = (
    "ETag", "etag", "md5Hash", "CRC", "mtime", "LastModified", "last_modified", "modified", "modify", "updated",
    "created",
)  # fmt: skip
"""What file systems of fsspec tell of the version of a file, each by another name; the first that is there counts."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is taken in; the fields as in `register.Attachment`."""

    name: str
    content_length: int
    sha256: str
    location: str | None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is open, and what its file system tells of it.

    Archives are closed as soon as nobody holds their file system any more; hence `system`.
    """

    file: BinaryIO
    size: int | None
    fingerprint: str | None = None
    system: object = None


def is_url(source: str) -> bool:
    return "://" in source


def is_web(location: str) -> bool:
    """Whether clients can fetch a file from where it is."""
    return location.partition("://")[0].lower() in _WEB


def take_in(source: str, directory: Path) -> Stored:
    """Copy a local file into a directory, or read the file at a URL, which stays there.

    Raises UsageError if it cannot be read, or has a name that no address can end with.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = _name(source)
    if not is_url(source):
        return Stored(name, *_copy(Path(source), directory), None)
    if is_web(source):
        with NamedTemporaryFile(dir=directory) as kept:
            limits = FetchLimits(size=1 << 50, seconds=FETCH_SECONDS, private=True)
            fetch(source, Path(kept.name), limits)
            with Path(kept.name).open("rb") as file:
                return Stored(name, *_measure(file), source)
    try:
        return _read(name, source)
    except UsageError:
        raise
    except Exception as error:  # each file system of fsspec has errors of its own
        raise UsageError(f"{source} cannot be read: {error or type(error).__name__}") from None


def open_attached(attachment: Attachment, directory: Path) -> Opened:
    """An attached file, opened, as it was when it was attached.

    Raises NotFoundError if it has gone, UnavailableError if it has changed or cannot be read.
    """
    name, location = attachment.name, attachment.location
    where = location or attachment.sha256
    try:
        opened = _open_copy(directory / attachment.sha256) if location is None else _open_elsewhere(location)
    except FileNotFoundError:
        log.warning("The attached file %s has gone", where)
        raise NotFoundError(f"The file {name} has been removed") from None
    except Exception as error:  # as above; the reason, which may tell of the inside, is for the operator alone
        log.warning("The attached file %s cannot be read: %s", where, error)
        raise UnavailableError(f"The file {name} cannot be read at the moment") from None
    is_as_long = opened.size in (None, attachment.content_length)
    if not is_as_long or attachment.fingerprint not in (None, opened.fingerprint):
        opened.file.close()
        log.warning("The attached file %s has changed: attach it again", where)
        raise UnavailableError(f"The file {name} has changed since it was attached")
    return opened


def _name(source: str) -> str:
    """What the address of a file ends with. Raises UsageError if it names none."""
    try:
        if is_web(source):
            path = unquote(urlsplit(source).path)
        else:
            # The first file system of a chain that names something names the file. Names stand as they are.
            path = next((part for part in source.split("::") if is_url(part)), source)
    except ValueError:
        raise UsageError(f"{source} is not a URL") from None
    name = path.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise UsageError(f"{source} names no file")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise UsageError(f"{name!a}: expected a name in UTF-8, without control characters")
    if len(name.encode()) > _NAME_BYTES:
        raise UsageError(f"{name[:60]}...: expected a name of at most {_NAME_BYTES} bytes")
    return name


def _read(name: str, source: str) -> Stored:
    """Length and checksum of a file that stays where it is."""
    opened = _open_elsewhere(source)
    with opened.file as file:
        length, sha256 = _measure(file)
    after = _open_elsewhere(source)
    after.file.close()
    if opened.fingerprint != after.fingerprint or after.size not in (None, length):
        raise UsageError(f"{source} has changed while it was read")
    return Stored(name, length, sha256, source, opened.fingerprint)


def _open_elsewhere(location: str) -> Opened:
    """A file that fsspec reads. Raises UsageError if it is no file, and whatever the file system raises."""
    # An archive's file system is that of the archive as it was when it was opened: it is not to be kept.
    system, path = url_to_fs(location, skip_instance_cache="::" in location)
    system.invalidate_cache()
    info = system.info(path)
    if info["type"] != "file":
        raise UsageError(f"{location} cannot be read: it is no regular file")
    return Opened(system.open(path, "rb"), info.get("size"), _fingerprint(info), system)


def _fingerprint(info: Mapping[str, object]) -> str | None:
    return next((f"{key} {info[key]}" for key in _VERSION if info.get(key) is not None), None)


def _open_copy(path: Path) -> Opened:
    file = path.open("rb")
    return Opened(file, os.fstat(file.fileno()).st_size)


def _copy(source: Path, directory: Path) -> tuple[int, str]:
    """A copy under the checksum: of two that are the same one is kept, and none is ever seen in parts."""
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise UsageError(f"{source} cannot be read: it is no regular file")
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
    return length, sha256


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
