"""Text tables: comma- and tab-separated values, and columns separated by blanks.

pyarrow splits lines into fields; a text table knows no types, so every column comes as strings (an empty field is null,
a quoted empty one is not), and what they mean is decided where they are converted. Rows count from 1 without header,
comments and empty lines.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers.base import HEAD_BYTES, FileColumn, damaged, names_of_their_own, open_plain, pick, suffix

BLOCK_BYTES = 4 << 20
"""Bytes that are parsed at once: some ten thousand rows."""

MOST_COLUMNS = 1600
"""Columns that a table of PostgreSQL can have (manual, appendix K)."""

_BLANKS = re.compile(rb'"[^"\n]*"|[ \t]+')
_OUTSIDE_QUOTES = re.compile(rb'"[^"\n]*"| ')


class TextReader:
    """Lines of fields. A `delimiter` of None means any number of blanks and tabs."""

    def __init__(self, name: str, delimiter: str | None, extensions: tuple[str, ...], comment: str | None) -> None:
        self.name = name
        self._delimiter = delimiter
        self._extensions = extensions
        self._comment = comment

    def recognises(self, path: Path, head: bytes) -> bool:
        lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"#")]
        if b"\0" in head or not lines or lines[0].lstrip().startswith((b"<", b"{", b"[")):
            return False
        if self._delimiter is None:
            return True
        if suffix(path) in self._extensions:
            return self._delimiter.encode() in lines[0] or len(lines[0].split()) == 1
        # All lines have several fields, and as many; the last one may have been cut off.
        texts = [line.decode("latin-1") for line in lines[: -1 if len(head) == HEAD_BYTES else None]]
        counts = {len(fields) for fields in csv.reader(texts, delimiter=self._delimiter)}
        return len(counts) == 1 and counts != {1}

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        names = self._names(path, options)
        if len(names) > MOST_COLUMNS:
            raise IngestError(f"{path} has {len(names)} columns in its first line, a table at most {MOST_COLUMNS}")
        return tuple(FileColumn(name, pa.string()) for name in names)

    def rows(self, path: Path, options: FileOptions) -> int | None:
        return None

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        columns = self.columns(path, options)
        pick(path, columns, names)
        ragged: list[pyarrow.csv.InvalidRow] = []

        def refuse(row: pyarrow.csv.InvalidRow) -> str:
            ragged.append(row)
            return "error"

        with self._lines(path, options) as lines:
            try:
                reader = pyarrow.csv.open_csv(
                    lines,
                    # Without threads the numbers of rows are known, and it is no slower.
                    read_options=pyarrow.csv.ReadOptions(
                        use_threads=False,
                        block_size=BLOCK_BYTES,
                        column_names=[column.name for column in columns],
                        skip_rows=int(options.header == "yes"),
                        encoding=options.encoding,
                    ),
                    parse_options=pyarrow.csv.ParseOptions(
                        delimiter=self._separator(options) or "\t",
                        newlines_in_values=True,
                        invalid_row_handler=refuse,
                    ),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types={name: pa.string() for name in names},
                        include_columns=list(names),
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                    ),
                )
                for batch in reader:
                    for start in range(0, batch.num_rows, rows):
                        yield batch.slice(start, rows)
            except (pa.ArrowInvalid, UnicodeDecodeError, EOFError, OSError) as error:
                raise self._explain(path, options, error, ragged) from None

    def _explain(
        self, path: Path, options: FileOptions, error: Exception, ragged: list[pyarrow.csv.InvalidRow]
    ) -> IngestError:
        if ragged:
            row = ragged[0]
            number = row.number - int(options.header == "yes")
            return IngestError(
                f"{path}, row {number}: {row.actual_columns} values are there, {row.expected_columns} are expected:"
                f" {row.text[:200]}"
            )
        if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
            return IngestError(
                f"{path} is not {options.encoding} text; say which it is (input: encoding: latin-1): {error}"
            )
        if "Empty CSV" in str(error):
            return IngestError(f"{path} holds no rows")
        return damaged(path, error)

    def _separator(self, options: FileOptions) -> str | None:
        return options.delimiter or self._delimiter

    def _lines(self, path: Path, options: FileOptions) -> BinaryIO:
        """The file without what is no row of the table, its fields separated by one character."""
        comment = options.comment or self._comment
        blanks = self._separator(options) is None
        file = open_plain(path)
        for _ in range(options.skip):
            file.readline()
        if comment is None and not blanks:
            return file
        return io.BufferedReader(_Cleaned(file, comment, blanks), BLOCK_BYTES)

    def _names(self, path: Path, options: FileOptions) -> list[str]:
        first = self._header_comment(path, options) if options.header == "comment" else self._first_line(path, options)
        fields = self._split(first, options)
        if options.header == "no":
            return [str(number) for number in range(1, len(fields) + 1)]
        return names_of_their_own(fields)

    def _split(self, line: str, options: FileOptions) -> list[str]:
        separator = self._separator(options)
        return line.split() if separator is None else next(csv.reader([line], delimiter=separator))

    def _first_line(self, path: Path, options: FileOptions) -> str:
        with self._lines(path, options) as lines:
            try:
                for line in lines:
                    if line.strip():
                        return _decode(path, line, options)
            except (EOFError, OSError) as error:
                raise damaged(path, error) from None
        raise IngestError(f"{path} holds no rows")

    def _header_comment(self, path: Path, options: FileOptions) -> str:
        """The last comment before the data."""
        comment = options.comment or self._comment or "#"
        last = None
        with open_plain(path) as lines:
            for raw in lines:
                line = _decode(path, raw, options)
                if line.startswith(comment):
                    last = line.removeprefix(comment).strip()
                elif line:
                    break
        if not last:
            raise IngestError(f"{path}: no comment with the names of the columns stands before the data")
        return last


def _decode(path: Path, line: bytes, options: FileOptions) -> str:
    try:
        return line.removeprefix(codecs.BOM_UTF8).decode(options.encoding).strip("\r\n")
    except UnicodeDecodeError:
        raise IngestError(
            f"{path} is not {options.encoding} text; say which it is (input: encoding: latin-1)"
        ) from None


class _Cleaned(io.RawIOBase):
    """A text file as bytes, without comment lines; runs of blanks become one tab if they separate fields."""

    def __init__(self, file: BinaryIO, comment: str | None, blanks: bool) -> None:
        super().__init__()
        self._file = file
        self._mark = comment.encode() if comment else None
        self._comment = re.compile(rb"(?m)^[ \t]*" + re.escape(self._mark or b"") + rb".*\n?")
        self._blanks = blanks
        self._rest = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            block = self._file.read(BLOCK_BYTES)
            if not block and not self._rest:
                return 0
            lines, newline, self._rest = (self._rest + block).rpartition(b"\n") if block else (self._rest, b"", b"")
            self._ready = memoryview(self._clean(lines + newline))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _clean(self, lines: bytes) -> bytes:
        if self._mark is not None and self._mark in lines:
            lines = self._comment.sub(b"", lines)
        return _separate(lines) if self._blanks else lines


def _separate(lines: bytes) -> bytes:
    """Fields separated by single tabs, lines without blanks at their ends. Blanks within quotes stay."""
    if b'"' in lines:
        lines = _BLANKS.sub(lambda found: found[0] if found[0].startswith(b'"') else b" ", lines)
    else:
        # Much faster than a regular expression.
        lines = lines.replace(b"\t", b" ")
        while b"  " in lines:
            lines = lines.replace(b"  ", b" ")
    lines = lines.replace(b"\n ", b"\n").replace(b" \n", b"\n").replace(b" \r\n", b"\r\n").strip(b" ")
    return _OUTSIDE_QUOTES.sub(_tabs, lines) if b'"' in lines else lines.replace(b" ", b"\t")


def _tabs(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"\t"
