"""From files to rows that can be stored: read, convert, place on the sky, sort out what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from vo_service.catalog.description_input import ColumnSource, FileOptions, PositionSource, Rank, TableInput
from vo_service.catalog.model import HPX_COLUMN, Column, Table
from vo_service.catalog.vocabulary.unit import conversion_factor, read_unit
from vo_service.database.arrow import arrow_type
from vo_service.errors import IngestError
from vo_service.ingest.convert import convert
from vo_service.ingest.flaws import Flaws
from vo_service.ingest.position import check_position, index_where_possible, to_icrs
from vo_service.ingest.prefetch import prefetch
from vo_service.ingest.rank import Ranks, needed_ranks, rank_column, rank_rows
from vo_service.ingest.readers import FileColumn, Reader, reader_for
from vo_service.sky.healpix import hpx

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, the number of rows it has been done to, and their whole number if that is known."""

BATCH_ROWS = 65_536
BATCH_BYTES = 64 << 20
"""Rows that are handled at once, at most, and the size that they should not exceed."""

REASONS = 20
"""Bad rows of which the reason is kept."""


class BadRowError(IngestError):
    """A row cannot be stored: which one, and why."""


@dataclass
class Tally:
    """What came of the rows that were read."""

    read: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why rows were left out, for the first of them: file, row and what was wrong."""


@dataclass(frozen=True)
class File:
    """A file of the table, and the reader for it."""

    path: Path
    reader: Reader
    options: FileOptions

    @cached_property
    def columns(self) -> tuple[FileColumn, ...]:
        """The columns of the file."""
        return self.reader.columns(self.path, self.options)

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The values of these columns, so many rows at a time that they take up little memory."""
        types = {column.name: column.type for column in self.columns}
        width = sum(_width(types[name]) for name in names if name in types)
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(width, 1)))
        return self.reader.batches(self.path, self.options, names, rows)


def open_files(paths: Sequence[Path], source: TableInput) -> list[File]:
    """The files with their readers. Raises IngestError if one cannot be read."""
    return [File(path, reader_for(path, source.options.format), source.options) for path in paths]


def read_rows(
    files: Sequence[File], table: Table, source: TableInput, tally: Tally, progress: Progress
) -> Generator[pa.RecordBatch, None, None]:
    """All rows of the files as they are stored, the columns in the order of the table, then the HEALPix index if there
    is a position.

    Raises IngestError with file, row and reason for the first row that cannot be stored, unless such rows are to be
    left out: then they are counted in `tally`.
    """
    counts = [file.reader.rows(file.path, file.options) for file in files]
    total = sum(count for count in counts if count is not None) if None not in counts else None
    names = [*table.sql_columns, *([] if table.position is None else [HPX_COLUMN])]
    ranks = {by: _rank(files, by, progress, total) for by in needed_ranks(source.sources.values())}
    for file in files:
        _check_units(file, table, source)
        row = 0
        for batch in prefetch(file.batches(_names(source))):
            flaws = Flaws(batch.num_rows)
            here = {by: every[tally.read : tally.read + batch.num_rows] for by, every in ranks.items()}
            columns = _store(batch, table, source, here, flaws)
            if flaws.bad.any():
                _judge(flaws, file, row, source, tally)
                kept = pa.array(~flaws.bad)
                columns = [column.filter(kept) for column in columns]
            row += batch.num_rows
            tally.read += batch.num_rows
            progress("reading", tally.read, total)
            yield pa.RecordBatch.from_arrays(columns, names)


def _width(kind: pa.DataType) -> int:
    """Bytes of a value, about."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    return 8 if pa.types.is_primitive(kind) else 32


def _names(source: TableInput) -> list[str]:
    """The columns of the file that are needed."""
    names = [column.name for column in source.sources.values() if isinstance(column, ColumnSource)]
    if source.position is not None:
        names += [source.position.longitude, source.position.latitude]
    names += needed_ranks(source.sources.values())
    return list(dict.fromkeys(names))


def _rank(files: Sequence[File], by: str, progress: Progress, total: int | None) -> Ranks:
    values: list[pa.Array] = []
    for file in files:
        try:
            values += [batch.column(0) for batch in file.batches([by])]
        except pa.ArrowInvalid as error:
            raise IngestError(f"{file.path}: rows cannot be ranked by {by!r}: {error}") from None
        progress("ranking", sum(len(column) for column in values), total)
    try:
        return rank_rows(values)
    except pa.ArrowInvalid as error:
        raise IngestError(f"Rows cannot be ranked by {by!r}: {error}") from None


def _store(
    batch: pa.RecordBatch, table: Table, source: TableInput, ranks: dict[str, Ranks], flaws: Flaws
) -> list[pa.Array]:
    """The columns as they are stored, the HEALPix index last."""
    stored = {
        column.name: _column(batch, column, source.sources[column.name], source, ranks, flaws)
        for column in table.columns
        if column.name in source.sources
    }
    index = [] if table.position is None else [_place(batch, table, source, stored, flaws)]
    for name in source.required:
        if stored[name].null_count:
            flaws.add(_missing(stored[name]), lambda _, name=name: f"{name}: a value is required")  # type: ignore[misc]
    return [*(stored[column.name] for column in table.columns), *index]


def _column(
    batch: pa.RecordBatch,
    column: Column,
    where: ColumnSource | Rank,
    source: TableInput,
    ranks: dict[str, Ranks],
    flaws: Flaws,
) -> pa.Array:
    if isinstance(where, Rank):
        return rank_column(ranks[where.by], where, arrow_type(column))
    return convert(batch.column(where.name), column, where, source.options.element, flaws)


def _place(
    batch: pa.RecordBatch, table: Table, source: TableInput, stored: dict[str, pa.Array], flaws: Flaws
) -> pa.Array:
    """Bring the position columns into range, making them if the file has another frame or unit; gives the index."""
    if table.position is None:
        raise ValueError("the table has no position")
    names = (table.position.ra, table.position.dec)
    if source.position is not None:
        stored |= dict(zip(names, _transform(batch, source, source.position, flaws), strict=True))
    types = [arrow_type(table.column(name)) for name in names]
    # In the precision in which they are stored: the index belongs to what users see.
    ra, dec = (stored[name].cast(kind, safe=False) for name, kind in zip(names, types, strict=True))
    missing = _missing(ra) | _missing(dec)
    if source.loose_position:
        places = index_where_possible(_doubles(ra), _doubles(dec), missing)
        return pa.array(places, mask=places < 0)
    checked = check_position(_doubles(ra), _doubles(dec), missing, flaws)
    for name, values, kind in zip(names, checked, types, strict=True):
        stored[name] = pa.array(values).cast(kind, safe=False)
    return pa.array(hpx(*checked))


def _transform(
    batch: pa.RecordBatch, source: TableInput, position: PositionSource, flaws: Flaws
) -> tuple[pa.Array, pa.Array]:
    coordinates = [
        convert(
            batch.column(name), Column(name, "double"), ColumnSource(name, position.null), source.options.element, flaws
        )
        for name in (position.longitude, position.latitude)
    ]
    missing = _missing(coordinates[0]) | _missing(coordinates[1])
    ra, dec = to_icrs(_doubles(coordinates[0]), _doubles(coordinates[1]), missing, position, flaws)
    return pa.array(ra, mask=missing), pa.array(dec, mask=missing)


def _missing(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _doubles(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), np.float64)


def _judge(flaws: Flaws, file: File, row: int, source: TableInput, tally: Tally) -> None:
    """What the description wants of bad rows: an error, or that they are counted."""
    wanted = 1 if source.bad_rows == "refuse" else REASONS - len(tally.reasons)
    reasons = [f"{file.path.name}, row {row + place + 1}: {reason}" for place, reason in flaws.first(wanted)]
    if source.bad_rows == "refuse":
        raise BadRowError(reasons[0])
    tally.rejected += int(flaws.bad.sum())
    tally.reasons += reasons


def _check_units(file: File, table: Table, source: TableInput) -> None:
    """Raises IngestError where the file states another unit than the description expects in it."""
    written = {column.name: column.unit for column in file.columns if column.unit}
    expected = {
        where.name: where.unit or table.column(name).unit
        for name, where in source.sources.items()
        if isinstance(where, ColumnSource)
    }
    if source.position is not None and source.position.unit != "hourangle":
        expected |= dict.fromkeys((source.position.longitude, source.position.latitude), source.position.unit)
    for name, unit in expected.items():
        if not unit or written.get(name, unit) == unit:
            continue
        found = read_unit(written[name])
        if not found or found == unit:
            continue
        try:
            same = conversion_factor(found, unit) == 1
        except ValueError:
            same = False
        if not same:
            raise IngestError(
                f"{file.path}: the unit of column {name!r} is {found}, the description says {unit};"
                f" say source: {{name: {name}, unit: {found}}} if it is to be converted"
            )
