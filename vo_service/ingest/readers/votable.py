"""VOTable 1.1 to 1.5 in every serialisation: the head by expat, TABLEDATA by lxml, streams by numpy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.base import FileColumn, choose, names_of_their_own, pick
from vo_service.ingest.readers.fits import FitsReader
from vo_service.ingest.readers.votable_cells import read_cells
from vo_service.ingest.readers.votable_head import Content, Data, Document, Field, TableHead, open_content, scan
from vo_service.ingest.readers.votable_stream import read_rows, stream
from vo_service.ingest.readers.votable_types import TRUTHS, arrow_type, problem

FITS_ROWS = 16_384
"""Rows that are taken at once from FITS within a document."""


class VotableReader:
    """VOTable documents."""

    name = "votable"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\xff\xfe<", b"\xfe\xff\0<")) and (
            b"VOTABLE" in head.replace(b"\0", b"")
        )

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        fields = _table(path, _head(path), options).fields
        names = names_of_their_own([field.name for field in fields])
        return tuple(_column(field, name) for field, name in zip(fields, names, strict=True))

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return _table(path, _head(path), options).rows

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        columns = self.columns(path, options)
        pick(path, columns, names)
        places = [[column.name for column in columns].index(name) for name in names]
        document = _head(path)
        table = _table(path, document, options)
        with open_content(path) as content:
            for values in _read(path, content, document.encoding, table, places):
                batch = pa.RecordBatch.from_arrays(values, list(names))
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)


def _read(
    path: Path, content: Content, encoding: str, table: TableHead, places: Sequence[int]
) -> Iterator[list[pa.Array]]:
    """The columns at these places among the fields, some rows at a time."""
    if table.data is None:
        return iter(())
    match table.data.serialisation:
        case "TABLEDATA":
            return read_cells(path, content, table.data, encoding, table.fields, places)
        case "FITS":
            return _read_fits(path, content, table.data, places)
        case serialisation:
            pieces = stream(path, content, table.data)
            return read_rows(path, pieces, table.fields, places, has_flags=serialisation == "BINARY2")


def _read_fits(path: Path, content: Content, data: Data, places: Sequence[int]) -> Iterator[list[pa.Array]]:
    """The columns at these places of a FITS file within the document (VOTable 1.4, section 5.2)."""
    options = FileOptions(table=(data.extension,))
    with tempfile.NamedTemporaryFile() as file:
        for piece in stream(path, content, data):
            file.write(piece)
        file.flush()
        inner = Path(file.name)
        names = [column.name for column in FitsReader().columns(inner, options)]
        for batch in FitsReader().batches(inner, options, [names[place] for place in places], FITS_ROWS):
            yield batch.columns


def _table(path: Path, document: Document, options: FileOptions) -> TableHead:
    tables = {str(place): table for place, table in enumerate(document.tables, start=1)}
    by_name = {name: table for table in document.tables for name in (table.name, table.identifier) if name}
    names = [table.identifier or table.name or place for place, table in tables.items()]
    wanted = options.table[0] if options.table else None
    known = tables | by_name
    return known[wanted] if wanted in known else known[choose(path, "table", names, wanted, first=options.first_table)]


def _head(path: Path) -> Document:
    state = path.stat()
    return _scanned(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _scanned(path: Path, _changed: int, _size: int) -> Document:
    """The last documents are remembered: their columns are asked for several times."""
    with open_content(path) as content:
        return scan(path, content)


def _column(field: Field, name: str) -> FileColumn:
    return FileColumn(
        name,
        arrow_type(field),
        unit=field.unit,
        ucd=field.ucd,
        utype=field.utype,
        xtype=field.xtype,
        description=field.description,
        datatype="boolean" if field.datatype in TRUTHS else field.datatype,
        arraysize=field.arraysize,
        problem=problem(field),
    )
