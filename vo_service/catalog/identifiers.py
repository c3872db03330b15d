"""IVOA identifiers of what is published (Identifiers 2.0): `ivo://AUTHORITY/SCHEMA/TABLE`."""

from __future__ import annotations

import re
from urllib.parse import unquote

from vo_service.catalog.model import Table

# Section 2.3.3, and the schema of VOResource: what a part of an identifier may hold. `=` begins an escape.
_OTHER = re.compile(r"[^A-Za-z0-9_.!~*'()+-]")


def ivoid(authority: str, *names: str) -> str:
    """The identifier of a thing by its names; of the authority itself without any.

    Identifiers have no percent encoding: the bytes (UTF-8) of characters that they may not hold are written `=C3`.
    """
    return "/".join((f"ivo://{authority}", *map(_escaped, names)))


def table_ivoid(authority: str, table: Table) -> str:
    """The identifier of a published table."""
    return ivoid(authority, table.schema, table.name)


def names_in(authority: str, identifier: str) -> tuple[str, ...] | None:
    """The names in an identifier of this authority, whose letter case does not count; None if it is of another."""
    start = ivoid(authority).lower()
    if identifier.lower() == start:
        return ()
    if not identifier.lower().startswith(f"{start}/"):
        return None
    parts = identifier[len(start) + 1 :].split("/")
    return tuple(unquote(part.replace("%", "%25").replace("=", "%")) for part in parts)


def _escaped(name: str) -> str:
    return _OTHER.sub(lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), name)
