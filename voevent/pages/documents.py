"""Packets of the archive as JSON and as files: one of them, or any number as a stream."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tarfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from voevent.archive.lookup import Event, History
from voevent.archive.search import Stored
from voevent.packet import read_packet
from voevent.pages.fields import alert_fields
from voevent.times import format_time

_TAR_END: Final = bytes(2 * tarfile.BLOCKSIZE)


async def json_lines(packets: AsyncIterator[Sequence[Stored]]) -> AsyncIterator[bytes]:
    """One JSON object a line (https://jsonlines.org): the alert in our own JSON, and what the archive notes of it."""
    async for some in packets:
        yield await asyncio.to_thread(_lines, some)


async def tar_file(packets: AsyncIterator[Sequence[Stored]]) -> AsyncIterator[bytes]:
    """The packets, byte for byte, as the files of a tar archive (POSIX.1-2001, pax).

    XML has no container that leaves documents untouched, and signatures and digests are of their bytes. Of the formats
    that have, tar alone is written and read without knowing its end; voeventdb, too, gives and takes packets so.
    """
    async for some in packets:
        yield b"".join(map(_member, some))
    yield _TAR_END


def file_name(ivoid: str) -> str:
    """An identifier as the name of a file, without an extension."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", ivoid.removeprefix("ivo://")).strip("._")[:150] or "packet"


def event_json(
    event: Event, history: History, coincidences: Iterable[dict[str, Any]], address: str
) -> dict[str, object]:
    """All that the archive has of a packet: the alert in our own JSON, and around it what the archive knows of it.

    `original` is what it was made of: text as it is, other bytes in base64.
    """
    return {
        "event_id": event.event_id,
        "ivoid": event.ivoid,
        "role": event.role,
        "status": next(packet.status for packet in history.packets if packet.ivoid == event.ivoid),
        "url": address,
        "received_from": event.received_from,
        "times": {stage: _time(moment) for stage, moment in event.times.items()},
        "warning": event.warning,
        **alert_fields(read_packet(event.raw)),
        "original": _original(event),
        "voevent": event.raw.decode("utf-8", "replace"),
        "history": [_plain(asdict(packet)) for packet in history.packets],
        "citations": [asdict(citation) for citation in history.citations],
        "history_complete": history.complete,
        "coincidences": [_plain(row) for row in coincidences],
    }


def _lines(some: Iterable[Stored]) -> bytes:
    return b"".join(json.dumps(_line(stored)).encode() + b"\n" for stored in some)


def _line(stored: Stored) -> dict[str, object]:
    notes = _plain(asdict(stored))
    del notes["raw"]
    return notes | alert_fields(read_packet(stored.raw))


def _member(stored: Stored) -> bytes:
    info = tarfile.TarInfo(f"{stored.event_id}_{file_name(stored.ivoid)}.xml")
    info.size = len(stored.raw)
    info.mtime = stored.stored_at.replace(tzinfo=UTC).timestamp()
    head = info.tobuf(tarfile.PAX_FORMAT)
    return head + stored.raw + bytes(-len(stored.raw) % tarfile.BLOCKSIZE)


def _original(event: Event) -> dict[str, object] | None:
    if event.original is None:
        return None
    told: dict[str, object] = {"media_type": event.original_type}
    try:
        return told | {"text": event.original.decode("utf-8")}
    except UnicodeDecodeError:
        return told | {"base64": base64.b64encode(event.original).decode("ascii")}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _time(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment) + "Z"
