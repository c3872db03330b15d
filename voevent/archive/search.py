"""Searching the archive: first the numbers of the packets that are meant, then the packets, some at a time.

The list of numbers is bounded, and made by one query at one moment: however long it takes to send the packets, none
comes twice and none is left out, and whether there are more is known before the first is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vo_service.database.pools import Database
from voevent.archive.reading import read_rows
from voevent.archive.selection import Selection, condition_of

AT_ONCE: Final = 20
"""Packets that are read together: one answer holds no more of them in memory."""


@dataclass(frozen=True, slots=True)
class Found:
    """Numbers of events, the newest first.

    `next` is what to ask for (`before`) to get those that follow; None if these are all.
    """

    event_ids: tuple[int, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A packet as it is stored: its bytes, and what the archive notes of it. Times are naive UTC."""

    event_id: int
    ivoid: str
    role: str
    stream: str
    received_from: str
    received_at: datetime
    stored_at: datetime
    warning: str | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """A packet as a list shows it. Positions in ICRS degrees, times naive UTC, `far` in Hz.

    `kind` is initial, followup, supersedes or retraction: what it says it is to others. `status` is what others have
    made of it: current, superseded or retracted.
    """

    event_id: int
    ivoid: str
    role: str
    stream: str
    author: str | None
    author_time: datetime | None
    event_time: datetime | None
    ra: float | None
    dec: float | None
    error_radius: float | None
    far: float | None
    concept: str | None
    description: str | None
    stored_at: datetime
    warning: str | None
    kind: str
    status: str


async def find(database: Database, selection: Selection) -> Found:
    """What a selection holds, up to its limit.

    Raises QueryTimeoutError, TooManyRequestsError, UnavailableError.
    """
    condition, values = condition_of(selection)
    text = f"SELECT v.event_id FROM alerts.voevent v WHERE {condition} ORDER BY v.event_id DESC LIMIT %s"  # noqa: S608 (our own words)
    rows = await read_rows(database, text, "event_id:long", [*values, selection.limit + 1])
    numbers = tuple(row["event_id"] for row in rows)
    more = len(numbers) > selection.limit
    return Found(numbers[: selection.limit], numbers[selection.limit - 1] if more else None)


async def packets(database: Database, event_ids: Sequence[int]) -> AsyncIterator[Sequence[Stored]]:
    """The packets of these numbers, in this order, some at a time."""
    columns = (
        "event_id:long ivoid:text role:text stream:text received_from:text received_at:time stored_at:time warning:text"
        " raw:bytes"
    )
    for begin in range(0, len(event_ids), AT_ONCE):
        chunk = list(event_ids[begin : begin + AT_ONCE])
        rows = await read_rows(database, _select(columns), columns, [chunk])
        yield [Stored(**row) for row in rows]


async def summaries(database: Database, event_ids: Sequence[int]) -> list[Summary]:
    """The same as lists show them."""
    columns = (
        "event_id:long ivoid:text role:text stream:text author:text author_time:time event_time:time ra:double"
        " dec:double error_radius:double far:double concept:text description:text stored_at:time warning:text"
    )
    rows = await read_rows(
        database, _select(columns, _KIND, _STATUS), f"{columns} kind:text status:text", [[*event_ids]]
    )
    return [Summary(**row) for row in rows]


CITE: Final = r"lower(btrim(c.cite, E' \t\r\n'))"
"""The word of a citation: some are written with blanks around them."""

_KIND: Final = f"""coalesce((
    SELECT CASE WHEN bool_or({CITE} = 'retraction') THEN 'retraction' WHEN bool_or({CITE} = 'supersedes')
        THEN 'supersedes' WHEN count(*) > 0 THEN 'followup' END
    FROM alerts.citation c WHERE c.event_id = v.event_id), 'initial')"""  # noqa: S608 (our own words)

_STATUS: Final = """(
    SELECT CASE WHEN bool_or(c.cite = 'retraction') THEN 'retracted' WHEN bool_or(c.cite = 'supersedes')
        THEN 'superseded' ELSE 'current' END
    FROM alerts.cited c WHERE c.cited_event_id = v.event_id AND c.kin)"""


def _select(columns: str, *more: str) -> str:
    names = [f'v."{column.partition(":")[0]}"' for column in columns.split()]
    return (
        f"SELECT {', '.join([*names, *more])} FROM alerts.voevent v WHERE v.event_id = ANY (%s::bigint[])"  # noqa: S608 (our own words)
        " ORDER BY v.event_id DESC"
    )
