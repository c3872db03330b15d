"""The same small event list as a file of every format that can be loaded."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import uproot
from astropy.table import Table

ROWS = 500


def event_table(rows: int = ROWS, seed: int = 20261121) -> Table:
    """Events with an identifier, a position, a time, and numbers of several widths; without missing values."""
    random = np.random.default_rng(seed)
    table = Table()
    table["event_id"] = np.arange(1, rows + 1, dtype=np.int64)
    table["name"] = [f"E{number:05d}" for number in range(1, rows + 1)]
    table["ra"] = np.round(random.uniform(0, 360, rows), 6)
    table["dec"] = np.round(np.degrees(np.arcsin(random.uniform(-1, 1, rows))), 6)
    table["mjd"] = np.round(random.uniform(54000, 58000, rows), 8)
    table["energy"] = (10 ** random.uniform(2, 5, rows)).astype(np.float32)
    table["nhit"] = random.integers(5, 300, rows).astype(np.int16)
    for name, unit in {"ra": "deg", "dec": "deg", "mjd": "d", "energy": "GeV"}.items():
        table[name].unit = unit
        table[name].description = f"The {name} of the event"
    return table


def arrow_table(table: Table) -> pa.Table:
    """The table in Arrow."""
    return pa.table({name: pa.array(np.asarray(table[name]).tolist(), _TYPES[name]) for name in table.colnames})


_TYPES = {
    "event_id": pa.int64(),
    "name": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "mjd": pa.float64(),
    "energy": pa.float32(),
    "nhit": pa.int16(),
}


def _write_blanks(table: Table, path: Path) -> None:
    table.write(path, format="ascii.fixed_width_no_header", delimiter=None)
    path.write_text("#  " + "   ".join(table.colnames) + "\n" + path.read_text())


def _write_h5py(table: Table, path: Path) -> None:
    plain = Table(table)
    plain["name"] = plain["name"].astype("S")
    with h5py.File(path, "w") as file:
        file["events"] = plain.as_array()


def _write_h5_columns(table: Table, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in table.colnames:
            values = np.asarray(table[name])
            file[f"run/{name}"] = values.astype("S") if values.dtype.kind == "U" else values
            if table[name].unit:
                file[f"run/{name}"].attrs["unit"] = str(table[name].unit)


def _write_pandas(layout: Literal["fixed", "table"]) -> Callable[[Table, Path], None]:
    def write(table: Table, path: Path) -> None:
        # Strings of old, which every pandas writes the same way.
        frame = pd.DataFrame({name: np.asarray(table[name]) for name in table.colnames})
        frame["name"] = frame["name"].astype(object)
        frame.to_hdf(path, key="events", format=layout)

    return write


def _write_root(table: Table, path: Path) -> None:
    with uproot.recreate(path) as file:
        types = {name: np.asarray(table[name]).dtype for name in table.colnames if name != "name"}
        file.mktree("events", types)
        file["events"].extend({name: np.asarray(table[name]) for name in types})


WRITERS: dict[str, Callable[[Table, Path], None]] = {
    "events.csv": lambda table, path: pyarrow.csv.write_csv(arrow_table(table), path),
    "events.tsv": lambda table, path: table.write(path, format="ascii.tab"),
    "events.txt": _write_blanks,
    "events.ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    "comma.ecsv": lambda table, path: table.write(path, format="ascii.ecsv", delimiter=","),
    "events.fits": lambda table, path: table.write(path, format="fits"),
    "tabledata.vot": lambda table, path: table.write(path, format="votable"),
    "binary.vot": lambda table, path: table.write(path, format="votable", tabledata_format="binary"),
    "binary2.xml": lambda table, path: table.write(path, format="votable", tabledata_format="binary2"),
    "events.parquet": lambda table, path: pyarrow.parquet.write_table(arrow_table(table), path, row_group_size=150),
    "compound.h5": _write_h5py,
    "columns.h5": _write_h5_columns,
    "astropy.h5": lambda table, path: table.write(path, format="hdf5", path="events", serialize_meta=True),
    "fixed.h5": _write_pandas("fixed"),
    "table.h5": _write_pandas("table"),
    "events.root": _write_root,
}
"""By file name, what writes a table to a file of that format."""


def write_file(directory: Path, name: str, table: Table, *, packed: bool = False) -> Path:
    """Write the table to a file of the format that `name`, a key of WRITERS, stands for; compressed if `packed`."""
    path = directory / name
    WRITERS[name](table, path)
    if not packed:
        return path
    archive = directory / f"{name}.gz"
    archive.write_bytes(gzip.compress(path.read_bytes()))
    return archive
