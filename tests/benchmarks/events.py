"""The simulated event list: made, described, and written to files. The same number of rows always gives the same bytes.

Events are uniform on the sphere; the other columns imitate a point-source list of a neutrino telescope.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCHEMA: Final = "bench"
FIRST_DAY, LAST_DAY = 54129.0, 58118.0
"""Modified Julian Dates: 2007-01-29 to 2017-12-31."""

COLUMNS: Final = {
    "event_id": ("long", np.int64, "meta.id;meta.main", "", "Number of the event"),
    "ra": ("double", np.float64, "pos.eq.ra;meta.main", "deg", "Right ascension"),
    "dec": ("double", np.float64, "pos.eq.dec;meta.main", "deg", "Declination"),
    "mjd": ("double", np.float64, "time.epoch", "d", "Time (Modified Julian Date)"),
    "energy": ("float", np.float32, "phys.energy", "GeV", "Energy"),
    "nhit": ("int", np.int32, "meta.number", "", "Number of hits"),
    "beta": ("float", np.float32, "stat.error;pos.eq", "deg", "Angular error"),
}
"""Of each column the type in the VO and in numpy, UCD, unit, and what it is."""

FITS_FORMATS: Final = {"int64": "K", "int32": "J", "float64": "D", "float32": "E"}


@dataclass(frozen=True)
class Events:
    """An event list and the table that it becomes."""

    columns: dict[str, NDArray[Any]]
    table: str
    """Its name in the schema."""

    @property
    def rows(self) -> int:
        return len(self.columns["ra"])

    @property
    def name(self) -> str:
        """As queries have it."""
        return f"{SCHEMA}.{self.table}"

    @property
    def ids(self) -> NDArray[np.int64]:
        return self.columns["event_id"]

    @cached_property
    def vectors(self) -> Floats:
        """Directions as unit vectors, shape (rows, 3)."""
        return unit_vectors(self.columns["ra"], self.columns["dec"])


def make_events(rows: int) -> Events:
    """An event list of so many rows, in the order of time."""
    random = np.random.default_rng(rows)
    ra, dec = positions(rows, random)
    columns: tuple[NDArray[Any], ...] = (
        np.arange(1, rows + 1),
        ra,
        dec,
        np.round(np.sort(random.uniform(FIRST_DAY, LAST_DAY, rows)), 8),
        np.round(10.0 ** random.normal(3.5, 0.7, rows), 4),
        random.poisson(30, rows) + 20,
        np.round(np.clip(random.gamma(4.0, 0.12, rows), 0.05, None), 4),
    )
    kinds = (kind for _, kind, *_ in COLUMNS.values())
    typed = (column.astype(kind) for column, kind in zip(columns, kinds, strict=True))
    return Events(dict(zip(COLUMNS, typed, strict=True)), f"events_{short(rows)}")


def make_sources(rows: int) -> Events:
    """A list of positions to match with events: the first three columns alone."""
    ra, dec = positions(rows, np.random.default_rng(rows + 1))
    return Events({"event_id": np.arange(1, rows + 1), "ra": ra, "dec": dec}, f"sources_{short(rows)}")


def positions(count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Right ascensions and declinations [deg], uniform on the sphere, with six decimals."""
    ra = np.round(random.uniform(0.0, 360.0, count), 6) % 360.0
    return ra, np.degrees(np.arcsin(random.uniform(-1.0, 1.0, count))).round(6)


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Directions [deg] as unit vectors, shape (n, 3)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def short(rows: int) -> str:
    """A number of rows in few characters: 1m, 10k, 123."""
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if rows >= size and rows % size == 0:
            return f"{rows // size}{letter}"
    return str(rows)


def description(events: Events) -> str:
    """The description (YAML) with which a table is published."""
    lines = [
        f"name: {SCHEMA}",
        "description: Simulated events of the benchmarks",
        "resource:",
        "  title: Simulated events of the benchmarks",
        "  description: Uniform on the sphere",
        "  creators: [{name: The vo-service developers}]",
        "  subjects: [neutrino astronomy]",
        "  license: CC0-1.0",
        "  citation: None",
        "tables:",
        f"  - name: {events.table}",
        "    description: Simulated events",
        "    primaryKey: event_id",
        "    position: {ra: ra, dec: dec}",
        *(["    epoch: mjd"] if "mjd" in events.columns else []),
        "    columns:",
    ]
    for name in events.columns:
        datatype, _, ucd, unit, text = COLUMNS[name]
        nullable = ", nullable: false" if name == "event_id" else ""
        lines.append(
            f"      - {{name: {name}, datatype: {datatype}, description: {text},"
            f' "ivoa:ucd": {ucd}, "ivoa:unit": "{unit}"{nullable}}}'
        )
    return "\n".join(lines) + "\n"


def write(events: Events, path: Path) -> Path:
    """Write a file of the format that its suffix names: .parquet, .fits or .csv."""
    if path.suffix == ".fits":
        fits.BinTableHDU.from_columns(
            [
                fits.Column(name, FITS_FORMATS[column.dtype.name], array=column)
                for name, column in events.columns.items()
            ]
        ).writeto(path)
    elif path.suffix == ".csv":
        pa.csv.write_csv(pa.table(events.columns), path)
    else:
        pa.parquet.write_table(pa.table(events.columns), path)
    return path
