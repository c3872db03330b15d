"""Rows in the binary format of PostgreSQL's COPY (manual, COPY, "Binary Format"), a batch at a time.

A row is a count of fields, and for each field its length (-1 for NULL) and its value, all big-endian. Fields side by
side that have one length throughout become a structured array; others become an Arrow array of byte strings each, and
Arrow, which works in C, joins them row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts, in microseconds after 1970-01-01, from which Arrow counts."""

_NUMBERS = {
    pa.bool_(): "u1",
    pa.uint8(): ">i2",
    pa.int16(): ">i2",
    pa.int32(): ">i4",
    pa.int64(): ">i8",
    pa.float32(): ">f4",
    pa.float64(): ">f8",
    pa.timestamp("us"): ">i8",
}

# Object identifiers of the types that arrays hold (PostgreSQL, src/include/catalog/pg_type.dat).
_ELEMENT_OIDS = {
    pa.bool_(): 16,
    pa.int16(): 21,
    pa.int32(): 23,
    pa.int64(): 20,
    pa.float32(): 700,
    pa.float64(): 701,
}


def encode_rows(columns: Sequence[pa.Array]) -> pa.BinaryArray:
    """The rows of these columns, each as the bytes that COPY reads.

    Types are those of `vo_service.database.arrow`; they end up in the PostgreSQL types given there.
    """
    rows = len(columns[0])
    count = np.broadcast_to(np.array(len(columns), dtype=">i2"), rows)
    fields = [_Fixed([("", count)])]
    cells: list[pa.BinaryArray] = []
    for plain, group in groupby(columns, key=_is_plain):
        for column in group:
            if plain:
                fields.append(_plain_field(column))
            else:
                if fields:
                    cells.append(_join_fixed(fields))
                    fields = []
                cells.append(_cell(column))
    if fields:
        cells.append(_join_fixed(fields))
    return cells[0] if len(cells) == 1 else pc.binary_join_element_wise(*cells, b"")
