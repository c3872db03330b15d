"""Notices in other formats to VOEvent, and back.

GCN JSON (convert.gcn) ───────────┐
our own JSON (own) ───────────────┼── Alert ── voevent.build ── VOEvent
others' streams (streams) ────────┤
VOEvent, back to JSON (packets) ──┘
"""

from __future__ import annotations

from datetime import UTC, datetime

from vo_service.config import Settings
from voevent.alert import Alert, AlertError
from voevent.build import author_of, build_packet
from voevent.convert import gcn, own
from voevent.convert.document import read_json
from voevent.convert.streams import KINDS_OF_STREAM, StreamKind, from_stream, media_type, split
from voevent.packet import read_packet

__all__ = ["KINDS_OF_STREAM", "StreamKind", "from_stream", "media_type", "split", "to_alert", "to_packet"]


def to_packet(data: bytes, settings: Settings, now: datetime | None = None) -> bytes:
    """A notice as VOEvent XML: GCN JSON (any `gcn.notices.*` schema), our own JSON, or VOEvent, which stays as it is.

    A notice that does not say when it was written gets the time `now` (naive UTC).

    Raises AlertError or PacketError, with what was expected.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_packet(data).raw
    moment = now or datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    return build_packet(to_alert(data), author_of(settings), moment)


def to_alert(data: bytes) -> Alert:
    """A notice in JSON: GCN's, or ours.

    Raises AlertError if it is neither, or lacks something.
    """
    notice = read_json(data)
    try:
        return gcn.from_gcn(notice) if gcn.is_gcn(notice) else own.from_json(notice)
    except RecursionError:
        raise AlertError("The notice is nested too deeply") from None
