"""What answers must be, without the service: brute force in numpy and healpy, and readers of the formats by others."""

from __future__ import annotations

import binascii
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import uproot
from astropy.io import fits
from numpy.typing import NDArray

from tests.benchmarks.events import COLUMNS, Events, Floats, unit_vectors

Ids = NDArray[np.int64]
Fields = Sequence[tuple[str, np.dtype[Any]]]


def chord(angle: float) -> float:
    """The length of the chord of an angle [deg] in the unit sphere."""
    return float(2 * np.sin(np.radians(angle) / 2))


def in_cone(events: Events, ra: float, dec: float, radius: float) -> Ids:
    """The events in a cone [deg], by number."""
    centre = unit_vectors(np.array([ra]), np.array([dec]))[0]
    inside = ((events.vectors - centre) ** 2).sum(axis=1) <= chord(radius) ** 2
    return np.sort(events.ids[inside])


def in_polygon(events: Events, vertices: Floats) -> Ids:
    """The events in a convex polygon of vertices [deg] in a sense, shape (n, 2): those on one side of all its edges."""
    corners = unit_vectors(vertices[:, 0], vertices[:, 1])
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    normals *= np.sign(normals @ corners.mean(axis=0))[:, None]
    return np.sort(events.ids[(events.vectors @ normals.T >= 0).all(axis=1)])


def in_cells(events: Events, order: int, cells: NDArray[np.int64]) -> Ids:
    """The events in HEALPix cells (nested)."""
    return np.sort(events.ids[np.isin(pixels(events, order), cells)])


def pixels(events: Events, order: int) -> NDArray[np.int64]:
    """The HEALPix cell (nested) of each event."""
    found: NDArray[np.int64] = healpy.ang2pix(
        1 << order, events.columns["ra"], events.columns["dec"], nest=True, lonlat=True
    )
    return found


def pairs(events: Events, sources: Events, radius: float) -> tuple[int, int]:
    """The number of pairs within a radius [deg], and the sum of their events' numbers.

    Directions are sorted into cubes with the chord as side; partners are in the same cube or in one beside it.
    """
    side = chord(radius)
    across = int(2 / side) + 3
    weights = np.array([across**2, across, 1])
    keys = _cubes(events.vectors, side) @ weights
    order = np.argsort(keys)
    keys, vectors, ids = keys[order], events.vectors[order], events.ids[order]
    count, total = 0, 0
    for x in (-1, 0, 1):
        for y in (-1, 0, 1):
            beside = (_cubes(sources.vectors, side) + np.array([x, y, 0])) @ weights
            first, last = np.searchsorted(keys, beside - 1, "left"), np.searchsorted(keys, beside + 1, "right")
            source = np.repeat(np.arange(len(first)), last - first)
            begins = np.repeat(last - np.cumsum(last - first), last - first)
            event = begins + np.arange(len(source))
            close = ((vectors[event] - sources.vectors[source]) ** 2).sum(axis=1) <= side**2
            count, total = count + int(close.sum()), total + int(ids[event[close]].sum())
    return count, total


def _cubes(vectors: Floats, side: float) -> NDArray[np.int64]:
    """The cube of each vector, counted from 1."""
    return ((vectors + 1) / side).astype(np.int64) + 1


def ids_of(kind: str, path: Path) -> tuple[int, int]:
    """The number of rows in a file, and the sum of the first column; `kind` is a format as `rows.kinds` has it."""
    ids = READERS[kind](path)
    return len(ids), int(ids.sum())


def csv_column(body: bytes, name: str) -> NDArray[Any]:
    """A column of an answer in CSV."""
    column: NDArray[Any] = pa.csv.read_csv(io.BytesIO(body))[name].to_numpy()
    return column


_BIG_ENDIAN: Final = [(name, np.dtype(kind).newbyteorder(">")) for name, (_, kind, *_rest) in COLUMNS.items()]


def binary2(path: Path, fields: Fields) -> NDArray[Any]:
    """The rows of a VOTable in BINARY2, of up to eight numbers: the flags of NULL come first (VOTable 1.4, 5.4)."""
    return binary(path, [("nulls", np.dtype("u1")), *fields])


def binary(path: Path, fields: Fields) -> NDArray[Any]:
    """The rows of a VOTable in BINARY, of fixed length: a structured array."""
    body = path.read_bytes()
    begin = body.index(b">", body.index(b"<STREAM")) + 1
    return np.frombuffer(binascii.a2b_base64(body[begin : body.rindex(b"</STREAM>")]), list(fields))


def _marked_up(path: Path, row: bytes) -> Ids:
    return np.array(re.findall(row, path.read_bytes()), np.int64)


def _separated(path: Path, separator: str) -> Ids:
    options = pa.csv.ParseOptions(delimiter=separator)
    return np.asarray(pa.csv.read_csv(path, parse_options=options)["event_id"])


def _json(path: Path) -> Ids:
    return np.array([row[0] for row in json.loads(path.read_bytes())["data"]])


def _fits(path: Path) -> Ids:
    with fits.open(path) as document:
        return np.array(document[1].data["event_id"], np.int64)


def _arrow(path: Path) -> Ids:
    return np.asarray(pa.ipc.open_stream(pa.memory_map(str(path))).read_all()["event_id"])


def _hdf5(path: Path) -> Ids:
    found: list[h5py.Dataset] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        table = next(item for item in found if "event_id" in (item.dtype.names or ()))
        return np.array(table["event_id"])


def _root(path: Path) -> Ids:
    with uproot.open(path) as file:
        tree = next(item for item in file.values() if hasattr(item, "num_entries"))
        return np.array(tree["event_id"].array(library="np"))


def _text(path: Path) -> Ids:
    with path.open() as lines:
        firsts = (line.split(None, 1)[0] for line in lines)
        return np.array([int(first) for first in firsts if first.isdecimal()])


READERS: Final[dict[str, Callable[[Path], Ids]]] = {
    "votable binary2": lambda path: binary2(path, _BIG_ENDIAN)["event_id"],
    "votable binary": lambda path: binary(path, _BIG_ENDIAN)["event_id"],
    "votable tabledata": lambda path: _marked_up(path, rb"<TR>\s*<TD>(\d+)</TD>"),
    "csv": lambda path: _separated(path, ","),
    "tsv": lambda path: _separated(path, "\t"),
    "json": _json,
    "fits": _fits,
    "parquet": lambda path: np.asarray(pa.parquet.read_table(path, columns=["event_id"])["event_id"]),
    "arrow": _arrow,
    "hdf5": _hdf5,
    "root": _root,
    "html": lambda path: _marked_up(path, rb"<tr>\s*<td[^>]*>(\d+)</td>"),
    "txt": _text,
}
"""One reader for every format."""
