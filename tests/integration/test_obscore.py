"""ivoa.obscore and ivoa.obscore_hea: what TAP says of published event lists, and that it changes with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import psycopg
import pytest
import pyvo
from mocpy import MOC, TimeMOC

from tests.support.database import execute, new_database
from tests.support.served import served
from vo_service.app import OWN
from vo_service.catalog.description import Description, load_description
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ConfigurationError
from vo_service.ingest.drop import drop_table
from vo_service.ingest.load import load
from vo_service.obscore.store import remember_address
from vo_service.obscore.tables import SCHEMA

TEXT = """
name: nu
description: Neutrinos of a test
resource:
  title: Tracks
  creators: [Ada, Bob]
  doi: 10.5072/x
  waveband: Neutrino
  OBSCORE
tables:
  - name: events
    description: up-going
    primaryKey: id
    position: {}
    epoch: mjd
    columns:
      - {name: id, datatype: long, "ivoa:ucd": meta.id;meta.main}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra;meta.main}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec;meta.main}
      - {name: mjd, datatype: double, "ivoa:unit": d, "ivoa:ucd": time.epoch, description: "MJD, UTC"}
      - {name: energy, datatype: double, "ivoa:unit": GeV, "ivoa:ucd": phys.energy;phys.particle.neutrino}
      - {name: sigma, datatype: float, "ivoa:unit": deg, "ivoa:ucd": stat.error;pos.eq}
    input: {files: "events*"}
  - name: sources
    position: {}
    columns:
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec}
    input: {files: "sources*"}
"""
SAID = """obscore:
    obs_collection: Telescope tracks
    facility_name: Telescope
    instrument_name: Detector
    calib_level: 3
    s_resolution: 1440
    t_exptime: 31557600
    analysis_mode: tracks
    event_type: good
    messenger_pdgid: "+14"
    s_ref_energy: 1.0e13
    s_ref_oaa: 0
"""
ROWS = "id,ra,dec,mjd,energy,sigma\n1,10,-20,58000,100,0.5\n2,12,-22,58100.5,1000,0.4\n"
MORE = "id,ra,dec,mjd,energy,sigma\n3,14,-24,58200,10,1\n"

RESPONSE = """
    INSERT INTO vo_service.attachment (schema_name, table_name, row_key, name, semantics, description, content_type,
        content_qualifier, content_length, sha256)
    VALUES ('nu', 'events', %s, %s, '#calibration', 'Effective area', 'application/fits', %s, 4321, repeat('0', 64))
    RETURNING attachment_id
"""


@pytest.fixture
def access(server: Access) -> Iterator[Access]:
    """A database in which the service's own tables are published."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


def described(folder: Path, said: str = "") -> Description:
    path = folder / "description.yaml"
    path.write_text(TEXT.replace("OBSCORE", said), encoding="utf-8")
    return load_description(path)


def put(access: Access, folder: Path, said: str = "", rows: str = ROWS) -> None:
    (folder / "events.csv").write_text(rows)
    (folder / "sources.csv").write_text("ra,dec\n10,20\n")
    load(access, described(folder, said), [folder / "events.csv", folder / "sources.csv"], mode="replace")


def rows(base: str, query: str = "SELECT * FROM ivoa.obscore NATURAL JOIN ivoa.obscore_hea") -> list[dict[str, object]]:
    """What TAP answers; missing values left out."""
    table = pyvo.dal.TAPService(f"{base}/tap").run_sync(query).to_table()
    return [{name: row[name] for name in table.colnames if is_known(row[name])} for row in table]


def is_known(value: object) -> bool:
    return value is not np.ma.masked and value != ""


def test_an_event_list_is_a_row_of_both_tables(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    with served(access, authority="org.example") as base:
        (row,) = rows(base)
    identifier = "ivo://org.example/nu/events"
    expected = {
        "obs_publisher_did": identifier,
        "access_url": f"{base}/datalink?ID={identifier}",
        "access_format": "application/x-votable+xml;content=datalink",
        "dataproduct_type": "event",
        "dataproduct_subtype": "hea-event-list",
        "calib_level": 2,
        "obs_collection": "nu",
        "obs_title": "Tracks: up-going",
        "obs_creator_name": "Ada; Bob",
        "bib_reference": "10.5072/x",
        "o_ucd": "pos.eq.ra#pos.eq.dec#time.epoch#phys.energy;phys.particle.neutrino",
        "ev_xel": 2,
        "messenger_name": "neutrino",
        "t_min": 58000,
        "t_max": 58100.5,
        "s_xel1": -1,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["energy_min"] == pytest.approx(1e11)
    assert row["energy_max"] == pytest.approx(1e12)
    assert row["em_min"] == pytest.approx((1e12 * u.eV).to_value(u.m, u.spectral()))
    assert row["em_max"] == pytest.approx((1e11 * u.eV).to_value(u.m, u.spectral()))
    assert not {"messenger_pdgid", "instrument_name", "s_resolution", "target_name"} & row.keys()


def test_the_address_leads_to_links(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    with served(access) as base:
        (row,) = rows(base)
        links = pyvo.dal.adhoc.DatalinkResults.from_result_url(str(row["access_url"]))
        assert {link["ID"] for link in links} == {row["obs_publisher_did"]}
        assert "#this" in {link.semantics for link in links}
        assert not any(link["error_message"] for link in links)


def test_the_region_holds_every_event(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    with served(access) as base:
        (row,) = rows(base)
        region = MOC.from_string(str(row["s_region"]), "ascii")
        assert region.contains_lonlat([10, 12] * u.deg, [-20, -22] * u.deg).all()
        ra, dec, diameter = (float(str(row[name])) * u.deg for name in ("s_ra", "s_dec", "s_fov"))
        circle = MOC.from_cone(lon=ra, lat=dec, radius=diameter / 2, max_depth=10)
        assert circle.contains_lonlat([10, 12] * u.deg, [-20, -22] * u.deg).all()
        assert 2 < diameter.value < 4
        where = "SELECT obs_id FROM ivoa.obscore WHERE 1 = CONTAINS(POINT({}), s_region)"
        assert len(rows(base, where.format("10, -20"))) == 1
        assert len(rows(base, where.format("10, 20"))) == 0
        # As pyvo.discover asks every service with this table.
        where = "SELECT obs_id FROM ivoa.obscore WHERE 1=intersects(circle({}), s_region)"
        assert len(rows(base, where.format("10, -15, 6"))) == 1
        assert len(rows(base, where.format("10, -15, 1"))) == 0
        where = "SELECT obs_id FROM ivoa.obscore WHERE 1 = CONTAINS(s_region, CIRCLE('ICRS', 11, -21, {}))"
        assert len(rows(base, where.format(20))) == 1
        assert len(rows(base, where.format(0.5))) == 0
        assert len(TimeMOC.from_string(str(row["t_intervals"]), "ascii").to_time_ranges()) >= 1


def test_what_the_publisher_says_counts(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, SAID)
    with served(access) as base:
        (row,) = rows(base)
    said = {
        "obs_collection": "Telescope tracks",
        "facility_name": "Telescope",
        "instrument_name": "Detector",
        "calib_level": 3,
        "s_resolution": 1440,
        "t_exptime": 31557600,
        "analysis_mode": "tracks",
        "event_type": "good",
        "messenger_pdgid": "+14",
        "messenger_name": "neutrino",
        "s_ref_energy": 1e13,
        "s_ref_oaa": 0,
    }
    assert {name: row[name] for name in said} == said


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("messenger_pdgid: '14'", "'14' is not as expected, for example '\\+14'"),
        ("calib_level: 5", "less than or equal to 4"),
        ("s_resolution: 0", "greater than 0"),
        ("facility: KM3NeT", "did you mean 'facility_name'"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, said: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        described(tmp_path, f"obscore: {{{said}}}")


def test_rows_come_and_go_with_tables_in_a_running_service(access: Access, tmp_path: Path) -> None:
    count = "SELECT ev_xel, t_max FROM ivoa.obscore NATURAL JOIN ivoa.obscore_hea"
    with served(access) as base:
        assert rows(base) == []
        put(access, tmp_path)
        assert [tuple(row.values()) for row in rows(base, count)] == [(2, 58100.5)]
        (tmp_path / "events.csv").write_text(MORE)
        load(access, described(tmp_path), [tmp_path / "events.csv"], mode="append")
        assert [tuple(row.values()) for row in rows(base, count)] == [(3, 58200)]
        drop_table(access, "nu.events")
        assert rows(base) == []


def test_response_functions_stand_beside_their_event_list(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, SAID)
    writer = access.writer.conninfo
    ((number,),) = execute(writer, RESPONSE, None, "aeff 1.fits", "#response-function")
    execute(writer, RESPONSE, None, "plain.fits", None)
    execute(writer, RESPONSE, "1", "row.fits", "#response-function")
    execute(writer, RESPONSE, None, "psf.fits", "#psf")
    execute(writer, RESPONSE, None, "bundle.tar", "#hea-event-bundle")
    with served(access, authority="org.example") as base:
        (row,) = rows(
            base,
            "SELECT * FROM ivoa.obscore NATURAL JOIN ivoa.obscore_hea WHERE dataproduct_subtype = 'response-function'",
        )
        products = {(row["dataproduct_subtype"], row.get("dataproduct_type")) for row in rows(base)}
    assert products == {
        ("hea-event-list", "event"), ("response-function", None), ("psf", None), ("hea-event-bundle", "event"),
    }  # fmt: skip
    assert row["obs_publisher_did"] == f"ivo://org.example/nu/events?files/{number}"
    name = "".join(f"%{byte:02x}" for byte in b"aeff 1.fits")
    assert row["access_url"] == f"{base}/files/{number}/{name}"
    assert (row["access_format"], row["access_estsize"]) == ("application/fits", 5)
    assert (row["obs_title"], row["obs_id"]) == ("Effective area", "nu/events")
    assert (row["instrument_name"], row["calib_level"]) == ("Detector", 3)
    assert not {"dataproduct_type", "ev_xel", "o_ucd"} & row.keys()


def test_words_of_any_language_arrive(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, "obscore: {instrument_name: Fäden, obs_collection: Größe}")
    with served(access) as base:
        (row,) = rows(base)
    assert (row["instrument_name"], row["obs_collection"]) == ("Fäden", "Größe")


def test_what_is_said_to_be_no_event_list_is_none(access: Access, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(ROWS)
    (tmp_path / "sources.csv").write_text("ra,dec\n10,20\n")
    (tmp_path / "description.yaml").write_text(
        TEXT.replace("OBSCORE", "").replace("    epoch: mjd\n", "    epoch: mjd\n    eventList: false\n")
    )
    description = load_description(tmp_path / "description.yaml")
    load(access, description, [tmp_path / "events.csv", tmp_path / "sources.csv"], mode="replace")
    with served(access) as base:
        assert rows(base) == []


def test_identifiers_and_addresses_are_those_of_the_service(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    query = "SELECT obs_publisher_did, access_url FROM ivoa.obscore"
    with served(access, authority="org.one") as base:
        assert rows(base, query)[0]["obs_publisher_did"] == "ivo://org.one/nu/events"
    with served(access, authority="org.two", public_url="https://two.example/vo") as base:
        assert list(rows(base, query)[0].values()) == [
            "ivo://org.two/nu/events",
            "https://two.example/vo/datalink?ID=ivo://org.two/nu/events",
        ]


def test_tables_of_an_earlier_version_are_told_of_when_it_starts(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    with served(access) as base:
        before = rows(base)
    execute(access.writer.conninfo, "DELETE FROM vo_service.coverage")
    execute(access.writer.conninfo, "DELETE FROM vo_service.observation")
    with served(access) as base:
        (after,) = rows(base)
        assert {**after, "access_url": None} == {**before[0], "access_url": None}
    assert len(execute(access.writer.conninfo, "SELECT 1 FROM vo_service.coverage")) == 2


def test_the_views_have_the_columns_that_are_published(access: Access) -> None:
    for table in SCHEMA.tables:
        columns = execute(
            access.owner.conninfo,
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'ivoa' AND table_name = %s"
            " ORDER BY ordinal_position",
            table.name,
        )
        assert [name for (name,) in columns] == [column.name for column in table.columns]


def test_before_it_has_ever_been_served_there_are_no_addresses(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path)
    assert execute(access.reader.conninfo, "SELECT 1 FROM ivoa.obscore") == []
    with psycopg.connect(access.writer.conninfo) as connection:
        remember_address(connection, "org.example", "https://example.org")
    assert execute(access.reader.conninfo, "SELECT access_url FROM ivoa.obscore") == [
        ("https://example.org/datalink?ID=ivo://org.example/nu/events",)
    ]
