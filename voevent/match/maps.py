"""Sky maps in the table alerts.skymap: written as rows, and read as a map again.

Rows travel in PostgreSQL's binary format, as arrays: large maps have millions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray

from voevent.skymap import SkyMap

Connection = psycopg.Connection[Any]

_NUMBERS: Final = {"event_id": ">i8", "hpx_first": ">i8", "hpx_last": ">i8", "density": ">f8", "credible_level": ">f8"}
"""Columns of 8 bytes, and how these are written."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"


def write_skymap(connection: Connection, event_id: int, ivoid: str, skymap: SkyMap) -> None:
    """Keep the map of an event, in the transaction of the caller. One that the event had is replaced."""
    connection.execute("DELETE FROM alerts.skymap WHERE event_id = %s", (event_id,))
    name = ivoid.encode()
    rows = _rows(len(skymap.first), [*_NUMBERS.items(), ("ivoid", f"S{len(name)}")])
    rows["event_id"], rows["ivoid"] = event_id, name
    rows["hpx_first"], rows["hpx_last"] = skymap.first, skymap.last
    rows["density"], rows["credible_level"] = skymap.density, skymap.level
    copying = f"COPY alerts.skymap ({', '.join(_NUMBERS)}, ivoid) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(copying.encode()) as copy:
        copy.write(_HEADER)
        copy.write(rows.tobytes())
        copy.write(_TRAILER)


def read_skymap_of(connection: Connection, event_id: int) -> SkyMap | None:
    """The map of an event; None if it has none."""
    found = connection.cursor(binary=True).execute(_READ, (event_id,)).fetchone()
    if found is None or found[0] is None:
        return None
    rows = np.frombuffer(found[0], _ROW)
    first, last = rows["hpx_first"].astype(np.int64), rows["hpx_last"].astype(np.int64)
    return SkyMap(first, last, rows["density"].astype(np.float64))


_ROW: Final = np.dtype([(name, _NUMBERS[name]) for name in ("hpx_first", "hpx_last", "density")])

# One value with all rows: row by row, their coming takes ten times as long.
_READ: Final = b"""
    SELECT string_agg(int8send(hpx_first) || int8send(hpx_last) || float8send(density), ''::bytea ORDER BY hpx_first)
    FROM alerts.skymap WHERE event_id = %s"""


def _rows(count: int, columns: list[tuple[str, str]]) -> NDArray[np.void]:
    """Rows as COPY writes them in binary: the number of columns, then of each its length and its bytes."""
    parts = [("columns", ">i2")]
    for name, kind in columns:
        parts += [(f"{name} bytes", ">i4"), (name, kind)]
    rows = np.empty(count, np.dtype(parts))
    rows["columns"] = len(columns)
    for name, kind in columns:
        rows[f"{name} bytes"] = np.dtype(kind).itemsize
    return rows
