"""A packet as fields of our own JSON, to stand beside what the archive knows of it."""

from __future__ import annotations

from typing import Any

from voevent.alert import AlertError
from voevent.convert.own import to_json
from voevent.convert.packets import from_packet
from voevent.packet import Packet


def alert_fields(packet: Packet) -> dict[str, Any]:
    """The alert in our own JSON, its role among it; nothing where a packet of others says what has no place there."""
    try:
        return {"role": packet.role, **to_json(from_packet(packet))}
    except AlertError:
        return {}
