"""Cone search over a real socket and a real database, against brute force by astropy on the same rows."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import numpy as np
import psycopg
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse as parse_votable
from astropy.table import Table as AstropyTable
from psycopg import sql
from pyarrow import csv

from tests.support.database import new_database
from tests.support.served import served
from vo_service.catalog.model import Column, Position, Schema, Table
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.sky.healpix import hpx

TABLE = Table(
    schema="sky",
    name="Points",
    columns=(
        Column("ident", "long", ucd="meta.id;meta.main", principal=True),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", principal=True),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", principal=True),
        Column("a%s b", "float", unit="GeV", principal=True),
        Column("other", "char", "*"),
    ),
    position=Position("ra", "dec"),
    primary_key="ident",
    rows=20_000,
)
BARE = Table("sky", "bare", (Column("x", "int"),))


def positions() -> tuple[np.ndarray, np.ndarray]:
    """Uniform on the sphere, with poles, both sides of RA = 0, and pairs at one place."""
    rng = np.random.default_rng(11)
    ra = rng.uniform(0, 360, 20_000)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    dec[:200] = 90 - rng.uniform(0, 1, 200)
    dec[200:400] = -90 + rng.uniform(0, 1, 200)
    ra[400:800] = rng.uniform(-1, 1, 400) % 360
    dec[400:800] = rng.uniform(-1, 1, 400)
    ra[800:804], dec[800:804] = [0, 0, 123, 123], [90, -90, 45, 45]
    return ra, dec


RA, DEC = positions()


@pytest.fixture(scope="module")
def url(server: Access) -> Iterator[str]:
    """The base address of a service with the tables above."""
    with new_database(server) as access:
        initialise(access)
        _fill(access)
        with served(access) as url:
            yield url


def _fill(access: Access) -> None:
    with psycopg.connect(access.writer.conninfo) as connection:
        connection.execute("CREATE SCHEMA sky")
        connection.execute(
            'CREATE TABLE sky."Points" (ident int8, ra float8, dec float8, "a%s b" float4, other text, hpx int8)'
        )
        connection.execute("CREATE TABLE sky.bare (x int4)")
        rows = zip(range(len(RA)), RA.tolist(), DEC.tolist(), hpx(RA, DEC).tolist(), strict=True)
        with connection.cursor().copy('COPY sky."Points" (ident, ra, dec, hpx) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute('CREATE INDEX ON sky."Points" (hpx)')
        reader = sql.Identifier(access.reader.name)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA sky TO {}").format(reader))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA sky TO {}").format(reader))
        publish_schema(connection, Schema("sky", ()))
        for table in (TABLE, BARE):
            publish_table(connection, table)


def search(url: str, **parameters: object) -> AstropyTable:
    answer = httpx.get(f"{url}/scs/sky/Points", params=parameters, timeout=60)  # type: ignore[arg-type]
    assert answer.status_code == 200
    return parse_votable(io.BytesIO(answer.content)).get_first_table().to_table(use_names_over_ids=True)


CENTRES = [
    (0, 0),
    (359.99, 0.5),
    (360, -0.5),
    (0, 90),
    (200, 89.9),
    (17, -90),
    (123, 45),
    (266.4, -29),
    (83.6, 22),
    (1e-200, -1e-170),
]


@pytest.mark.parametrize("radius", [1e-6, 0.1, 1.5, 5, 30, 90, 120, 179.5, 180])
@pytest.mark.parametrize("centre", CENTRES)
def test_cones_equal_brute_force(url: str, centre: tuple[float, float], radius: float) -> None:
    distances = SkyCoord(RA, DEC, unit="deg").separation(SkyCoord(*centre, unit="deg")).deg
    query: dict[str, str | float] = {
        "RA": centre[0],
        "DEC": centre[1],
        "SR": radius,
        "VERB": 1,
        "RESPONSEFORMAT": "csv",
    }
    answer = httpx.get(f"{url}/scs/sky/Points", params=query, timeout=60)
    found = csv.read_csv(io.BytesIO(answer.content))
    assert sorted(found["ident"].to_pylist()) == np.flatnonzero(distances <= radius).tolist()
    found_distances = np.array(found["_r"].to_pylist(), float)
    assert np.all(np.diff(found_distances) >= 0)
    np.testing.assert_allclose(found_distances, np.sort(distances[distances <= radius]), atol=1e-9)


def test_a_row_is_found_at_its_own_position(url: str) -> None:
    assert sorted(search(url, RA=123, DEC=45, SR=1e-9)["ident"]) == ["802", "803"]


def test_columns_by_verbosity(url: str) -> None:
    where = {"RA": 123, "DEC": 45, "SR": 0.1}
    assert search(url, **where, VERB=1).colnames == ["ident", "ra", "dec", "_r"]
    assert search(url, **where).colnames == ["ident", "ra", "dec", "a%s b", "_r"]
    assert search(url, **where, VERB=3).colnames == ["ident", "ra", "dec", "a%s b", "other", "_r"]
    ucds = [search(url, **where)[name].meta.get("ucd") for name in ("ident", "ra", "dec")]
    assert ucds == ["ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"]


def test_a_radius_of_zero_asks_for_the_columns(url: str) -> None:
    answer = httpx.get(f"{url}/scs/sky/Points?RA=123&DEC=45&SR=0")
    assert len(search(url, RA=123, DEC=45, SR=0)) == 0
    assert b"OVERFLOW" not in answer.content


@pytest.mark.parametrize(("maxrec", "rows"), [(0, 0), (3, 3), (10**9, 20_000)])
def test_maxrec(url: str, maxrec: int, rows: int) -> None:
    answer = httpx.get(f"{url}/scs/sky/Points", params={"RA": 0, "DEC": 0, "SR": 180, "MAXREC": maxrec}, timeout=60)
    assert len(parse_votable(io.BytesIO(answer.content)).get_first_table().array) == rows
    assert (b"OVERFLOW" in answer.content) is (rows < 20_000)


@pytest.mark.parametrize("maxrec", [1, 400, 5_000])
def test_where_maxrec_cuts_the_nearest_are_kept(url: str, maxrec: int) -> None:
    found = search(url, RA=123, DEC=-20, SR=100, MAXREC=maxrec)["ident"]
    distances = SkyCoord(RA, DEC, unit="deg").separation(SkyCoord(123, -20, unit="deg")).deg
    assert [int(name) for name in found] == np.argsort(distances)[:maxrec].tolist()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "RA is missing"),
        ("RA=1&DEC=1", "SR is missing"),
        ("RA=400&DEC=1&SR=1", "RA=400: expected a number from 0 to 360"),
        ("RA=1&DEC=-91&SR=1", "DEC=-91"),
        ("RA=1&DEC=1&SR=181", "SR=181"),
        ("RA=1:2:3&DEC=1&SR=1", "not sexagesimal"),
        ("RA=1&RA=2&DEC=1&SR=1", "RA is given 2 times"),
        ("RA=1&DEC=1&SR=1&VERB=9", "VERB=9"),
        ("RA=1&DEC=1&SR=1&MAXREC=-1", "MAXREC=-1"),
        ("RA=1&DEC=1&SR=1&RESPONSEFORMAT=bogus", "RESPONSEFORMAT=bogus"),
        ("RA=%ff&DEC=1&SR=1", "RA is not UTF-8"),
    ],
)
def test_errors_are_those_of_the_standard(url: str, query: str, words: str) -> None:
    answer = httpx.get(f"{url}/scs/sky/Points?{query}")
    (info,) = parse_votable(io.BytesIO(answer.content)).resources[0].infos
    assert answer.status_code == 200
    assert info.name == "Error"
    assert words in info.value


@pytest.mark.parametrize(("name", "words"), [("nothing", "There is no table"), ("bare", "no sky positions")])
def test_tables_without_a_cone_search(url: str, name: str, words: str) -> None:
    answer = httpx.get(f"{url}/scs/sky/{name}?RA=1&DEC=1&SR=1")
    assert answer.status_code == 404
    assert words in answer.text


def test_head_post_and_cors(url: str) -> None:
    service = f"{url}/scs/sky/Points"
    head = httpx.head(f"{service}?RA=1&DEC=1&SR=1", headers={"Origin": "https://aladin.example"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["access-control-allow-origin"] == "*"
    posted = httpx.post(service, data={"RA": "123", "DEC": "45", "SR": "0.1", "RESPONSEFORMAT": "csv"})
    assert posted.headers["content-type"].startswith("text/csv")
    assert len(posted.text.splitlines()) == 3
    assert httpx.put(service).status_code == 405


def test_the_neighbours_of_the_service(url: str) -> None:
    service = f"{url}/scs/sky/Points"
    capabilities = httpx.get(f"{service}/capabilities").text
    assert f'<accessURL use="base">{service}?</accessURL>' in capabilities
    assert "<available>true" in httpx.get(f"{service}/availability").text.replace("avail:", "")
    assert "sky.Points" in httpx.get(f"{service}/tables").text
