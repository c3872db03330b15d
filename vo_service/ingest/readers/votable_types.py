"""The types of VOTable's fields (VOTable 1.4, section 2): what they are in Arrow, and in bytes of a stream."""

from __future__ import annotations

import math
import re

import pyarrow as pa

from vo_service.ingest.readers.votable_head import Field

ELEMENTS = {
    "boolean": pa.bool_(),
    "bit": pa.bool_(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
}
"""The types that elements of an array have in Arrow, by datatype."""

STORED = {
    "boolean": "u1",
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
    "char": "S1",
    "unicodeChar": ">u2",
    "floatComplex": ">c8",
    "doubleComplex": ">c16",
    "bit": "u1",
}
"""Their types in a stream, for numpy."""

TRUTHS = ("boolean", "bit")
"""The types of truth values; astropy writes them as single bits."""


def is_text(field: Field) -> bool:
    """Whether the field holds strings or single characters."""
    return field.datatype in ("char", "unicodeChar")


def is_array(field: Field) -> bool:
    """Whether it holds several values that are no characters."""
    return field.arraysize is not None and not is_text(field)


def is_variable(field: Field) -> bool:
    """Whether rows have different numbers of values."""
    return field.arraysize is not None and field.arraysize.endswith("*")


def length(field: Field) -> int:
    """The number of values in each row, unless it varies."""
    return math.prod(int(size) for size in (field.arraysize or "1").split("x"))


def problem(field: Field) -> str | None:
    """Why the values cannot be read, if they cannot."""
    if field.datatype not in STORED:
        return f"its datatype is {field.datatype or 'missing'}"
    if not re.fullmatch(r"(\d{1,9}x)*(\d{1,9}\*?|\*)", field.arraysize or "1"):
        return f"its arraysize is {field.arraysize}"
    if field.datatype in ("floatComplex", "doubleComplex"):
        return "it holds complex numbers"
    if field.datatype == "bit" and field.arraysize:
        return "it holds several bits"
    return "it holds arrays of strings" if is_text(field) and "x" in (field.arraysize or "") else None


def arrow_type(field: Field) -> pa.DataType:
    """The type in Arrow; null for types that cannot be read."""
    if is_text(field):
        return pa.string()
    element = ELEMENTS.get(field.datatype, pa.null())
    return pa.list_(element) if is_array(field) else element
