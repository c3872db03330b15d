"""Keys of records in the database, and the IVOA identifiers that they stand for.

A table's key is `SCHEMA/TABLE`; those of the service's own records have no slash.
"""

from __future__ import annotations

from typing import Final

from vo_service.catalog.identifiers import ivoid, names_in
from vo_service.catalog.model import Catalog, Table
from vo_service.config import Settings

AUTHORITY: Final = "authority"
ORGANISATION: Final = "org"
REGISTRY: Final = "registry"
TAP: Final = "tap"
STREAM: Final = "stream"


def service_keys(settings: Settings) -> tuple[str, ...]:
    """The records of the service itself. A stream under another authority is registered by that one."""
    own_stream = names_in(settings.authority, stream_ivoid(settings))
    return (AUTHORITY, ORGANISATION, REGISTRY, TAP, *((STREAM,) if own_stream else ()))


def stream_ivoid(settings: Settings) -> str:
    """The stream of the events that we publish."""
    return settings.voevent_stream or ivoid(settings.authority, "alerts")


def table_key(table: Table) -> str:
    """The key of a table's record."""
    return f"{table.schema}/{table.name}"


def identifier(settings: Settings, key: str) -> str:
    """The IVOA identifier of a record."""
    if key == AUTHORITY:
        return ivoid(settings.authority)
    if key == STREAM:
        return stream_ivoid(settings)
    return ivoid(settings.authority, *key.split("/"))


def key_of(settings: Settings, identifier_: str) -> str | None:
    """The key of an identifier, whose letter case does not count; None if we have no such identifiers."""
    if identifier_.lower() == stream_ivoid(settings).lower():
        return STREAM
    names = names_in(settings.authority, identifier_)
    if names == ():
        return AUTHORITY
    if names is None or (len(names) == 1 and names[0].lower() not in (ORGANISATION, REGISTRY, TAP)):
        return None
    return "/".join(names)


def table_of(catalog: Catalog, key: str) -> Table | None:
    """The table of a key; None if it is not published, or if nobody has described it as a resource."""
    schema, _, name = key.partition("/")
    table = catalog.table(schema, name)
    return table if table is not None and table.resource is not None else None
