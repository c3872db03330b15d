"""How a table's files are read: the part of a description that the catalogue does not keep.

Plain frozen values; `description` makes them, `vo_service.ingest` obeys them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Frame = Literal["icrs", "fk5", "galactic"]
AngleUnit = Literal["deg", "rad", "hourangle"]
BadRows = Literal["refuse", "skip"]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How to read a file.

    Attributes
    ----------
    format
        Name of a reader (`vo_service.ingest.readers.READERS`); None: told by the file's first bytes and its name.
    table
        Which table of the file: a FITS extension, HDF5 dataset or group, ROOT tree or VOTable table, by name or number
        (as the format counts). Several ROOT trees of equal length stand side by side. None: the only one.
    first_table
        Whether the first of several tables is meant where `table` names none.
    header
        Text only: whether column names stand in the first line ("yes"), nowhere ("no": columns are then called by
        their number, from 1), or in the last comment before the data ("comment").
    delimiter, comment, skip, encoding
        Text only: one character; start of lines to leave out; number of lines to leave out at the beginning; character
        encoding.
    element
        Of columns that hold several values per row: the place of the one to take, from 0. Rows with fewer have none.
    """

    format: str | None = None
    table: tuple[str, ...] = ()
    first_table: bool = False
    header: Literal["yes", "no", "comment"] = "yes"
    delimiter: str | None = None
    comment: str | None = None
    skip: int = 0
    encoding: str = "utf-8"
    element: int | None = None


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Where the values of a column are found in the file.

    Attributes
    ----------
    name
        Of the column in the file.
    null
        Texts or numbers that stand for a missing value.
    unit
        VOUnit of the values in the file; None if it is the column's.
    factor
        What they are multiplied by to be in the column's unit.
    """

    name: str
    null: tuple[str, ...] = ()
    unit: str | None = None
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Rank:
    """A column that is not in the file: the rank of each row, from 1, by the values of a column that is.

    Rows of equal value are ranked as they stand in the files, rows without a value have no rank.

    Attributes
    ----------
    by
        Name in the file of the column that ranks.
    prefix, digits, suffix
        For strings: what stands around the rank, and how many digits it has at least.
    """

    by: str
    prefix: str = ""
    digits: int = 1
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class PositionSource:
    """Sky coordinates in the file that are not yet ICRS right ascension and declination in degrees.

    `unit` "hourangle" means hours of longitude, but degrees of latitude.
    """

    longitude: str
    latitude: str
    frame: Frame = "icrs"
    unit: AngleUnit = "deg"
    null: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableInput:
    """How the rows of one table are found in its files.

    Attributes
    ----------
    sources
        By column name. Columns that are neither here nor right ascension or declination of a `position` do not exist.
    position
        None where right ascension and declination stand in the file as such.
    files
        Patterns of file names that belong to the table; empty: all do.
    required
        Columns in which a value must not be missing.
    indexed
        Columns that get an index, besides the primary key and the position.
    bad_rows
        What to do with a row that cannot be loaded.
    loose_position
        Whether right ascension and declination stay as they are in the file, and a row whose position is missing or no
        place on the sky is stored without a HEALPix index, rather than being bad.
    """

    sources: dict[str, ColumnSource | Rank]
    position: PositionSource | None = None
    options: FileOptions = field(default_factory=FileOptions)
    files: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    indexed: tuple[str, ...] = ()
    bad_rows: BadRows = "refuse"
    loose_position: bool = False
