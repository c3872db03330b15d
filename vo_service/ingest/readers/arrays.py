"""From numpy arrays, as files hold them, to Arrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def arrow_type_of(dtype: np.dtype[Any]) -> pa.DataType | None:
    """The Arrow type of values of a numpy type; None if there is none that a table could hold."""
    value, shape = dtype.base, dtype.shape
    if value.kind in "SUO":
        return pa.string() if not shape else None
    if value.kind not in "biuf" or value.itemsize > 8:
        return None
    item = pa.from_numpy_dtype(value.newbyteorder("="))
    return pa.list_(item, int(np.prod(shape))) if shape else item


def arrow_array(values: NDArray[Any], padding: str = "\0") -> pa.Array:
    """An Arrow array of the values; those of more than one dimension become lists.

    `padding` are the characters that fill strings of fixed length. Raises pyarrow.ArrowInvalid for strings that are
    not UTF-8.
    """
    if values.dtype.kind == "S":
        return fixed_strings(values, padding)
    if values.dtype.kind == "O":
        return pa.array([_text(value) for value in values], pa.string())
    if values.dtype.kind == "U":
        return pa.array(values, pa.string())
    flat = pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))


def fixed_strings(values: NDArray[np.bytes_], padding: str) -> pa.Array:
    """Strings from an array of bytes of fixed length, without the padding at their ends."""
    width = values.dtype.itemsize
    cells = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(values), [None, pa.py_buffer(np.ascontiguousarray(values).tobytes())]
    )
    return pc.utf8_rtrim(cells.cast(pa.binary()).cast(pa.string()), padding)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
