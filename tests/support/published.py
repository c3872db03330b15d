"""A small published catalogue with awkward names, and its tables in a database with awkward rows: for the translator.

Positions stand at the poles, on both sides of RA = 0, twice at one place; every other column has NULLs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import hpgeom
import numpy as np
import psycopg
from psycopg import sql

from tests.support.sphere import star
from vo_service.catalog.model import HPX_COLUMN, Catalog, Column, Position, Schema, Table
from vo_service.catalog.tap_schema import TABLES
from vo_service.database.arrow import sql_type
from vo_service.sky.healpix import hpx

Row = tuple[Any, ...]

EVENTS: Final = Table(
    "ev",
    "Events",
    (
        Column("event_id", "long", ucd="meta.id;meta.main", description="Identifier"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", description="Declination"),
        Column("Energy", "float", unit="GeV", ucd="phys.energy", description="Energy"),
        Column("nhits", "int", description="Hits"),
        Column("quality", "short"),
        Column("flag", "boolean"),
        Column("obs_time", "char", arraysize="*", xtype="timestamp"),
        Column("label", "char", arraysize="*"),
        Column("größe", "unicodeChar", arraysize="*"),
    ),
    position=Position("ra", "dec"),
)
ALERTS: Final = Table(
    "ev",
    "alerts",
    (
        Column("alert_id", "char", arraysize="*", ucd="meta.id"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec"),
        Column("event_id", "long"),
        Column("radius", "float", unit="deg", ucd="pos.errorEllipse"),
    ),
    position=Position("ra", "dec"),
)
SHOWERS: Final = Table(
    "cosmic",
    "showers",
    (
        Column("E", "double", unit="GeV"),
        Column("zenith", "double", unit="deg"),
        Column("levels", "double", arraysize="*"),
        Column("select", "int"),
        Column('a"b', "int"),
        Column("x; DROP TABLE y --", "int"),
        Column("Mixed", "int"),
        Column("mixed", "int"),
    ),
)
SECOND_EVENTS: Final = Table("cosmic", "events", (Column("event_id", "long"), Column("energy", "double", unit="TeV")))
REGIONS: Final = Table(
    "sky",
    "regions",
    (
        Column("id", "int"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec"),
        Column("radius", "double", unit="deg", ucd="phys.angSize"),
        Column("width", "double", unit="deg"),
        Column("height", "double", unit="deg"),
        Column("place", "double", arraysize="2", xtype="point", unit="deg"),
        Column("disc", "double", arraysize="3", xtype="circle", unit="deg"),
        Column("outline", "double", arraysize="*", xtype="polygon", unit="deg"),
        Column("cells", "char", arraysize="*", xtype="moc"),
    ),
)
"""Regions of one place and size in each row, made of numbers and as values; then rows with NULLs or no shapes."""

ODD: Final = Table('odd"one', "the table", (Column("Id", "int"),))

CATALOG: Final = Catalog(
    (
        Schema("ev", (EVENTS, ALERTS)),
        Schema("cosmic", (SHOWERS, SECOND_EVENTS)),
        Schema("sky", (REGIONS,)),
        Schema('odd"one', (ODD,)),
        Schema("tap_schema", TABLES),
    )
)

_SPECIAL_PLACES: Final = (
    [(0.0, 90.0), (123.4, 90.0), (10.0, -90.0), (0.0, 0.0), (359.9999999, 0.0), (0.0000001, 0.0), (180.0, 0.0)]
    + [(83.6331, 22.0145)] * 3
    + [(359.95, 89.95), (179.95, 89.95), (0.05, -89.95), (45.0, 41.810314895778596), (359.7, -0.2), (0.3, 0.2)]
)
_LABELS: Final = [None, "a", "A", "b_c", "b%c", "bxc", "back\\slash", "it's", "", "ä", "--", " a ", "a"]


def event_rows() -> list[Row]:
    """1,000 rows of `ev.Events`, the same every time."""
    random = np.random.default_rng(20261121)
    places = [*_SPECIAL_PLACES]
    places += [(random.uniform(0, 360), np.degrees(np.arcsin(random.uniform(-1, 1)))) for _ in range(784)]
    places += [(random.normal(0, 2) % 360, random.normal(0, 2)) for _ in range(100)]
    places += [(random.uniform(0, 360), 90 - abs(random.normal(0, 1.5))) for _ in range(100)]
    return [_event(i, float(ra), float(dec), random) for i, (ra, dec) in enumerate(places)]


def _event(number: int, ra: float, dec: float, random: np.random.Generator) -> Row:
    energy = None if number % 7 == 3 else float(np.float32(10 ** random.uniform(1, 5)))
    hits = None if number % 11 == 5 else int(random.integers(-3, 9))
    quality = None if number % 5 == 4 else number % 4
    flag = (None, True, False)[number % 3]
    time = None if number % 13 == 1 else f"2017-09-{1 + number % 30:02d} 20:54:{number % 60:02d}.25"
    label = _LABELS[number % len(_LABELS)]
    size = (None, "groß", "klein")[number % 3]
    return (number, ra, dec, energy, hits, quality, flag, time, label, size)


def alert_rows() -> list[Row]:
    """40 rows of `ev.alerts`: near events, far from any, and without one."""
    events = event_rows()
    rows: list[Row] = []
    for i in range(40):
        _, ra, dec, *_ = events[(i * 37) % 100]
        shifted = float(np.clip(dec + 0.1 * (i % 4), -90, 90))
        event = None if i % 6 == 5 else i * 37 % 1100
        rows.append((f"ALERT-{i:02d}", ra, shifted, event, None if i % 9 == 8 else float(np.float32(0.1 + i % 5))))
    return rows


def shower_rows() -> list[Row]:
    return [(10.0**i, None if i == 3 else 10.0 * i, [1.0 * i, 2.0], i, i + 1, -i, i, 2 * i) for i in range(8)]


_REGIONS: Final = (
    [(ra, dec, size) for ra, dec in ((10.0, 90.0), (0.0, -90.0), (0.0, 0.0)) for size in (1e-5, 0.3, 12.0, 80.0)]
    + [(359.9, 30.0, 1.0), (0.2, -60.0, 40.0), (45.0, 41.810314895778596, 2.0), (83.6331, 22.0145, 1e-3)]
    + [(83.6331, 22.0145, 5.0), (83.64, 22.01, 60.0), (180.0, 0.0, 75.0), (359.7, -0.2, 0.1), (200.0, 88.0, 20.0)]
    + [(2.0, 1.0, 2.5), (1.0, 2.0, 0.5), (123.4, 85.0, 6.0), (300.0, -45.0, 25.0), (120.0, 10.0, 60.0)]
)
"""Right ascension, declination and size; they overlap, hold each other, hold poles, lie across RA = 0."""


WHOLE_REGION: Final = 16
"""The row that those with NULLs and without shapes are made of."""


def region_rows() -> list[Row]:
    """Rows of `sky.regions`: places and sizes of above, then one for each way to be no region."""
    random = np.random.default_rng(4)
    rows = [_region(number, *place, random) for number, place in enumerate(_REGIONS)]
    whole = rows[WHOLE_REGION]
    for column in range(1, len(whole)):
        rows += [(100 + column, *whole[1:column], None, *whole[column + 1 :])]
    rows += [
        (120 + place, *whole[1:3], radius, *whole[4:7], [*whole[6], radius], *whole[8:])
        for place, radius in enumerate((-1.0, -1e-9, 180.0001, 1000.0, float("nan")))
    ]
    rows += [(140 + place, *whole[1:8], outline, whole[9]) for place, outline in enumerate(NO_POLYGONS)]
    rows.append((160, *whole[1:6], [None, 1.0], [1.0, None, 1.0], *whole[8:]))
    rows.append((161, *whole[1:6], [], [1.0, 2.0], *whole[8:]))
    return rows


def _region(number: int, ra: float, dec: float, size: float, random: np.random.Generator) -> Row:
    radius = 180.0 if number == 3 else 1.8 * size if number % 4 == 3 else 0.7 * size
    outline = star((ra, dec), size, int(random.integers(3, 9)), random, 1 if number % 3 == 0 else 0.3)
    order = max(0, round(np.log2(200 / size)) + number % 3)
    cells = hpgeom.query_circle(1 << order, ra, dec, size, inclusive=True)
    cells = np.sort(hpgeom.ring_to_nest(1 << order, cells))
    finer = f"{order + 2}/{int(cells[-1]) * 16 + 5} " if number % 2 else ""
    text = f"{order}/{' '.join(map(str, cells[:-1]))} {finer}"
    width, height = 1.6 * size, 0.9 * size if number % 2 else 2.1 * size
    return (number, ra, dec, radius, width, height, [ra, dec], [ra, dec, radius], outline.numbers, text)


NO_POLYGONS: Final[tuple[list[float | None], ...]] = (
    [],
    [10.0, 10.0, 20.0, 20.0],
    [0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 5.0],
    [0.0, 0.0, 120.0, 0.0, 240.0, 0.0],
    [0.0, 0.0, 100.0, 0.0, 200.0, 10.0, 300.0, -10.0],
    [0.0, 95.0, 10.0, 0.0, 10.0, 10.0],
    [0.0, None, 10.0, 0.0, 10.0, 10.0],
    [float("nan"), 0.0, 10.0, 0.0, 10.0, 10.0],
    [float("inf"), 0.0, 10.0, 0.0, 10.0, 10.0],
)
"""Numbers that make no polygon, though they stand in a column of polygons."""

ROWS: Final[dict[Table, list[Row]]] = {
    EVENTS: event_rows(),
    ALERTS: alert_rows(),
    SHOWERS: shower_rows(),
    SECOND_EVENTS: [(3, 1.5), (5, None), (5, 2.5)],
    REGIONS: region_rows(),
    ODD: [(1,), (2,)],
}


@contextmanager
def tables_in(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The tables of the catalogue with their rows, but for TAP_SCHEMA, until the block ends."""
    schemas = {table.schema for table in ROWS}
    for schema in schemas:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    for table, rows in ROWS.items():
        _create(connection, table, rows)
    for schema in schemas:
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO PUBLIC").format(sql.Identifier(schema)))
    try:
        yield
    finally:
        for schema in schemas:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def _create(connection: psycopg.Connection[Any], table: Table, rows: list[Row]) -> None:
    name = sql.Identifier(table.schema, table.name)
    columns = [(column.name, sql_type(column)) for column in table.columns]
    if table.position is not None:
        columns.append((HPX_COLUMN, "bigint NOT NULL"))
        indices = hpx([row[1] for row in rows], [row[2] for row in rows])
        rows = [(*row, int(index)) for row, index in zip(rows, indices, strict=True)]
    definitions = [sql.Identifier(n) + sql.SQL(f" {kind}") for n, kind in columns]
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(definitions)))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
        for row in rows:
            copy.write_row(row)
    if table.position is not None:
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, sql.Identifier(HPX_COLUMN)))
    connection.execute(sql.SQL("ANALYZE {}").format(name))
