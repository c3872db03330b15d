"""The availability document (VOSI 1.1, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lxml import etree

from vo_service.context import Context
from vo_service.database.execute import is_reachable
from vo_service.vosi.documents import NAMESPACES, legal, root, serialise


async def availability_now(context: Context) -> bytes:
    """What the service says of itself at this moment: it is available if the database can be reached."""
    reachable = await is_reachable(context.database)
    notes = [] if reachable else ["The database cannot be reached"]
    return availability_document(reachable, context.started, notes)


def availability_document(available: bool, up_since: datetime, notes: Sequence[str] = ()) -> bytes:
    """Whether the service answers queries, since when it runs, and remarks for people."""
    document = root("avail", "availability")
    _add(document, "available", "true" if available else "false")
    _add(document, "upSince", up_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    for note in notes:
        _add(document, "note", note)
    return serialise(document)


def _add(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{NAMESPACES['avail']}}}{name}").text = legal(text)
