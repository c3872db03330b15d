"""The service under test, and what all areas ask of it: its records, each document once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from vo_service.validation.client import document
from vo_service.validation.documents import NS, Element, Result, named, text_of, votable_of, xml_of
from vo_service.validation.findings import Area, Finding
from vo_service.validation.harvest import Harvester
from vo_service.validation.schemas import MissingSchemaError, Schemas

TAP = "ivo://ivoa.net/std/TAP"
VOSI = "ivo://ivoa.net/std/VOSI#"


@dataclass(frozen=True, slots=True)
class Interface:
    """One access URL of a capability; `standard` is its standardID, or empty."""

    standard: str
    kind: str
    use: str
    url: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record that is not deleted: its header's identifier and datestamp, and the `ri:Resource`."""

    identifier: str
    datestamp: str
    resource: Element

    def interfaces(self) -> list[Interface]:
        return list(interfaces_of(self.resource))

    def address_of(self, standard: str) -> str | None:
        """The access URL of the capability whose standardID begins so."""
        return next((found.url for found in self.interfaces() if found.standard.startswith(standard.lower())), None)

    def tables(self) -> list[str]:
        return [text_of(table, "name") for table in self.resource.iterfind("tableset/schema/table")]


class Site:
    """A service at an address, without a slash at its end."""

    def __init__(self, url: str, schemas: Schemas | None, no_schemas: str, *, thorough: bool) -> None:
        self.url = url
        self.thorough = thorough
        self.harvester = Harvester(f"{url}/oai")
        self._schemas = schemas
        self._no_schemas = no_schemas

    @cached_property
    def records(self) -> list[Record]:
        """All records that are not deleted. Raises BrokenError."""
        found = self.harvester.items("ListRecords", metadataPrefix="ivo_vor")
        return [
            Record(text_of(item, "oai:header/oai:identifier"), text_of(item, "oai:header/oai:datestamp"), resource)
            for item in found
            if (resource := item.find("oai:metadata/ri:Resource", NS)) is not None
        ]

    @cached_property
    def tap(self) -> str:
        """The address of TAP: that of its record, or the usual one. Raises BrokenError."""
        for record in self.records:
            for interface in record.interfaces():
                if interface.standard == TAP.lower():
                    return interface.url.rstrip("/")
        return f"{self.url}/tap"

    def sample(self, table: str, rows: int = 1) -> Result:
        """The first rows of a table, by TAP. Raises BrokenError."""
        return self.query(f"SELECT TOP {rows} * FROM {table}")  # noqa: S608 (the service itself gave the name)

    def query(self, adql: str) -> Result:
        """The result of a query, by TAP. Raises BrokenError."""
        parameters = {"LANG": "ADQL", "QUERY": adql, "RESPONSEFORMAT": "votable"}
        return votable_of(document(f"{self.tap}/sync", parameters))

    @cached_property
    def tables(self) -> Element:
        """The tables document of TAP, with columns. Raises BrokenError."""
        return xml_of(document(f"{self.tap}/tables", {"detail": "max"}))

    def columns(self, table: str) -> dict[str, Element] | None:
        """The columns of a table by their names in lower case; None if there is no such table. Raises BrokenError."""
        for found in named(self.tables, "table"):
            if text_of(found, "name").lower() == table.lower():
                return {text_of(column, "name").lower(): column for column in found.iterfind("column")}
        return None

    def _complaints(self, element: Element) -> list[str]:
        if self._schemas is None:
            raise MissingSchemaError(self._no_schemas)
        return self._schemas.complaints(element)

    def judged(self, area: Area, what: str, documents: Sequence[tuple[str, Element]]) -> Iterator[Finding]:
        """What the schemas have against documents, which are given with their addresses."""
        unjudged: list[tuple[str, str]] = []
        for address, element in documents:
            try:
                complaints = self._complaints(element)
            except MissingSchemaError as error:
                unjudged.append((address, error.message))
                continue
            for said in complaints:
                yield area.error(address, f"expected {what} valid by the schema, found {said}")
        if len(unjudged) < len(documents):
            yield area.checked(len(documents) - len(unjudged), f"{what} against the schemas")
        if unjudged:
            address, reason = unjudged[0]
            others = f" and {len(unjudged) - 1} others" if len(unjudged) > 1 else ""
            yield area.skipped(f"{address}{others}", f"{what} not judged by schema: {reason}")


def interfaces_of(parent: Element) -> Iterator[Interface]:
    """The interfaces of capabilities, of a record or a capabilities document; standardIDs in lower case."""
    for capability in parent.iterfind("capability"):
        for interface in capability.iterfind("interface"):
            for url in interface.iterfind("accessURL"):
                yield Interface(
                    capability.get("standardID", "").lower(),
                    interface.get("{http://www.w3.org/2001/XMLSchema-instance}type", "").rpartition(":")[2],
                    url.get("use", "full"),
                    (url.text or "").strip(),
                )
