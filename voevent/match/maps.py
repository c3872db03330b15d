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
    names = ("hpx_first", "hpx_last", "density")
    query = f"SELECT {', '.join(names)} FROM alerts.skymap WHERE event_id = {event_id:d} ORDER BY hpx_first"  # noqa: S608
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
        received = b"".join(copy)
    row = _rows(0, [(name, _NUMBERS[name]) for name in names]).dtype
    rows = np.frombuffer(received[len(_HEADER) : -len(_TRAILER)], row)
    if len(rows) == 0:
        return None
    first, last = (rows[name].astype(np.int64) for name in names[:2])
    return SkyMap(first, last, rows["density"].astype(np.float64))


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
