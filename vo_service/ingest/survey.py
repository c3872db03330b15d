"""What the values of a file's columns tell: the smallest datatype that holds them, their range, whether they repeat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vo_service.ingest.readers import FileColumn
from vo_service.ingest.rows import File

SENTINELS = (-9999.0, -999.0, -99.0)
"""Numbers that often stand for a missing value."""

_TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d*)?)?Z?)?$"
_TRUTH = pa.array(["true", "false", "t", "f", "yes", "no"])

_STATED = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_uint8, "unsignedByte"),
    (pa.types.is_int8, "short"),
    (pa.types.is_int16, "short"),
    (pa.types.is_uint16, "int"),
    (pa.types.is_int32, "int"),
    (pa.types.is_integer, "long"),
    (pa.types.is_float16, "float"),
    (pa.types.is_float32, "float"),
    (pa.types.is_floating, "double"),
    (pa.types.is_decimal, "double"),
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_date, "timestamp"),
    (pa.types.is_binary, "binary"),
)


class Survey:
    """One column, as its values go by."""

    def __init__(self, column: FileColumn) -> None:
        self.column = column
        self.least: float | None = None
        self.greatest: float | None = None
        self.missing = 0
        self._textual = pa.types.is_string(column.type)
        self._kinds = ["integer", "number", "truth", "time"]
        self._digits = 0
        self._seen = 0
        self._ascii = True
        self._lengths: set[int] = set()

    def look(self, values: pa.Array) -> None:
        """Take some more values into account."""
        self.missing += values.null_count
        values = values.drop_null()
        if pa.types.is_string(values.type):
            values = self._look_at_texts(values)
        if values is not None and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            self._look_at_numbers(values)

    def datatype(self) -> str:
        """The smallest VOTable datatype that holds all values; of the elements, for arrays."""
        kind = self.column.type
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        if not self._textual:
            return next((name for test, name in _STATED if test(kind)), "char")
        if not self._seen or not self._kinds:
            return "char" if self._ascii else "unicodeChar"
        return {"integer": self._integer, "number": self._number}.get(
            self._kinds[0], {"truth": "boolean", "time": "timestamp"}.get(self._kinds[0], "")
        )

    @property
    def length(self) -> int | None:
        """The length of strings, if all have the same."""
        (length,) = self._lengths if len(self._lengths) == 1 and self._ascii else (None,)
        return length

    @property
    def sentinel(self) -> float | None:
        """The smallest number, if it is one that often stands for a missing value."""
        return self.least if self.least in SENTINELS else None

    @property
    def _integer(self) -> str:
        largest = max(abs(self.least or 0), abs(self.greatest or 0))
        return "short" if largest < 2**15 else "int" if largest < 2**31 else "long"

    @property
    def _number(self) -> str:
        # A float gives back six digits as they were written.
        return "float" if self._digits <= 6 and max(abs(self.least or 0), abs(self.greatest or 0)) < 1e38 else "double"

    def _look_at_texts(self, texts: pa.Array) -> pa.Array | None:
        """Which kinds of values the texts can be; the numbers, if they are such."""
        if len(self._lengths) < 2:
            self._lengths |= set(pc.unique(pc.binary_length(texts)).to_pylist())
        texts = pc.utf8_trim_whitespace(texts)
        texts = texts.filter(pc.not_equal(texts, ""))
        if not len(texts):
            return None
        self._seen += len(texts)
        numbers = None
        for kind in tuple(self._kinds):
            numbers = _as_kind(texts, kind)
            if numbers is not None:
                break
            self._kinds.remove(kind)
        self._ascii = self._ascii and bool(pc.all(pc.string_is_ascii(texts)).as_py())
        if self._kinds[:1] == ["number"] and self._digits <= 6:
            mantissa = pc.replace_substring_regex(texts, r"^[-+]?0*\.?0*|[eE].*$|\.", "")
            self._digits = max(self._digits, pc.max(pc.utf8_length(mantissa)).as_py())
        return numbers if self._kinds[:1] in (["integer"], ["number"]) else None

    def _look_at_numbers(self, numbers: pa.Array) -> None:
        values = numbers.to_numpy(zero_copy_only=False)
        finite = values[np.isfinite(values)]
        self.missing += len(values) - len(finite)
        if len(finite):
            self.least = min(float(finite.min()), np.inf if self.least is None else self.least)
            self.greatest = max(float(finite.max()), -np.inf if self.greatest is None else self.greatest)


def survey(files: Sequence[File], columns: Sequence[FileColumn]) -> dict[str, Survey]:
    """Look at all values of these columns, which all files have; gives what was found, by name."""
    found = {column.name: Survey(column) for column in columns}
    names = [column.name for column in columns if not _is_list(column.type)]
    for file in files:
        for batch in file.batches(names) if names else ():
            for name in names:
                found[name].look(batch.column(name))
    return found


def is_unique(files: Sequence[File], name: str) -> bool:
    """Whether no value of a column is missing or stands there twice."""
    values = pa.chunked_array([batch.column(0) for file in files for batch in file.batches([name])])
    return bool(values.null_count == 0 and pc.count_distinct(values).as_py() == len(values))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind))


def _as_kind(texts: pa.Array, kind: str) -> pa.Array | None:
    """The texts as values of a kind (as they are, if not numbers); None if one of them is no such value."""
    match kind:
        case "integer" | "number":
            try:
                return pc.cast(texts, pa.int64() if kind == "integer" else pa.float64())
            except pa.ArrowInvalid:
                return None
        case "truth":
            fits = pc.is_in(pc.utf8_lower(texts), _TRUTH)
        case _:
            fits = pc.match_substring_regex(texts, _TIME)
    return texts if pc.all(fits).as_py() else None
