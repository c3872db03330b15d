"""Where a result comes from: INFO items that let its reader cite, question and repeat it (IVOA Note DataOrigin 1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version

from vo_service.catalog.identifiers import table_ivoid
from vo_service.catalog.model import Resource, Table
from vo_service.config import Settings
from vo_service.formats.base import Info

_SOFTWARE = f"vo-service/{version('vo-service')}"


def origin(
    settings: Settings, protocol: str, sources: Iterable[Table], *, query: str | None = None, request: str | None = None
) -> tuple[Info, ...]:
    """The items of a result.

    Parameters
    ----------
    protocol
        Identifier of the standard by which the result was asked for: "ivo://ivoa.net/std/TAP".
    sources
        The published tables that it was computed from.
    query
        The query, in a language such as ADQL.
    request
        The whole address that was asked, where that repeats the request.
    """
    about = {
        "standardID": protocol,
        "service_protocol": protocol,
        "server_software": _SOFTWARE,
        "publisher": settings.publisher,
        "contact": settings.contact_email,
        "request": request,
        "query": query,
        "request_date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    infos = [Info(name, value) for name, value in about.items() if value]
    for table in sources:
        infos += _of_table(table, settings)
    return tuple(infos)


def _of_table(table: Table, settings: Settings) -> Iterator[Info]:
    name = table.full_name
    yield Info("data_ivoid", table_ivoid(settings.authority, table), f"Of {name}")
    for item, value in _of_resource(table.resource) if table.resource is not None else ():
        if value:
            yield Info(item, value, f"Of {name}")


def _of_resource(resource: Resource) -> Iterator[tuple[str, str | None]]:
    """Names are those of the note, of which some may stand there several times."""
    yield from (("creator", person.name) for person in resource.creators)
    yield "citation", f"doi:{resource.doi.removeprefix('doi:')}" if resource.doi else resource.citation
    yield "reference_url", resource.reference_url
    yield "resource_version", resource.version
    yield "rights", resource.license
    yield "rights_uri", resource.license_url
    yield "publication_date", resource.date
