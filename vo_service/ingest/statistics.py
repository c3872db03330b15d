"""What the rows of a table hold, column by column, gathered as they pass by on their way into the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vo_service.catalog.model import Column, Statistics
from vo_service.database.arrow import arrow_type
from vo_service.errors import QueryError
from vo_service.formats.values import as_text


class Summary:
    """Gathers smallest and largest values and the number of NULLs of columns; the rows come in batches."""

    def __init__(self) -> None:
        self._nulls: list[int] = []
        self._extremes: list[list[pa.Array]] = []

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Take more rows into account; the columns are the same each time."""
        if not self._nulls:
            self._nulls = [0] * len(columns)
            self._extremes = [[] for _ in columns]
        for place, column in enumerate(columns):
            self._nulls[place] += column.null_count
            if _is_ordered(column.type):
                self._extremes[place].append(_extremes(column))

    def describe(self, columns: tuple[Column, ...], before: tuple[Column, ...] = ()) -> tuple[Column, ...]:
        """The columns with their statistics.

        `before` are the columns of the rows that were there already, if any. Of those without statistics (published by
        an earlier version of the service) the statistics stay unknown.
        """
        known = {column.name: column.statistics for column in before}
        described = []
        for place, column in enumerate(columns):
            statistics: Statistics | None = self._of(place)
            if statistics is not None and column.name in known:
                statistics = _together(known[column.name], statistics, arrow_type(column))
            described.append(replace(column, statistics=statistics))
        return tuple(described)

    def _of(self, place: int) -> Statistics:
        if not self._nulls:
            return Statistics()
        smallest, largest = _as_written(self._extremes[place])
        return Statistics(smallest, largest, self._nulls[place])


def _is_ordered(kind: pa.DataType) -> bool:
    """Whether the extremes of such values tell something: numbers and times."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind))


def _extremes(column: pa.Array) -> pa.Array:
    """The smallest and the largest of the values, NaN and the infinities left out; two NULLs if there are none."""
    if not pa.types.is_floating(column.type):
        return _pair(pc.min_max(column))
    # numpy finds them ten times faster than Arrow.
    values = (column.drop_null() if column.null_count else column).to_numpy()
    with np.errstate(invalid="ignore"):
        found = [values.min(), values.max()] if len(values) else []
    if not np.isfinite(found).all():
        return _extremes(column.filter(pc.is_finite(column)))
    return pa.array(found or [None, None], column.type)


def _pair(found: pa.StructScalar) -> pa.Array:
    return pa.array([found["min"], found["max"]])


def _as_written(extremes: Sequence[pa.Array]) -> tuple[str | None, str | None]:
    if not extremes:
        return None, None
    found = _pair(pc.min_max(pa.concat_arrays(extremes)))
    if pa.types.is_floating(found.type):
        # The few digits that tell a float from its neighbours are a number beside it: in a query that would miss a row.
        found = found.cast(pa.float64())
    try:
        smallest, largest = as_text(found).to_pylist()
    except QueryError:
        # Times in years of more than four digits cannot be written.
        return None, None
    return smallest, largest


def _together(old: Statistics | None, new: Statistics, kind: pa.DataType) -> Statistics | None:
    """Of the rows that were there and those that came."""
    if old is None:
        return None
    nulls = old.nulls + new.nulls
    if not _is_ordered(kind):
        return Statistics(nulls=nulls)
    written = [pa.array([s.smallest, s.largest], pa.string()).cast(kind) for s in (old, new)]
    return Statistics(*_as_written(written), nulls)
