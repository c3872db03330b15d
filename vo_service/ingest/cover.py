"""What rows cover, gathered on their way into the database."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vo_service.catalog.model import Column, Table
from vo_service.coverage.axes import axes_of
from vo_service.coverage.gather import Gathering

_UNIX_EPOCH = 40_587
"""Modified Julian Date of 1970-01-01, from which Arrow counts microseconds."""


def gather(gathering: Gathering, table: Table, batch: pa.RecordBatch) -> None:
    """Add rows, as they are stored, to the coverage of their table."""
    axes, nothing = axes_of(table), np.empty(0)

    def stored(column: Column) -> pa.Array:
        return batch.column(table.columns.index(column))

    # The HEALPix index is the last column.
    places = batch.column(-1).fill_null(-1).to_numpy() if axes.position else np.empty(0, np.int64)
    mjd = _days(stored(axes.time.column)) if axes.time else nothing
    energies = _doubles(stored(axes.energy.column)) if axes.energy else nothing
    gathering.add(places, mjd, energies)


def _days(times: pa.Array) -> NDArray[np.float64]:
    """Modified Julian Dates of numbers that are such, or of timestamps."""
    if pa.types.is_timestamp(times.type):
        return _doubles(times.cast(pa.int64())) / 1e6 / 86_400 + _UNIX_EPOCH
    return _doubles(times)


def _doubles(values: pa.Array) -> NDArray[np.float64]:
    """With NaN for NULL."""
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
