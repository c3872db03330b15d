"""The columns of an uploaded table: as its file states them, and which of them are its position."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from vo_service.catalog.model import Column, Position
from vo_service.ingest.known_names import find_pair
from vo_service.ingest.readers import FileColumn
from vo_service.ingest.survey import Survey

_NUMBERS = ("unsignedByte", "short", "int", "long", "float", "double")
_WIDER = {"short": "int", "float": "double"}
"""For numbers in a text, which has no types: the smallest that holds them would overflow in expressions."""


def as_column(column: FileColumn, found: Survey | None) -> Column:
    """A column as the file states it, or, if it states no types, as what was `found` in it suggests.

    Texts may have any characters: they are `unicodeChar`, as long as they have not been seen.
    """
    datatype, xtype, arraysize = column.datatype, column.xtype, column.arraysize
    if datatype is None:
        datatype, arraysize = (found or Survey(column)).datatype(), _arraysize(column.type)
        if found is not None:
            datatype = _WIDER.get(datatype, datatype)
    if datatype == "timestamp":
        datatype, xtype = "char", "timestamp"
    if datatype == "binary":
        datatype, arraysize = "unsignedByte", "*"
    if datatype in ("char", "unicodeChar") and column.datatype is None:
        arraysize = column.arraysize or "*"
    return Column(
        column.name,
        "unicodeChar" if datatype == "char" and xtype != "timestamp" else datatype,
        arraysize,
        xtype=xtype,
        unit=column.unit,
        ucd=column.ucd,
        utype=column.utype,
        description=column.description,
    )


def find_position(columns: Sequence[Column]) -> Position | None:
    """The columns that are right ascension and declination in degrees: by their UCDs, else by their names.

    A column without unit counts as one in degrees, as the functions of ADQL take it for that.
    """
    candidates = [c for c in columns if c.datatype in _NUMBERS and c.arraysize is None and c.unit in (None, "", "deg")]
    for ra, dec in (
        ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"),
        ("pos.eq.ra", "pos.eq.dec"),
        ("pos_eq_ra_main", "pos_eq_dec_main"),
    ):
        found = [[c.name for c in candidates if (c.ucd or "").lower() == ucd] for ucd in (ra, dec)]
        if all(len(names) == 1 for names in found):
            return Position(found[0][0], found[1][0])
    names = [column.name for column in candidates]
    pair = find_pair(names)
    if pair is not None and pair.frame == "icrs" and not pair.radians:
        return Position(pair.longitude, pair.latitude)
    # What STILTS calls the positions that it uploads for a cross-match.
    return Position("lon", "lat") if {"lon", "lat"} <= set(names) else None


def _arraysize(kind: pa.DataType) -> str | None:
    if pa.types.is_fixed_size_list(kind):
        return str(kind.list_size)
    return "*" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
