"""Events as messages to others: what all sinks have in common. Pure."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final, Literal

from voevent.archive.store import StoredEvent
from voevent.convert.own import to_json
from voevent.convert.packets import from_packet
from voevent.packet import read_packet

Form = Literal["json", "voevent"]

MEDIA_TYPES: Final[dict[Form, str]] = {"json": "application/json", "voevent": "application/xml"}


def message_id(event: StoredEvent, form: Form) -> uuid.UUID:
    """The same for the same event in the same form, always: by it, receivers know what they have seen."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{event.ivoid} {form}")


def message_of(event: StoredEvent, form: Form) -> bytes:
    """An event in JSON, or its packet as it came.

    Raises AlertError if the packet does not fit our JSON.
    """
    return event.raw if form == "voevent" else json.dumps(document_of(event), ensure_ascii=False).encode()


def document_of(event: StoredEvent) -> dict[str, Any]:
    """The alert in our JSON, and the identifier of the packet beside it. Raises as `message_of`."""
    return {"ivoid": event.ivoid, **to_json(from_packet(read_packet(event.raw)))}
