"""Rows of the archive, read as the reader: its rights are those of everybody, and its queries end in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from vo_service.catalog.model import Column
from vo_service.database.execute import stream
from vo_service.database.pools import Database
from vo_service.database.statement import Statement
from voevent.archive.store import NEWEST_BEFORE

TIME_LIMIT: Final = 30.0
"""Seconds that a query for a page or a list may take."""

ADVICE: Final = "Narrow the search, best by a range of time"


async def read_rows(database: Database, text: str, columns: str, values: Sequence[object]) -> list[dict[str, Any]]:
    """The rows of a statement as dictionaries; for as many as fit into memory.

    Parameters
    ----------
    columns
        Names and types as in `event_id:long ivoid:text stored_at:time raw:bytes`, in the order of the statement.

    Raises
    ------
    QueryTimeoutError, TooManyRequestsError, UnavailableError
    """
    statement = Statement(text, tuple(_column(*column.split(":")) for column in columns.split()), tuple(values))
    async with stream(database, statement, timeout=TIME_LIMIT, advice=ADVICE) as batches:
        return [row async for batch in batches for row in batch.to_pylist()]


_TYPES: Final = {
    "text": Column("", "char", arraysize="*"),
    "time": Column("", "char", arraysize="*", xtype="timestamp"),
    "bytes": Column("", "unsignedByte", arraysize="*"),
    "long": Column("", "long"),
    "int": Column("", "int"),
    "double": Column("", "double"),
}


def _column(name: str, kind: str) -> Column:
    return replace(_TYPES[kind], name=name)


async def last_before(database: Database, moment: datetime) -> int:
    """Number of the newest event that was stored before a moment (naive UTC); 0 if there is none."""
    rows = await read_rows(database, NEWEST_BEFORE, "event_id:long", [moment])
    return int(rows[0]["event_id"]) if rows else 0
