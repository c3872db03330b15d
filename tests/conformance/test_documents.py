"""Every format with every type, judged by STILTS: votlint finds nothing, and its readers find the values."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.columns import SAMPLES, batch_of
from tests.support.documents import ENDINGS, written
from tests.support.judges import stilts, votlint_complaints
from vo_service.catalog.model import Column
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import find_format

ROWS = 12
COLUMNS = tuple(SAMPLES)
BATCH = batch_of(SAMPLES, ROWS)

EXPLAINED = re.compile(
    r"Empty character value is questionable|Wrong number of elements in array \(0 found|Bad \w+ string ''"
)
"""An empty TD is NULL for any type (VOTable 1.4, section 6), but not to votlint for single characters and arrays of one
size. Its reader does understand them, as the tests below show."""


def document(name: str, ending: str = "end", columns: tuple[Column, ...] = COLUMNS) -> bytes:
    writer = find_format(name).writer(ResultTable(columns, description="<&>", infos=(Info("a", "b"),)))
    batch = BATCH.select([column.name for column in columns])
    told = ROWS if ending == "overflow" else "it broke"
    return written(writer, batch.slice(0, 5), batch.slice(5), ending=ending, told=told)


def read_by_stilts(document: bytes, folder: Path, kind: str) -> list[dict[str, str]]:
    """The rows as STILTS understands them."""
    path = folder / "document"
    path.write_bytes(document)
    done = stilts("tpipe", f"in={path}", f"ifmt={kind}", "ofmt=csv")
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout, newline="")))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["votable/b2", "votable/td"])
def test_votlint_finds_nothing_in_any_type(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / "document.vot"
    path.write_bytes(document(name, ending))
    assert [line for line in votlint_complaints(str(path)) if not EXPLAINED.search(line)] == []


def test_both_serializations_are_the_same_to_stilts(tmp_path: Path) -> None:
    columns = tuple(column for column in COLUMNS if column.datatype != "boolean" or column.arraysize is None)
    binary, text = (
        read_by_stilts(document(name, columns=columns), tmp_path, "votable") for name in ("votable/b2", "votable/td")
    )
    assert len(binary) == len(text) == ROWS
    different = {
        (column.name, left[column.name], right[column.name])
        for left, right in zip(binary, text, strict=True)
        for column in columns
        if left[column.name] != right[column.name]
    }
    assert different == set()


@pytest.mark.parametrize(("name", "kind"), [("votable/b2", "votable"), ("votable/td", "votable"), ("csv", "csv")])
def test_stilts_finds_the_values(name: str, kind: str, tmp_path: Path) -> None:
    # STILTS takes CSV to be in ISO 8859-1.
    strings = ("char",) if kind == "csv" else ("char", "unicodeChar")
    columns = tuple(c for c in COLUMNS if c.arraysize is None or (c.datatype in strings and c.xtype is None))
    rows = read_by_stilts(document(name, columns=columns), tmp_path, kind)
    assert len(rows) == ROWS
    for column in columns:
        values = SAMPLES[column]
        for i, row in enumerate(rows):
            assert _same(row[column.name], values[i % len(values)], column), (column.name, i)


def _same(found: str, value: object, column: Column) -> bool:
    match value:
        case None | "":
            return found == ""
        case bool():
            return found == str(value).lower()
        case float() if column.datatype == "float":
            # STILTS writes NaN as nothing, and reads the numbers of CSV as double.
            return np.float32(found or "nan") == np.float32(value) or (found == "" and value != value)  # noqa: PLR0124
        case float():
            return float(found or "nan") == value or (found == "" and value != value)  # noqa: PLR0124
        case _:
            return found.strip() == str(value).strip()  # STILTS takes away the space around strings in CSV


def test_stilts_loads_a_csv_with_overflow(tmp_path: Path) -> None:
    rows = read_by_stilts(document("csv", "overflow"), tmp_path, "csv")
    assert len(rows) == ROWS + 1
    assert rows[-1]["truth"].startswith("# OVERFLOW")
