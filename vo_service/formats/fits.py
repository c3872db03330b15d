"""FITS (4.0): a binary table, after a primary HDU that holds a VOTable's head as STIL's "FITS-plus" has it.

A FITS header says how many rows follow, so that rows are kept in a temporary file until the last is known. The columns'
metadata that FITS has no keywords for are in keywords that STIL reads and writes (TUCD, TUTYP, TCOMM) and in TXTYP;
everything that a VOTable says, data origin and systems included, is in the VOTable too. Text of headers is ASCII, with
? for other characters. An overflow is told in the keyword QSTATUS.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.fits_fields import Field
from vo_service.formats.head import metadata_document
from vo_service.formats.spool import Spool
from vo_service.formats.systems import UNKNOWN_SCALE, is_position, time_system
from vo_service.later import later

if TYPE_CHECKING:
    from astropy.io import fits
else:
    fits = later("astropy.io.fits")

BLOCK = 2880
"""Headers and data fill blocks of this size, in bytes (section 3.1)."""

MOST_COLUMNS = 999
"""That a binary table can have (section 7.3.1)."""

COMMENT_WIDTH = 72
"""Characters of a line of commentary (section 4.1.2.3)."""

_ORIGIN = {"publisher": "ORIGIN", "creator": "AUTHOR", "citation": "REFERENC"}
"""Standard keywords (section 4.4.2) for what data origin calls by other names."""


@dataclass(frozen=True, slots=True)
class Fits:
    """The format."""

    mime_type: str = "application/fits"
    aliases: tuple[str, ...] = ("fits",)
    extension: str = "fits"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> FitsWriter:
        """As the contract says. Raises QueryError if there are more columns than FITS has."""
        if len(table.columns) > MOST_COLUMNS:
            raise QueryError(f"The result has {len(table.columns)} columns; FITS tables have at most {MOST_COLUMNS}")
        return FitsWriter(table)


class FitsWriter(Writer):
    """Writes one table."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table
        self._fields = [Field(column) for column in table.columns]
        self._spool = Spool()
        self._rows = 0

    def start(self) -> bytes:
        return b""

    def batch(self, batch: pa.RecordBatch) -> bytes:
        arrays = [field.prepared(array) for field, array in zip(self._fields, batch.columns, strict=True)]
        self._spool.add(pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(arrays))]))
        self._rows += batch.num_rows
        return b""

    def end(self) -> Iterable[bytes]:
        return self._document(None)

    def overflow(self, maxrec: int) -> Iterable[bytes]:
        return self._document(Info("QUERY_STATUS", "OVERFLOW", f"There are more rows than the {maxrec} given here"))

    def failure(self, message: str) -> Iterable[bytes]:
        raise QueryError(message)

    def close(self) -> None:
        self._spool.close()

    def _document(self, status: Info | None) -> Iterator[bytes]:
        heap = 0
        for field in self._fields:
            heap = field.settle(heap)
        for field in self._fields:
            field.settle_places(heap)
        layout = np.dtype([(str(i), *field.layout) for i, field in enumerate(self._fields)])
        yield _primary(metadata_document(self._table, *([status] if status else [])))
        yield _block(self._header(layout.itemsize, heap, status))
        yield from self._main(layout)
        yield from self._heap()
        yield _filling(layout.itemsize * self._rows + heap)

    def _main(self, layout: np.dtype[np.void]) -> Iterator[bytes]:
        for batch in self._spool.batches():
            rows = np.empty(batch.num_rows, layout)
            for i, (field, array) in enumerate(zip(self._fields, batch.columns, strict=True)):
                rows[str(i)] = field.cells(array)
            yield rows.tobytes()

    def _heap(self) -> Iterator[bytes]:
        """Column by column: so the division into batches does not show."""
        for i, field in enumerate(self._fields):
            if field.is_variable:
                yield from field.heaped(batch.column(0) for batch in self._spool.batches([i]))

    def _header(self, width: int, heap: int, status: Info | None) -> fits.Header:
        header = fits.Header()
        header["XTENSION"] = ("BINTABLE", "binary table extension")
        header["BITPIX"] = 8
        header["NAXIS"] = 2
        header["NAXIS1"] = (width, "bytes per row")
        header["NAXIS2"] = (self._rows, "number of rows")
        header["PCOUNT"] = (heap, "bytes of the heap, which holds variable arrays")
        header["GCOUNT"] = 1
        header["TFIELDS"] = (len(self._fields), "number of columns")
        header["EXTNAME"] = _ascii(self._table.name)
        for number, field in enumerate(self._fields, 1):
            _describe(header, number, field)
        self._add_systems(header)
        self._add_origin(header)
        if status:
            header["QSTATUS"] = status.value
            _comment(header, f"{status.value}: {status.text}")
        return header

    def _add_systems(self, header: fits.Header) -> None:
        """The frame of positions, and the scale of times where all of them have the same (sections 8.3 and 9.2)."""
        if any(map(is_position, self._table.columns)):
            header["RADESYS"] = (_ascii(self._table.frame), "frame of positions")
        scales = {system.scale for column in self._table.columns if (system := time_system(column))}
        if len(scales) == 1 and scales != {UNKNOWN_SCALE}:
            header["TIMESYS"] = (scales.pop(), "scale of times")

    def _add_origin(self, header: fits.Header) -> None:
        """Data origin: in the keywords that FITS has for some of it, and all of it for people to read."""
        for info in self._table.infos:
            if keyword := _ORIGIN.get(info.name):
                header[keyword] = _ascii(info.value)
        _comment(header, self._table.description)
        for info in self._table.infos:
            _comment(header, f"{info.name} = {info.value} {info.text}")


def _comment(header: fits.Header, text: str) -> None:
    for line in textwrap.wrap(_ascii(text), COMMENT_WIDTH):
        header.add_comment(line)


def _describe(header: fits.Header, number: int, field: Field) -> None:
    column = field.column
    cards = {
        "TTYPE": column.name,
        "TFORM": field.form,
        "TDIM": field.shape,
        "TNULL": field.null,
        "TUNIT": column.unit,
        "TCOMM": column.description,
        "TUCD": column.ucd,
        "TUTYP": column.utype,
        "TXTYP": column.xtype,
    }
    for keyword, value in cards.items():
        if isinstance(value, int) or value:
            header[f"{keyword}{number}"] = _ascii(value) if isinstance(value, str) else value


def _primary(votable: bytes) -> bytes:
    """The primary HDU: a VOTable without rows, as an array of bytes."""
    header = fits.Header()
    header["SIMPLE"] = True
    header["BITPIX"] = 8
    header["NAXIS"] = 1
    header["NAXIS1"] = (len(votable), "bytes of a VOTable that describes the table")
    header["VOTMETA"] = (True, "these bytes are a VOTable")
    header["EXTEND"] = True
    header["NTABLE"] = (1, "number of tables that follow")
    return _block(header) + votable + _filling(len(votable))


def _block(header: fits.Header) -> bytes:
    return header.tostring().encode("ascii")  # type: ignore[no-any-return]


def _filling(size: int) -> bytes:
    """Zeros that make so many bytes full blocks."""
    return bytes(-size % BLOCK)


def _ascii(text: str) -> str:
    """Text as headers can hold it: printable ASCII in one line."""
    return re.sub(r"[^\x20-\x7e]", "?", re.sub(r"\s+", " ", text))
