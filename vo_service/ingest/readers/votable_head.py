"""What a VOTable document says before its data: tables, their fields, and where the data stand (VOTable 1.4).

Expat reads everything but the data, which are passed over: they are most of the document, and have faster readers.
A DOCTYPE (entities are declared nowhere else) and data that stand elsewhere are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from xml.parsers import expat

from vo_service.errors import IngestError
from vo_service.ingest.readers.base import damaged, plain_file

Content = mmap | bytes

BLOCK_BYTES = 1 << 20
"""Bytes that the parser is given at once."""

_DATA_TAG = re.compile(rb"(?:TABLEDATA|STREAM)\b[^>]*>")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_SERIALISATIONS = ("TABLEDATA", "BINARY", "BINARY2", "FITS")


@dataclass
class Field:
    """A FIELD. `null` is what stands for a missing value, from its VALUES."""

    name: str
    datatype: str
    arraysize: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    xtype: str | None = None
    description: str | None = None
    null: str | None = None


@dataclass
class Data:
    """Where the data of a table stand in the document, and how.

    Attributes
    ----------
    serialisation
        TABLEDATA, BINARY, BINARY2 or FITS.
    start, end
        The first byte within the element of the data, and the one after the last.
    prefix
        Of the names of elements: empty, or "vot:".
    encoding
        Of the STREAM.
    extension
        Of FITS: the number of the extension.
    """

    serialisation: str
    start: int = 0
    end: int = 0
    prefix: str = ""
    encoding: str = ""
    extension: str = "1"


@dataclass
class TableHead:
    """A TABLE. `data` is None if it has none."""

    name: str | None
    identifier: str | None
    rows: int | None
    fields: list[Field] = field(default_factory=list)
    data: Data | None = None


@dataclass
class Document:
    """The tables of a document, and the encoding of its text."""

    tables: list[TableHead] = field(default_factory=list)
    encoding: str = "utf-8"


@contextmanager
def open_content(path: Path) -> Iterator[Content]:
    """The document's bytes, uncompressed, in an encoding that has ASCII in it."""
    with plain_file(path) as plain, plain.open("rb") as file:
        try:
            content = mmap(file.fileno(), 0, access=ACCESS_READ)
        except ValueError:
            raise damaged(path, "it is empty") from None
        with content:
            if content[:2] not in _UTF_16:
                yield content
                return
            try:
                text = content[:].decode("utf-16" if content[:2] in _UTF_16[:2] else "utf-16-le")
            except UnicodeDecodeError as error:
                raise damaged(path, error) from None
        yield text.encode()


def scan(path: Path, content: Content) -> Document:
    """What the document has. Raises IngestError."""
    return _Scanner(path, content).run()


class _Scanner:
    """Goes through a document, tag by tag where data may begin."""

    def __init__(self, path: Path, content: Content) -> None:
        self._path = path
        self._content = content
        self._document = Document()
        self._open: list[str] = []
        self._tag = ""
        self._text: list[str] = []
        # What is no file's content any more has been made UTF-8, whatever it says of itself.
        self._parser = expat.ParserCreate("utf-8" if isinstance(content, bytes) else None)
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def run(self) -> Document:
        try:
            place = 0
            while found := _DATA_TAG.search(self._content, place):
                self._feed(place, found.end())
                place = found.end()
                data = self._data()
                if data is not None and self._open[-1] in ("TABLEDATA", "STREAM"):
                    place = self._pass_over(data, place)
            self._feed(place, len(self._content))
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise damaged(self._path, error) from None
        return self._document

    def _feed(self, start: int, end: int) -> None:
        for place in range(start, end, BLOCK_BYTES):
            self._parser.Parse(self._content[place : min(place + BLOCK_BYTES, end)], False)

    def _pass_over(self, data: Data, start: int) -> int:
        """Note where the data stand; gives where the tag begins that ends them."""
        end = self._content.find(f"</{self._tag}".encode(), start)
        if end < 0:
            raise damaged(self._path, "it ends within its data")
        data.start, data.end, data.prefix = start, end, self._tag.rpartition(":")[0]
        if data.prefix:
            data.prefix += ":"
        return end

    def _data(self) -> Data | None:
        """The data of the table that is open."""
        return self._document.tables[-1].data if "TABLE" in self._open else None

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        if not isinstance(self._content, bytes):
            self._document.encoding = encoding or "utf-8"

    def _doctype(self, *_: object) -> None:
        raise IngestError(
            f"{self._path} is refused: it has a DOCTYPE, which could make it read other files or grow without end"
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        self._tag = tag
        self._text.clear()
        tables = self._document.tables
        if name == "TABLE":
            rows = attributes.get("nrows", "")
            tables.append(
                TableHead(attributes.get("name"), attributes.get("ID"), int(rows) if rows.isdecimal() else None)
            )
        elif name == "FIELD" and parent == "TABLE":
            tables[-1].fields.append(_field(attributes))
        elif name == "VALUES" and parent == "FIELD" and tables:
            tables[-1].fields[-1].null = attributes.get("null")
        elif name in _SERIALISATIONS and parent == "DATA" and tables:
            tables[-1].data = Data(name, extension=attributes.get("extnum", "1"))
        elif name == "STREAM":
            self._stream(attributes)

    def _stream(self, attributes: dict[str, str]) -> None:
        if "href" in attributes:
            raise IngestError(
                f"{self._path} is refused: its data stand elsewhere ({attributes['href']}); only data within are read"
            )
        data = self._data()
        if data is not None:
            data.encoding = attributes.get("encoding", "")

    def _end(self, _: str) -> None:
        name = self._open.pop()
        if name == "DESCRIPTION" and self._open[-2:] == ["TABLE", "FIELD"]:
            self._document.tables[-1].fields[-1].description = " ".join("".join(self._text).split()) or None


def _field(attributes: dict[str, str]) -> Field:
    size = attributes.get("arraysize", "").strip()
    return Field(
        name=attributes.get("name") or attributes.get("ID", ""),
        datatype=attributes.get("datatype", ""),
        # An array of one is a scalar (VOTable 1.3, erratum 3).
        arraysize=None if size in ("", "1") else size,
        unit=attributes.get("unit"),
        ucd=attributes.get("ucd"),
        utype=attributes.get("utype"),
        xtype=attributes.get("xtype"),
    )
