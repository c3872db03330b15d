"""A table that is published, changed or dropped is so everywhere at once: in all registers, by one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.database import execute, new_database
from tests.support.served import served
from vo_service.app import OWN
from vo_service.catalog.description import load_description
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ServiceError
from vo_service.ingest.drop import drop_table
from vo_service.ingest.load import Mode, load

DESCRIPTION = """
name: nu
description: Neutrinos of a test
resource: {title: Tracks, creators: [Ada], waveband: Neutrino}
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
"""
FIRST = "id,ra,dec,mjd\n1,10,-20,58000\n2,12,-22,58100.5\n"
MORE = "id,ra,dec,mjd\n3,200,40,58200\n"
TWICE = "id,ra,dec,mjd\n1,10,-20,58000\n"

VIEWS = {
    "record": "/oai?verb=GetRecord&metadataPrefix=ivo_vor&identifier=ivo://org.example.vo/nu/events",
    "list of records": "/oai?verb=ListRecords&metadataPrefix=oai_dc",
    "landing page": "/resource/nu/events",
    "tableset": "/tap/tables",
    "TAP_SCHEMA": "/tap/sync?LANG=ADQL&QUERY=SELECT+table_name+FROM+tap_schema.tables&RESPONSEFORMAT=csv",
    "cone search": "/scs/nu/events?RA=10&DEC=-20&SR=1",
    "MOC": "/moc/nu/events?FORMAT=ascii",
    "links": "/datalink?ID=ivo://org.example.vo/nu/events&RESPONSEFORMAT=csv",
    "ObsCore": "/tap/sync?LANG=ADQL&QUERY=SELECT+obs_id+FROM+ivoa.obscore&RESPONSEFORMAT=csv",
}
"""Where a table shows. Each answer names it, but for those of its own that are not there without it."""

OWN_VIEWS = ("landing page", "cone search", "MOC")

GONE = ('code="idDoesNotExist"', 'status="deleted"', "NotFoundFault")
"""What answers about it have in them when it is not there."""

REGISTERS = """
    SELECT 'tableset', xmin::text FROM vo_service.published_table WHERE table_name = 'events'
    UNION ALL SELECT 'TAP_SCHEMA', xmin::text FROM tap_schema.tables WHERE table_name = 'nu.events'
    UNION ALL SELECT 'record', xmin::text FROM vo_service.registry_record WHERE resource_key = 'nu/events'
    UNION ALL SELECT 'MOC', xmin::text FROM vo_service.coverage WHERE table_name = 'events'
    UNION ALL SELECT 'ObsCore', xmin::text FROM vo_service.observation WHERE table_name = 'events'
"""
"""The transaction that wrote the table's row in each register, as PostgreSQL keeps it."""


@pytest.fixture
def access(server: Access) -> Iterator[Access]:
    """A database of its own."""
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


def put(access: Access, folder: Path, rows: str, mode: Mode = "create") -> None:
    """Load rows as `vo-service ingest` does."""
    (folder / "nu.yaml").write_text(DESCRIPTION)
    (folder / "events.csv").write_text(rows)
    load(access, load_description(folder / "nu.yaml"), [folder / "events.csv"], mode=mode)


def shown(base: str) -> set[str]:
    """The views in which the table is."""
    found = set()
    for name, path in VIEWS.items():
        answer = httpx.get(base + path)
        names_it = name in OWN_VIEWS or "nu/events" in answer.text or "nu.events" in answer.text
        if answer.status_code == 200 and names_it and not any(word in answer.text for word in GONE):
            found.add(name)
    return found


def registered(access: Access) -> dict[str, str]:
    """By register, the transaction that wrote the table's row."""
    return dict(execute(access.writer.conninfo, REGISTERS))


def test_a_table_is_everywhere_at_once_or_nowhere(access: Access, tmp_path: Path) -> None:
    with served(access, authority="org.example.vo") as base:
        assert shown(base) == set()
        put(access, tmp_path, FIRST)
        assert shown(base) == set(VIEWS)
        first = registered(access)
        assert len(first) == 5
        assert len(set(first.values())) == 1
        put(access, tmp_path, MORE, "append")
        more = registered(access)
        assert len(set(more.values())) == 1
        assert more.keys() == first.keys()
        assert not set(more.values()) & set(first.values())
        drop_table(access, "nu.events")
        assert shown(base) == set()


def test_what_cannot_be_loaded_changes_nothing_anywhere(access: Access, tmp_path: Path) -> None:
    put(access, tmp_path, FIRST)
    before = registered(access)
    with served(access, authority="org.example.vo") as base:
        mocs = httpx.get(base + VIEWS["MOC"]).text
        with pytest.raises(ServiceError):
            put(access, tmp_path, TWICE, "append")
        assert registered(access) == before
        assert shown(base) == set(VIEWS)
        assert httpx.get(base + VIEWS["MOC"]).text == mocs
