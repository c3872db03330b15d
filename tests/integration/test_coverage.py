"""The coverage of tables: what mocpy and STILTS find in its files, and that it changes with the table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import hpgeom
import httpx
import numpy as np
import psycopg
import pytest
from astropy.time import Time
from mocpy import MOC, STMOC, TimeMOC

from tests.integration.test_real_files import DESCRIPTIONS, FILES
from tests.support.database import execute, new_database
from tests.support.judges import stilts
from tests.support.served import served
from vo_service.app import OWN
from vo_service.catalog.description import Description, load_description
from vo_service.catalog.store import read_catalog
from vo_service.coverage import gather
from vo_service.coverage.documents import moc_ascii, moc_json
from vo_service.coverage.model import Coverage, TimeMoc
from vo_service.coverage.store import coverage_of
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import IngestError
from vo_service.ingest.drop import drop_table
from vo_service.ingest.load import Mode, load

TEXT = """
name: sky
description: Events of a test
resource: {title: Test events, license: CC0-1.0, waveband: Neutrino}
tables:
  - name: events
    primaryKey: id
    position: {}
    epoch: TIME
    columns:
      - {name: id, datatype: long}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec}
      - {name: mjd, datatype: double, "ivoa:unit": d, "ivoa:ucd": time.epoch, description: "MJD, UTC"}
      - {name: at, datatype: timestamp, source: {name: at, null: "-"}}
      - {name: energy, datatype: double, "ivoa:unit": TeV, "ivoa:ucd": phys.energy}
"""


@dataclass(frozen=True)
class Events:
    """Events by their columns."""

    ra: np.ndarray[tuple[int], np.dtype[np.float64]]
    dec: np.ndarray[tuple[int], np.dtype[np.float64]]
    mjd: np.ndarray[tuple[int], np.dtype[np.float64]]
    energy: np.ndarray[tuple[int], np.dtype[np.float64]]

    @property
    def times(self) -> Time:
        return Time(self.mjd, format="mjd", scale="utc")

    def write(self, folder: Path, first: int = 1) -> list[Path]:
        path = folder / "events.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "ra", "dec", "mjd", "at", "energy"])
            rows = zip(self.ra.tolist(), self.dec.tolist(), self.mjd.tolist(), self.energy.tolist(), strict=True)
            for number, (ra, dec, mjd, energy) in enumerate(rows, first):
                writer.writerow([number, ra, dec, mjd, Time(mjd, format="mjd", scale="utc").isot, energy])
        return [path]


def simulated(number: int, seed: int = 1) -> Events:
    """Events of the southern sky in five years, some at edges: the pole, RA = 0, equal times."""
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360, number), np.degrees(np.arcsin(random.uniform(-1, 0.3, number)))
    mjd = np.sort(random.uniform(57000, 58800, number))
    if number > 3:
        ra[:3], dec[:3], mjd[:3] = (0.0, 0.0, 359.9999999), (-90.0, 0.0, 0.0), mjd[3]
    return Events(ra, dec, mjd, 10 ** random.uniform(-1, 3, number))


def described(folder: Path, epoch: str = "mjd") -> Description:
    path = folder / "description.yaml"
    path.write_text(TEXT.replace("TIME", epoch), encoding="utf-8")
    return load_description(path)


@pytest.fixture(scope="module")
def access(server: Access) -> Iterator[Access]:
    """A database in which the service's own tables are published; tests replace what stands there."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


def put(
    access: Access, folder: Path, events: Events, mode: Mode = "replace", epoch: str = "mjd", first: int = 1
) -> None:
    load(access, described(folder, epoch), events.write(folder, first), mode=mode)


def found(access: Access, schema: str = "sky", name: str = "events") -> Coverage:
    with closing(psycopg.connect(access.writer.conninfo)) as connection:
        table = read_catalog(connection).table(schema, name)
        assert table is not None
        return coverage_of(connection, table)


def kept(access: Access) -> list[tuple[str]]:
    return execute(access.writer.conninfo, "SELECT schema_name || '.' || table_name FROM vo_service.coverage")


def get(url: str, **parameters: str) -> httpx.Response:
    return httpx.get(url, params=parameters or None).raise_for_status()


@pytest.mark.parametrize("epoch", ["mjd", "at"])
def test_every_event_is_in_the_mocs(access: Access, tmp_path: Path, epoch: str) -> None:
    events = simulated(800)
    put(access, tmp_path, events, epoch=epoch)
    with served(access) as base:
        for dimension in ("space", "time", "spacetime"):
            content = get(f"{base}/moc/sky/events", dimension=dimension).content
            (tmp_path / f"{dimension}.fits").write_bytes(content)
    space = MOC.from_fits(tmp_path / "space.fits")
    assert space.contains_lonlat(events.ra * u.deg, events.dec * u.deg).all()
    assert not space.contains_lonlat([10] * u.deg, [60] * u.deg).any()
    time = TimeMOC.from_fits(tmp_path / "time.fits")
    assert time.contains(events.times).all()
    both = STMOC.from_fits(tmp_path / "spacetime.fits")
    assert both.contains(events.times, events.ra * u.deg, events.dec * u.deg).all()
    # And it is no cover-all: most events are not where others were at their time.
    swapped = both.contains(events.times, events.ra[::-1] * u.deg, events.dec[::-1] * u.deg)
    assert swapped.mean() < 0.5


def test_stilts_finds_every_event_in_the_moc(access: Access, tmp_path: Path) -> None:
    events = simulated(300)
    put(access, tmp_path, events)
    with served(access) as base:
        (tmp_path / "moc.fits").write_bytes(get(f"{base}/moc/sky/events").content)
    done = stilts(
        "tpipe",
        f"in={tmp_path / 'events.csv'}",
        "ifmt=csv",
        f"cmd=addcol inside 'inMoc(\"{tmp_path / 'moc.fits'}\", ra, dec)'",
        f"cmd=addcol outside 'inMoc(\"{tmp_path / 'moc.fits'}\", ra, 75)'",
        "cmd=stats name mean",
        "ofmt=csv",
    )
    means = dict(line.split(",") for line in done.stdout.splitlines())
    assert (float(means["inside"]), float(means["outside"])) == (1, 0), done.stderr


def test_the_forms_of_a_moc_say_the_same(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, simulated(100))
    with served(access) as base:
        address = f"{base}/moc/sky/events"
        as_fits, as_json, as_text = (get(address, RESPONSEFORMAT=form) for form in ("fits", "json", "ascii"))
        by_accept = httpx.get(address, headers={"Accept": "application/json"})
        types = [answer.headers["content-type"].split(";")[0] for answer in (as_fits, as_json, as_text, by_accept)]
        assert types == ["application/fits", "application/json", "text/plain", "application/json"]
        assert by_accept.content == as_json.content
        (tmp_path / "moc.fits").write_bytes(as_fits.content)
    read = MOC.from_fits(tmp_path / "moc.fits")
    assert MOC.from_string(as_json.text, "json") == MOC.from_string(as_text.text, "ascii") == read
    assert max(map(int, json.loads(as_json.text))) == read.max_order


def test_a_client_that_has_the_moc_gets_no_other(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, simulated(50))
    with served(access) as base:
        address = f"{base}/moc/sky/events"
        first = get(address)
        tag = first.headers["etag"]
        again = httpx.get(address, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        put(access, tmp_path, simulated(50, seed=2))
        later = httpx.get(address, headers={"If-None-Match": tag})
        assert later.status_code == 200
        assert later.headers["etag"] != tag
        head = httpx.head(address)
        assert head.headers["content-length"] == str(len(later.content))


def test_the_order_is_as_deep_as_the_number_of_cells_allows(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, simulated(1))
    one = found(access)
    assert one.space is not None
    assert one.time is not None
    assert (one.space.order, one.time.order) == (max(gather.SPACE_ORDERS), gather.DEEPEST_TIME)
    put(access, tmp_path, simulated(9000))
    many = found(access)
    assert many.space is not None
    assert many.time is not None
    assert 3 < many.space.order < one.space.order
    assert number_of_cells(many) <= gather.CELLS
    assert 1024 < 1800 * 86_400_000_000 >> (61 - many.time.order) <= gather.TIME_CELLS


def number_of_cells(coverage: Coverage) -> int:
    assert coverage.space is not None
    return sum(len(cells) for cells in json.loads(moc_json(coverage.space)).values())


def test_where_all_of_the_sky_is_covered_the_moc_is_twelve_cells(access: Access, tmp_path: Path) -> None:
    ra, dec = hpgeom.pixel_to_angle(32, np.arange(12 * 32**2), nest=True)
    put(access, tmp_path, Events(ra, dec, np.full(len(ra), 58000.25), np.ones(len(ra))))
    coverage = found(access)
    assert coverage.space is not None
    assert coverage.space.order == 5
    assert coverage.space.ranges == ((0, 12 * 4**29),)
    assert coverage.sky_fraction == 1


def test_intervals_are_those_of_the_rows(access: Access, tmp_path: Path) -> None:
    events = simulated(200)
    put(access, tmp_path, events)
    coverage = found(access)
    assert coverage.interval == (events.mjd.min(), events.mjd.max())
    assert coverage.time_scale == "UTC"
    assert coverage.energies == pytest.approx((events.energy.min() * 1e12, events.energy.max() * 1e12), rel=1e-12)


def test_values_that_are_none_are_left_out(access: Access, tmp_path: Path) -> None:
    events = simulated(20)
    events.mjd[:6] = np.nan, np.inf, -np.inf, -99_999_999, 1.2e9, 1e12
    events.energy[:5] = np.nan, np.inf, -np.inf, 0, -1
    path = tmp_path / "events.csv"
    lines = ["id,ra,dec,mjd,at,energy"]
    columns = (events.ra, events.dec, events.mjd, events.energy)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines += [f"{i},{ra!r},{dec!r},{mjd!r},-,{energy!r}" for i, (ra, dec, mjd, energy) in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    load(access, described(tmp_path), [path], mode="replace")
    coverage = found(access)
    assert coverage.interval == (events.mjd[6:].min(), events.mjd[6:].max())
    assert coverage.energies == pytest.approx((events.energy[5:].min() * 1e12, events.energy[5:].max() * 1e12))
    load(access, described(tmp_path, "at"), [path], mode="replace")
    assert (found(access).interval, found(access).time) == (None, TimeMoc((), 0))


def test_times_and_energies_may_be_whole_numbers(access: Access, tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text("""
name: whole
tables:
  - name: t
    epoch: mjd
    columns:
      - {name: mjd, datatype: int, "ivoa:unit": d, description: "MJD, UTC", "ivoa:ucd": time.epoch}
      - {name: energy, datatype: int, "ivoa:unit": GeV, "ivoa:ucd": phys.energy}
""")
    (tmp_path / "whole.csv").write_text("mjd,energy\n57000,7\n57002,3\n")
    load(access, load_description(tmp_path / "whole.yaml"), [tmp_path / "whole.csv"])
    coverage = found(access, "whole", "t")
    assert (coverage.interval, coverage.energies) == ((57000, 57002), (3e9, 7e9))
    with served(access, authority="org.example") as base:
        asked = {"ID": "ivo://org.example/whole/t", "TIME": "57001 +Inf", "ENERGY": "-Inf 5", "RESPONSEFORMAT": "csv"}
        assert get(f"{base}/datalink/cutout", **asked).text.split() == ["mjd,energy", "57002,3"]
    drop_table(access, "whole.t")


def test_coverage_goes_with_the_table(access: Access, tmp_path: Path) -> None:
    first, second = simulated(30), simulated(30, seed=5)
    put(access, tmp_path, first)
    before = found(access)
    assert kept(access) == [("sky.events",)]
    put(access, tmp_path, second, "append", first=100)
    both = found(access)
    assert both.sky_fraction > before.sky_fraction
    assert both.interval == (min(first.mjd.min(), second.mjd.min()), max(first.mjd.max(), second.mjd.max()))
    with pytest.raises(IngestError):
        put(access, tmp_path, first, "append")
    assert found(access) == both
    drop_table(access, "sky.events")
    assert kept(access) == []


def test_what_has_nothing_kept_is_measured_when_it_is_asked_for(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, simulated(30))
    before = found(access)
    execute(access.writer.conninfo, "DELETE FROM vo_service.coverage")
    assert found(access) == before
    assert found(access, "alerts", "voevent").sky_fraction == 0


def test_the_address_of_an_unknown_table_or_dimension(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, simulated(5))
    with served(access) as base:
        assert httpx.get(f"{base}/moc/sky/nothing").status_code == 404
        assert httpx.get(f"{base}/moc/sky/nothing/properties").status_code == 404
        assert "no column tells it" in httpx.get(f"{base}/moc/tap_schema/tables").text
        wrong = httpx.get(f"{base}/moc/sky/events?dimension=colour")
        assert (wrong.status_code, "expected one of space, time, spacetime" in wrong.text) == (400, True)
        assert httpx.get(f"{base}/moc/sky/events?format=png").status_code == 400
        # The letter case of names does not count, as everywhere.
        assert httpx.get(f"{base}/moc/SKY/Events").status_code == 200


def test_the_properties_are_those_of_the_table(access: Access, tmp_path: Path) -> None:
    events = simulated(40)
    put(access, tmp_path, events)
    with served(access, authority="org.example") as base:
        text = get(f"{base}/moc/sky/events/properties").text
        pairs = dict(line.split("=", 1) for line in text.splitlines())
        properties = {key.strip(): value.strip() for key, value in pairs.items()}
        assert properties["ID"] == "org.example/sky/events"
        assert properties["publisher_did"] == "ivo://org.example/sky/events"
        assert properties["obs_title"] == "Test events"
        assert properties["nb_rows"] == "40"
        assert float(properties["t_min"]) == pytest.approx(events.mjd.min(), abs=1e-3)
        moc = MOC.from_fits(properties["moc_access_url"])
        assert moc.max_order == int(properties["moc_order"])
        assert moc.sky_fraction == pytest.approx(float(properties["moc_sky_fraction"]), rel=1e-5)
        cone = get(f"{properties['cs_service_url']}RA=10&DEC=-40&SR=180&RESPONSEFORMAT=csv")
        assert len(cone.text.splitlines()) == 41


def test_a_table_without_position_or_time(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "description.yaml"
    path.write_text("name: plain\ntables:\n  - name: t\n    columns: [{name: a, datatype: int}]\n")
    (tmp_path / "t.csv").write_text("a\n1\n")
    load(access, load_description(path), [tmp_path / "t.csv"])
    assert found(access, "plain", "t") == Coverage()


def test_a_table_with_times_alone(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "description.yaml"
    path.write_text(
        "name: runs\ntables:\n  - name: t\n    epoch: begin\n    columns: [{name: begin, datatype: timestamp}]\n"
    )
    (tmp_path / "t.csv").write_text("begin\n2020-01-01T00:00:00\n2020-01-02T12:00:00\n")
    load(access, load_description(path), [tmp_path / "t.csv"])
    coverage = found(access, "runs", "t")
    assert (coverage.space, coverage.space_time, coverage.interval) == (None, None, (58849, 58850.5))
    assert coverage.time is not None
    moc = TimeMOC.from_string(moc_ascii(coverage.time), "ascii")
    assert moc.contains(Time(["2020-01-01", "2020-01-02T12:00:00"], scale="utc")).all()
    assert not moc.contains(Time(["2020-01-01T12:00:00"], scale="utc")).any()


ORDERS = {"antares": 5, "icecube_ic40": 5, "icecat1": 10, "auger": 5}


@pytest.mark.parametrize("name", ORDERS)
def test_real_events_are_in_their_moc(access: Access, shared: Path, tmp_path: Path, name: str) -> None:
    description = load_description(DESCRIPTIONS / f"{name}.yaml")
    (table,) = load(access, description, [shared / "data" / "events" / FILES[name][0]], mode="replace").tables
    coverage = found(access, table.schema, table.name)
    assert coverage.space is not None
    assert table.position is not None
    rows = np.array(
        execute(
            access.reader.conninfo,
            f'SELECT "{table.position.ra}", "{table.position.dec}" FROM "{table.schema}"."{table.name}"',
        )
    )
    with served(access) as base:
        content = get(f"{base}/moc/{table.schema}/{table.name}").content
    (tmp_path / "moc.fits").write_bytes(content)
    moc = MOC.from_fits(tmp_path / "moc.fits")
    assert len(rows) == FILES[name][1]
    assert moc.contains_lonlat(rows[:, 0] * u.deg, rows[:, 1] * u.deg).all()
    assert coverage.space.order == moc.max_order == ORDERS[name]
    assert number_of_cells(coverage) <= gather.CELLS
