"""The contract of a reader: what a file format must offer to be loaded."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError

HEAD_BYTES = 4096
"""Length of the beginning of a file by which its format is told."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of a file, as far as the file tells.

    Attributes
    ----------
    type
        What the file states. `batches` gives values of it, or strings that spell such values. Files that state none
        have strings.
    unit, ucd, utype, xtype, description
        The file's own words.
    datatype, arraysize
        Those of VOTable, where the file has them.
    problem
        Why the values cannot be read, if they cannot.
    """

    name: str
    type: pa.DataType
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    xtype: str | None = None
    description: str | None = None
    datatype: str | None = None
    arraysize: str | None = None
    problem: str | None = None


class Reader(Protocol):
    """A file format. One instance per format stands in `vo_service.ingest.readers.READERS`.

    All methods raise IngestError, naming the file, if it is damaged, or `options` do not fit it.
    """

    @property
    def name(self) -> str:
        """Name of the format, as in `input: format:` of a description."""
        ...

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format, by its first bytes (gzip taken off) and its name."""
        ...

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        """The columns of the table that `options` point at, in the order of the file."""
        ...

    def rows(self, path: Path, options: FileOptions) -> int | None:
        """The number of rows, where it is known without reading them."""
        ...

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The values of these columns, in the order of the file, in batches of at most about so many rows."""
        ...


def suffix(path: Path) -> str:
    """The extension of a file in lower case, without that of a compression: ".csv" for events.CSV.gz."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower()


def is_packed(path: Path) -> bool:
    """Whether a file is compressed with gzip."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking it on the way if it is compressed with gzip."""
    try:
        return cast("BinaryIO", gzip.open(path)) if is_packed(path) else path.open("rb")
    except OSError as error:
        raise IngestError(f"Cannot read {path}: {error.strerror}") from None


def read_head(path: Path) -> bytes:
    """The first bytes of a file, gzip taken off."""
    with open_plain(path) as file:
        try:
            return file.read(HEAD_BYTES)
        except (OSError, EOFError) as error:
            raise damaged(path, error) from None


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """A path to the file's uncompressed content, for formats that are read at random places."""
    if not is_packed(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=path.stem) as unpacked:
        try:
            with gzip.open(path) as source:
                shutil.copyfileobj(source, unpacked, 1 << 20)
        except (OSError, EOFError) as error:
            raise damaged(path, error) from None
        unpacked.flush()
        yield Path(unpacked.name)


def damaged(path: Path, reason: object) -> IngestError:
    """The error for a file that breaks the rules of its format."""
    return IngestError(f"{path} cannot be read: {reason}")


def choose(path: Path, what: str, names: Sequence[str], wanted: str | None, *, first: bool = False) -> str:
    """The name of the table to read: the one that is wanted, or the only one there is, or else the `first` if asked.

    `what` says what the format calls it. Raises IngestError that lists what there is.
    """
    there_is = f"There is: {', '.join(names)}" if names else "There is none"
    if wanted is None:
        if first and names:
            return names[0]
        if len(names) != 1:
            raise IngestError(f"{path}: which {what} holds the table has to be said (input: table:). {there_is}")
        return names[0]
    if wanted not in names:
        raise IngestError(f"{path} has no {what} {wanted!r}. {there_is}")
    return wanted


def names_of_their_own(names: Sequence[str]) -> list[str]:
    """The names of columns in a file, with a number where one repeats or there is none: `x`, `x_2`, `column_3`."""
    taken: set[str] = set(names)
    found: list[str] = []
    for place, written in enumerate(names, start=1):
        name = written.strip() or f"column_{place}"
        numbered = (f"{name}_{number}" for number in count(2))
        found.append(next(n for n in numbered if n not in taken) if name in found else name)
        taken.add(found[-1])
    return found


def pick(path: Path, columns: Sequence[FileColumn], names: Sequence[str]) -> list[FileColumn]:
    """The columns of these names. Raises IngestError that names what is missing or cannot be read."""
    known = {column.name: column for column in columns}
    missing = [name for name in names if name not in known]
    if missing:
        raise IngestError(
            f"{path} has no column {', '.join(map(repr, missing))}. There is: {', '.join(known) or 'none'}"
        )
    picked = [known[name] for name in names]
    for column in picked:
        if column.problem:
            raise IngestError(f"{path}: column {column.name!r} cannot be read: {column.problem}")
    return picked
