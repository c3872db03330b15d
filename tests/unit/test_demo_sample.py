"""The demo's sample: what the simulation promises, and the facts of the alerts, against astropy and published lists."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.utils import iers
from lxml import etree

from vo_service.catalog.description import load_description
from vo_service.demo import FILES, HERE
from vo_service.demo.simulation import FIRST_DAY, LAST_DAY, LATITUDE, LONGITUDE, simulate_events


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return simulate_events()


@pytest.fixture(scope="module")
def alerts() -> Table:
    return Table.from_pandas(pa_csv.read_csv(HERE / "alerts.csv").to_pandas())


def column(events: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(events.column(name).to_numpy())


def test_the_sample_is_the_same_in_every_run(events: pa.Table) -> None:
    assert events.num_rows == 100_000
    assert simulate_events().equals(events)
    assert not simulate_events(seed=1).equals(events)


@pytest.mark.parametrize("name", FILES)
def test_the_descriptions_are_complete(name: str) -> None:
    description = load_description(HERE / f"{name}.yaml")
    assert description.warnings == ()
    (table,) = description.schema.tables
    assert table.full_name == f"demo.{name}"
    for described in table.columns:
        assert described.ucd, described.name
        assert described.description, described.name


def test_the_simulation_says_that_it_is_one() -> None:
    (table,) = load_description(HERE / "events.yaml").schema.tables
    assert table.resource is not None
    assert table.resource.simulated
    for words in (table.description, table.resource.title, table.resource.description, table.resource.citation):
        assert "simulated" in str(words).lower()


def test_the_description_of_the_events_fits(events: pa.Table) -> None:
    (table,) = load_description(HERE / "events.yaml").schema.tables
    datatypes = {"int64": "long", "int32": "int", "double": "double", "float": "float"}
    assert [(c.name, c.datatype) for c in table.columns] == [(f.name, datatypes[str(f.type)]) for f in events.schema]


def test_every_value_is_there_and_possible(events: pa.Table) -> None:
    assert all(values.null_count == 0 for values in events.columns)
    limits = {
        "ra": (0, 360), "dec": (-90, 90), "zenith": (84, 180), "azimuth": (0, 360), "mjd": (FIRST_DAY, LAST_DAY),
        "energy": (1, 1e9), "angular_error": (0.01, 20), "hits": (5, 500), "quality": (0, 1),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        values = column(events, name)
        assert np.isfinite(values).all()
        assert low <= values.min() <= values.max() <= high, name
    assert column(events, "ra").max() < 360
    assert (column(events, "event_id") == np.arange(1, 100_001)).all()
    assert (np.diff(column(events, "mjd")) >= 0).all()


def test_positions_agree_with_astropy(events: pa.Table) -> None:
    some = events.take(np.arange(0, events.num_rows, 397))
    with iers.conf.set_temp("auto_download", False):  # no network in tests
        frame = AltAz(
            obstime=Time(column(some, "mjd"), format="mjd", scale="utc"),
            location=EarthLocation.from_geodetic(LONGITUDE * u.deg, LATITUDE * u.deg),
        )
        local = SkyCoord(column(some, "azimuth"), 90.0 - column(some, "zenith"), unit="deg", frame=frame)
        expected = local.icrs
    found = SkyCoord(column(some, "ra"), column(some, "dec"), unit="deg")
    assert found.separation(expected).max() < 35 * u.arcsec


def test_the_rate_depends_on_declination_as_seen_from_the_site(events: pa.Table) -> None:
    dec = column(events, "dec")
    # A star passes the nadir, or comes closest to it, at 90 degrees minus the latitude; tracks of 5.7 degrees above the
    # horizon are still taken.
    assert dec.max() < 90 - LATITUDE + 5.8
    # What never rises is seen all day; further north, the part of the day below the horizon gets smaller.
    density = np.histogram(np.sin(np.radians(dec)), np.linspace(-1, 1, 11))[0]
    assert (density[1:8] > density[3:10]).all()


def test_runs_number_half_days_and_some_are_lost(events: pa.Table) -> None:
    run = column(events, "run")
    assert (run == np.floor((column(events, "mjd") - FIRST_DAY) * 2).astype(int) + 1).all()
    lost = 1 - np.unique(run).size / (2 * (LAST_DAY - FIRST_DAY))
    assert 0.03 < lost < 0.07


def test_better_tracks_at_higher_energy_and_a_hard_tail(events: pa.Table) -> None:
    energy, error = column(events, "energy"), column(events, "angular_error")
    bands = [error[(energy > low) & (energy <= 10 * low)] for low in (10, 100, 1e3, 1e4, 1e5)]
    medians = [np.median(band) for band in bands]
    assert medians == sorted(medians, reverse=True)
    assert 300 < np.median(energy) < 3000
    assert 30 < (energy > 1e6).sum() < 300


def test_the_times_of_the_alerts_agree(alerts: Table) -> None:
    times = Time([str(time).replace(" ", "T") for time in alerts["observed"]], format="isot", scale="utc")
    assert np.allclose(alerts["mjd"], times.mjd, rtol=0, atol=1e-7)
    assert (np.diff(alerts["mjd"]) > 0).all()


def test_the_alerts_are_referenced(alerts: Table) -> None:
    assert len(set(alerts["name"])) == len(alerts) >= 12
    for reference in alerts["reference"]:
        assert reference.startswith(("https://doi.org/10.", "https://arxiv.org/abs/"))


def test_the_alerts_of_icecube_agree_with_its_catalogue(alerts: Table, shared: Path) -> None:
    catalogue = Table.read(shared / "data/events/icecat1/IceCube_Gold_Bronze_Tracks.csv", format="ascii.csv")
    names = {f"IC{name.removeprefix('IceCube-')}": row for row, name in enumerate(alerts["name"])}
    found = [(row, alerts[names[row["NAME"]]]) for row in catalogue if row["NAME"] in names]
    assert {str(ours["name"]) for _, ours in found} >= {"IceCube-170922A", "IceCube-190730A", "IceCube-191001A"}
    for theirs, ours in found:
        assert ours["mjd"] == pytest.approx(theirs["EVENTMJD"], abs=1e-6)
        assert ours["ra"] == pytest.approx(theirs["RA"], abs=0.1)
        assert ours["dec"] == pytest.approx(theirs["DEC"], abs=0.1)
        assert ours["energy"] == pytest.approx(theirs["ENERGY"] * 1000, rel=0.1)


def test_km3_230213a_agrees_with_its_voevent(alerts: Table, shared: Path) -> None:
    packet = etree.parse(shared / "data/events/km3net/KM3-230213A_voevent.xml")
    (ours,) = [row for row in alerts if row["name"] == "KM3-230213A"]
    assert ours["ra"] == packet.xpath("number(//Position2D/Value2/C1)")
    assert ours["dec"] == packet.xpath("number(//Position2D/Value2/C2)")
    assert ours["error_radius"] == packet.xpath("number(//Error2Radius90)")
    assert ours["mjd"] == pytest.approx(Time(packet.xpath("string(//ISOTime)"), scale="utc").mjd, abs=1e-6)
    assert ours["energy"] == packet.xpath("number(//Param[@name='Energy']/@value) * 1000000")
