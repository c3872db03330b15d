"""Rows of the service's own tables as dictionaries, read as the reader: its rights are those of everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from vo_service.catalog.model import Column
from vo_service.database.execute import ASK_FOR_LESS, stream
from vo_service.database.pools import Database
from vo_service.database.statement import Statement

TIME_LIMIT: Final = 30.0
"""Seconds that a query for a page or a list may take."""


async def read_records(
    database: Database, text: str, columns: str, values: Sequence[object], *, advice: str = ASK_FOR_LESS
) -> list[dict[str, Any]]:
    """The rows of a statement as dictionaries; for as many as fit into memory.

    Parameters
    ----------
    columns
        Names and types as in `event_id:long ivoid:text stored_at:time raw:bytes`, in the order of the statement.
    advice
        What the error says that one can do if the query took too long.

    Raises
    ------
    QueryTimeoutError, TooManyRequestsError, UnavailableError
    """
    statement = Statement(text, tuple(_column(*column.split(":")) for column in columns.split()), tuple(values))
    async with stream(database, statement, timeout=TIME_LIMIT, advice=advice) as batches:
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
