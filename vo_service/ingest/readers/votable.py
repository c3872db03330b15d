"""VOTable, read by astropy; whole, as its parser knows no other way.

Astropy would expand entities and follow a STREAM to wherever its href points. Both are refused by a look through the
document before astropy sees it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.io.votable.tree import Field, TableElement
from astropy.utils.exceptions import AstropyWarning
from numpy import ma

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers.base import FileColumn, choose, damaged, open_plain, pick


class VotableReader:
    """VOTable documents in any serialisation."""

    name = "votable"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"VOTABLE" in head.replace(b"\0", b"")

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        return tuple(_column(field) for field in _read(path, options).fields)

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return len(_read(path, options).array)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        table = _read(path, options)
        fields = {field.name: field for field in table.fields}
        pick(path, [_column(field) for field in table.fields], names)
        for start in range(0, len(table.array), rows):
            block = table.array[start : start + rows]
            yield pa.RecordBatch.from_arrays([_values(block[fields[name].ID]) for name in names], list(names))


def check_xml(path: Path) -> None:
    """Refuse a document with a DOCTYPE (entities are declared nowhere else) or with data in other places.

    Raises IngestError.
    """
    parser = expat.ParserCreate()

    def doctype(*_: object) -> None:
        raise IngestError(
            f"{path} is refused: it has a DOCTYPE, which could make it read other files or grow without end"
        )

    def element(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "STREAM" and "href" in attributes:
            raise IngestError(
                f"{path} is refused: its data stand elsewhere ({attributes['href']}); only data within are read"
            )

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = element
    with open_plain(path) as file:
        try:
            parser.ParseFile(file)
        except expat.ExpatError as error:
            raise damaged(path, error) from None


def _read(path: Path, options: FileOptions) -> TableElement:
    state = path.stat()
    tables = {str(place): table for place, table in enumerate(_parse(path, state.st_mtime_ns, state.st_size), start=1)}
    by_name = {name: table for table in tables.values() for name in (table.name, table.ID) if name}
    names = [table.ID or table.name or place for place, table in tables.items()]
    wanted = options.table[0] if options.table else None
    known = tables | by_name
    return known[wanted] if wanted in known else known[choose(path, "table", names, wanted)]


@lru_cache(maxsize=1)
def _parse(path: Path, _changed: int, _size: int) -> tuple[TableElement, ...]:
    """The tables of a document; the last one is kept, as it takes half a minute to parse a million rows."""
    check_xml(path)
    with open_plain(path) as file, warnings.catch_warnings():
        # Deviations from the standard that astropy can read all the same.
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            return tuple(parse(file, verify="ignore").iter_tables())
        except (VOTableSpecError, ValueError, IndexError, KeyError, TypeError, OSError, EOFError) as error:
            raise damaged(path, error) from None


def _column(field: Field) -> FileColumn:
    text = field.datatype in ("char", "unicodeChar")
    problem = "it holds arrays of varying length" if not text and field.arraysize and "*" in field.arraysize else None
    problem = "it holds complex numbers" if "Complex" in field.datatype else problem
    problem = "it holds bits" if field.datatype == "bit" else problem
    return FileColumn(
        name=field.name or field.ID,
        type=pa.string() if text else _TYPES.get(field.datatype, pa.null()),
        unit=str(field.unit) if field.unit is not None else None,
        ucd=field.ucd,
        description=field.description,
        problem=problem,
    )


_TYPES = {
    "boolean": pa.bool_(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
}


def _values(column: Any) -> pa.Array:  # noqa: ANN401 (a masked array of any type)
    mask = ma.getmaskarray(column)
    values = np.asarray(ma.getdata(column))
    if values.dtype == object:
        return pa.array([None if hidden else str(text) for text, hidden in zip(values, mask, strict=True)], pa.string())
    if values.ndim > 1:
        flat = pa.array(values.reshape(-1), mask=mask.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))
    return pa.array(values.astype(values.dtype.newbyteorder("=")), mask=mask)
