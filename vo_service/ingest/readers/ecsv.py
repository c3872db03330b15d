"""ECSV 1.0 (Astropy's APE 6): a text table under a header in YAML that tells types, units and descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import yaml

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers.base import FileColumn, damaged, open_plain
from vo_service.ingest.readers.text import TextReader
from vo_service.later import later

if TYPE_CHECKING:
    from astropy.table import meta
else:
    meta = later("astropy.table.meta")

_MAGIC = b"# %ECSV"
_TEXT = TextReader("ecsv", " ", (), comment="#")


class EcsvReader:
    """ECSV files. The values come as strings, as from any text; `columns` tells the types that the header states."""

    name = "ecsv"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        return tuple(_column(words) for words in _header(path)["datatype"])

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return None

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        header = _header(path)
        nested = [words["name"] for words in header["datatype"] if words["name"] in names and "subtype" in words]
        if nested:
            raise IngestError(f"{path}: column {nested[0]!r} holds arrays or objects, which are not read from ECSV")
        delimiter = header.get("delimiter", " ")
        return _TEXT.batches(path, replace(options, delimiter=delimiter, header="yes"), names, rows)


def _column(words: dict[str, Any]) -> FileColumn:
    kind = words["datatype"]
    plain = kind != "string" and "subtype" not in words
    return FileColumn(
        words["name"],
        pa.from_numpy_dtype(np.dtype(kind)) if plain else pa.string(),
        unit=str(words["unit"]) if "unit" in words else None,
        description=words.get("description"),
    )


def _header(path: Path) -> dict[str, Any]:
    with open_plain(path) as file:
        lines = [line.decode("utf-8", "replace") for line in _comments(file)]
    try:
        header: dict[str, Any] = meta.get_header_from_yaml(line.removeprefix("# ") for line in lines[1:])
    except (meta.YamlParseError, yaml.YAMLError, TypeError, KeyError) as error:
        raise damaged(path, error) from None
    if not isinstance(header.get("datatype"), list):
        raise damaged(path, "its header tells no columns")
    return header


def _comments(file: Any) -> Iterator[bytes]:  # noqa: ANN401 (any binary file)
    for line in file:
        if not line.startswith(b"#"):
            return
        yield line.rstrip(b"\r\n")
