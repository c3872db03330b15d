"""Readers of file formats, and which one reads a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vo_service.errors import IngestError
from vo_service.ingest.readers.base import FileColumn, Reader, read_head
from vo_service.ingest.readers.ecsv import EcsvReader
from vo_service.ingest.readers.fits import FitsReader
from vo_service.ingest.readers.hdf5 import Hdf5Reader
from vo_service.ingest.readers.parquet import ParquetReader
from vo_service.ingest.readers.root import RootReader
from vo_service.ingest.readers.text import TextReader
from vo_service.ingest.readers.votable import VotableReader

__all__ = ["READERS", "FileColumn", "Reader", "reader_for", "recognise"]

# The first that recognises a file reads it. Text comes last, as nearly everything could be text, and within text what
# has the stricter rules comes first.
READERS: tuple[Reader, ...] = (
    FitsReader(),
    ParquetReader(),
    Hdf5Reader(),
    RootReader(),
    VotableReader(),
    EcsvReader(),
    TextReader("csv", ",", (".csv",), comment=None),
    TextReader("tsv", "\t", (".tsv", ".tab"), comment=None),
    TextReader("text", None, (), comment="#"),
)


def reader_for(path: Path, name: str | None = None) -> Reader:
    """The reader called `name`, or else the one that recognises the file.

    Raises IngestError if there is none.
    """
    known = ", ".join(reader.name for reader in READERS)
    if name is not None:
        for reader in READERS:
            if reader.name == name:
                return reader
        raise IngestError(f"There is no file format {name!r}; expected one of {known}")
    recognised = recognise(path, READERS)
    if recognised is None:
        raise IngestError(f"{path}: the format is not recognised; say input: format: (one of {known})")
    return recognised


def recognise(path: Path, readers: Sequence[Reader]) -> Reader | None:
    """The first of these readers that recognises the file."""
    head = read_head(path)
    return next((reader for reader in readers if reader.recognises(path, head)), None)
