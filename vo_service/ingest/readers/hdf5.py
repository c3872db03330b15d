"""HDF5: compound datasets (PyTables, h5py, astropy), groups of plain datasets of equal length, and what pandas writes.

pandas keeps frames in layouts of its own, which only pandas reads. It takes half a second to import, which only those
wait for who have such files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa

from vo_service.catalog.description_input import FileOptions
from vo_service.ingest.readers.arrays import arrow_array, arrow_type_of
from vo_service.ingest.readers.base import FileColumn, choose, damaged, pick, plain_file
from vo_service.later import later

if TYPE_CHECKING:
    from astropy.table import meta as table_meta
else:
    table_meta = later("astropy.table.meta")

_ASTROPY_META = "__table_column_meta__"


class Hdf5Reader:
    """HDF5 files."""

    name = "hdf5"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"\x89HDF\r\n\x1a\n")

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        with plain_file(path) as plain:
            return _open_table(path, plain, options).columns()

    def rows(self, path: Path, options: FileOptions) -> int | None:
        with plain_file(path) as plain:
            return _open_table(path, plain, options).count()

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with plain_file(path) as plain:
            table = _open_table(path, plain, options)
            pick(path, table.columns(), names)
            try:
                yield from table.batches(names, rows)
            except (OSError, pa.ArrowException, UnicodeError, ValueError) as error:
                raise damaged(path, error) from None


def _open_table(path: Path, plain: Path, options: FileOptions) -> _Compound | _Group | _Frame:
    try:
        with h5py.File(plain, "r") as file:
            tables = {name.strip("/") or "/": kind for name, kind in _find_tables(file)}
    except (OSError, RuntimeError) as error:
        raise damaged(path, error) from None
    wanted = options.table[0].strip("/") or "/" if options.table else None
    name = choose(path, "table", list(tables), wanted)
    return tables[name](plain, name)


def _find_tables(group: h5py.Group) -> Iterator[tuple[str, type[_Compound | _Group | _Frame]]]:
    """Names of the tables in and below a group, and how they are kept."""
    if "pandas_type" in group.attrs:
        yield group.name, _Frame
        return
    if _flat_datasets(group):
        yield group.name, _Group
    for name, member in group.items():
        if isinstance(member, h5py.Dataset) and member.ndim == 1 and member.dtype.names:
            yield member.name, _Compound
        elif isinstance(member, h5py.Group) and not name.startswith("_i_"):  # indexes of PyTables
            yield from _find_tables(member)


def _flat_datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """The datasets that stand in a group as the columns of a table: all of the same length; else none."""
    columns = {
        name: member
        for name, member in group.items()
        if isinstance(member, h5py.Dataset)
        and member.ndim >= 1
        and not member.dtype.names
        and _ASTROPY_META not in name
    }
    return columns if len({len(column) for column in columns.values()}) == 1 else {}


class _Compound:
    """A dataset whose elements are rows."""

    def __init__(self, plain: Path, name: str) -> None:
        self._plain = plain
        self._name = name

    def count(self) -> int:
        with h5py.File(self._plain, "r") as file:
            return len(file[self._name])

    def columns(self) -> tuple[FileColumn, ...]:
        with h5py.File(self._plain, "r") as file:
            words = _astropy_words(file, self._name)
            dtype = file[self._name].dtype
            return tuple(_column(name, dtype[name], words.get(name, {})) for name in dtype.names)

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with h5py.File(self._plain, "r") as file:
            dataset = file[self._name]
            for start in range(0, len(dataset), rows):
                block = dataset[start : start + rows]
                yield pa.RecordBatch.from_arrays([arrow_array(block[name]) for name in names], list(names))


class _Group:
    """A group whose datasets are columns."""

    def __init__(self, plain: Path, name: str) -> None:
        self._plain = plain
        self._name = name

    def count(self) -> int:
        with h5py.File(self._plain, "r") as file:
            return len(next(iter(_flat_datasets(file[self._name]).values())))

    def columns(self) -> tuple[FileColumn, ...]:
        with h5py.File(self._plain, "r") as file:
            return tuple(
                _column(name, _row_dtype(dataset), {key.lower(): value for key, value in dataset.attrs.items()})
                for name, dataset in _flat_datasets(file[self._name]).items()
            )

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with h5py.File(self._plain, "r") as file:
            datasets = [file[self._name][name] for name in names]
            for start in range(0, self.count(), rows):
                arrays = [arrow_array(dataset[start : start + rows]) for dataset in datasets]
                yield pa.RecordBatch.from_arrays(arrays, list(names))


class _Frame:
    """A data frame that pandas wrote, in its fixed or its table layout. A named index is a column too."""

    def __init__(self, plain: Path, name: str) -> None:
        self._plain = plain
        self._name = name

    def count(self) -> int:
        with self._open() as store:
            storer = store.get_storer(self._name)
            return int(storer.nrows if storer.is_table else storer.shape[0])

    def columns(self) -> tuple[FileColumn, ...]:
        batch = self._read(0, 1)
        return tuple(FileColumn(field.name, field.type) for field in batch.schema)

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, self.count(), rows):
            yield self._read(start, start + rows).select(list(names))

    def _open(self) -> Any:  # noqa: ANN401 (the types of pandas.HDFStore do not know its frames)
        from pandas import HDFStore  # noqa: PLC0415

        return HDFStore(self._plain, "r")

    def _read(self, start: int, stop: int) -> pa.RecordBatch:
        with self._open() as store:
            frame = store.select(self._name, start=start, stop=stop)
        named = [name for name in frame.index.names if name is not None]
        return pa.RecordBatch.from_pandas(frame.reset_index() if named else frame, preserve_index=False)


def _row_dtype(dataset: h5py.Dataset) -> Any:  # noqa: ANN401 (a numpy dtype)
    return (dataset.dtype, dataset.shape[1:]) if dataset.ndim > 1 else dataset.dtype


def _column(name: str, dtype: Any, words: dict[str, Any]) -> FileColumn:  # noqa: ANN401
    kind = arrow_type_of(np.dtype(dtype))
    unit = words.get("unit", words.get("units"))
    return FileColumn(
        name,
        kind or pa.null(),
        unit=None if unit is None else _text(unit),
        ucd=_text(words["ucd"]) if "ucd" in words else None,
        description=_text(words["description"]) if "description" in words else None,
        problem=None if kind else f"its type is {dtype}",
    )


def _text(value: Any) -> str:  # noqa: ANN401
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _astropy_words(file: h5py.File, name: str) -> dict[str, dict[str, Any]]:
    """What astropy wrote about the columns beside a dataset: by column name."""
    meta = file.get(f"{name}.{_ASTROPY_META}")
    if meta is None:
        return {}
    header = table_meta.get_header_from_yaml(line.decode("utf-8") for line in meta[:])
    return {words["name"]: words for words in header["datatype"]}
