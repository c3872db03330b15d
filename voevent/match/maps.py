"""Sky maps in the table alerts.skymap: written as rows, and read as a map again."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg

from voevent.skymap import SkyMap

Connection = psycopg.Connection[Any]


def write_skymap(connection: Connection, event_id: int, ivoid: str, skymap: SkyMap) -> None:
    """Keep the map of an event, in the transaction of the caller. One that the event had is replaced."""
    connection.execute("DELETE FROM alerts.skymap WHERE event_id = %s", (event_id,))
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY alerts.skymap (event_id, ivoid, first, last, density, level) FROM STDIN") as copy,
    ):
        for row in skymap.rows(event_id, ivoid):
            copy.write_row(row)


def read_skymap_of(connection: Connection, event_id: int) -> SkyMap | None:
    """The map of an event; None if it has none."""
    query = "SELECT first, last, density FROM alerts.skymap WHERE event_id = %s ORDER BY first"
    rows = connection.cursor(binary=True).execute(query, (event_id,)).fetchall()
    if not rows:
        return None
    first, last, density = zip(*rows, strict=True)
    return SkyMap(np.array(first, np.int64), np.array(last, np.int64), np.array(density))
