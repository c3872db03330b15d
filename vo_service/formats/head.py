"""The head of a VOTable 1.4 or 1.5, and what follows its rows: documents without rows, and what stands around rows.

Most answers are small, and their head is most of the work: what is written of a column is kept for the next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from lxml import etree

from vo_service.catalog.model import Column
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.binary import null_of
from vo_service.formats.markup import element, text
from vo_service.formats.services import ServiceDescriptor, field_ids, service_resource
from vo_service.formats.systems import is_position, time_system

NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
"""Of VOTable 1.3, 1.4 and 1.5."""

VERSION = "1.4"
"""Unless the request asks for another: STILTS 3.4 calls 1.5 an error."""

_SPACE = "system"
"""ID of the COOSYS."""

_KEPT = 4096
"""Columns and services of which the text is kept: one or two megabytes."""


class Around(NamedTuple):
    """A document around its rows: what is before them, what is after them, and the end, before which an INFO may go."""

    head: bytes
    foot: bytes
    close: bytes


def around_rows(table: ResultTable, serialization: str, version: str) -> Around:
    """What stands around the rows in a serialization; the first INFO says that all went well."""
    systems = _systems(table)
    ids = field_ids(table.services, systems)
    fields = [
        _field(column, table.frame, ids.get(column.name), with_null=serialization == "BINARY")
        for column in table.columns
    ]
    begin, end = ("", "") if serialization == "TABLEDATA" else ('<STREAM encoding="base64">', "</STREAM>")
    described = _described(table, (Info("QUERY_STATUS", "OK"), *table.infos), systems, fields)
    return Around(
        f"{_opening(version)}{described}<DATA><{serialization}>{begin}".encode(),
        f"{end}</{serialization}></DATA></TABLE>".encode(),
        f"</RESOURCE>{_services(table.services, ids)}</VOTABLE>".encode(),
    )


def metadata_document(table: ResultTable, *infos: Info) -> bytes:
    """The document without its rows, as other formats hold it (VOParquet 1.0, section 2); `infos` are further ones."""
    fields = [_field(column, table.frame) for column in table.columns]
    described = _described(table, (*table.infos, *infos), _systems(table), fields)
    return f"{_opening(VERSION)}{described}</TABLE></RESOURCE></VOTABLE>".encode()


def message_document(info: Info) -> bytes:
    """A document of one INFO."""
    return f"{_opening(VERSION)}{info_element(info)}</RESOURCE></VOTABLE>".encode()


def info_element(info: Info) -> str:
    """An INFO element."""
    return element("INFO", {"name": info.name, "value": info.value}, text(info.text))


def _opening(version: str) -> str:
    return (
        f"<?xml version='1.0' encoding='utf-8'?>\n"
        f'<VOTABLE xmlns="{NAMESPACE}" version="{version}"><RESOURCE type="results">'
    )


def _described(table: ResultTable, infos: Iterable[Info], systems: Mapping[str, str], fields: Iterable[str]) -> str:
    """From the first INFO to the last FIELD."""
    told = "".join(map(info_element, infos))
    name = element("TABLE", {"name": table.name}).removesuffix("/>")
    return f"{told}{''.join(systems.values())}{name}>{_description(table.description)}{''.join(fields)}"


@lru_cache(_KEPT)
def _field(column: Column, frame: str, identifier: str | None = None, *, with_null: bool = False) -> str:
    """A FIELD, with the integer that stands for NULL if that is asked for (VOTable 1.4, section 4.7)."""
    system = _system(column, frame)
    null = null_of(column) if with_null else None
    attributes = {
        "name": column.name,
        "datatype": column.datatype,
        "arraysize": column.arraysize or None,
        "xtype": column.xtype or None,
        "unit": column.unit or None,
        "ucd": column.ucd or None,
        "utype": column.utype or None,
        "ref": system[0] if system else None,
        # Only where something refers to it: readers would prefer it to the name.
        "ID": identifier,
    }
    values = "" if null is None else element("VALUES", {"null": str(null)})
    return element("FIELD", attributes, _description(column.description), values)


def _description(words: str | None) -> str:
    return element("DESCRIPTION", {}, text(words)) if words else ""


def _systems(table: ResultTable) -> dict[str, str]:
    """COOSYS and TIMESYS of the systems that columns refer to (VOTable 1.4, sections 3.1 and 3.2), by their ID."""
    found = dict(system for column in table.columns if (system := _system(column, table.frame)))
    return {identifier: found[identifier] for identifier in sorted(found, key=lambda known: (known != _SPACE, known))}


@lru_cache(_KEPT)
def _system(column: Column, frame: str) -> tuple[str, str] | None:
    """ID and element of the coordinate or time system that a column is given in."""
    if is_position(column):
        return _SPACE, element("COOSYS", {"ID": _SPACE, "system": frame})
    if (system := time_system(column)) is None:
        return None
    identifier = f"{'mjd' if system.is_mjd else 'time'}_{system.scale}"
    origin = "MJD-origin" if system.is_mjd else None
    attributes = {"timeorigin": origin, "timescale": system.scale, "refposition": "UNKNOWN"}
    return identifier, element("TIMESYS", {"ID": identifier, **attributes})


def _services(services: Iterable[ServiceDescriptor], ids: Mapping[str, str]) -> str:
    """A RESOURCE for each service, to follow that of the results."""
    return "".join(_service(service, tuple((name, ids[name]) for name in service.columns())) for service in services)


@lru_cache(_KEPT)
def _service(service: ServiceDescriptor, ids: tuple[tuple[str, str], ...]) -> str:
    return etree.tostring(service_resource(service, dict(ids)), encoding="unicode")
