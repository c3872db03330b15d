"""Queries that show what the published tables are good for, made from what the catalogue knows of them.

Each runs on its table as it is and ends soon: the catalogue's statistics tell where the rows are and how many. They are
written so that the parsers of older clients read them: points with their frame, as ADQL 2.0 asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from vo_service.catalog.model import TAP_SCHEMA, Catalog, Column, ForeignKey, Position, Table, adql_name

WANTED_ROWS = 20
"""Rows that a search around a position should find, if they were spread evenly."""

TABLES = 20
"""Tables that get examples beside those of their publishers: menus of clients are no place for hundreds."""

FEW_ROWS = 100
"""Below that a table is looked at as a whole, not around positions."""

_NUMBERS = ("short", "int", "long", "float", "double")
_WORDS_OF_ENERGY = ("phys.energy", "em.energy")
_WORDS_OF_TIME = ("time.epoch", "time.start")


@dataclass(frozen=True, slots=True)
class Query:
    """An example.

    Attributes
    ----------
    name
        A title of a few words.
    text
        ADQL.
    tables
        Those that it reads, as they are written in a query.
    description
        What it tells, for people.
    """

    name: str
    text: str
    tables: tuple[str, ...]
    description: str = ""


def example_queries(catalog: Catalog) -> list[Query]:
    """Examples for published tables, for pairs of them, and for TAP_SCHEMA; those of publishers are all there.

    Tables that were never loaded have none: the service fills its own as it goes, and they may be empty.
    """
    published = [table for table in catalog.tables() if table.schema != TAP_SCHEMA and (table.rows or table.examples)]
    shown = published[:TABLES]
    queries = [query for table in shown for query in (*_given(table), *queries_of(table))]
    queries += [query for table in published[TABLES:] for query in _given(table)]
    queries += _matches([table for table in shown if table.position and table.rows])
    names = {table.full_name for table in shown}
    queries += [_join(key) for key in catalog.keys if key.from_table in names]
    return queries + list(_metadata())


def _given(table: Table) -> Iterator[Query]:
    """The examples of the publisher."""
    for example in table.examples:
        yield Query(example.name, example.query, (table.full_name,), example.description)


def queries_of(table: Table) -> Iterator[Query]:
    """Examples for one table."""
    name = table.full_name
    yield Query(f"{name}: the first rows", _adql(f"SELECT TOP 10 {_shown(table)}", f"FROM {name}"), (name,))
    if table.position is not None and table.rows >= FEW_ROWS:
        yield _cone(table, table.position)
        yield _sky_map(table, table.position)
    energy, time = energy_column(table), time_column(table)
    if energy is not None:
        yield _highest(table, energy)
        yield from _histogram(table, energy, adql_name(energy.name), _extremes(energy))
    if time is not None:
        yield _latest(table, time)
        value = f"ivo_to_mjd({adql_name(time.name)})" if time.xtype == "timestamp" else adql_name(time.name)
        yield from _histogram(table, time, value, _extremes(time))


def energy_column(table: Table) -> Column | None:
    """The column with the energy, if there is one."""
    return next((c for c in table.columns if _is_number(c) and _first_word(c) in _WORDS_OF_ENERGY), None)


def time_column(table: Table) -> Column | None:
    """The column with the time of the event, if there is one."""
    if table.epoch_column is not None:
        return table.column(table.epoch_column)
    timely = (c for c in table.columns if _is_number(c) or c.xtype == "timestamp")
    return next((c for c in timely if _first_word(c) in _WORDS_OF_TIME), None)


def _is_number(column: Column) -> bool:
    return column.datatype in _NUMBERS and column.arraysize is None


def _first_word(column: Column) -> str:
    return (column.ucd or "").split(";")[0].strip().lower()


def _shown(table: Table, alias: str = "") -> str:
    """The columns to look at first, as a list for SELECT."""
    columns = [column for column in table.columns if column.principal] or list(table.columns)
    return ", ".join(alias + adql_name(column.name) for column in columns[:8])


def _point(position: Position, alias: str = "") -> str:
    return f"POINT('ICRS', {alias}{adql_name(position.ra)}, {alias}{adql_name(position.dec)})"


def _extremes(column: Column) -> tuple[float, float] | None:
    """Smallest and largest value, of timestamps as MJD; None if they are not known."""
    known = column.statistics
    if known is None or known.smallest is None or known.largest is None:
        return None
    if column.xtype != "timestamp":
        return float(known.smallest), float(known.largest)
    low, high = (
        (datetime.fromisoformat(text) - datetime(1858, 11, 17)) / timedelta(days=1)
        for text in (known.smallest, known.largest)
    )
    return low, high


def _cone(table: Table, position: Position) -> Query:
    ra, dec = (_middle(_extremes(table.column(name))) for name in (position.ra, position.dec))
    radius = _radius(WANTED_ROWS / table.rows)
    distance = f"DISTANCE({_point(position)}, POINT('ICRS', {ra:g}, {dec:g}))"
    return Query(
        f"{table.full_name}: around a position",
        _adql(
            f"SELECT TOP 100 {_shown(table)}, {distance} AS separation",
            f"FROM {table.full_name}",
            f"WHERE {distance} < {radius:g}",
            "ORDER BY separation",
        ),
        (table.full_name,),
        f"The rows within {radius:g} deg of right ascension {ra:g} and declination {dec:g} (ICRS), the nearest"
        " first. Replace the position by yours.",
    )


def _sky_map(table: Table, position: Position) -> Query:
    order = min(max(round(math.log(table.rows / 60, 4)), 1), 6)
    pixel = f"ivo_healpix_index({order}, {adql_name(position.ra)}, {adql_name(position.dec)})"
    return Query(
        f"{table.full_name}: map of the sky",
        _adql(
            "SELECT pixel, COUNT(*) AS n",
            "FROM (",
            f"  SELECT {pixel} AS pixel",
            f"  FROM {table.full_name}",
            ") AS positions",
            "GROUP BY pixel",
        ),
        (table.full_name,),
        f"The number of rows in every HEALPix pixel of order {order} (nested, ICRS); TOPCAT's sky plot draws it with a"
        " Healpix layer.",
    )


def _highest(table: Table, energy: Column) -> Query:
    return Query(
        f"{table.full_name}: highest energies",
        _descending(table, energy),
        (table.full_name,),
        f"The ten rows with the largest {energy.name}{f', in {energy.unit}' if energy.unit else ''}.",
    )


def _latest(table: Table, time: Column) -> Query:
    return Query(
        f"{table.full_name}: the latest rows",
        _descending(table, time),
        (table.full_name,),
    )


def _descending(table: Table, column: Column) -> str:
    name = adql_name(column.name)
    return _adql(
        f"SELECT TOP 10 {_shown(table)}",
        f"FROM {table.full_name}",
        f"WHERE {name} IS NOT NULL",
        f"ORDER BY {name} DESC",
    )


def _histogram(table: Table, column: Column, value: str, extremes: tuple[float, float] | None) -> Iterator[Query]:
    """The number of rows in steps of a column: of factors where it spans many, else of differences."""
    if extremes is None or extremes[0] == extremes[1]:
        return
    low, high = extremes
    factors = low > 0 and high / low > 100
    if factors:
        start, condition = f"POWER(10, FLOOR(LOG10({value}) * 5) / 5)", f"{value} > 0"
        steps = "in five steps for every factor of ten"
    else:
        width = _round_step((high - low) / 50)
        start, condition = f"FLOOR({value} / {width:g}) * {width:g}", f"{value} IS NOT NULL"
        steps = f"in steps of {width:g}{f' {column.unit}' if column.unit else ''}"
    yield Query(
        f"{table.full_name}: histogram of {column.name}",
        _adql(
            "SELECT step, COUNT(*) AS n",
            "FROM (",
            f"  SELECT {start} AS step",
            f"  FROM {table.full_name}",
            f"  WHERE {condition}",
            ") AS steps",
            "GROUP BY step",
            "ORDER BY step",
        ),
        (table.full_name,),
        f"The number of rows by {column.name}, {steps}.",
    )


def _matches(tables: list[Table]) -> Iterator[Query]:
    """The shortest table with positions, matched with every other one."""
    by_size = sorted(tables, key=lambda table: table.rows)
    for other in by_size[1:]:
        yield _match(by_size[0], other)


def _match(near: Table, table: Table) -> Query:
    if near.position is None or table.position is None:
        raise ValueError("tables without positions cannot be matched")
    radius = _radius(WANTED_ROWS / (near.rows * table.rows))
    places = _point(near.position, "a."), _point(table.position, "b.")
    distance = f"DISTANCE({', '.join(places)})"
    columns = [f"a.{adql_name(near.primary_key)} AS near"] if near.primary_key else [f"{places[0]} AS near"]
    return Query(
        f"{near.full_name} and {table.full_name}: cross-match",
        _adql(
            f"SELECT TOP 100 {', '.join(columns)}, {_shown(table, 'b.')},",
            f"  {distance} AS separation",
            f"FROM {near.full_name} AS a",
            f"JOIN {table.full_name} AS b",
            f"  ON {distance} < {radius:g}",
        ),
        (near.full_name, table.full_name),
        f"Pairs of rows that lie within {radius:g} deg of each other.",
    )


def _join(key: ForeignKey) -> Query:
    condition = " AND ".join(f"a.{source} = b.{target}" for source, target in key.columns)
    return Query(
        f"{key.from_table} with its {key.target_table}",
        _adql("SELECT TOP 10 *", f"FROM {key.from_table} AS a", f"JOIN {key.target_table} AS b", f"  ON {condition}"),
        (key.from_table, key.target_table),
        key.description or "",
    )


def _metadata() -> Iterator[Query]:
    yield Query(
        "What is published here",
        _adql("SELECT table_name, nrows, description", "FROM tap_schema.tables", "ORDER BY schema_name, table_index"),
        ("tap_schema.tables",),
        "Every table with the number of its rows.",
    )
    yield Query(
        "Which columns hold an energy",
        _adql(
            "SELECT table_name, column_name, unit, min_value, max_value, null_count, description",
            "FROM tap_schema.columns",
            "WHERE ucd LIKE 'phys.energy%' OR ucd LIKE 'em.energy%'",
        ),
        ("tap_schema.columns",),
        "With the smallest and the largest value that occurs, and the number of rows in which it is missing.",
    )


def _middle(extremes: tuple[float, float] | None) -> float:
    """Half-way between two angles; 0 if they are not known."""
    return 0.0 if extremes is None else float(f"{(extremes[0] + extremes[1]) / 2:.4g}")


def _radius(fraction: float) -> float:
    """The radius in degrees of a circle that is this fraction of the sky; from an arc minute to 10 degrees."""
    radius = 2 * math.degrees(math.asin(math.sqrt(min(fraction, 1.0))))
    return _round_step(min(max(radius, 1 / 60), 10.0))


def _round_step(value: float) -> float:
    """The nearest of 1, 2 or 5 times a power of ten below a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return power * max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))


def _adql(*lines: str) -> str:
    return "\n".join(lines)
