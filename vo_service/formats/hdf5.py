"""HDF5: the dataset "/result", whose elements are rows (a compound type): for h5py, PyTables, pandas and astropy.

    Table.read("result.h5", path="result")       astropy: with units, descriptions and NULL
    h5py.File("result.h5")["result"][:]          numpy: a structured array
    pandas.read_hdf("result.h5", "result")       where each value is a number or a string of up to 255 bytes

Strings are UTF-8: of fixed length, filled with NUL, unless one is longer than 255 bytes; then they are of variable
length. Times are strings in ISO 8601. Arrays are those of numpy, with the axes in its order; of variable length they
are flat. NULL is as `made_file` says; the flags of a column `x` are its neighbour `x_mask`, true where the value is
missing: astropy makes a masked column of both.

What is known of the columns are attributes of the dataset: "names" in the order of VOTable, and alike "units", "ucds",
"descriptions", "datatypes", "arraysizes", "xtypes" and "utypes", empty where there is none. Data origin and
QUERY_STATUS (OK or OVERFLOW) are attributes too, with several values where they are told several times. Beside it are
"result.__table_column_meta__", which is astropy's, and "votable", a VOTable without rows that tells all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.errors import QueryError
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.head import metadata_document
from vo_service.formats.made_file import Field, FileWriter, unique
from vo_service.formats.values import bytes_of, filled, list_lengths
from vo_service.later import later

if TYPE_CHECKING:
    from astropy import table as astropy_table
    from astropy import units
    from astropy.table import meta, serialize
else:
    astropy_table = later("astropy.table")
    units = later("astropy.units")
    meta, serialize = later("astropy.table.meta"), later("astropy.table.serialize")

LONGEST = 255
"""Bytes of the longest string of a column whose strings have a fixed length."""

CHUNK = 1_000_000
"""Size of a chunk of rows, in bytes."""

BLOCK_BYTES = 4_000_000
"""Size of the values of a chunk, in bytes of memory: those of variable length are not in the chunk itself."""

_TYPES = {
    "boolean": "?",
    "unsignedByte": "u1",
    "short": "i2",
    "int": "i4",
    "long": "i8",
    "float": "f4",
    "double": "f8",
}
_ATTRIBUTES = ("name", "unit", "ucd", "description", "datatype", "arraysize", "xtype", "utype")


@dataclass(frozen=True, slots=True)
class Hdf5:
    """The format."""

    mime_type: str = "application/x-hdf5"
    aliases: tuple[str, ...] = ("hdf5", "h5", "application/hdf5", "application/x-hdf")
    extension: str = "h5"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> Hdf5Writer:
        return Hdf5Writer(table)


class Hdf5Writer(FileWriter):
    """Writes one file."""

    def _write(self, file: IO[bytes], status: Info) -> None:
        taken = {field.column.name for field in self._fields}
        members = [_Member(field, taken) for field in self._fields]
        layout = np.dtype([part for member in members for part in member.layout()])
        rows = min(max(1, CHUNK // layout.itemsize), self._rows_of(BLOCK_BYTES))
        table = self._table
        with h5py.File(file, "w", libver="v108") as hdf:
            dataset = _create(hdf, self._rows, layout, rows)
            _describe(dataset, table, status)
            hdf["result.__table_column_meta__"] = [line.encode() for line in _yaml(members, table, status)]
            hdf["votable"] = metadata_document(table, status).decode()
            start = 0
            for block in self._blocks(rows):
                dataset[start : start + block.num_rows] = _cells(block, members, layout)
                start += block.num_rows


class _Member:
    """A field as it stands in the compound type."""

    def __init__(self, field: Field, taken: set[str]) -> None:
        self.field = field
        self.name = field.column.name
        self.mask = unique(f"{self.name}_mask", taken) if field.has_flags else None

    def layout(self) -> Iterator[tuple[Any, ...]]:
        """Members of the numpy type."""
        field, shape = self.field, self.field.shape or ()
        if field.column.is_string:
            yield self.name, h5py.string_dtype("utf-8", None if field.longest > LONGEST else max(1, field.longest))
        else:
            kind = np.dtype(_TYPES[field.column.datatype])
            yield self.name, h5py.vlen_dtype(kind) if field.shape is None else kind, shape
        if self.mask:
            yield self.mask, np.bool_, shape

    def values(self, array: pa.Array) -> NDArray[Any]:
        """The values as numpy has them."""
        if self.field.column.is_string:
            return _strings(filled(array, ""), self.field.longest)
        if self.field.shape is None:
            offsets = pa.array(np.append(0, np.cumsum(list_lengths(array))), pa.int32())
            known: NDArray[Any] = pa.ListArray.from_arrays(offsets, array.flatten()).to_numpy(zero_copy_only=False)
            return known
        return self.field.numbers(array)


def _create(hdf: h5py.File, rows: int, layout: np.dtype[np.void], chunk: int) -> h5py.Dataset:
    try:
        # PyTables, and thereby pandas, reads tables in chunks only.
        return hdf.create_dataset("result", (rows,), layout, chunks=(max(1, min(chunk, rows)),), maxshape=(None,))
    except ValueError as error:
        if "message is too large" not in str(error):
            raise
        raise QueryError(
            f"The result has {len(layout.names or ())} columns, which is more than HDF5 has room for"
        ) from None


def _cells(block: pa.RecordBatch, members: list[_Member], layout: np.dtype[np.void]) -> NDArray[np.void]:
    """Rows of the compound type."""
    cells = np.empty(block.num_rows, layout)
    for member, array in zip(members, block.columns, strict=True):
        cells[member.name] = member.values(array)
        if member.mask:
            missing = array.is_null().to_numpy(zero_copy_only=False)
            cells[member.mask] = missing.reshape(-1, *(1 for _ in member.field.shape or ()))
    return cells


def _strings(text: pa.StringArray, longest: int) -> NDArray[Any]:
    """Strings as bytes of one length, or as objects if some are too long for that."""
    if longest > LONGEST:
        return text.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    width = max(1, longest)
    return np.frombuffer(bytes_of(pc.ascii_rpad(text, width, "\0")).tobytes(), f"S{width}")


def _describe(dataset: h5py.Dataset, table: ResultTable, status: Info) -> None:
    """The attributes of the dataset."""
    words = h5py.string_dtype()
    for name in _ATTRIBUTES:
        values = [getattr(column, name) or "" for column in table.columns]
        dataset.attrs.create(f"{name}s", np.array(values, object), dtype=words)
    for name, told in {**_told(table, status), "title": [table.description or table.name]}.items():
        dataset.attrs.create(name, told[0] if len(told) == 1 else np.array(told, object), dtype=words)


def _told(table: ResultTable, *infos: Info) -> dict[str, list[str]]:
    """Values of INFO items by name."""
    told: dict[str, list[str]] = {}
    for info in (*table.infos, *infos):
        told.setdefault(info.name, []).append(info.value)
    return told


def _yaml(members: list[_Member], table: ResultTable, status: Info) -> Iterable[str]:
    """What astropy keeps of a table beside its data: units and descriptions, and which columns are masks."""
    described = astropy_table.Table()
    for member in members:
        column = member.field.column
        words = {name: word for name in _ATTRIBUTES[4:] if (word := getattr(column, name))}
        described[member.name] = astropy_table.Column(
            [0],
            unit=units.Unit(column.unit, format="vounit", parse_strict="silent") if column.unit else None,
            description=column.description,
            meta={"ucd": column.ucd, **words} if column.ucd else words,
        )
        if member.mask:
            described[member.mask] = [0]
    masked = {
        member.name: {
            "__class__": "astropy.table.column.MaskedColumn",
            "data": serialize.SerializedColumn(name=member.name),
            "mask": serialize.SerializedColumn(name=member.mask),
        }
        for member in members
        if member.mask
    }
    told = {name: values[0] if len(values) == 1 else values for name, values in _told(table, status).items()}
    described.meta.update(told, __serialized_columns__=masked)
    return meta.get_yaml_from_table(described)  # type: ignore[no-any-return]
