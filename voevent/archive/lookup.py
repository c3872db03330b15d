"""One packet of the archive with what belongs to it: its history, its coincidences, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vo_service.database.pools import Database
from voevent.archive.reading import read_rows
from voevent.archive.search import CITE, Summary, summaries
from voevent.match.coincidence import VOEVENT

HISTORY_LIMIT: Final = 200
"""Packets of a history, or coincidences, at most: some cite a packet that thousands cite."""


@dataclass(frozen=True, slots=True)
class Event:
    """A packet, whole.

    Attributes
    ----------
    times
        When it came to each stage (received, stored, acknowledged, sent, matched), naive UTC; None if it has not.
    original_type
        Media type of what it was made of; None if it came as VOEvent.
    """

    event_id: int
    ivoid: str
    role: str
    stream: str
    received_from: str
    warning: str | None
    raw: bytes
    original: bytes | None
    original_type: str | None
    times: dict[str, datetime | None]


@dataclass(frozen=True, slots=True)
class Cited:
    """That one packet cites another; either may be absent from the archive. `cite` is in lower case, without blanks."""

    ivoid: str
    cited: str
    cite: str


@dataclass(frozen=True, slots=True)
class History:
    """All packets that citations lead to, from one on and in both directions.

    Attributes
    ----------
    packets
        Those in the archive, in the order of storage, the one that was asked for among them.
    absent
        Identifiers that are cited, and not in the archive.
    citations
        Between all of them.
    complete
        Whether these are all; not if there are more than HISTORY_LIMIT.
    """

    packets: tuple[Summary, ...]
    absent: tuple[str, ...]
    citations: tuple[Cited, ...]
    complete: bool

    def citing(self, ivoid: str) -> list[Cited]:
        """Citations of this packet by others."""
        return [citation for citation in self.citations if citation.cited == ivoid]

    def cited_by(self, ivoid: str) -> list[Cited]:
        """Citations of others by this packet."""
        return [citation for citation in self.citations if citation.ivoid == ivoid]

    def replacing(self, ivoid: str) -> Summary | None:
        """The packet that made this one superseded or retracted: its retraction, else the newest that supersedes it.

        Only one of the same stream and role does.
        """
        known = {packet.ivoid: packet for packet in self.packets}
        own = known[ivoid]
        for cite in ("retraction", "supersedes"):
            others = [known[c.ivoid] for c in self.citing(ivoid) if c.cite == cite and c.ivoid in known]
            able = [o for o in others if (o.stream, o.role) == (own.stream, own.role) and o.ivoid != ivoid]
            if able:
                return max(able, key=lambda packet: packet.event_id)
        return None


async def event_of(database: Database, ivoid: str) -> Event | None:
    """The packet of this identifier; None if there is none.

    Raises QueryTimeoutError, TooManyRequestsError, UnavailableError.
    """
    stages = ("received", "stored", "acknowledged", "sent", "matched")
    columns = (
        "event_id:long ivoid:text role:text stream:text received_from:text warning:text raw:bytes original:bytes"
        " original_type:text " + " ".join(f"{stage}_at:time" for stage in stages)
    )
    names = ", ".join(f'"{column.partition(":")[0]}"' for column in columns.split())
    rows = await read_rows(database, f"SELECT {names} FROM alerts.voevent WHERE ivoid = %s", columns, [ivoid])  # noqa: S608 (our own words)
    if not rows:
        return None
    row = rows[0]
    times = {stage: row.pop(f"{stage}_at") for stage in stages}
    return Event(**row, times=times)


async def history_of(database: Database, ivoid: str) -> History:
    """The history of a packet that is in the archive."""
    found = await read_rows(database, _REACHED, "ivoid:text event_id:long", [ivoid, HISTORY_LIMIT + 1])
    members = found[:HISTORY_LIMIT]
    numbers = [row["event_id"] for row in members if row["event_id"] is not None]
    names = [row["ivoid"] for row in members]
    citations = await read_rows(database, _CITATIONS, "ivoid:text cited:text cite:text", [numbers, names])
    return History(
        packets=tuple(sorted(await summaries(database, numbers), key=lambda packet: packet.event_id)),
        absent=tuple(row["ivoid"] for row in members if row["event_id"] is None),
        citations=tuple(Cited(**row) for row in citations),
        complete=len(found) <= HISTORY_LIMIT,
    )


_REACHED: Final = """
    WITH RECURSIVE reached (ivoid) AS (
        SELECT %s::text
        UNION
        SELECT next.ivoid FROM reached r CROSS JOIN LATERAL (
            SELECT c.cited_ivoid AS ivoid FROM alerts.cited c WHERE c.ivoid = r.ivoid
            UNION ALL
            SELECT c.ivoid FROM alerts.cited c WHERE c.cited_ivoid = r.ivoid
            UNION ALL
            SELECT c.cited_ivoid FROM alerts.voevent v JOIN alerts.citation c USING (event_id)
            WHERE v.ivoid = r.ivoid
              AND NOT EXISTS (SELECT FROM alerts.voevent e WHERE e.event_ivoid = c.cited_ivoid)
            UNION ALL
            SELECT c.ivoid FROM alerts.citation c WHERE c.cited_ivoid = r.ivoid) next),
    first AS (SELECT ivoid FROM reached LIMIT %s)
    SELECT first.ivoid, v.event_id FROM first LEFT JOIN alerts.voevent v ON v.ivoid = first.ivoid"""

_CITATIONS: Final = f"""
    SELECT DISTINCT ivoid, cited_ivoid, cite FROM (
        SELECT event_id, ivoid, cited_ivoid, cite FROM alerts.cited
        UNION ALL
        SELECT c.event_id, c.ivoid, c.cited_ivoid, {CITE} FROM alerts.citation c) c
    WHERE event_id = ANY (%s::bigint[]) AND cited_ivoid = ANY (%s::text[]) ORDER BY 1, 2, 3"""  # noqa: S608 (our own words)


async def coincidences_of(database: Database, ivoid: str) -> list[dict[str, Any]]:
    """The coincidences that a packet has part in, or tells of, as rows of alerts.coincidence, the newest first."""
    names = ", ".join(f'"{column.partition(":")[0]}"' for column in _COINCIDENCE.split())
    text = (
        f"SELECT {names} FROM alerts.coincidence"  # noqa: S608 (our own words)
        " WHERE alert_ivoid = %s OR published_ivoid = %s OR (counterpart = %s AND counterpart_kind = %s)"
        " ORDER BY coincidence_id DESC LIMIT %s"
    )
    return await read_rows(database, text, _COINCIDENCE, [ivoid, ivoid, ivoid, VOEVENT, HISTORY_LIMIT])


_COINCIDENCE: Final = (
    "coincidence_id:long rule:text alert_ivoid:text counterpart:text counterpart_kind:text delta_t:double"
    " separation:double overlap:double containment:double p_value:double far:double ra:double dec:double r50:double"
    " r90:double revision:int status:text found_at:time published_ivoid:text"
)
