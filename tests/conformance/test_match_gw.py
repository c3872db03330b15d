"""A gravitational wave's sky map against real neutrinos: matches equal a direct computation with mocpy and
astropy-healpix, which know nothing of ours.

The map is that of S200129m (LIGO/Virgo), the neutrinos are ANTARES' events of 2007 to 2017 and IceCube's alerts of
IceCat-1. None is near in time; the direct computation therefore takes the map at other times too, one in each year.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from astropy import units as u
from astropy.coordinates import Latitude, Longitude, SkyCoord
from astropy.table import QTable
from astropy_healpix import HEALPix, level_ipix_to_uniq, uniq_to_level_ipix
from mocpy import MOC
from numpy.typing import NDArray

from tests.support.alert_tables import Event, add_event
from tests.support.database import new_database
from vo_service.catalog.model import Catalog, Column, Position, Schema, Table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.sky.healpix import hpx
from voevent.match.coincidence import Coincidence
from voevent.match.matching import match_event
from voevent.match.rules import Rule
from voevent.skymap import SkyMap
from voevent.skymap_fits import read_skymap

Floats = NDArray[np.float64]
MJD_ZERO = datetime(1858, 11, 17)
DAYS = [(2009, 54900.0), (2012, 55965.3), (2015, 57200.0), (2018, 58200.0)]
RATE = 1000.0
LARGE = 2.0
"""Errors [deg] from which sums over pixels take too long; the others are enough."""

COLUMNS = ("id", "ra", "dec", "mjd", "error")


@dataclass(frozen=True)
class Events:
    """A list of neutrinos: positions and errors [deg], times [d]."""

    name: str
    ra: Floats
    dec: Floats
    mjd: Floats
    error: Floats

    @property
    def table(self) -> Table:
        columns = (Column("id", "long"), *(Column(name, "double") for name in COLUMNS[1:]))
        return Table("nu", self.name, columns, position=Position("ra", "dec"), primary_key="id")


def antares(shared: Path) -> Events:
    """Declination, right ascension, hits, error estimate and MJD, as the acceptance file's axes tell."""
    values = np.loadtxt(shared / "data/events/antares/ANTARES_2007-2017.data")
    ra, dec, _, error, mjd = values.T
    return Events("antares", ra, dec, mjd, error)


def icecat(shared: Path) -> Events:
    """The 90 % errors are not symmetric: their mean is taken."""
    with (shared / "data/events/icecat1/IceCube_Gold_Bronze_Tracks.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = {name: np.array([float(row[name]) for row in rows]) for name in ("RA", "DEC", "EVENTMJD")}
    sides = ("RA_ERR_PLUS", "RA_ERR_MINUS", "DEC_ERR_PLUS", "DEC_ERR_MINUS")
    error = np.mean([[float(row[name]) for name in sides] for row in rows], axis=1)
    return Events("icecat", values["RA"], values["DEC"], values["EVENTMJD"], error)


@dataclass(frozen=True)
class Direct:
    """The map, as the other libraries have it."""

    table: QTable

    @property
    def levels_and_cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = uniq_to_level_ipix(self.table["UNIQ"])
        return found

    def region(self, level: float) -> MOC:
        order, _ = self.levels_and_cells
        area = 4 * math.pi / (12 * 4.0**order)
        probability = self.table["PROBDENSITY"].to_value(u.sr**-1) * area
        uniq = np.asarray(self.table["UNIQ"], np.uint64)
        return MOC.from_valued_healpix_cells(uniq, probability, 29, cumul_from=0, cumul_to=level)

    def density_at(self, ra: Floats, dec: Floats) -> Floats:
        """Per steradian; each cell of each order is looked up by its number."""
        known = np.sort(self.table["UNIQ"])
        density = self.table["PROBDENSITY"].to_value(u.sr**-1)[np.argsort(self.table["UNIQ"])]
        found = np.zeros(len(ra))
        for order in np.unique(self.levels_and_cells[0]).tolist():
            cells = HEALPix(1 << order, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg)
            uniq = level_ipix_to_uniq(order, cells)
            place = np.minimum(np.searchsorted(known, uniq), len(known) - 1)
            found = np.where(known[place] == uniq, density[place], found)
        return found

    def overlap_with(self, ra: float, dec: float, sigma: float) -> float:
        """4 pi times the sum over pixels of nside 1024 of the map's density times a Gaussian, made to sum to 1."""
        grid = HEALPix(1024, order="nested")
        pixels = grid.cone_search_lonlat(ra * u.deg, dec * u.deg, 6 * sigma * u.deg)
        lon, lat = grid.healpix_to_lonlat(pixels)
        distance = SkyCoord(lon, lat).separation(SkyCoord(ra * u.deg, dec * u.deg)).to_value(u.deg)
        weight = np.exp(-(distance**2) / (2 * sigma**2))
        density = self.density_at(lon.to_value(u.deg), lat.to_value(u.deg))
        return float(4 * math.pi * np.sum(density * weight) / weight.sum())


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return shared / "data/events/gw/bayestar.multiorder.fits"


@pytest.fixture(scope="module")
def direct(path: Path) -> Direct:
    return Direct(QTable.read(path))


@pytest.fixture(scope="module")
def skymap(path: Path) -> SkyMap:
    return read_skymap(path.read_bytes())


@pytest.fixture(scope="module", params=[antares, icecat])
def events(request: pytest.FixtureRequest, shared: Path) -> Events:
    made: Events = request.param(shared)
    return made


@pytest.fixture(scope="module")
def connection(server: Access, events: Events, skymap: SkyMap) -> Iterator[psycopg.Connection[Any]]:
    with new_database(server) as access:
        initialise(access)
        with psycopg.connect(access.owner.conninfo) as connection:
            connection.execute("CREATE SCHEMA nu")
            numbers = ", ".join(f"{name} double precision" for name in COLUMNS[1:])
            connection.execute(f"CREATE TABLE nu.{events.name} (id bigint PRIMARY KEY, {numbers}, hpx bigint)".encode())
            index = hpx(events.ra, events.dec).tolist()
            rows = zip(
                events.ra.tolist(), events.dec.tolist(), events.mjd.tolist(), events.error.tolist(), index, strict=True
            )
            with connection.cursor() as cursor, cursor.copy(f"COPY nu.{events.name} FROM STDIN".encode()) as copy:
                for place, row in enumerate(rows):
                    copy.write_row((place, *row))
            connection.execute(f"CREATE INDEX ON nu.{events.name} (hpx)".encode())
            yield connection


def matches(
    connection: psycopg.Connection[Any], events: Events, skymap: SkyMap, mjd: float, days: float, **sky: object
) -> tuple[Coincidence, ...]:
    rule = Rule.model_validate(
        {
            "name": "gw-nu",
            "alerts": {"streams": ["ivo://gwnet/lvc"]},
            "against": {"table": f"nu.{events.name}", "time": "mjd", "time_format": "mjd", "error": "error"},
            "window": {"before": days * 86400, "after": days * 86400},
            "sky": sky,
            "rate_per_year": RATE,
        }
    )
    time = MJD_ZERO + timedelta(days=mjd)
    number = add_event(connection, Event(f"ivo://gwnet/lvc#{mjd}{sky}", time, far=1e-9, skymap=skymap))
    return match_event(connection, [rule], Catalog((Schema("nu", (events.table,)),)), number)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_events_in_the_region_are_those_of_mocpy(
    connection: psycopg.Connection[Any], events: Events, skymap: SkyMap, direct: Direct, level: float
) -> None:
    inside = direct.region(level).contains_lonlat(Longitude(events.ra, u.deg), Latitude(events.dec, u.deg))
    assert skymap.area(level) == pytest.approx(direct.region(level).sky_fraction * 360**2 / math.pi, rel=1e-9)
    total = 0
    for _, mjd in DAYS:
        found = matches(connection, events, skymap, mjd, 600.0, kind="region", level=level)
        expected = np.flatnonzero(inside & (np.abs(events.mjd - mjd) <= 600.0))
        assert sorted(int(match.counterpart) for match in found) == expected.tolist()
        total += len(found)
    assert total > 0 or (events.name == "icecat" and level == 0.5)


def test_numbers_of_matches_are_those_of_a_direct_computation(
    connection: psycopg.Connection[Any], events: Events, skymap: SkyMap, direct: Direct
) -> None:
    found = matches(connection, events, skymap, 56500.0, 3000.0, kind="region", level=0.99)
    assert found
    order, _ = direct.levels_and_cells
    densities = direct.table["PROBDENSITY"].to_value(u.sr**-1)
    area = 4 * math.pi / (12 * 4.0**order)
    peak_order, peak_cell = (values[np.argmax(densities)] for values in direct.levels_and_cells)
    peak = SkyCoord(*HEALPix(1 << int(peak_order), order="nested").healpix_to_lonlat(int(peak_cell)))
    chosen = [int(match.counterpart) for match in found]
    at = direct.density_at(events.ra[chosen], events.dec[chosen])
    places = SkyCoord(events.ra[chosen] * u.deg, events.dec[chosen] * u.deg)
    expected = zip(found, chosen, at, peak.separation(places).to_value(u.deg), strict=True)
    for number, (match, event, density, distance) in enumerate(expected):
        denser = densities >= density
        searched = area[denser].sum()
        assert match.containment == pytest.approx((densities * area)[denser].sum(), rel=1e-7)
        assert match.separation == pytest.approx(distance, abs=1e-9)
        assert match.delta_t == pytest.approx((events.mjd[event] - 56500.0) * 86400, abs=1e-4)
        chance = RATE / (365.25 * 86400) * 6000 * 86400 * searched / (4 * math.pi)
        assert match.p_value == pytest.approx(1 - math.exp(-chance), rel=1e-6)
        if number < 12 and events.error[event] < LARGE:
            sigma = events.error[event] / math.sqrt(2 * math.log(10))
            overlap = direct.overlap_with(events.ra[event], events.dec[event], sigma)
            assert match.overlap == pytest.approx(overlap, rel=0.03)
            assert match.far == pytest.approx(1e-9 * RATE / 365.25 * 6000 / overlap, rel=0.03)


def test_events_by_overlap(connection: psycopg.Connection[Any], events: Events, skymap: SkyMap, direct: Direct) -> None:
    """Those whose overlap is near to the limit may fall on either side: sums over pixels are right to 3 %."""
    found = matches(connection, events, skymap, 56500.0, 3000.0, kind="overlap", minimum=30.0, reach=30.0)
    near = direct.region(0.999).contains_lonlat(Longitude(events.ra, u.deg), Latitude(events.dec, u.deg))
    near |= (np.abs(events.ra - 318) < 30) & (np.abs(events.dec) < 40)
    candidates = np.flatnonzero(near & (events.error < LARGE) & (np.abs(events.mjd - 56500.0) <= 3000))[
        :: 24 if events.name == "antares" else 2
    ]
    chosen = {int(match.counterpart) for match in found}
    assert chosen
    for event in candidates.tolist():
        sigma = events.error[event] / math.sqrt(2 * math.log(10))
        overlap = direct.overlap_with(events.ra[event], events.dec[event], sigma)
        if not 29 < overlap < 31:
            assert (overlap > 30) == (event in chosen), (event, overlap)
