"""Rows of the archive, read as the reader; its queries end in time."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

from vo_service.database.pools import Database
from vo_service.database.records import read_records
from voevent.archive.store import NEWEST_BEFORE

ADVICE: Final = "Narrow the search, best by a range of time"

read_rows: Final = partial(read_records, advice=ADVICE)


async def last_before(database: Database, moment: datetime) -> int:
    """Number of the newest event that was stored before a moment (naive UTC); 0 if there is none."""
    rows = await read_rows(database, NEWEST_BEFORE, "event_id:long", [moment])
    return int(rows[0]["event_id"]) if rows else 0
