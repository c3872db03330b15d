"""The model of what is published: catalogue, schema, table, column, resource.

Plain frozen values without behaviour beyond look-up; the YAML reader makes them, the store keeps them, every protocol
reads them. Names are kept as the publisher wrote them and are also the names of the PostgreSQL objects (quoted).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote

HPX_COLUMN = "hpx"
"""The column with the HEALPix index (nested, order 29) of each row's position; it is never published."""

TAP_SCHEMA = "tap_schema"
"""The schema in which the service describes what is published (TAP 1.1, section 4)."""

GROWING = frozenset({TAP_SCHEMA, "alerts", "ivoa"})
"""Schemas of the service itself."""

_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the rows of a table hold in a column.

    Attributes
    ----------
    smallest, largest
        Of numbers and times, as VOTable's TABLEDATA has them; the infinities do not count. None for columns of other
        types and arrays, and where there is no value.
    nulls
        Number of rows in which the value is missing.
    """

    smallest: str | None = None
    largest: str | None = None
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a published table or of a result, in the words of VOTable 1.4 (FIELD) and TAP 1.1 (section 4.3).

    Attributes
    ----------
    name
        As the publisher wrote it; unquoted.
    datatype
        A VOTable primitive: boolean, unsignedByte, short, int, long, float, double, char or unicodeChar.
    arraysize
        VOTable arraysize ("*", "16", "2", "16*"); None for a scalar (and never "1", VOTable 1.3 erratum 3).
        Strings are `char` or `unicodeChar` with an arraysize.
    xtype
        DALI 1.1 section 3.3: timestamp, point, circle, polygon, interval, ...
    unit
        VOUnits 1.1; None where the quantity has none.
    ucd, utype, description
        UCD1+ word list, data model path, prose.
    principal, indexed, std
        TAP 1.1 section 4.3.
    statistics
        Of the published rows; None if they are not known.
    """

    name: str
    datatype: str
    arraysize: str | None = None
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    description: str | None = None
    principal: bool = False
    indexed: bool = False
    std: bool = False
    statistics: Statistics | None = None

    @property
    def is_string(self) -> bool:
        return self.datatype in ("char", "unicodeChar")


@dataclass(frozen=True, slots=True)
class Position:
    """Which columns of a table are its position: ICRS right ascension and declination in degrees."""

    ra: str
    dec: str


@dataclass(frozen=True, slots=True)
class Person:
    """A creator or contact."""

    name: str
    orcid: str | None = None
    affiliation: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What ObsCore 1.1 and its high-energy extension say of event lists, where the publisher says it.

    The fields are columns of these two (section 3 of ObsCore; the extension's table 1), in their units: s_resolution in
    arcsec, reference energies in eV, off-axis angles in deg, exposure and time resolution in s. What is None is taken
    from the rows and the rest of the description, or stays unknown.
    """

    obs_collection: str | None = None
    target_name: str | None = None
    facility_name: str | None = None
    instrument_name: str | None = None
    calib_level: int | None = None
    s_resolution: float | None = None
    t_exptime: float | None = None
    t_resolution: float | None = None
    em_res_power: float | None = None
    s_ref_energy: float | None = None
    em_ref_energy: float | None = None
    s_ref_oaa: float | None = None
    em_ref_oaa: float | None = None
    t_intervals: str | None = None
    obs_mode: str | None = None
    tracking_mode: str | None = None
    scan_mode: str | None = None
    pointing_mode: str | None = None
    analysis_mode: str | None = None
    event_type: str | None = None
    messenger_name: str | None = None
    messenger_pdgid: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """Who made a collection, under which terms, and how to cite it (VOResource 1.2, DataCite 4)."""

    title: str
    description: str = ""
    creators: tuple[Person, ...] = ()
    publisher: str | None = None
    contact: Person | None = None
    subjects: tuple[str, ...] = ()
    license: str | None = None
    """An SPDX identifier, or a sentence."""
    license_url: str | None = None
    doi: str | None = None
    reference_url: str | None = None
    citation: str | None = None
    """How to cite the data, as a sentence."""
    date: str | None = None
    """Date of publication, ISO 8601."""
    version: str | None = None
    waveband: tuple[str, ...] = ()
    """Terms of the IVOA messenger vocabulary (Neutrino, Gamma-ray, ...)."""
    simulated: bool = False
    obscore: Observation = Observation()


@dataclass(frozen=True, slots=True)
class Example:
    """A query that a publisher gives as an example for a table: a title, ADQL, and what it tells."""

    name: str
    query: str
    description: str = ""


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes
    ----------
    schema, name
        As the publisher wrote them; also the names in PostgreSQL.
    position
        None for a table without a sky position: it has no cone search and no HEALPix index.
    primary_key
        Name of the column whose values identify a row (the cone search's ID_MAIN), if any.
    rows
        Number of rows at the last load.
    epoch_column
        Name of the column that holds the time of the event, if any.
    event_list
        Whether rows with position and time are events that an instrument detected: those of catalogues are none.
    stored_as
        Schema and name in PostgreSQL where they are others than the published ones, as those of uploaded tables are.
        Columns are called c1, c2, ... there: an upload may have names that PostgreSQL has no place for.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    description: str = ""
    utype: str | None = None
    position: Position | None = None
    primary_key: str | None = None
    epoch_column: str | None = None
    event_list: bool = True
    rows: int = 0
    table_type: str = "table"
    table_index: int | None = None
    resource: Resource | None = None
    stored_as: tuple[str, str] | None = None
    examples: tuple[Example, ...] = ()

    @property
    def is_event_list(self) -> bool:
        """Whether the rows are events: each has a position and a time, and nobody has said that they are none."""
        return self.event_list and self.position is not None and self.epoch_column is not None

    @cached_property
    def full_name(self) -> str:
        """`schema.table` as it is written in a query: delimited where ADQL asks for it."""
        return f"{adql_name(self.schema)}.{adql_name(self.name)}"

    @property
    def path(self) -> str:
        """`schema/table` as it stands in addresses: names may hold any character."""
        return f"{quote(self.schema, safe='')}/{quote(self.name, safe='')}"

    @property
    def counted_rows(self) -> int | None:
        """Number of rows; None for tables of the service itself, which grow while it runs and are not counted."""
        return None if self.schema in GROWING else self.rows

    @property
    def sql_name(self) -> tuple[str, str]:
        """Schema and name in PostgreSQL."""
        return self.stored_as or (self.schema, self.name)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """The places of the columns by their names in lower case."""
        return places_by_name(self.columns)

    @cached_property
    def sql_columns(self) -> tuple[str, ...]:
        """The names of the columns in PostgreSQL."""
        if self.stored_as is None:
            return tuple(column.name for column in self.columns)
        return tuple(f"c{place}" for place in range(1, len(self.columns) + 1))

    @property
    def sql_position(self) -> tuple[str, str]:
        """The names in PostgreSQL of right ascension and declination. KeyError for a table without a position."""
        if self.position is None:
            raise KeyError("position")
        names = dict(zip((column.name for column in self.columns), self.sql_columns, strict=True))
        return names[self.position.ra], names[self.position.dec]

    def column(self, name: str) -> Column:
        """The column of exactly this name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def places_by_name(columns: Sequence[Column]) -> dict[str, list[int]]:
    """The places of columns, from 0, by their names in lower case."""
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column.name.lower(), []).append(place)
    return places


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key between two published tables (TAP 1.1, section 4.4)."""

    key_id: str
    from_table: str
    target_table: str
    """Both as `Table.full_name`."""
    columns: tuple[tuple[str, str], ...]
    """Pairs (column of from_table, column of target_table), as written in a query."""
    description: str | None = None
    utype: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema and its tables, in the order in which they are shown."""

    name: str
    tables: tuple[Table, ...]
    description: str = ""
    utype: str | None = None
    schema_index: int | None = None


@dataclass(frozen=True)
class Catalog:
    """All that is published, at one moment; `version` grows with every change."""

    schemas: tuple[Schema, ...] = ()
    keys: tuple[ForeignKey, ...] = ()
    version: int = 0

    def tables(self) -> Iterator[Table]:
        for schema in self.schemas:
            yield from schema.tables

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Table]:
        return {(t.schema.lower(), t.name.lower()): t for t in self.tables()}

    def with_schema(self, schema: Schema) -> Catalog:
        """The same with one more schema."""
        return replace(self, schemas=(*self.schemas, schema))

    def table(self, schema: str, name: str) -> Table | None:
        """The table of this name, letter case ignored (names never differ by case alone); None if there is none."""
        return self._by_name.get((schema.lower(), name.lower()))


def adql_name(name: str) -> str:
    """A name as it is written in ADQL: delimited unless it is a regular identifier and no reserved word."""
    if _REGULAR.fullmatch(name) and name.upper() not in RESERVED_WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


RESERVED_WORDS = frozenset(
    """
    ABSOLUTE ACTION ADD ALL ALLOCATE ALTER AND ANY ARE AS ASC ASSERTION AT AUTHORIZATION AVG BEGIN BETWEEN BIT
    BIT_LENGTH BOTH BY CASCADE CASCADED CASE CAST CATALOG CHAR CHARACTER CHAR_LENGTH CHARACTER_LENGTH CHECK CLOSE
    COALESCE COLLATE COLLATION COLUMN COMMIT CONNECT CONNECTION CONSTRAINT CONSTRAINTS CONTINUE CONVERT
    CORRESPONDING COUNT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATE
    DAY DEALLOCATE DECIMAL DECLARE DEFAULT DEFERRABLE DEFERRED DELETE DESC DESCRIBE DESCRIPTOR DIAGNOSTICS
    DISCONNECT DISTINCT DOMAIN DOUBLE DROP ELSE END END-EXEC ESCAPE EXCEPT EXCEPTION EXEC EXECUTE EXISTS EXTERNAL
    EXTRACT FALSE FETCH FIRST FLOAT FOR FOREIGN FOUND FROM FULL GET GLOBAL GO GOTO GRANT GROUP HAVING HOUR
    IDENTITY IMMEDIATE IN INDICATOR INITIALLY INNER INPUT INSENSITIVE INSERT INT INTEGER INTERSECT INTERVAL INTO
    IS ISOLATION JOIN KEY LANGUAGE LAST LEADING LEFT LEVEL LIKE LOCAL LOWER MATCH MAX MIN MINUTE MODULE MONTH
    NAMES NATIONAL NATURAL NCHAR NEXT NO NOT NULL NULLIF NUMERIC OCTET_LENGTH OF ON ONLY OPEN OPTION OR ORDER
    OUTER OUTPUT OVERLAPS PAD PARTIAL POSITION PRECISION PREPARE PRESERVE PRIMARY PRIOR PRIVILEGES PROCEDURE
    PUBLIC READ REAL REFERENCES RELATIVE RESTRICT REVOKE RIGHT ROLLBACK ROWS SCHEMA SCROLL SECOND SECTION SELECT
    SESSION SESSION_USER SET SIZE SMALLINT SOME SPACE SQL SQLCODE SQLERROR SQLSTATE SUBSTRING SUM SYSTEM_USER
    TABLE TEMPORARY THEN TIME TIMESTAMP TIMEZONE_HOUR TIMEZONE_MINUTE TO TRAILING TRANSACTION TRANSLATE
    TRANSLATION TRIM TRUE UNION UNIQUE UNKNOWN UPDATE UPPER USAGE USER USING VALUE VALUES VARCHAR VARYING VIEW
    WHEN WHENEVER WHERE WITH WORK WRITE YEAR ZONE ABS ACOS AREA ASIN ATAN ATAN2 BIGINT BOX CEILING CENTROID CIRCLE
    CONTAINS COORD1 COORD2 COORDSYS COS COT DEGREES DISTANCE EXP FLOOR ILIKE INTERSECTS IN_UNIT LOG LOG10 MOD
    OFFSET PI POINT POLYGON POWER RADIANS REGION RAND ROUND SIN SQRT TOP TAN TRUNCATE
    """.split()
)
"""The reserved words of ADQL 2.1 (section 2.1.2): those of SQL-92 and ADQL's own, in upper case."""
