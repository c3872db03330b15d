"""VOTable 1.4 and 1.5: one document head for three serializations, BINARY2, BINARY and TABLEDATA.

The head is built and escaped by lxml; the rows go between its two halves as bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from vo_service.catalog.model import Column
from vo_service.errors import UsageError
from vo_service.formats.base import Info, ResultTable, Writer
from vo_service.formats.binary import as_binary, null_of, without_null
from vo_service.formats.binary2 import encode_rows
from vo_service.formats.services import field_ids, service_resource
from vo_service.formats.systems import TimeSystem, is_position, time_system
from vo_service.formats.values import as_text, bytes_of, contains_any, rows_of_text

NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
"""Of VOTable 1.3, 1.4 and 1.5."""

VERSION = "1.4"
"""Unless the request asks for another: STILTS 3.4 calls 1.5 an error."""

_VERSIONS = ("1.4", "1.5")
_SERIALIZATIONS = ("BINARY2", "BINARY", "TABLEDATA")

_ROWS, _TRAILER = b"<!--rows-->", b"<!--trailer-->"
"""Where the rows and the last INFO go in the document as it is built."""

_SPACE = "system"
"""ID of the COOSYS."""

_ILLEGAL = r"[\x{00}-\x{08}\x{0B}\x{0C}\x{0E}-\x{1F}\x{FFFE}\x{FFFF}]"
"""Characters that XML 1.0 has no way to write; they become U+FFFD."""

_ILLEGAL_IN_PYTHON = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


class _Rows(Protocol):
    """A serialization of rows."""

    def encode(self, batch: pa.RecordBatch) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class VOTable:
    """The format; `serialization` is what it uses unless the request asks for another."""

    mime_type: str
    aliases: tuple[str, ...]
    serialization: str
    extension: str = "vot"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> VOTableWriter:
        """As the contract says. Raises UsageError for a serialization or version that we do not write."""
        serialization = options.get("serialization", self.serialization).upper()
        if serialization not in _SERIALIZATIONS:
            raise UsageError(f"serialization={serialization}: expected one of {', '.join(_SERIALIZATIONS)}")
        version = options.get("version", VERSION)
        if version not in _VERSIONS:
            raise UsageError(f"version={version}: expected one of {', '.join(_VERSIONS)}")
        return VOTableWriter(table, serialization, version)


class VOTableWriter(Writer):
    """Writes one result document."""

    def __init__(self, table: ResultTable, serialization: str, version: str) -> None:
        if serialization == "BINARY":
            table = replace(table, columns=tuple(map(as_binary, table.columns)))
        is_table = serialization == "TABLEDATA"
        self._rows: _Rows = _TableData() if is_table else _Binary(table.columns, flags=serialization == "BINARY2")
        self._head, rest = _document(table, serialization, version).split(_ROWS)
        self._foot, self._close = rest.split(_TRAILER)

    def start(self) -> bytes:
        return self._head

    def batch(self, batch: pa.RecordBatch) -> bytes:
        return self._rows.encode(batch) if batch.num_rows else b""

    def end(self) -> tuple[bytes, ...]:
        return self._ending(None)

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        return self._ending(Info("QUERY_STATUS", "OVERFLOW", f"There are more rows than the {maxrec} given here"))

    def failure(self, message: str) -> tuple[bytes, ...]:
        return self._ending(Info("QUERY_STATUS", "ERROR", message))

    def _ending(self, info: Info | None) -> tuple[bytes, ...]:
        trailer = b"" if info is None else etree.tostring(_info(info), encoding="utf-8")
        return (self._rows.finish() + self._foot + trailer + self._close,)


class _Binary:
    """Rows in BINARY2 or BINARY, as one base64 text: what does not fill three bytes waits for the next batch."""

    def __init__(self, columns: tuple[Column, ...], *, flags: bool) -> None:
        self._columns = columns
        self._flags = flags
        self._left = b""

    def encode(self, batch: pa.RecordBatch) -> bytes:
        known = batch if self._flags else without_null(batch, self._columns)
        data = self._left + encode_rows(known, self._columns, flags=self._flags)
        whole = len(data) - len(data) % 3
        self._left = data[whole:]
        return base64.b64encode(memoryview(data)[:whole])

    def finish(self) -> bytes:
        return base64.b64encode(self._left)


class _TableData:
    """Rows as TR and TD elements; NULL is an empty TD (VOTable 1.4, section 6)."""

    def encode(self, batch: pa.RecordBatch) -> bytes:
        cells = [_escaped(array) if pa.types.is_string(array.type) else as_text(array) for array in batch.columns]
        return rows_of_text(cells, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")

    def finish(self) -> bytes:
        return b""


def error_document(message: str) -> bytes:
    """The document that tells of an error (DALI 1.1, section 4.2)."""
    root, resource = _root()
    resource.append(_info(Info("QUERY_STATUS", "ERROR", message)))
    return _serialise(root)


def scs_error_document(message: str) -> bytes:
    """The document that tells of an error in a cone search (SCS 1.03, section 2.3): an INFO named Error."""
    root, resource = _root()
    resource.append(_info(Info("Error", message)))
    return _serialise(root)


def metadata_document(table: ResultTable, *infos: Info) -> bytes:
    """The document without its rows, as other formats hold it (VOParquet 1.0, section 2); `infos` are further ones."""
    root, _, _ = _heading(table, (*table.infos, *infos))
    return _serialise(root)


def _document(table: ResultTable, serialization: str, version: str) -> bytes:
    """The whole document, with marks where the rows and the last INFO go."""
    root, resource, element = _heading(table, (Info("QUERY_STATUS", "OK"), *table.infos))
    root.set("version", version)
    if serialization == "BINARY":
        _name_nulls(element, table.columns)
    rows = etree.SubElement(etree.SubElement(element, "DATA"), serialization)
    if serialization != "TABLEDATA":
        rows = etree.SubElement(rows, "STREAM", encoding="base64")
    rows.append(etree.Comment("rows"))
    resource.append(etree.Comment("trailer"))
    _add_services(root, element, table)
    return _serialise(root)


def _heading(table: ResultTable, infos: tuple[Info, ...]) -> tuple[etree._Element, etree._Element, etree._Element]:
    """The document as far as it is without rows: its root, its RESOURCE and its TABLE."""
    root, resource = _root()
    for info in infos:
        resource.append(_info(info))
    _add_systems(resource, table)
    element = etree.SubElement(resource, "TABLE", name=_legal(table.name))
    _describe(element, table.description)
    for column in table.columns:
        element.append(_field(column))
    return root, resource, element


def _root() -> tuple[etree._Element, etree._Element]:
    root = etree.Element("VOTABLE", version=VERSION, nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    return root, etree.SubElement(root, "RESOURCE", type="results")


def _serialise(root: etree._Element) -> bytes:
    # Elements are made without a namespace and stand in the default one, which the root declares.
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def _info(info: Info) -> etree._Element:
    element = etree.Element("INFO", name=_legal(info.name), value=_legal(info.value))
    element.text = _legal(info.text) or None
    return element


def _field(column: Column) -> etree._Element:
    # Without an ID: readers would prefer it to the name.
    attributes = {
        "name": column.name,
        "datatype": column.datatype,
        "arraysize": column.arraysize,
        "xtype": column.xtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "ref": _system_of(column),
    }
    element = etree.Element("FIELD", {name: _legal(value) for name, value in attributes.items() if value})
    _describe(element, column.description)
    return element


def _name_nulls(table: etree._Element, columns: tuple[Column, ...]) -> None:
    """Tell which integers stand for NULL (VOTable 1.4, section 4.7)."""
    for field, column in zip(table.iterfind("FIELD"), columns, strict=True):
        null = null_of(column)
        if null is not None:
            # VALUES stands after DESCRIPTION.
            etree.SubElement(field, "VALUES", null=str(null))


def _describe(element: etree._Element, description: str | None) -> None:
    if description:
        etree.SubElement(element, "DESCRIPTION").text = _legal(description)


def _add_systems(resource: etree._Element, table: ResultTable) -> None:
    """COOSYS and TIMESYS elements of the systems that columns refer to (VOTable 1.4, sections 3.1 and 3.2)."""
    if any(map(is_position, table.columns)):
        etree.SubElement(resource, "COOSYS", ID=_SPACE, system=table.frame)
    for system in sorted({system for column in table.columns if (system := time_system(column))}, key=_id_of):
        origin = {"timeorigin": "MJD-origin"} if system.is_mjd else {}
        attributes = {"ID": _id_of(system), **origin, "timescale": system.scale, "refposition": "UNKNOWN"}
        etree.SubElement(resource, "TIMESYS", attributes)


def _add_services(root: etree._Element, element: etree._Element, table: ResultTable) -> None:
    """A RESOURCE for each service, after that of the results, and IDs for the columns that they refer to."""
    ids = field_ids(table.services, (str(system.get("ID")) for system in root.iter("COOSYS", "TIMESYS")))
    for field in element.iterfind("FIELD"):
        if (identifier := ids.get(str(field.get("name")))) is not None:
            field.set("ID", identifier)
    root.extend(service_resource(service, ids) for service in table.services)


def _system_of(column: Column) -> str | None:
    """ID of the coordinate or time system that a column is given in."""
    if is_position(column):
        return _SPACE
    system = time_system(column)
    return _id_of(system) if system else None


def _id_of(system: TimeSystem) -> str:
    return f"{'mjd' if system.is_mjd else 'time'}_{system.scale}"


def _legal(text: str) -> str:
    return _ILLEGAL_IN_PYTHON.sub("\ufffd", text)


def _escaped(text: pa.StringArray) -> pa.StringArray:
    """Strings as XML."""
    if not (contains_any(text, "&", "<", ">", "\ufffe", "\uffff") or _has_controls(text)):
        return text
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = pc.replace_substring(text, pattern=character, replacement=entity)
    return pc.replace_substring_regex(text, pattern=_ILLEGAL, replacement="\ufffd")


def _has_controls(text: pa.StringArray) -> bool:
    return bool((bytes_of(text) < 0x20).any())
