"""What the database answers to one query, as it is told by the bytes that have come: by whom they are read, and how,
is not its business.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psycopg

from vo_service.database.copy_messages import (
    COPY_HEADER,
    COPY_ROW,
    COPY_TRAILER,
    SELECTED_ROW,
    Incoming,
    Positions,
    columns_in,
    error_in,
)


class Reply:
    """The reply to a query that was sent.

    Parameters
    ----------
    size
        Bytes of rows that are held at once.
    columns
        Names and types (OIDs), if the query is a prepared statement. Otherwise it is a COPY, and they come with it.
    """

    def __init__(self, size: int, columns: Sequence[tuple[str, int]] | None = None) -> None:
        self.columns = columns or ()
        self.incoming = Incoming(size, COPY_ROW if columns is None else SELECTED_ROW)
        self.begun = columns is not None
        """Whether the columns are known, and rows come next."""
        self.ended = False
        """Whether nothing more comes."""
        self.error: psycopg.Error | None = None
        """What the server has said that went wrong; it will say no more than that it has ended."""

    def begin(self) -> None:
        """Take out what comes before the rows. Raises psycopg.Error."""
        while not (self.begun or self.ended) and (message := self.incoming.next_message()):
            self._hear(*message)

    def rows(self) -> Positions:
        """The rows in what has come, all of which is taken out: where each begins. Raises psycopg.Error."""
        found = []
        while not self.ended:
            found.append(self.incoming.next_rows(len(self.columns)))
            message = self.incoming.next_message()
            if message is None:
                break
            self._hear(*message)
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _hear(self, kind: bytes, body: bytes) -> None:
        if kind == b"T":
            self.columns = list(columns_in(body))
        elif kind == b"H":
            self.begun = True
        elif kind == b"E":
            self.error = error_in(body)
        elif kind == b"Z":
            self.ended = True
            if self.error is not None:
                raise self.error
        elif kind in (COPY_ROW, SELECTED_ROW) and body != COPY_TRAILER and not body.startswith(COPY_HEADER):
            raise psycopg.DataError("The database sent rows that are not of the columns that it had named")
