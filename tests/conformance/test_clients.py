"""The clients that astronomers use, over the demo: pyvo and STILTS."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
import pyvo
from astropy.coordinates import SkyCoord
from astropy.table import Table

from tests.support.judges import stilts, votlint_complaints
from tests.support.service import Service

EVENTS = 100_000


@pytest.fixture(scope="module")
def tap(demo_service: Service) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(f"{demo_service.url}/tap")


def test_pyvo_counts_the_rows(tap: pyvo.dal.TAPService) -> None:
    assert tap.search("SELECT COUNT(*) AS n FROM demo.events")[0]["n"] == EVENTS


def test_pyvo_cone_equals_brute_force(demo_service: Service, tap: pyvo.dal.TAPService) -> None:
    rows = tap.search("SELECT event_id, ra, dec FROM demo.events", maxrec=EVENTS).to_table()
    positions = SkyCoord(rows["ra"], rows["dec"], unit="deg")
    centre = SkyCoord(359.9, -30.0, unit="deg")
    expected = set(rows["event_id"][positions.separation(centre).deg <= 2.5])
    found = pyvo.dal.SCSService(f"{demo_service.url}/scs/demo/events?").search(centre, radius=2.5)
    assert {int(row["event_id"]) for row in found} == expected
    assert expected
    distances = np.asarray(found.to_table()["_r"])
    assert (np.diff(distances) >= 0).all()


def test_pyvo_reads_the_metadata(tap: pyvo.dal.TAPService) -> None:
    table = tap.tables["demo.events"]
    columns = {column.name: column for column in table.columns}
    assert columns["ra"].unit == "deg"
    assert columns["ra"].ucd == "pos.eq.ra;meta.main"
    assert "tap_schema.columns" in tap.tables


def test_pyvo_sees_overflow(tap: pyvo.dal.TAPService) -> None:
    result = tap.search("SELECT * FROM demo.events", maxrec=9)
    assert len(result) == 9
    assert result.query_status == "OVERFLOW"


def test_pyvo_gets_the_message_of_a_bad_query(tap: pyvo.dal.TAPService) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match=r"(?is)energyy.*did you mean"):
        tap.search("SELECT energyy FROM demo.events")


def test_stilts_cone(demo_service: Service, tmp_path: Path) -> None:
    target = tmp_path / "cone.fits"
    done = stilts(
        "cone", f"serviceurl={demo_service.url}/scs/demo/events?", "lon=77.36", "lat=5.69", "radius=2", f"out={target}"
    )
    assert done.returncode == 0, done.stderr
    expected = pyvo.dal.SCSService(f"{demo_service.url}/scs/demo/events?").search((77.36, 5.69), 2.0)
    assert len(Table.read(target)) == len(expected) > 0


@pytest.mark.parametrize("style", ["sync=true"])
def test_stilts_tapquery(demo_service: Service, style: str) -> None:
    done = stilts(
        "tapquery",
        f"tapurl={demo_service.url}/tap",
        "adql=SELECT COUNT(*) AS n, AVG(energy) AS mean FROM demo.events WHERE dec > 0",
        style,
        "ofmt=csv",
    )
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert 0 < int(row["n"]) < EVENTS


DOCUMENTS = {
    "BINARY2": "tap/sync?LANG=ADQL&QUERY=SELECT+TOP+50+*+FROM+demo.events",
    "TABLEDATA": "tap/sync?LANG=ADQL&QUERY=SELECT+TOP+50+*+FROM+demo.events&RESPONSEFORMAT=votable/td",
    "alerts": "tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+demo.alerts",
    "overflow": "tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+demo.events&MAXREC=3",
    "no rows": "tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+demo.events&MAXREC=0",
    "TAP_SCHEMA": "tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+TAP_SCHEMA.columns",
    "TAP error": "tap/sync?LANG=ADQL&QUERY=SELCT",
    "cone": "scs/demo/events?RA=77.36&DEC=5.69&SR=2",
    "cone, all columns": "scs/demo/events?RA=77.36&DEC=5.69&SR=2&VERB=3",
    "cone, SR=0": "scs/demo/events?RA=77.36&DEC=5.69&SR=0",
    "cone error": "scs/demo/events?RA=400&DEC=5.69&SR=2",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_votlint_finds_nothing(demo_service: Service, name: str, tmp_path: Path) -> None:
    document = tmp_path / "document.xml"
    document.write_bytes(httpx.get(f"{demo_service.url}/{DOCUMENTS[name]}", timeout=60).content)
    assert re.search(rb"<VOTABLE", document.read_bytes())
    assert votlint_complaints(str(document)) == []
