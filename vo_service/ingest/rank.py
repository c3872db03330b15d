"""Columns that are the rank of a row among all rows: the rank is computed in a pass over the files of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.catalog.description_input import Rank

Ranks = NDArray[np.int64]


def rank_rows(values: Iterable[pa.Array]) -> Ranks:
    """The rank, from 1, of each row by its value; 0 for rows without one. Equal values are ranked as they come.

    Texts that spell numbers are ranked as numbers.
    """
    column = pa.chunked_array(list(values))
    if pa.types.is_string(column.type):
        column = pc.cast(pc.utf8_trim_whitespace(column), pa.float64())
    valid = column.is_valid().to_numpy()
    if pa.types.is_floating(column.type):
        valid &= ~np.isnan(column.fill_null(0).to_numpy())
    places = np.flatnonzero(valid)
    order = pc.array_sort_indices(column.combine_chunks().take(pa.array(places))).to_numpy()
    ranks = np.zeros(len(column), np.int64)
    ranks[places[order]] = np.arange(1, len(places) + 1)
    return ranks


def rank_column(ranks: Ranks, rank: Rank, kind: pa.DataType) -> pa.Array:
    """The values of a rank column for some rows: numbers, or strings as `rank` says. Rows of rank 0 have none."""
    numbers = pa.array(ranks, mask=ranks == 0)
    if not pa.types.is_string(kind):
        return numbers.cast(kind)
    digits = pc.utf8_lpad(numbers.cast(pa.string()), rank.digits, "0")
    return pc.binary_join_element_wise(rank.prefix, digits, rank.suffix, "")


def needed_ranks(sources: Iterable[object]) -> Sequence[str]:
    """Names in the file of the columns that rows are ranked by."""
    return list(dict.fromkeys(source.by for source in sources if isinstance(source, Rank)))
