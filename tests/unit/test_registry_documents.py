"""Registry records of awkward tables: against the schemas of the IVOA, of OAI-PMH, and of DataCite (JSON)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from datacite import schema45
from lxml import etree
from packaging.licenses import canonicalize_license_expression

from registry_records.datacite import KERNEL, datacite_json, datacite_xml
from registry_records.dublin_core import dublin_core
from registry_records.names import service_keys, stream_ivoid
from registry_records.oai import admin_email
from registry_records.record import Dates, Record
from registry_records.services import authority, organisation, registry, stream, tap_service
from registry_records.tables import landing_page, table_record
from registry_records.terms import full_date, licence_uri, uat_term
from registry_records.voresource import voresource
from tests.support.xsd import complaints
from vo_service.catalog.model import Catalog, Column, ForeignKey, Person, Position, Resource, Schema, Table
from vo_service.catalog.vocabulary.licence import SPDX
from vo_service.config import Settings
from vo_service.coverage.model import Coverage, moc_of_cells
from vo_service.vosi.capabilities import vosi_capabilities

BASE = "http://[::1]:8000"
AWKWARD = '<a href="x">&amp;</a> ]]> \x00\x08\ufffe γ 🔭 \n\n two   spaces'
DATES = Dates(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC))
SETTINGS = Settings(authority="org.example.vo", title=AWKWARD, publisher=AWKWARD, contact_name=AWKWARD)

COLUMNS = (
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description=AWKWARD),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
    Column("select", "char", "*", xtype="timestamp"),
)
FULL = Resource(
    AWKWARD,
    description=AWKWARD,
    creators=(Person(AWKWARD, orcid="0000-0002-1825-0097", affiliation=AWKWARD), Person("Someone")),
    publisher=AWKWARD,
    contact=Person(AWKWARD, orcid="0000-0002-1825-0097", email=AWKWARD),
    subjects=(AWKWARD, "Neutrino astronomy", "Neutrino astronomy"),
    license="CC-BY-SA-4.0",
    license_url="https://example.org/licence",
    doi="10.1234/a<b>(c)#d",
    reference_url="https://example.org/data?a=1&b=%20",
    citation=AWKWARD,
    date="2026-11",
    version="1.10",
    waveband=("Neutrino", "Gamma-ray"),
    simulated=True,
)
TABLES = (
    Table("s", "events", COLUMNS, AWKWARD, position=Position("ra", "dec"), rows=7, resource=FULL),
    Table("s", 'größe & "co" <%=+>\'~', COLUMNS, resource=Resource("")),
    Table("s", "x" * 63, COLUMNS, resource=Resource("T", license="ours", date="2026-02-31")),
    Table("s", "mine", COLUMNS, resource=Resource("T", license_url="https://example.org/", doi="10.1234/1")),
)
CATALOG = Catalog(
    (Schema("s", TABLES, AWKWARD), Schema("bare", ()), Schema("alerts", (Table("alerts", "voevent", COLUMNS),))),
    (ForeignKey("k", TABLES[1].full_name, TABLES[0].full_name, (("ra", "ra"),), AWKWARD),),
)
COVERAGES = (
    Coverage(),
    Coverage(moc_of_cells([0, 5, 4_000_000], 9), interval=(-1e-7, 60000.5), energies=(1e-30, 1e21)),
)


def of_tables() -> list[Record]:
    return [
        table_record(
            table,
            SETTINGS,
            CATALOG,
            DATES,
            BASE,
            capabilities=vosi_capabilities(f"{BASE}/scs?a&b"),
            coverage=coverage,
        )
        for table in TABLES
        for coverage in COVERAGES
    ]


def of_services() -> list[Record]:
    capabilities = vosi_capabilities(f"{BASE}/tap")
    return [
        *(make(settings, DATES, BASE) for make in (authority, organisation, registry) for settings in SOME_SETTINGS),
        *(
            make(settings, catalog, DATES, BASE, capabilities)
            for make in (tap_service, stream)
            for settings in SOME_SETTINGS
            for catalog in (CATALOG, Catalog())
        ),
    ]


SOME_SETTINGS = (SETTINGS, Settings(), Settings(voevent_stream="ivo://localhost.demo/a/b", contact_email="x@y.org"))


def test_every_record_is_valid(shared: Path) -> None:
    for record in (*of_tables(), *of_services()):
        for element in (voresource(record), dublin_core(record)):
            assert complaints(etree.tostring(element), shared) == []


def test_the_schemas_object_to_faulty_records(shared: Path) -> None:
    document = etree.tostring(voresource(of_tables()[0]))
    assert complaints(document.replace(b"curation>", b"duration>"), shared)
    assert complaints(document.replace(b"ivo://", b"ivo:/"), shared)
    assert complaints(document.replace(b'status="active"', b'status="lazy"'), shared)


def test_datacite_is_valid() -> None:
    for record in of_tables():
        if record.about.doi != FULL.doi:
            schema45.validate(datacite_json(record, landing_page(TABLES[0], "https://vo.example.org")))


def test_the_xml_of_datacite_says_what_its_json_says() -> None:
    record = of_tables()[0]
    values = datacite_json(record, "https://vo.example.org/resource/s/events")
    document = datacite_xml(record, "https://vo.example.org/resource/s/events")
    ns = {"d": KERNEL}
    assert document.findtext("d:identifier", namespaces=ns) == FULL.doi
    assert document.findtext("d:publicationYear", namespaces=ns) == values["publicationYear"] == "2026"
    names = [element.text for element in document.iterfind("d:creators/d:creator/d:creatorName", ns)]
    assert names == [creator["name"] for creator in values["creators"]]
    rights = document.find("d:rightsList/d:rights", ns)
    assert rights is not None
    assert rights.get("rightsURI") == "https://spdx.org/licenses/CC-BY-SA-4.0.html"
    assert [date.text for date in document.iterfind("d:dates/d:date", ns)] == ["2026-11-01", "2026-11-21"]


def test_a_table_without_a_doi_waits_for_one() -> None:
    bare = table_record(TABLES[1], SETTINGS, CATALOG, DATES, BASE)
    assert datacite_xml(bare, BASE)[0].text == "(:tba)"
    assert "doi" not in datacite_json(bare, BASE)
    assert datacite_json(bare, BASE)["publicationYear"] == "2020"


def test_coverage_is_written_where_there_is_some() -> None:
    records = [voresource(record) for record in of_tables()]
    assert [record.find("coverage/spatial") is not None for record in records] == [False, True] * len(TABLES)
    assert [record.find("coverage") is not None for record in records[:4]] == [True, True, False, True]
    assert records[1].findtext("coverage/spatial") == "6/0 62500"
    assert records[1].findtext("coverage/temporal") == "-1e-07 60000.5"
    assert [wave.text for wave in records[1].iterfind("coverage/waveband")] == ["Neutrino", "Gamma-ray"]


def test_the_broker_is_registered_where_it_can_be_reached() -> None:
    def address(**options: object) -> str | None:
        base = str(options.pop("base", "https://vo.example.org"))
        record = stream(replace_settings(**options), CATALOG, DATES, base, ())
        found = voresource(record).find("capability[@standardID='ivo://ivoa.net/std/voevent']/interface/accessURL")
        return None if found is None else found.text

    assert address() is None
    assert address(voevent_host="192.0.2.7") == "vtp://vo.example.org:8099"
    assert address(voevent_host="::", voevent_subscriber_port=0) is None
    assert address(base="http://127.0.0.1:8000", voevent_subscriber_port=7) == "vtp://127.0.0.1:7"
    assert address(base=BASE) == "vtp://[::1]:8099"


def replace_settings(**options: object) -> Settings:
    return Settings.model_validate(options)


def test_a_stream_of_another_authority_is_not_ours_to_register() -> None:
    foreign = Settings(authority="org.example.vo", voevent_stream="ivo://org.example/alerts")
    assert "stream" not in service_keys(foreign)
    assert "stream" in service_keys(SETTINGS)
    assert stream_ivoid(SETTINGS) == "ivo://org.example.vo/alerts"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026", "2026-01-01"), ("2026-11", "2026-11-01"), ("2026-11-21", "2026-11-21"), ("2026-13", None), (None, None)],
)
def test_dates_are_completed(text: str | None, expected: str | None) -> None:
    assert full_date(text) == expected


def test_what_is_blank_is_left_out() -> None:
    """New descriptions say nothing blank; the catalogue may have such from before."""
    blank = Resource("T", creators=(Person(" "), Person("A")), subjects=(" ",), license=" ", date="2017-02-30")
    record = table_record(Table("s", "t", COLUMNS, resource=blank), SETTINGS, CATALOG, DATES, BASE)
    assert [creator["name"] for creator in datacite_json(record, BASE)["creators"]] == ["A"]
    assert "subjects" not in datacite_json(record, BASE)
    dublin = dublin_core(record)
    assert [element.text for element in dublin.iterfind("{*}creator")] == ["A"]
    assert dublin.find("{*}subject") is None
    assert dublin.find("{*}rights") is None
    assert dublin.findtext("{*}date") == "2026-11-21T03:04:05Z"


def test_licences_are_those_of_spdx() -> None:
    assert {name: canonicalize_license_expression(name) for name in SPDX} == SPDX


def test_terms() -> None:
    assert uat_term(" Gamma-ray bursts ") == "gamma-ray-bursts"
    assert licence_uri(Resource("", license="CC0-1.0")) == "https://spdx.org/licenses/CC0-1.0.html"
    assert licence_uri(Resource("", license="CC-BY", license_url="https://x.org/")) == "https://x.org/"
    assert licence_uri(Resource("", license="as you like")) is None
    assert licence_uri(Resource("", license="CC-BY-4.9")) is None
    assert licence_uri(Resource("", license="cc-by-nc-sa-3.0-igo")) == (
        "https://spdx.org/licenses/CC-BY-NC-SA-3.0-IGO.html"
    )
    assert admin_email(Settings(contact_email="desk@example.org")) == "desk@example.org"
    assert admin_email(Settings(contact_email="desk")).endswith(".invalid")
