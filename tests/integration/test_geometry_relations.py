"""All geometries in all relations on a real server, against geometry by bearings, samples of edges, and mocpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, TypeAlias, cast

import hpgeom
import numpy as np
import psycopg
import pytest
from astropy.coordinates import Angle, Latitude, Longitude
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mocpy import MOC
from numpy.typing import ArrayLike, NDArray

from tap.adql import AdqlError, parse
from tap.translate import translate
from tests.support.published import ALERTS, CATALOG, EVENTS, REGIONS, ROWS, WHOLE_REGION, Row, tables_in
from tests.support.sphere import EDGE, Booleans, Figure, along_edge, contains, depth, distance, going, meet, star
from vo_service.database.access import Access

Run = Callable[[str], list[Row]]


@pytest.fixture(scope="module")
def connection(access: Access) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(access.owner.conninfo, autocommit=True) as connection, tables_in(connection):
        yield connection


@pytest.fixture(scope="module")
def run(connection: psycopg.Connection[Any]) -> Run:
    def run(query: str) -> list[Row]:
        return connection.execute(translate(parse(query), CATALOG).sql.encode()).fetchall()

    return run


fast = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Geometries as the judges see them ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disc:
    """A circle; a point is one of radius 0."""

    ra: float
    dec: float
    radius: float = 0.0
    is_point: bool = False


@dataclass(frozen=True)
class Cells:
    """A MOC."""

    text: str

    @property
    def moc(self) -> MOC:
        return parsed(self.text)


Geometry: TypeAlias = Disc | Figure | Cells
Verdict: TypeAlias = bool | None
"""None where it is too close to tell."""


@cache
def parsed(text: str) -> MOC:
    return MOC.from_string(text)


def holds(moc: MOC, ra: ArrayLike, dec: ArrayLike) -> Booleans:
    """Whether positions lie in a MOC, as mocpy says."""
    lon, lat = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    inside = moc.contains_lonlat(Longitude(lon.ravel(), "deg"), Latitude(lat.ravel(), "deg"))
    return np.asarray(inside).reshape(lon.shape)


@cache
def verdict(name: str, first: Geometry, second: Geometry) -> Verdict:
    """Whether the second contains the first, or they have a position in common."""
    if name == "INTERSECTS" and is_point(second):
        first, second = second, first
    if name == "CONTAINS" or is_point(first):
        return is_within(first, second)
    match (first, second):
        case Disc(), Disc():
            return clear(first.radius + second.radius - between(first, second))
        case Disc(), Figure():
            return clear(depth_of(second, first) + first.radius)
        case Figure(), Disc():
            return clear(depth_of(first, second) + second.radius)
        case Figure(), Figure():
            return meet(first, second)
        case Cells(), Cells():
            return not first.moc.intersection(second.moc).empty()
        case (Cells() as cells, Disc() | Figure() as region) | (Disc() | Figure() as region, Cells() as cells):
            return meets_cells(Side(region), cells.text)
        case _:
            raise AssertionError


def is_within(first: Geometry, second: Geometry) -> Verdict:
    match (first, second):
        case Disc(is_point=True), Disc(is_point=True):
            apart = between(first, second)
            return None if 1e-11 < apart < EDGE else apart < EDGE
        case Disc(), Disc():
            return second.radius == 180 or clear(second.radius - first.radius - between(first, second))
        case Disc(), Figure():
            return clear(depth_of(second, first) - first.radius)
        case Figure(), Disc():
            return figure_in_disc(first, second)
        case Figure(), Figure():
            return np.array_equal(first.vertices, second.vertices) or contains(second, first)
        case Disc(is_point=True), Cells():
            ra, dec = going(first.ra, first.dec, EDGE, np.arange(0, 360, 30))
            inside = holds(second.moc, ra, dec)
            return bool(inside[0]) if (inside == inside[0]).all() else None
        case Cells(), Cells():
            # Not by mocpy's difference, which is empty where the second is of a deeper order (0.21).
            both = first.moc.intersection(second.moc)
            return np.array_equal(both.to_depth29_ranges, first.moc.to_depth29_ranges)
        case Disc() | Figure() as region, Cells():
            return opposite(meets_cells(Side(region), others(second.text)))
        case Cells(), Disc() | Figure() as region:
            return opposite(meets_cells(Side(region, is_outside=True), first.text))
        case _:
            raise AssertionError


def opposite(answer: Verdict) -> Verdict:
    return None if answer is None else not answer


@dataclass(frozen=True)
class Side:
    """The inside of a circle or polygon, or all that is outside of it."""

    region: Disc | Figure
    is_outside: bool = False

    def depth(self, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
        region = self.region
        if isinstance(region, Disc):
            inside = region.radius - distance(ra, dec, region.ra, region.dec)
        else:
            inside = depth(region, ra, dec)
        return -inside if self.is_outside else inside

    @property
    def size(self) -> float:
        """Its radius, or that of its other side if it is smaller."""
        if isinstance(self.region, Disc):
            return min(self.region.radius, 180 - self.region.radius)
        return float(distance(*self.region.centre, *self.region.vertices.T).max())

    def samples(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of its edge, and one within."""
        if isinstance(self.region, Disc):
            ra, dec = going(self.region.ra, self.region.dec, self.region.radius, np.arange(0, 360, 4.0))
            centre = self.region.ra, self.region.dec
        else:
            ra, dec, _ = along_edge(self.region, 20)
            centre = self.region.centre
        within = ((centre[0] + 180) % 360, -centre[1]) if self.is_outside else centre
        return np.append(ra, within[0]), np.append(dec, within[1])


@cache
def others(text: str) -> str:
    """The MOC of all other cells."""
    return " ".join(parsed(text).complement().to_string("ascii").split()) or "0/"


@cache
def cells_by_order(text: str) -> dict[int, NDArray[np.int64]]:
    cells = np.asarray(parsed(text).uniq_hpx, np.int64)
    orders = np.array([(int(cell).bit_length() - 3) // 2 for cell in cells], int)
    return {int(order): cells[orders == order] - 4 * 4 ** int(order) for order in np.unique(orders)}


def meets_cells(side: Side, text: str) -> Verdict:
    """By samples of the edges of both; None if they come closer than those, or than a two-hundredth of the size."""
    if side.is_outside and isinstance(side.region, Disc) and side.region.radius == 180:
        return False
    ra, dec = side.samples()
    around = holds(parsed(text), *going(ra, dec, EDGE, np.arange(0, 360, 45)[:, None]))
    if around.all(axis=0).any():
        return True
    too_close = bool(around.any())
    for order, cells in cells_by_order(text).items():
        nside = 1 << order
        reach = float(hpgeom.max_pixel_radius(nside))
        depths = side.depth(*hpgeom.pixel_to_angle(nside, cells))
        if depths.max() > EDGE:
            return True
        near = depths >= -1.1 * reach - 0.1 * side.size
        if near.any():
            step = int(np.clip(32 * reach / (side.size + 1e-12), 2, 256))
            deepest = side.depth(*hpgeom.boundaries(nside, cells[near], step=step)).max()
            if deepest > EDGE:
                return True
            too_close |= bool(deepest > -2 * reach / step - side.size / 200)
    return None if too_close else False


def figure_in_disc(figure: Figure, disc: Disc) -> Verdict:
    """By samples of the polygon's edge, and by whether the polygon reaches round the whole sky outside the disc."""
    if disc.radius == 180:
        return True
    ra, dec, step = along_edge(figure)
    farthest = float(distance(ra, dec, disc.ra, disc.dec).max())
    if farthest > disc.radius + EDGE or float(depth(figure, disc.ra + 180, -disc.dec)) > EDGE:
        return False
    return True if farthest < disc.radius - step else None


def is_point(geometry: Geometry) -> bool:
    return isinstance(geometry, Disc) and geometry.is_point


def between(first: Disc, second: Disc) -> float:
    return float(distance(first.ra, first.dec, second.ra, second.dec))


def depth_of(figure: Figure, disc: Disc) -> float:
    return float(depth(figure, disc.ra, disc.dec))


def clear(surplus: float) -> Verdict:
    """At exactly the edge of a circle both answers are right."""
    return None if abs(surplus) < EDGE else surplus > 0


def box_of(ra: float, dec: float, width: float, height: float) -> Figure:
    """The corners lie where the perpendiculars on the ends of the arms meet."""
    e, n = np.tan(np.radians([width / 2, height / 2]))
    e, n = np.array([-e, e, e, -e]), np.array([-n, -n, n, n])
    corners = going(ra, dec, np.degrees(np.arctan(np.hypot(e, n))), np.degrees(np.arctan2(e, n)))
    return Figure((ra, dec), np.column_stack(corners))


# The rows, and how a query writes each geometry of a row --------------------------------------------------------------

CENTRES = {row[0]: (row[1], row[2]) if row[0] < 100 else ROWS[REGIONS][WHOLE_REGION][1:3] for row in ROWS[REGIONS]}


def is_number(*values: float | None) -> bool:
    return all(value is not None and np.isfinite(value) for value in values)


def row_point(row: Row) -> Geometry | None:
    return Disc(row[1], row[2], is_point=True) if is_number(*row[1:3]) else None


def row_place(row: Row) -> Geometry | None:
    place = row[6]
    return Disc(place[0], place[1], is_point=True) if place and is_number(*place) else None


def row_circle(row: Row) -> Geometry | None:
    return Disc(*row[1:4]) if is_number(*row[1:4]) and 0 <= row[3] <= 180 else None


def row_disc(row: Row) -> Geometry | None:
    disc = row[7]
    return Disc(*disc) if disc and len(disc) == 3 and is_number(*disc) and 0 <= disc[2] <= 180 else None


def row_box(row: Row) -> Geometry | None:
    return box_of(row[1], row[2], row[4], row[5]) if is_number(*row[1:3], *row[4:6]) else None


def row_outline(row: Row) -> Geometry | None:
    if row[8] is None or 140 <= row[0] < 160:
        return None
    return Figure(CENTRES[row[0]], np.array(row[8]).reshape(-1, 2))


def row_triangle(row: Row) -> Geometry | None:
    if not is_number(*row[1:3]):
        return None
    ra, dec = row[1], row[2] / 2
    return Figure((ra + 1, dec + 0.5), np.array([[ra, dec], [ra + 2, dec], [ra + 1, dec + 1.5]]))


def row_cells(row: Row) -> Geometry | None:
    return Cells(row[9]) if row[9] is not None else None


COLUMNS: dict[str, tuple[str, Callable[[Row], Geometry | None]]] = {
    "POINT": ("POINT({t}.ra, {t}.dec)", row_point),
    "point": ("{t}.place", row_place),
    "CIRCLE": ("CIRCLE('ICRS', {t}.ra, {t}.dec, {t}.radius)", row_circle),
    "circle": ("{t}.disc", row_disc),
    "BOX": ("BOX(POINT({t}.ra, {t}.dec), {t}.width, {t}.height)", row_box),
    "POLYGON": ("POLYGON({t}.ra, {t}.dec / 2, {t}.ra + 2, {t}.dec / 2, {t}.ra + 1, {t}.dec / 2 + 1.5)", row_triangle),
    "polygon": ("{t}.outline", row_outline),
    "moc": ("{t}.cells", row_cells),
}
KINDS = {"POINT": "point", "CIRCLE": "circle", "BOX": "polygon", "POLYGON": "polygon"}
SHAPES = {name: {row[0]: made(row) for row in ROWS[REGIONS]} for name, (_, made) in COLUMNS.items()}
"""By name of the column and identifier of the row; None where there is none."""

random = np.random.default_rng(11)
CONCAVE = star((83.0, 20.0), 9.0, 9, random, 0.15)
POLAR = star((30.0, 89.0), 30.0, 7, random, 0.4)
WRAPPED = star((359.9999, -0.5), 3.0, 5, random, 0.3)
TINY = star((83.6331, 22.0145), 1e-5, 4, random, 0.6)
HUGE = star((100.0, -20.0), 80.0, 8, random, 0.5)
MOCS = [
    *("0/0-11", "0/", "3/0 17-40 10/5000000 5000002-5000013 12/", "10/96 11/3 29/0 3458764513820540927"),
    *(ROWS[REGIONS][place][9] for place in (4, 8, 11, 14)),
]
LITERALS: dict[str, list[tuple[str, Geometry]]] = {
    "point": [
        ("POINT(83.6331, 22.0145)", Disc(83.6331, 22.0145, is_point=True)),
        ("POINT('ICRS GEOCENTER', 0, 90)", Disc(0, 90, is_point=True)),
        ("REGION('Position ICRS 1.5 1.5')", Disc(1.5, 1.5, is_point=True)),
    ],
    "circle": [
        ("CIRCLE(0, 0, 2.2)", Disc(0, 0, 2.2)),
        ("CIRCLE(POINT(83.64, 22.01), 1e-5)", Disc(83.64, 22.01, 1e-5)),
        ("REGION('circle 10 90 50')", Disc(10, 90, 50)),
        ("CIRCLE(200, -30, 150)", Disc(200, -30, 150)),
        ("CIRCLE(1, 2, 180)", Disc(1, 2, 180)),
        ("CIRCLE(200, 1, 0)", Disc(200, 1, 0)),
    ],
    "polygon": [
        *((figure.adql, figure) for figure in (CONCAVE, POLAR, WRAPPED, TINY, HUGE)),
        ("BOX(0, 0, 4, 3)", box_of(0, 0, 4, 3)),
        ("BOX('ICRS', POINT(0, -90), 20, 30)", box_of(0, -90, 20, 30)),
        ("REGION('Box ICRS 83 22 2e-4 3e-4')", box_of(83, 22, 2e-4, 3e-4)),
        ("POLYGON(POINT(1, 1), POINT(3, 1), POINT(2, 2))", Figure((2, 1.3), np.array([[1, 1], [3, 1], [2, 2.0]]))),
        (f"REGION('POLYGON ICRS {' '.join(map(repr, POLAR.numbers))}')", POLAR),
    ],
    "moc": [(f"MOC('{text}')", Cells(text)) for text in MOCS],
}

RELATIONS = [
    (name, first, second)
    for name, first, second in product(("CONTAINS", "INTERSECTS"), COLUMNS, COLUMNS)
    if not (name == "CONTAINS" and second.lower() == "point" and first.lower() != "point")
    # A MOC with one of each kind: what is in a column becomes what is put together.
    and not ("moc" in (first, second) and {"circle", "POLYGON"} & {first, second})
]


def kind(name: str) -> str:
    return KINDS.get(name, name)


def judge(name: str, first: Geometry | None, second: Geometry | None) -> list[int | None]:
    """The values that a relation may have."""
    if first is None or second is None:
        return [None]
    answer = verdict(name, first, second)
    return [0, 1] if answer is None else [int(answer)]


def check(found: list[tuple[int | None, list[int | None], str]]) -> None:
    """Values, what they may be, and whose they are."""
    wrong = [f"{who}: {value}, expected {allowed}" for value, allowed, who in found if value not in allowed]
    assert not wrong, wrong[:10]
    assert sum(len(allowed) > 1 for _, allowed, _ in found) < 0.3 * len(found), "too few are clear"


# Relations ------------------------------------------------------------------------------------------------------------


FEW = "(a.id < 100 OR b.id IN (3, 10)) AND (b.id < 100 OR a.id IN (3, 10))"
"""Two partners are enough for rows that are no regions."""


def pairs(first: str, second: str) -> str:
    """Of a MOC and a region, which meet cell by cell, some pairs are enough."""
    is_slow = "moc" in (first, second) and {kind(first), kind(second)} & {"circle", "polygon"}
    return f"{FEW} AND MOD(a.id + b.id, 4) = 0" if is_slow else FEW


@pytest.mark.parametrize(("name", "first", "second"), RELATIONS)
def test_columns_with_columns(name: str, first: str, second: str, run: Run) -> None:
    a, b = COLUMNS[first][0].format(t="a"), COLUMNS[second][0].format(t="b")
    values = run(f"SELECT a.id, b.id, {name}({a}, {b}) FROM regions a, regions b WHERE {pairs(first, second)}")
    found = [
        (value, judge(name, SHAPES[first][one], SHAPES[second][other]), f"{one} {other}")
        for one, other, value in values
    ]
    check(found)
    assert {value for value, _, _ in found} >= {0, None}


@pytest.mark.parametrize(("name", "first", "second"), RELATIONS)
def test_columns_with_constants(name: str, first: str, second: str, run: Run) -> None:
    for constant_is_first in (False, True):
        literals, column = LITERALS[kind((second, first)[constant_is_first])], (first, second)[constant_is_first]
        for place, (literal, shape) in enumerate(literals):
            sql = COLUMNS[column][0].format(t="r")
            arguments = f"{literal}, {sql}" if constant_is_first else f"{sql}, {literal}"
            values = dict(cast("list[tuple[int, int | None]]", run(f"SELECT id, {name}({arguments}) FROM regions r")))
            found = []
            for row in ROWS[REGIONS]:
                other = SHAPES[column][row[0]]
                pair = (shape, other) if constant_is_first else (other, shape)
                found.append((values[row[0]], judge(name, *pair), f"{row[0]} {arguments}"))
            check(found)
            if place == 0:
                assert_forms_agree(run, f"{name}({arguments})", values, "id", "regions r")


def assert_forms_agree(run: Run, relation: str, values: dict[Any, int | None], key: str, tables: str) -> None:
    """Conditions give the rows for which the value is as they say."""
    for truth, forms in {
        1: ("{r} = 1", "1 = {r}", "{r} <> 0", "0 < {r}", "NOT {r} = 0", "{r} = 1 OR 1 = 0"),
        0: ("{r} = 0", "0 = {r}", "1 <> {r}", "{r} < 1", "NOT 1 = {r}"),
    }.items():
        expected = sorted(row for row, value in values.items() if value == truth)
        for form in forms:
            condition = form.format(r=relation)
            assert sorted(row for (row,) in run(f"SELECT {key} FROM {tables} WHERE {condition}")) == expected, condition


@pytest.mark.parametrize("name", ["CONTAINS", "INTERSECTS"])
def test_constants_with_constants(name: str, run: Run) -> None:
    found = []
    for first, second in product(LITERALS, LITERALS):
        if (name, first, second) in [(name, kind(a), kind(b)) for name, a, b in RELATIONS]:
            for (a, one), (b, other) in product(LITERALS[first], LITERALS[second]):
                ((value,),) = run(f"SELECT TOP 1 {name}({a}, {b}) FROM regions")
                found.append((value, judge(name, one, other), f"{name}({a}, {b})"))
    check(found)


def test_what_cannot_be_compared(run: Run) -> None:
    """Each with a message at the place."""
    for name, first, second in product(("CONTAINS", "INTERSECTS"), COLUMNS, COLUMNS):
        if name == "CONTAINS" and second.lower() == "point" and first.lower() != "point":
            a, b = COLUMNS[first][0].format(t="r"), COLUMNS[second][0].format(t="r")
            with pytest.raises(AdqlError, match="second, which must be a region"):
                run(f"SELECT {name}({a}, {b}) FROM regions r")


JOINS = (
    "FROM regions a JOIN regions b ON {r} = 1 WHERE {few}",
    "FROM regions a JOIN regions b ON {few} AND 1 = {r}",
    "FROM regions a, regions b WHERE 1 = {r} AND {few}",
    "FROM regions a, regions b WHERE {r} <> 0 AND {few}",
    "FROM (SELECT * FROM regions) AS a JOIN regions b ON 1 = {r} AND {few}",
)


@pytest.mark.parametrize(("name", "first", "second"), RELATIONS[::7])
def test_joins(name: str, first: str, second: str, run: Run) -> None:
    relation = f"{name}({COLUMNS[first][0].format(t='a')}, {COLUMNS[second][0].format(t='b')})"
    values = run(f"SELECT a.id, b.id, {relation} FROM regions a, regions b WHERE {pairs(first, second)}")
    expected = sorted((one, other) for one, other, value in values if value == 1)
    for form in JOINS:
        assert sorted(run(f"SELECT a.id, b.id {form.format(r=relation, few=pairs(first, second))}")) == expected, form
    outer = run(f"SELECT a.id, b.id FROM regions a LEFT JOIN regions b ON 1 = {relation} AND {pairs(first, second)}")
    alone = {row[0] for row in ROWS[REGIONS]} - {one for one, _ in expected}
    assert sorted(outer, key=str) == sorted([*expected, *((one, None) for one in alone)], key=str)


# The index ------------------------------------------------------------------------------------------------------------

EVENT_RA = np.array([row[1] for row in ROWS[EVENTS]])
EVENT_DEC = np.array([row[2] for row in ROWS[EVENTS]])
ALERT_RA = np.array([row[1] for row in ROWS[ALERTS]])
ALERT_DEC = np.array([row[2] for row in ROWS[ALERTS]])

places = st.one_of(
    st.tuples(st.floats(0, 360), st.floats(-90, 90)).map(lambda angles: (round(angles[0], 9), round(angles[1], 9))),
    st.sampled_from([(float(ra), float(dec)) for ra, dec in zip(EVENT_RA[:30], EVENT_DEC[:30], strict=True)]),
    st.sampled_from([(0.0, 90.0), (77.0, -90.0), (0.0, 0.0), (360.0, 1.0), (359.99999, -1.0), (45.0, 41.8103148957)]),
)
sizes = st.one_of(st.floats(-5, np.log10(80)).map(lambda power: float(10**power)), st.sampled_from([1e-5, 80.0]))


def assert_index_agrees(run: Run, relation: str, clear_in: Booleans, clear_out: Booleans) -> None:
    """By the index, without it, and as a value: the rows that are clearly in, and none that are clearly out."""
    values = dict(cast("list[tuple[int, int | None]]", run(f"SELECT event_id, {relation} FROM ev.events")))
    assert set(values.values()) <= {0, 1}
    inside = np.array([values[number] == 1 for number in range(len(EVENT_RA))])
    assert not (clear_in & ~inside).any(), (relation, np.flatnonzero(clear_in & ~inside))
    assert not (clear_out & inside).any(), (relation, np.flatnonzero(clear_out & inside))
    assert_forms_agree(run, relation, values, "event_id", "ev.events")
    without = relation.replace("POINT(ra, dec)", "POINT(ra + 0, dec)").replace("CIRCLE(ra, dec", "CIRCLE(ra + 0, dec")
    assert without != relation
    assert run(f"SELECT COUNT(*) FROM ev.events WHERE 1 = {without}") == [(inside.sum(),)]


@fast
@given(centre=places, size=sizes, corners=st.integers(3, 12), dent=st.floats(0.1, 1), seed=st.integers(0, 2**32 - 1))
@example(centre=(0.0, 90.0), size=80.0, corners=12, dent=0.1, seed=1)
@example(centre=(83.6331, 22.0145), size=1e-5, corners=4, dent=1.0, seed=2)
def test_polygons(centre: tuple[float, float], size: float, corners: int, dent: float, seed: int, run: Run) -> None:
    figure = star(centre, size, corners, np.random.default_rng(seed), dent)
    inside = depth(figure, EVENT_RA, EVENT_DEC)
    for relation in (
        f"CONTAINS(POINT(ra, dec), {figure.adql})",
        f"INTERSECTS({figure.adql}, POINT(ra, dec))",
        f"CONTAINS(POINT(ra, dec), REGION('Polygon ICRS {' '.join(map(repr, figure.numbers))}'))",
    ):
        assert_index_agrees(run, relation, inside > EDGE, inside < -EDGE)
    radius = 0.3 * size
    disc = f"CIRCLE(ra, dec, {radius!r})"
    assert_index_agrees(run, f"INTERSECTS({disc}, {figure.adql})", inside > EDGE - radius, inside < -radius - EDGE)
    assert_index_agrees(run, f"CONTAINS({disc}, {figure.adql})", inside > radius + EDGE, inside < radius - EDGE)


@fast
@given(centre=places, width=sizes, height=sizes)
@example(centre=(0.0, 90.0), width=179.0, height=179.0)
@example(centre=(0.0, -45.0), width=1e-5, height=170.0)
def test_boxes(centre: tuple[float, float], width: float, height: float, run: Run) -> None:
    """Between the great circles through the ends of the arms: north of one, south of the other, and the same across."""
    inside = depth(box_of(*centre, width, height), EVENT_RA, EVENT_DEC)
    box = f"BOX({centre[0]!r}, {centre[1]!r}, {width!r}, {height!r})"
    assert_index_agrees(run, f"CONTAINS(POINT(ra, dec), {box})", inside > EDGE, inside < -EDGE)


@fast
@given(centre=places, radius=st.one_of(sizes, st.floats(0, 180), st.sampled_from([0.0, 90.0, 180.0])))
def test_circles_and_circles(centre: tuple[float, float], radius: float, run: Run) -> None:
    away = distance(*centre, EVENT_RA, EVENT_DEC)
    literal = f"CIRCLE({centre[0]!r}, {centre[1]!r}, {radius!r})"
    for other in (1e-3, 2.0, 170.0):
        disc, reach = f"CIRCLE(ra, dec, {other!r})", radius + other
        for relation in (f"INTERSECTS({disc}, {literal})", f"INTERSECTS({literal}, {disc})"):
            assert_index_agrees(run, relation, away < reach - EDGE, away > reach + EDGE)
        everything = np.full(len(away), radius == 180)
        assert_index_agrees(
            run,
            f"CONTAINS({disc}, {literal})",
            everything | (away < radius - other - EDGE),
            ~everything & (away > radius - other + EDGE),
        )


@fast
@given(centre=places, radius=sizes, order=st.integers(0, 11), finer=st.integers(0, 12))
@example(centre=(0.0, 90.0), radius=60.0, order=7, finer=0)
@example(centre=(83.6331, 22.0145), radius=1e-5, order=3, finer=12)
def test_mocs(centre: tuple[float, float], radius: float, order: int, finer: int, run: Run) -> None:
    """With few ranges and with more than the list of conditions takes."""
    order = min(29, order if radius > 3 else order + finer)
    if radius * 2**order > 60 * 500:
        order = int(np.log2(60 * 500 / radius))
    moc = MOC.from_cone(
        Longitude(centre[0], "deg"), Latitude(centre[1], "deg"), radius=Angle(radius, "deg"), max_depth=order
    )
    text = " ".join(moc.to_string("ascii").split())
    assert_index_agrees(run, f"CONTAINS(POINT(ra, dec), MOC('{text}'))", *inside_of(Cells(text)))
    assert_index_agrees(run, f"INTERSECTS(MOC('{text}'), POINT(ra, dec))", *inside_of(Cells(text)))


@fast
@given(centre=places, size=sizes, order=st.integers(0, 9), seed=st.integers(0, 2**32 - 1))
def test_mocs_of_regions(centre: tuple[float, float], size: float, order: int, seed: int, run: Run) -> None:
    """All of the region is in, nothing that is farther from it than a cell."""
    figure = star(centre, size, 6, np.random.default_rng(seed), 0.4)
    inside = depth(figure, EVENT_RA, EVENT_DEC)
    cell = 110 / 2**order
    relation = f"CONTAINS(POINT(ra, dec), MOC({order}, {figure.adql}))"
    assert_index_agrees(run, relation, inside > EDGE, inside < -cell)


@fast
@given(centre=places, radius=sizes, other=places, seed=st.integers(0, 2**32 - 1))
@example(centre=(0.0, 90.0), radius=60.0, other=(0.0, 90.0), seed=1)
@example(centre=(359.99999, -1.0), radius=0.1, other=(0.0, 0.0), seed=2)
@example(centre=(300.0, -60.0), radius=1e-5, other=(0.0, 0.0), seed=3)
@example(centre=(300.0, -60.0), radius=1e-5, other=(0.0, 0.0), seed=4)
def test_mocs_and_regions(
    centre: tuple[float, float], radius: float, other: tuple[float, float], seed: int, run: Run
) -> None:
    """Circles and polygons around the edge of the MOC, and anywhere."""
    scatter = np.random.default_rng(seed)
    order = min(29, max(0, int(np.log2(60 / radius)) + int(scatter.integers(0, 5))))
    size = float(min(80.0, radius * 10 ** scatter.uniform(-1.3, 1)))
    if scatter.uniform() < 0.9:
        away = going(*centre, min(170.0, scatter.uniform(0, 2.2) * radius), scatter.uniform(0, 360))
        other = round(float(away[0]), 9), round(float(away[1]), 9)
    lon, lat = Longitude(centre[0], "deg"), Latitude(centre[1], "deg")
    moc = MOC.from_cone(lon, lat, radius=Angle(radius, "deg"), max_depth=order)
    text = " ".join(moc.to_string("ascii").split())
    figure = star(other, size, 5, scatter, 0.5)
    discs = (Disc(*other, size), Disc(*other, 180 - size))
    shapes = [(f"CIRCLE({disc.ra!r}, {disc.dec!r}, {disc.radius!r})", disc) for disc in discs]
    found = []
    for literal, shape in (*shapes, (figure.adql, figure)):
        both = ((literal, shape), (f"MOC('{text}')", Cells(text)))
        for name, ((a, one), (b, two)) in product(("CONTAINS", "INTERSECTS"), (both, both[::-1])):
            ((value,),) = run(f"SELECT TOP 1 {name}({a}, {b}) FROM regions")
            found.append((value, judge(name, one, two), f"{name}({a}, {b})"))
    wrong = [item for item in found if item[0] not in item[1]]
    assert not wrong, wrong


# Two tables with the index --------------------------------------------------------------------------------------------


def pairs_within(radius: float | NDArray[np.float64]) -> set[tuple[str, int]]:
    away = distance(ALERT_RA[:, None], ALERT_DEC[:, None], EVENT_RA, EVENT_DEC)
    assert not (np.abs(away - radius) < EDGE)[away > EDGE].any()
    found = zip(*np.nonzero(away <= radius), strict=True)
    return {(f"ALERT-{alert:02d}", int(event)) for alert, event in found}


NEAR = (
    "DISTANCE({a}.ra, {a}.dec, {b}.ra, {b}.dec) < {r}",
    "{r} >= DISTANCE(POINT({b}.ra, {b}.dec), POINT({a}.ra, {a}.dec))",
    "1 = CONTAINS(POINT({b}.ra, {b}.dec), CIRCLE({a}.ra, {a}.dec, {r}))",
    "CONTAINS(POINT({a}.ra, {a}.dec), CIRCLE(POINT({b}.ra, {b}.dec), {r})) = 1",
    "0 <> INTERSECTS(CIRCLE({b}.ra, {b}.dec, {r}), POINT({a}.ra, {a}.dec))",
    "INTERSECTS(CIRCLE({a}.ra, {a}.dec, {r} / 3), CIRCLE({b}.ra, {b}.dec, 2 * {r} / 3)) = 1",
    "CONTAINS(CIRCLE({a}.ra, {a}.dec, {r} / 2.0), CIRCLE({b}.ra, {b}.dec, 1.5 * {r})) = 1",
)
MATCHES = (
    "alerts a JOIN ev.events b ON {near}",
    "ev.events b JOIN alerts a ON {near}",
    "alerts a, ev.events b WHERE {near}",
    "(SELECT alert_id, ra, dec FROM alerts) AS a JOIN (SELECT * FROM ev.events) AS b ON {near}",
    "alerts a JOIN ev.events b ON a.alert_id IS NOT NULL AND ({near} AND b.event_id >= 0)",
    "alerts a, ev.events b WHERE ({near}) AND a.alert_id <> 'none'",
    "(SELECT alert_id, ra, dec FROM alerts WHERE alert_id IS NOT NULL ORDER BY alert_id) AS a, ev.events b"
    " WHERE {near}",
    "alerts a LEFT JOIN ev.events b ON {near} WHERE b.event_id IS NOT NULL",
    "ev.events b RIGHT JOIN alerts a ON {near} WHERE b.event_id IS NOT NULL",
    "alerts a FULL JOIN ev.events b ON {near} WHERE b.event_id IS NOT NULL AND a.alert_id IS NOT NULL",
    "alerts a, ev.events b WHERE ({near}) OR 1 = 0",
)


@pytest.mark.parametrize("radius", [1e-6, 2e-4, 0.13, 1.1, 34.0, 100.0])
@pytest.mark.parametrize("form", MATCHES)
def test_matches(form: str, radius: float, run: Run) -> None:
    expected = pairs_within(radius)
    assert len(expected) >= 10
    for near in NEAR:
        if "FULL" in form and "DISTANCE" not in near:
            continue
        condition = near.format(a="a", b="b", r=repr(radius))
        rows = run(f"SELECT a.alert_id, b.event_id FROM {form.format(near=condition)}")
        assert len(rows) == len(expected)
        assert set(rows) == expected, condition


@pytest.mark.parametrize("near", NEAR)
@pytest.mark.parametrize("radius", [1e-6, 0.13, 34.0])
def test_matches_in_other_places(near: str, radius: float, run: Run) -> None:
    expected = pairs_within(radius)
    alerts, events = sorted({pair[0] for pair in expected}), sorted({pair[1] for pair in expected})
    inner, named = near.format(a="a", b="b", r=repr(radius)), near.format(a="x", b="y", r=repr(radius))
    for query, wanted in (
        (f"SELECT alert_id FROM alerts a WHERE EXISTS (SELECT 1 FROM ev.events b WHERE {inner})", alerts),
        (f"SELECT event_id FROM ev.events b WHERE EXISTS (SELECT 1 FROM alerts a WHERE {inner})", events),
        (
            f"SELECT event_id FROM ev.events b WHERE NOT EXISTS (SELECT 1 FROM alerts a WHERE {inner})",
            sorted(set(range(len(EVENT_RA))) - set(events)),
        ),
        (
            "WITH x AS (SELECT alert_id, ra, dec FROM alerts), y AS (SELECT event_id, ra, dec FROM ev.events)"
            f" SELECT DISTINCT alert_id FROM x JOIN y ON {named}",
            alerts,
        ),
        (
            "SELECT event_id FROM ev.events WHERE event_id IN"
            f" (SELECT b.event_id FROM alerts a, ev.events b WHERE {inner})",
            events,
        ),
        (f"SELECT a.alert_id FROM alerts a JOIN ev.events b ON {inner} GROUP BY a.alert_id", alerts),
    ):
        assert sorted(key for (key,) in run(query)) == wanted, query


def test_a_left_join_keeps_what_has_no_match(run: Run) -> None:
    expected = pairs_within(0.13)
    for side, rows in (("LEFT", "alerts a LEFT JOIN ev.events b"), ("RIGHT", "ev.events b RIGHT JOIN alerts a")):
        found = run(
            f"SELECT a.alert_id, b.event_id FROM {rows} ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.13"
            " AND b.event_id > 30"
        )
        wanted = {pair for pair in expected if pair[1] > 30}
        lonely = {row[0] for row in ROWS[ALERTS]} - {alert for alert, _ in wanted}
        assert lonely, side
        assert set(found) == wanted | {(alert, None) for alert in lonely}


@pytest.mark.parametrize(
    "near",
    [
        "1 = CONTAINS(POINT(b.ra, b.dec), CIRCLE(a.ra, a.dec, a.radius))",
        "DISTANCE(b.ra, b.dec, a.ra, a.dec) <= a.radius",
        "1 = INTERSECTS(CIRCLE(b.ra, b.dec, a.radius), POINT(a.ra, a.dec))",
        "1 = INTERSECTS(CIRCLE(a.ra, a.dec, a.radius), CIRCLE(b.ra, b.dec, 0))",
        "1 = CONTAINS(CIRCLE(b.ra, b.dec, 0), CIRCLE(a.ra, a.dec, a.radius))",
        "1 = INTERSECTS(CIRCLE(a.ra, a.dec, a.radius - 0.05), CIRCLE(b.ra, b.dec, 0.05))",
    ],
)
def test_radius_of_a_column(near: str, run: Run) -> None:
    radius = np.array([np.nan if row[4] is None else row[4] for row in ROWS[ALERTS]])
    expected = pairs_within(radius[:, None])
    for form in MATCHES:
        if "FULL" not in form and "(SELECT alert_id" not in form:
            rows = run(f"SELECT a.alert_id, b.event_id FROM {form.format(near=near)}")
            assert len(rows) == len(expected)
            assert set(rows) == expected, form


def test_regions_of_one_table_and_positions_of_another(run: Run) -> None:
    """Points of a table with the index, in the columns of another: joined, and as values."""
    few = 60
    for column, (sql, _) in COLUMNS.items():
        relation = f"CONTAINS(POINT(e.ra, e.dec), {sql.format(t='r')})"
        values = run(f"SELECT r.id, e.event_id, {relation} FROM regions r, ev.events e WHERE e.event_id < {few}")
        table = {(region, event): value for region, event, value in values}
        for region, shape in SHAPES[column].items():
            inside = np.array([table[region, event] for event in range(few)], object)
            if shape is None:
                assert set(inside) == {None}, (column, region)
                continue
            yes, no = inside_of(shape)
            assert (inside[yes[:few]] == 1).all(), (column, region)
            assert (inside[no[:few]] == 0).all(), (column, region)
        expected = sorted(pair for pair, value in table.items() if value == 1)
        for form in (
            f"regions r JOIN ev.events e ON 1 = {{r}} WHERE e.event_id < {few}",
            f"ev.events e JOIN regions r ON {{r}} = 1 AND e.event_id < {few}",
            f"regions r, ev.events e WHERE {{r}} <> 0 AND e.event_id < {few}",
            f"regions r LEFT JOIN ev.events e ON 1 = {{r}} WHERE e.event_id < {few}",
        ):
            assert sorted(run(f"SELECT r.id, e.event_id FROM {form.format(r=relation)}")) == expected, form


def inside_of(shape: Geometry) -> tuple[Booleans, Booleans]:
    """The events that are clearly inside, and clearly outside."""
    if isinstance(shape, Cells):
        ra, dec = going(EVENT_RA, EVENT_DEC, EDGE, np.arange(0, 360, 30)[:, None])
        inside = holds(shape.moc, ra.ravel(), dec.ravel()).reshape(12, -1)
        return np.asarray(inside.all(axis=0)), np.asarray(~inside.any(axis=0))
    if isinstance(shape, Figure):
        deep = depth(shape, EVENT_RA, EVENT_DEC)
        return deep > EDGE, deep < -EDGE
    away = distance(shape.ra, shape.dec, EVENT_RA, EVENT_DEC) - shape.radius
    return away < -EDGE, away > EDGE


def test_three_tables(run: Run) -> None:
    near = distance(ALERT_RA[:, None], ALERT_DEC[:, None], EVENT_RA, EVENT_DEC)
    twins = distance(EVENT_RA[:, None], EVENT_DEC[:, None], EVENT_RA, EVENT_DEC)
    expected = {
        (f"ALERT-{alert:02d}", int(one), int(other))
        for alert in range(len(ALERT_RA))
        for one in np.flatnonzero(near[alert] < 0.41)
        for other in np.flatnonzero((twins[one] < 0.7) & (near[alert] > 0.21))
    }
    assert len(expected) > 100
    close, twin = "DISTANCE(a.ra, a.dec, e.ra, e.dec) < 0.41", "DISTANCE(POINT(e.ra, e.dec), POINT(f.ra, f.dec)) < 0.7"
    far = "0 = CONTAINS(POINT(a.ra, a.dec), CIRCLE(f.ra, f.dec, 0.21))"
    for form in (
        f"alerts a JOIN ev.events e ON {close} JOIN ev.events f ON {twin} AND {far}",
        f"alerts a, ev.events e, ev.events f WHERE {close} AND {twin} AND {far}",
        f"alerts a JOIN (ev.events e JOIN ev.events f ON {twin}) ON {close} AND {far}",
        f"ev.events f JOIN ev.events e ON {twin}, alerts a WHERE {close} AND {far}",
    ):
        rows = run(f"SELECT a.alert_id, e.event_id, f.event_id FROM {form}")
        assert len(rows) == len(expected)
        assert set(rows) == expected, form


# What is no geometry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ("POINT(361, 0)", "Right ascension must lie between 0 and 360"),
        ("POINT(0, 91)", "Declination must lie between -90 and 90"),
        ("POINT(r.cells, 0)", "POINT takes numbers"),
        ("CIRCLE(0, 0, -1)", "radius of CIRCLE must lie between 0 and 180"),
        ("CIRCLE(0, 0, 181)", "radius of CIRCLE must lie between 0 and 180"),
        ("CIRCLE('ECLIPTIC', 0, 0, 1)", "ECLIPTIC is no frame here"),
        ("BOX(0, 0, 0, 1)", "This is no BOX"),
        ("BOX(0, 0, 180, 1)", "This is no BOX"),
        ("POLYGON(0, 0, 120, 0, 240, 0)", "must fit into a hemisphere"),
        ("REGION('Circle ICRS 0 0')", "Circle takes longitude, latitude and radius"),
        ("REGION('Ellipse ICRS 0 0 1 2 3')", "expected Position, Circle, Box or Polygon"),
        ("REGION('Union ICRS (Circle 1 2 3 Circle 2 3 4)')", "cannot be one region"),
        ("REGION('Circle ICRS 0 0 1e999')", "too large"),
        ("REGION('')", "is empty"),
        ("MOC('4/1 x')", "This is no MOC"),
        ("MOC('30/1')", "order 30 is beyond 29"),
        ("MOC('1/48')", "do not exist at order 1"),
        ("MOC('')", "it is empty"),
        ("MOC(30, CIRCLE(0, 0, 1))", "from 0 to 29"),
        ("MOC(29, CIRCLE(0, 0, 1))", "take a lower order"),
        ("MOC(5, BOX(r.ra, r.dec, 1, 1))", "constant, or a point"),
        ("r.radius", "takes geometries"),
        ("'Circle 0 0 1'", "Expected a geometry"),
    ],
)
def test_no_geometry(geometry: str, message: str) -> None:
    query = f"SELECT id FROM regions r\nWHERE 1 = CONTAINS(POINT(r.ra, r.dec), {geometry})"
    with pytest.raises(AdqlError, match=message) as error:
        translate(parse(query), CATALOG)
    assert error.value.line == 2


def test_too_few_vertices() -> None:
    for numbers in ("0, 0, 1", "0, 0, 1, 1", "0, 0, 1, 1, 2", "0, 0, 1, 1, 2, 2, 3"):
        with pytest.raises(AdqlError):
            translate(parse(f"SELECT id FROM regions r WHERE 1 = CONTAINS(r.place, POLYGON({numbers}))"), CATALOG)


def test_values_of_rows_without_shapes(run: Run) -> None:
    """NULL, and never an error."""
    rows = {row[0]: row for row in ROWS[REGIONS]}
    values = run(
        "SELECT id, AREA(outline), AREA(CIRCLE(ra, dec, radius)), CENTROID(outline), COORD1(place),"
        " AREA(BOX(ra, dec, width, height)), AREA(cells), AREA(disc) FROM regions WHERE id >= 100"
    )
    assert len(values) > 20
    for number, outline, circle, centroid, ra, box, cells, disc in values:
        row = rows[number]
        assert (outline is None) == (SHAPES["polygon"][number] is None), number
        assert (centroid is None) == (SHAPES["polygon"][number] is None), number
        assert (circle is None) == (SHAPES["CIRCLE"][number] is None), number
        assert (disc is None) == (SHAPES["circle"][number] is None), number
        assert (ra is None) == (not row[6] or row[6][0] is None), number
        assert (box is None) == (SHAPES["BOX"][number] is None), number
        assert (cells is None) == (row[9] is None), number


def test_a_broken_moc_in_a_column_is_told(connection: psycopg.Connection[Any]) -> None:
    sql = translate(parse("SELECT COUNT(*) FROM ev.events WHERE 1 = CONTAINS(POINT(ra, dec), MOC(label))"), CATALOG).sql
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"not a MOC in ASCII form"):
        connection.execute(sql.encode())


def test_areas_and_centroids(run: Run) -> None:
    """Of caps by Archimedes, of polygons by the sum of their angles, of MOCs by mocpy; centroids by many positions."""
    rows = run("SELECT id, AREA(CIRCLE(ra, dec, radius)), AREA(outline), AREA(cells), CENTROID(outline) FROM regions")
    square = np.degrees(1) ** 2
    for number, circle, outline, cells, centroid in rows:
        if number >= 100:
            continue
        row = ROWS[REGIONS][number]
        assert circle == pytest.approx(4 * np.pi * np.sin(np.radians(row[3] / 2)) ** 2 * square, rel=1e-12)
        figure = cast("Figure", SHAPES["polygon"][number])
        ra, dec, mean_area = scattered(figure)
        assert outline == pytest.approx(mean_area, rel=0.03), number
        ranges = parsed(row[9]).to_depth29_ranges
        pixels = int((ranges[:, 1] - ranges[:, 0]).sum())
        assert cells == pytest.approx(pixels / (12 * 4**29) * 4 * np.pi * square, rel=1e-9)
        x, y, z = mean_direction(ra, dec)
        off = distance(
            centroid[0], centroid[1], np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
        )
        assert off < 0.02 * row[3] + 1e-9, number


def scattered(figure: Figure) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Positions spread evenly over a polygon, and its area by how many of those around it they are."""
    size = float(distance(*figure.centre, *figure.vertices.T).max())
    scatter = np.random.default_rng(8)
    part = (np.arange(40_000) + scatter.uniform(0, 1, 40_000)) / 40_000
    cap = np.sin(np.radians(size / 2))
    ra, dec = going(*figure.centre, 2 * np.degrees(np.arcsin(cap * np.sqrt(part))), scatter.uniform(0, 360, 40_000))
    inside = depth(figure, ra, dec) > 0
    return ra[inside], dec[inside], float(inside.mean() * 4 * np.pi * cap**2 * np.degrees(1) ** 2)


def mean_direction(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> tuple[float, float, float]:
    lon, lat = np.radians(ra), np.radians(dec)
    return (
        float((np.cos(lat) * np.cos(lon)).mean()),
        float((np.cos(lat) * np.sin(lon)).mean()),
        float(np.sin(lat).mean()),
    )
