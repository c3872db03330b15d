"""An alert's way, on one page: validate, store, acknowledge; match and publish follow from what is stored.

    raw bytes -> packet -> checked -> stored in one transaction -> the verdict, by which the caller acknowledges
    every stored event -> matched (voevent.match) -> delivered by each sink, in order (voevent.publish)

Nothing is sent to anybody before it is stored, and what is stored is sent in the end: after a crash, sinks go on from
the last event that each has confirmed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from voevent.archive.insertion import Arrival, Original
from voevent.archive.store import AlertStore, Outcome
from voevent.packet import Packet, PacketError, read_packet
from voevent.validate import problems

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a packet came from.

    Attributes
    ----------
    kind
        An author's packets must be valid. Those of a stream that others have let pass are kept with a warning.
    name
        For the archive, where everybody may read it: the name of a stream, or by what way an author sent it.
    address
        An author's; it is kept apart.
    """

    kind: Literal["author", "stream"]
    name: str
    address: str | None = None

    def __str__(self) -> str:
        """As operators see it."""
        return self.name if self.address is None else f"{self.name}:{self.address}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a packet; `reason` is for its sender."""

    status: Literal["accepted", "duplicate", "conflict", "invalid"]
    ivoid: str | None
    reason: str
    event_id: int | None = None


async def accept(raw: bytes, source: Source, store: AlertStore, original: Original | None = None) -> Verdict:
    """Take in a packet, and what it was made of. When this returns, an accepted one is safe.

    Raises UnavailableError if it could not be stored: it is then to be sent again.
    """
    received_at = datetime.now(UTC).replace(tzinfo=None)
    try:
        packet = read_packet(raw)
    except PacketError as error:
        return _refused(None, str(error), source)
    faults = [problem for problem in problems(packet) if problem.severity == "error"]
    if faults and source.kind == "author":
        return _refused(packet.ivoid, "; ".join(fault.message for fault in faults), source)
    warning = "; ".join(fault.message for fault in faults) or None
    outcome = await store.store(Arrival(packet, source.name, received_at, warning, original, source.address))
    return _told(outcome, packet, source)


def _told(outcome: Outcome, packet: Packet, source: Source) -> Verdict:
    about = {"ivoid": packet.ivoid, "event_id": outcome.event_id, "source": str(source)}
    if outcome.status == "stored":
        log.info("Stored %s of %s", packet.ivoid, source, extra=about)
        return Verdict("accepted", packet.ivoid, "", outcome.event_id)
    if outcome.status == "duplicate":
        return Verdict("duplicate", packet.ivoid, f"{packet.ivoid} was seen before", outcome.event_id)
    log.warning("%s sent another packet under the known identifier %s", source, packet.ivoid, extra=about)
    reason = f"Another packet is known under {packet.ivoid}; an update needs an identifier of its own"
    return Verdict("conflict", packet.ivoid, reason, outcome.event_id)


def _refused(ivoid: str | None, reason: str, source: Source) -> Verdict:
    log.info("Refused a packet of %s: %s", source, reason, extra={"ivoid": ivoid, "source": str(source)})
    return Verdict("invalid", ivoid, reason)
