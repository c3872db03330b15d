"""The real event lists, each by its description, with the rows that their owners state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from astropy.coordinates import SkyCoord

from tap.adql import parse
from tap.translate import translate
from tests.support.database import new_database
from vo_service.catalog.description import load_description
from vo_service.catalog.store import read_catalog
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.ingest.load import LoadReport, load

DESCRIPTIONS = Path(__file__).parents[1] / "data" / "descriptions"

HESS = "dl3/hess-dl3-dr1/data/hess_dl3_dr1_obs_id_*.fits.gz"

# description -> files, rows stored, rows left out
FILES = {
    "antares": ("antares/ANTARES_2007-2017.data", 8754, 0),
    "icecube_ic40": ("icecube/IC40_exp.csv", 36_900, 0),
    "icecat1": ("icecat1/IceCube_Gold_Bronze_Tracks.csv", 348, 0),
    "orca4": ("km3net/orca4_sample_flat.csv", 2498, 2),
    "orca6": ("km3net/orca6_sample_flat.csv", 2495, 4),
    "orca4_root": ("km3net/testdata/orca4_sample.root", 2498, 2),
    "kascade": ("kcdc/kcdc_tutorial_dataset1.csv", 2940, 0),
    "auger": ("auger/auger_public_2019_12_29.txt", 49_223, 0),
    "fermi_4fgl": ("gamma_catalogs/f4fgldr3.fits", 6659, 0),
    "hess": (HESS, 11_243 + 5_693 + 10_722 + 10_646 + 7_613 + 7_581, 0),
}


@pytest.fixture(scope="module")
def loaded(server: Access, shared: Path) -> Iterator[tuple[Access, dict[str, LoadReport]]]:
    """A database with all of them, and what loading said."""
    with new_database(server) as access:
        initialise(access)
        reports = {
            name: load(
                access,
                load_description(DESCRIPTIONS / f"{name}.yaml"),
                sorted((shared / "data" / "events").glob(pattern)),
            )
            for name, (pattern, _, _) in FILES.items()
        }
        yield access, reports


def rows(access: Access, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(access.reader.conninfo) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("name", FILES)
def test_descriptions_leave_nothing_out(name: str) -> None:
    warnings = load_description(DESCRIPTIONS / f"{name}.yaml").warnings
    # Not every list has these two.
    assert [w for w in warnings if "no primaryKey" not in w and "no SPDX identifier" not in w] == []


@pytest.mark.parametrize("name", FILES)
def test_row_counts(loaded: tuple[Access, dict[str, LoadReport]], name: str) -> None:
    report = loaded[1][name]
    assert (report.rows, report.rejected) == FILES[name][1:]


def test_antares_is_the_published_table(loaded: tuple[Access, dict[str, LoadReport]]) -> None:
    access = loaded[0]
    assert rows(access, "SELECT count(*), min(ra), max(ra) < 360, max(decl) FROM ant20_01.main") == [
        (8754, 0.0, True, 52.8)
    ]
    assert rows(access, "SELECT id FROM ant20_01.main ORDER BY mjd LIMIT 1") == [("ANT0001",)]
    positions = np.array(rows(access, "SELECT ra, decl FROM ant20_01.main"))
    near = SkyCoord(positions[:, 0], positions[:, 1], unit="deg").separation(SkyCoord(0, 0, unit="deg")).deg <= 2.5
    assert near.sum() == 5


CENTRES = [
    (0, 90),
    (123, -90),
    (0, 0),
    (360, -20),
    (359.99, 10),
    (0, -45),
    (83.6, 22),
    (266.4, -29),
    (200, 33),
    (17, -72),
]


@pytest.mark.parametrize("centre", CENTRES)
def test_antares_cones_equal_brute_force(
    loaded: tuple[Access, dict[str, LoadReport]], centre: tuple[float, float]
) -> None:
    """Positions are rounded to a tenth of a degree: many lie exactly on the edge of a cone."""
    access = loaded[0]
    with psycopg.connect(access.writer.conninfo) as connection:
        catalog = read_catalog(connection)
    table = rows(access, "SELECT id, ra, decl FROM ant20_01.main")
    positions = SkyCoord([row[1] for row in table], [row[2] for row in table], unit="deg")
    distances = positions.separation(SkyCoord(*centre, unit="deg")).deg
    for radius in (0.3, 2.5, 10, 60, 179):
        circle = f"CIRCLE('ICRS', {centre[0]}, {centre[1]}, {radius})"
        query = f"SELECT id FROM ant20_01.main WHERE 1 = CONTAINS(POINT('ICRS', ra, decl), {circle})"
        found = {row[0] for row in rows(access, translate(parse(query), catalog).sql)}
        assert found == {row[0] for row, distance in zip(table, distances, strict=True) if distance <= radius}


def test_auger_positions_are_converted(loaded: tuple[Access, dict[str, LoadReport]], shared: Path) -> None:
    file = np.loadtxt(shared / "data/events/auger/auger_public_2019_12_29.txt")[:500]
    expected = SkyCoord(l=file[:, 6], b=file[:, 7], unit="deg", frame="galactic").icrs
    found = {number: (ra, dec) for number, ra, dec in rows(loaded[0], "SELECT id, ra, dec FROM auger.events2019")}
    positions = SkyCoord(*np.array([found[int(number)] for number in file[:, 0]]).T, unit="deg")
    assert positions.separation(expected).arcsec.max() < 1e-3


def test_kascade_has_no_position(loaded: tuple[Access, dict[str, LoadReport]]) -> None:
    (table,) = loaded[1]["kascade"].tables
    assert table.position is None
