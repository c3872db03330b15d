"""FITS binary tables (FITS 4.0, section 7.3): memory-mapped, a few rows at a time made native.

Astropy reads the headers. The rows are taken from the file as they stand: astropy's own access keeps a converted copy
of each column that it scales, which is the whole table in the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.arrays import fixed_strings
from vo_service.ingest.readers.base import FileColumn, choose, damaged, names_of_their_own, pick, plain_file
from vo_service.later import later

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.utils import exceptions
else:
    fits = later("astropy.io.fits")
    exceptions = later("astropy.utils.exceptions")

_NUMBERS = {"B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8"}
_UNREADABLE = {
    "X": "it holds bits",
    "C": "it holds complex numbers",
    "M": "it holds complex numbers",
    "P": "it holds arrays of varying length",
    "Q": "it holds arrays of varying length",
}
# How integers that FITS has no type for are stored (section 5.2.5): by an offset.
_OFFSETS: dict[tuple[str, float], str] = {
    ("u1", -(2**7)): "i1",
    ("i2", 2**15): "u2",
    ("i4", 2**31): "u4",
    ("i8", 2**63): "u8",
}


class FitsReader:
    """FITS files with binary tables."""

    name = "fits"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"SIMPLE  =")

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        with _open_table(path, options) as table:
            return tuple(field.column for field in table.fields)

    def rows(self, path: Path, options: FileOptions) -> int | None:
        with _open_table(path, options) as table:
            return len(table.rows)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with _open_table(path, options) as table:
            pick(path, [field.column for field in table.fields], names)
            fields = [next(field for field in table.fields if field.column.name == name) for name in names]
            for start in range(0, len(table.rows), rows):
                block = table.rows[start : start + rows]
                try:
                    yield pa.RecordBatch.from_arrays([field.values(block) for field in fields], list(names))
                except pa.ArrowInvalid as error:
                    raise damaged(path, error) from None


@dataclass(frozen=True, slots=True)
class _Field:
    """A column of a binary table."""

    column: FileColumn
    place: str
    """Name of the field in the dtype of the rows."""
    code: str
    null: int | None
    scale: float
    zero: float

    def values(self, rows: NDArray[np.void]) -> pa.Array:
        raw = rows[self.place]
        if self.code == "A":
            return _strings(raw)
        flat = np.ascontiguousarray(raw).reshape(-1)
        if self.code == "L":
            return self._shaped(pa.array(flat == ord("T"), mask=flat == 0), raw)
        mask = None if self.null is None else flat == self.null
        return self._shaped(pa.array(self._scaled(flat), mask=mask), raw)

    def _scaled(self, raw: NDArray[Any]) -> NDArray[Any]:
        native: NDArray[Any] = raw.astype(raw.dtype.newbyteorder("="))
        if (self.scale, self.zero) == (1, 0):
            return native
        unsigned = _OFFSETS.get((_NUMBERS[self.code], self.zero)) if self.scale == 1 else None
        if unsigned is not None:
            # Adding the offset is flipping the sign bit.
            sign = native.dtype.type(128 if unsigned == "i1" else np.iinfo(native.dtype).min)
            shifted: NDArray[Any] = np.bitwise_xor(native, sign).view(unsigned)
            return shifted
        return np.add(native * self.scale, self.zero)

    def _shaped(self, flat: pa.Array, raw: NDArray[Any]) -> pa.Array:
        per_row = int(np.prod(raw.shape[1:], dtype=int))
        return flat if raw.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, per_row)


@dataclass(frozen=True, slots=True)
class _Table:
    fields: tuple[_Field, ...]
    rows: NDArray[np.void]


@contextmanager
def _open_table(path: Path, options: FileOptions) -> Iterator[_Table]:
    with plain_file(path) as plain:
        try:
            with fits.open(plain, memmap=True) as hdus, warnings.catch_warnings():
                # What astropy warns of is either harmless or found by the checks below.
                warnings.simplefilter("ignore", exceptions.AstropyWarning)
                hdu = _choose_hdu(path, hdus, options)
                _tell_columns_apart(hdu.header)
                fields = tuple(_field(hdu, number) for number in range(1, len(hdu.columns) + 1))
                rows = _map_rows(path, plain, hdu)
        except (OSError, fits.VerifyError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, error) from None
        yield _Table(fields, rows)


def _choose_hdu(path: Path, hdus: fits.HDUList, options: FileOptions) -> fits.BinTableHDU:
    """The binary table, by its EXTNAME or number."""
    tables = {str(place): hdu for place, hdu in enumerate(hdus) if type(hdu) is fits.BinTableHDU}
    names = [hdu.name or place for place, hdu in tables.items()]
    wanted = options.table[0] if options.table else None
    if wanted in tables:
        return tables[wanted]
    name = choose(path, "binary table", names, wanted, first=options.first_table)
    return list(tables.values())[names.index(name)]


def _map_rows(path: Path, plain: Path, hdu: fits.BinTableHDU) -> NDArray[np.void]:
    dtype = hdu.columns.dtype.newbyteorder(">")
    width, count = hdu.header["NAXIS1"], hdu.header["NAXIS2"]
    offset = hdu.fileinfo()["datLoc"]
    if dtype.itemsize != width:
        raise damaged(path, f"its rows have {width} bytes, its columns {dtype.itemsize}")
    if plain.stat().st_size < offset + width * count:
        raise damaged(path, f"it ends before its {count} rows do")
    if count == 0:
        return np.empty(0, dtype)
    return np.memmap(plain, dtype=dtype, mode="r", offset=offset, shape=(count,))


def _tell_columns_apart(header: fits.Header) -> None:
    """Give each column a name of its own, before astropy meets the names."""
    keys = [f"TTYPE{number}" for number in range(1, header["TFIELDS"] + 1)]
    names = [str(header.get(key, "")) for key in keys]
    for key, name, own in zip(keys, names, names_of_their_own(names), strict=True):
        if name != own:
            header[key] = own


def _field(hdu: fits.BinTableHDU, number: int) -> _Field:
    header, column = hdu.header, hdu.columns[number - 1]
    code = column.format.format
    storage = _NUMBERS.get(code)
    scale, zero = header.get(f"TSCAL{number}", 1), header.get(f"TZERO{number}", 0)
    problem = _UNREADABLE.get(code) or ("it holds arrays of strings" if code == "A" and column.dim else None)
    described = FileColumn(
        name=column.name,
        type=_type(code, storage, scale, zero, column.format.repeat),
        unit=column.unit or None,
        ucd=header.get(f"TUCD{number}"),
        utype=header.get(f"TUTYP{number}"),
        xtype=header.get(f"TXTYP{number}"),
        description=header.get(f"TCOMM{number}") or _comment(header.comments[f"TTYPE{number}"]),
        problem=problem,
    )
    return _Field(described, hdu.columns.dtype.names[number - 1], code, header.get(f"TNULL{number}"), scale, zero)


def _type(code: str, storage: str | None, scale: float, zero: float, repeat: int) -> pa.DataType:
    if code == "L":
        return pa.bool_() if repeat == 1 else pa.list_(pa.bool_(), repeat)
    if storage is None:
        return pa.string()
    scaled = "f8" if (scale, zero) != (1, 0) else storage
    value = pa.from_numpy_dtype(np.dtype(_OFFSETS.get((storage, zero), scaled) if scale == 1 else scaled))
    return value if repeat == 1 else pa.list_(value, repeat)


def _comment(text: str) -> str | None:
    """The comment beside a column's name, unless it is what every program writes."""
    return None if not text or text.lower().startswith(("label for", "name of")) else text


def _strings(raw: NDArray[np.bytes_]) -> pa.Array:
    """Strings without the blanks that fill them; one that begins with NUL is null (section 7.3.3.1)."""
    if raw.dtype.itemsize == 0:
        return pa.nulls(len(raw), pa.string())
    first = np.ascontiguousarray(raw).view("u1").reshape(len(raw), -1)[:, 0]
    return pc.if_else(pa.array(first != 0), fixed_strings(raw, " \0"), pa.scalar(None, pa.string()))
