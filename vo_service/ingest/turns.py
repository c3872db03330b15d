"""Who writes the rows of a table: one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg


def take_turn(connection: psycopg.Connection[Any], names: Iterable[str]) -> None:
    """Wait until no other connection writes to these tables (`Table.full_name`), and keep others waiting.

    The turn is over when the connection is closed. What the connection had begun is committed.
    """
    # Always in the same order: of two that want the same tables neither waits for ever.
    for name in sorted(names):
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
    connection.commit()
