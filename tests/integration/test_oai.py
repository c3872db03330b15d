"""The publishing registry over real sockets and a real database: harvested by a harvester of our own and by Sickle."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import pyvo
from datacite import schema45
from lxml import etree
from sickle import Sickle

from tests.support.database import execute, new_database
from tests.support.served import served
from tests.support.xsd import complaints
from vo_service.app import OWN
from vo_service.catalog.model import Column, Person, Position, Resource, Schema, Table
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.coverage.store import record_coverage
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.ingest.drop import drop_table
from vo_service.sky.healpix import hpx

NS = {"oai": "http://www.openarchives.org/OAI/2.0/", "ri": "http://www.ivoa.net/xml/RegistryInterface/v1.0"}
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
AUTHORITY = "org.example.vo"
OPTIONS = {"authority": AUTHORITY, "registry_page_size": 3, "contact_email": "desk@example.org", "title": "Example"}

RESOURCE = Resource(
    "Candidates",
    description="All of them.",
    creators=(Person("Josiah Carberry", orcid="0000-0002-1825-0097", affiliation="Brown"), Person("The others")),
    publisher="The Press",
    subjects=("Neutrino astronomy",),
    license="CC-BY-4.0",
    doi="10.5281/zenodo.1234567",
    date="2026-11",
    version="2",
    waveband=("Neutrino",),
)
COLUMNS = (
    Column("id", "long", ucd="meta.id;meta.main"),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
)
EVENTS = Table("sky", "events", COLUMNS, "Events", position=Position("ra", "dec"), rows=2, resource=RESOURCE)
PLAIN = Table("sky", "größe & co", (Column("x", "int"),), resource=Resource(""))
OTHERS = tuple(replace(EVENTS, name=f"more{number}") for number in range(4))
UNDESCRIBED = Table("sky", "bare", (Column("x", "int"),))
SERVICE = {f"ivo://{AUTHORITY}{rest}" for rest in ("", "/org", "/registry", "/tap", "/alerts")}


def ivoid(name: str) -> str:
    return f"ivo://{AUTHORITY}/sky/{name}"


ALL = SERVICE | {ivoid(table.name) for table in (EVENTS, *OTHERS)} | {ivoid("gr=C3=B6=C3=9Fe=20=26=20co")}


def publish(access: Access, *tables: Table) -> None:
    """Publish tables with two rows each, or what has changed of them."""
    with psycopg.connect(access.writer.conninfo) as connection:
        publish_schema(connection, Schema("sky", (), description="Of a test"))
        for table in tables:
            _create(connection, table)
            publish_table(connection, table)


def _create(connection: psycopg.Connection[Any], table: Table) -> None:
    name = '"sky"."' + table.name + '"'
    connection.execute('CREATE SCHEMA IF NOT EXISTS "sky"')
    if table.position is None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} (x integer)".encode())
    else:
        columns = "id bigint, ra float8, dec float8, hpx bigint"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})".encode())
        for number, (ra, dec) in enumerate(((77.36, 5.69), (77.5, 5.5))):
            row = (number, ra, dec, int(hpx(ra, dec)))
            connection.execute(f"INSERT INTO {name} VALUES (%s, %s, %s, %s)".encode(), row)
    connection.execute('GRANT USAGE ON SCHEMA "sky" TO PUBLIC')
    connection.execute(f"GRANT SELECT ON {name} TO PUBLIC".encode())


@contextmanager
def published(server: Access) -> Iterator[Access]:
    """A database with the tables above."""
    with new_database(server) as access:
        initialise(access, OWN)
        publish(access, EVENTS, PLAIN, *OTHERS, UNDESCRIBED)
        yield access


@pytest.fixture
def access(server: Access) -> Iterator[Access]:
    """For tests that change what is published."""
    with published(server) as access:
        yield access


@pytest.fixture
def url(access: Access) -> Iterator[str]:
    """The address of its service."""
    with served(access, **OPTIONS) as url:
        yield url


@pytest.fixture(scope="module")
def still_url(server: Access) -> Iterator[str]:
    """The address of a service for tests that change nothing."""
    with published(server) as access, served(access, **OPTIONS) as url:
        yield url


@dataclass(frozen=True)
class Harvested:
    """A record: its datestamp, whether it is deleted, and what is in it."""

    datestamp: str
    deleted: bool
    content: etree._Element | None


class Harvester:
    """Harvests as the specification says, and lets the schemas judge every answer."""

    def __init__(self, url: str, shared: Path) -> None:
        self._url, self._shared = f"{url}/oai", shared
        self.pages = 0

    def ask(self, **arguments: str) -> etree._Element:
        answer = httpx.get(self._url, params=arguments)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/xml")
        assert complaints(answer.content, self._shared) == []
        document = etree.fromstring(answer.content)
        assert document.find("oai:error", NS) is None, answer.text
        return document

    def harvest(self, verb: str = "ListRecords", prefix: str = "ivo_vor", **arguments: str) -> dict[str, Harvested]:
        found: dict[str, Harvested] = {}
        wanted = {"metadataPrefix": prefix, **arguments}
        sizes = []
        while True:
            document = self.ask(verb=verb, **wanted)
            self.pages += 1
            for header in document.iterfind(f"oai:{verb}//oai:header", NS):
                name = header.findtext("oai:identifier", "", NS)
                assert name not in found
                content = next(header.itersiblings("{*}metadata"), [None])[0]
                found[name] = Harvested(
                    header.findtext("oai:datestamp", "", NS), header.get("status") == "deleted", content
                )
            token = document.find(".//oai:resumptionToken", NS)
            if token is None:
                return found
            sizes.append(int(token.get("completeListSize", "0")))
            if not token.text:
                assert set(sizes) == {len(found)}
                return found
            wanted = {"resumptionToken": token.text}


@pytest.fixture
def harvester(url: str, shared: Path) -> Harvester:
    return Harvester(url, shared)


@pytest.fixture
def still_harvester(still_url: str, shared: Path) -> Harvester:
    return Harvester(still_url, shared)


def next_second() -> str:
    """Wait until a second later than all that has happened; gives it as OAI-PMH has it."""
    time.sleep(1.1)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_two_harvests_find_the_same_records(still_harvester: Harvester) -> None:
    first = still_harvester.harvest()
    assert still_harvester.pages == 4
    assert set(first) == ALL
    assert {name: record.datestamp for name, record in still_harvester.harvest().items()} == {
        name: record.datestamp for name, record in first.items()
    }
    assert set(still_harvester.harvest(prefix="oai_dc", set="ivo_managed")) == ALL
    assert set(still_harvester.harvest("ListIdentifiers")) == ALL
    for name, record in first.items():
        assert record.content is not None
        assert record.content.tag == f"{{{NS['ri']}}}Resource"
        assert record.content.findtext("identifier") == name
    kinds = {name.removeprefix(f"ivo://{AUTHORITY}"): record.content.get(XSI_TYPE) for name, record in first.items()}  # type: ignore[union-attr]
    assert kinds[""] == "vg:Authority"
    assert kinds["/org"] == "vr:Organisation"
    assert kinds["/registry"] == "vg:Registry"
    assert kinds["/tap"] == kinds["/sky/events"] == "vs:CatalogService"
    assert kinds["/sky/gr=C3=B6=C3=9Fe=20=26=20co"] == "vs:CatalogResource"


def test_an_incremental_harvest_finds_changes_and_deletions(access: Access, harvester: Harvester) -> None:
    before = harvester.harvest()
    moment = next_second()
    publish(access, replace(EVENTS, description="Described anew"), replace(EVENTS, name="new"))
    drop_table(access, "sky.more1")
    found = harvester.harvest(**{"from": moment})
    assert set(found) == {ivoid("events"), ivoid("new"), ivoid("more1"), f"ivo://{AUTHORITY}/tap"}
    assert [name for name, record in found.items() if record.deleted] == [ivoid("more1")]
    assert found[ivoid("more1")].content is None
    assert found[ivoid("events")].content.findtext("content/description", "").startswith("Described anew")  # type: ignore[union-attr]
    tables = {name.text for name in found[f"ivo://{AUTHORITY}/tap"].content.iterfind("tableset/schema/table/name")}  # type: ignore[union-attr]
    assert {"sky.events", "sky.new", "sky.bare"} < tables
    assert "sky.more1" not in tables
    # Everything else is as it was, and the deleted record stays.
    whole = harvester.harvest()
    assert set(whole) == ALL | {ivoid("new")}
    assert {name for name in before if whole[name].datestamp != before[name].datestamp} == set(found) - {ivoid("new")}
    assert set(harvester.harvest(until=max(record.datestamp for record in before.values()))) == ALL - set(found)


def test_rows_that_change_the_coverage_alone_are_a_change_of_the_record(access: Access, harvester: Harvester) -> None:
    moment = next_second()
    with psycopg.connect(access.writer.conninfo) as connection:
        record_coverage(connection, EVENTS)
    assert set(harvester.harvest(**{"from": moment})) == {ivoid("events")}


def test_a_list_of_which_nothing_is_left_is_to_be_asked_for_anew(url: str, access: Access, shared: Path) -> None:
    until = next_second()
    asked = {"verb": "ListRecords", "metadataPrefix": "oai_dc", "until": until}
    while token := Harvester(url, shared).ask(**asked).findtext(".//oai:resumptionToken", "", NS):
        asked, last = {"verb": "ListRecords", "resumptionToken": token}, token
    next_second()
    with psycopg.connect(access.writer.conninfo) as connection:
        connection.execute("UPDATE vo_service.registry_record SET datestamp = now()")
    answer = httpx.get(f"{url}/oai", params={"verb": "ListRecords", "resumptionToken": last})
    assert complaints(answer.content, shared) == []
    assert 'code="badResumptionToken"' in answer.text


def test_a_record_that_comes_again_is_no_longer_deleted(access: Access, harvester: Harvester) -> None:
    drop_table(access, "sky.more2")
    get = {"verb": "GetRecord", "identifier": ivoid("more2"), "metadataPrefix": "ivo_vor"}
    record = harvester.ask(**get).find("oai:GetRecord/oai:record", NS)
    assert record is not None
    assert [etree.QName(child).localname for child in record] == ["header"]
    publish(access, OTHERS[2])
    assert harvester.ask(**get).find("oai:GetRecord/oai:record/oai:metadata/ri:Resource", NS) is not None


def test_a_schema_described_anew_dates_the_records_of_its_tables(access: Access, harvester: Harvester) -> None:
    moment = next_second()
    publish(access, EVENTS)
    with pytest.raises(AssertionError, match="noRecordsMatch"):
        harvester.harvest(**{"from": moment})
    with psycopg.connect(access.writer.conninfo) as connection:
        publish_schema(connection, Schema("sky", (), description="In other words"))
    assert set(harvester.harvest(**{"from": moment})) == ALL - SERVICE


def test_what_is_rolled_back_was_never_there(access: Access, harvester: Harvester) -> None:
    before = harvester.harvest()
    with psycopg.connect(access.writer.conninfo) as connection:
        _create(connection, never := replace(EVENTS, name="never"))
        publish_table(connection, never)
        assert harvester.harvest().keys() == before.keys()
        connection.rollback()
    after = harvester.harvest()
    assert {name: record.datestamp for name, record in after.items()} == {
        name: record.datestamp for name, record in before.items()
    }


def test_records_are_dated_at_the_end_of_a_transaction(access: Access, harvester: Harvester) -> None:
    with psycopg.connect(access.writer.conninfo) as connection:
        _create(connection, slow := replace(EVENTS, name="slow"))
        publish_table(connection, slow)
        moment = next_second()
    assert harvester.harvest()[ivoid("slow")].datestamp >= moment


def test_who_has_to_wait_for_another_publication_is_dated_after_it(access: Access, harvester: Harvester) -> None:
    late = replace(EVENTS, name="late")
    with psycopg.connect(access.writer.conninfo) as other:
        publish_table(other, replace(EVENTS, description="Other words"))
        other.execute("SET CONSTRAINTS ALL IMMEDIATE")
        waiting = threading.Thread(target=publish, args=(access, late))
        waiting.start()
        moment = next_second()
    waiting.join()
    assert harvester.harvest()[ivoid("late")].datestamp >= moment


def test_a_changed_setting_dates_all_records_anew(access: Access, shared: Path) -> None:
    with served(access, **OPTIONS, public_url="https://vo.example.org") as url:
        before = Harvester(url, shared).harvest()
    moment = next_second()
    with served(access, **OPTIONS, public_url="https://vo.example.org") as url:
        again = Harvester(url, shared).harvest()
    assert {record.datestamp for record in again.values()} == {record.datestamp for record in before.values()}
    with served(access, **OPTIONS, public_url="https://data.example.org") as url:
        moved = Harvester(url, shared).harvest(**{"from": moment})
    assert set(moved) == ALL


def test_sickle_harvests_all_and_the_changes(url: str, access: Access) -> None:
    sickle = Sickle(f"{url}/oai")
    assert sickle.Identify().deletedRecord == "persistent"
    assert {form.metadataPrefix for form in sickle.ListMetadataFormats()} == {"ivo_vor", "oai_dc"}
    assert [group.setSpec for group in sickle.ListSets()] == ["ivo_managed"]
    for _ in range(2):
        assert {record.header.identifier for record in sickle.ListRecords(metadataPrefix="oai_dc")} == ALL
    moment = next_second()
    drop_table(access, "sky.more3")
    publish(access, replace(EVENTS, description="Other words"))
    changed = list(sickle.ListRecords(**{"metadataPrefix": "oai_dc", "from": moment}))
    assert {record.header.identifier: record.deleted for record in changed} == {
        ivoid("more3"): True,
        ivoid("events"): False,
        f"ivo://{AUTHORITY}/tap": False,
    }
    assert sickle.GetRecord(identifier=ivoid("events"), metadataPrefix="oai_dc").metadata["rights"][0] == "CC-BY-4.0"


ERRORS = (
    ("", "badVerb"),
    ("verb=", "badVerb"),
    ("verb=NastyVerb", "badVerb"),
    ("verb=identify", "badVerb"),
    ("verb=Identify&verb=Identify", "badVerb"),
    ("verb=Identify&test=test", "badArgument"),
    ("verb=ListMetadataFormats&metadataPrefix=oai_dc", "badArgument"),
    (f"verb=ListMetadataFormats&identifier=ivo://{AUTHORITY}/nothing", "idDoesNotExist"),
    ("verb=ListMetadataFormats&identifier=really_wrong_id", "badArgument"),
    ("verb=ListSets&resumptionToken=junktoken", "badResumptionToken"),
    ("verb=ListSets&set=ivo_managed", "badArgument"),
    ("verb=ListIdentifiers", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&until=junk", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=junk", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2001-02-30", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2001-01-01T00:00:00", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2001-01-01T00:00:00.5Z", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2000-02-05&until=2000-02-06T05:35:00Z", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2002-02-05&until=2000-02-06", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2002-02-05&from=2002-02-06", "badArgument"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&until=1969-01-01", "noRecordsMatch"),
    ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=9999-12-31", "noRecordsMatch"),
    (
        "verb=ListIdentifiers&metadataPrefix=oai_dc&from=9999-12-31T23:59:59Z&until=9999-12-31T23:59:59Z",
        "noRecordsMatch",
    ),
    ("verb=ListRecords&metadataPrefix=oai_dc&set=really_wrong_set", "noRecordsMatch"),
    ("verb=ListRecords&metadataPrefix=oai_dc&set=wrong%20set", "badArgument"),
    ("verb=ListRecords&metadataPrefix=thisDoesNotExist", "cannotDisseminateFormat"),
    ("verb=ListRecords&metadataPrefix=not/a/prefix", "badArgument"),
    ("verb=ListRecords&resumptionToken=junktoken", "badResumptionToken"),
    ("verb=ListRecords&resumptionToken=", "badResumptionToken"),
    ("verb=ListRecords&resumptionToken=bnVsbA%3D%3D", "badResumptionToken"),
    ("verb=ListRecords&resumptionToken=junktoken&from=2000-02-05", "badArgument"),
    ("verb=GetRecord", "badArgument"),
    ("verb=GetRecord&metadataPrefix=oai_dc", "badArgument"),
    (f"verb=GetRecord&identifier={ivoid('events')}", "badArgument"),
    (f"verb=GetRecord&identifier={ivoid('events')}&metadataPrefix=really_wrong", "cannotDisseminateFormat"),
    ("verb=GetRecord&metadataPrefix=oai_dc&identifier=invalid%22id", "badArgument"),
    ("verb=GetRecord&metadataPrefix=oai_dc&identifier=ivo://not.ours/x", "idDoesNotExist"),
    (f"verb=GetRecord&metadataPrefix=oai_dc&identifier={ivoid('bare')}", "idDoesNotExist"),
    (f"verb=GetRecord&metadataPrefix=oai_dc&identifier={ivoid('%25%00')}", "badArgument"),
    (f"verb=GetRecord&metadataPrefix=oai_dc&identifier=ivo://{AUTHORITY}/a/b/c", "idDoesNotExist"),
    (f"verb=GetRecord&metadataPrefix=oai_dc&identifier=ivo://{AUTHORITY}/a=00", "idDoesNotExist"),
    (f"verb=GetRecord&metadataPrefix=oai_dc&identifier=ivo://{AUTHORITY}/a=00/b", "idDoesNotExist"),
    ("verb=ListRecords&metadataPrefix=%FF", "badArgument"),
)


def test_every_wrong_request_gets_its_error(still_url: str, shared: Path) -> None:
    wrong = []
    for query, expected in ERRORS:
        answers = (
            httpx.get(f"{still_url}/oai?{query}"),
            httpx.post(
                f"{still_url}/oai", content=query, headers={"Content-Type": "application/x-www-form-urlencoded"}
            ),
        )
        for answer in answers:
            codes = [e.get("code") for e in etree.fromstring(answer.content).iterfind("oai:error", NS)]
            if (answer.status_code, codes) != (200, [expected]) or complaints(answer.content, shared):
                wrong.append((query, answer.status_code, codes, complaints(answer.content, shared)))
    assert wrong == []


def test_post_is_answered_as_get(still_url: str) -> None:
    arguments = {
        "verb": "GetRecord",
        "identifier": ivoid("events").upper().replace("IVO:", "ivo:"),
        "metadataPrefix": "oai_dc",
    }
    documents = [
        etree.fromstring(answer.content)
        for answer in (httpx.get(f"{still_url}/oai", params=arguments), httpx.post(f"{still_url}/oai", data=arguments))
    ]
    assert documents[0].findtext(".//oai:header/oai:identifier", namespaces=NS) == ivoid("events")
    got, posted = ([etree.tostring(e) for e in document.iterfind("oai:GetRecord", NS)] for document in documents)
    assert got == posted
    assert httpx.put(f"{still_url}/oai").status_code == 405
    assert httpx.head(f"{still_url}/oai", params={"verb": "Identify"}).status_code == 200


def test_identify_tells_of_the_registry(still_harvester: Harvester, still_url: str) -> None:
    answer = still_harvester.ask(verb="Identify").find("oai:Identify", NS)
    assert answer is not None
    assert answer.findtext("oai:baseURL", namespaces=NS) == f"{still_url}/oai"
    assert answer.findtext("oai:adminEmail", namespaces=NS) == "desk@example.org"
    records = still_harvester.harvest()
    earliest = min(record.datestamp for record in records.values())
    assert answer.findtext("oai:earliestDatestamp", namespaces=NS) == earliest
    own = answer.find("oai:description/ri:Resource", NS)
    assert own is not None
    assert own.findtext("managedAuthority") == AUTHORITY
    assert own.find("capability/interface/accessURL").text == f"{still_url}/oai"  # type: ignore[union-attr]
    harvested = records[f"ivo://{AUTHORITY}/registry"].content
    assert etree.tostring(own.find("capability")) == etree.tostring(harvested.find("capability"))  # type: ignore[union-attr, arg-type]


def test_capabilities_in_records_are_those_of_the_services(
    still_harvester: Harvester, still_url: str, shared: Path
) -> None:
    records = still_harvester.harvest()
    for name, address in (("/sky/events", "/scs/sky/events"), ("/tap", "/tap"), ("/registry", "/oai")):
        answer = httpx.get(f"{still_url}{address}/capabilities")
        assert complaints(answer.content, shared) == []
        live = {etree.tostring(e, method="c14n", exclusive=True) for e in etree.fromstring(answer.content)}
        record = records[f"ivo://{AUTHORITY}{name}"].content
        assert record is not None
        assert live <= {etree.tostring(e, method="c14n", exclusive=True) for e in record.iterfind("capability")}


def test_from_a_record_to_a_cone_search(still_harvester: Harvester) -> None:
    record = still_harvester.harvest()[ivoid("events")].content
    assert record is not None
    capability = record.find("capability[@standardID='ivo://ivoa.net/std/ConeSearch']")
    assert capability is not None
    query = {name: float(capability.findtext(f"testQuery/{name}", "nan")) for name in ("ra", "dec", "sr")}
    service = pyvo.dal.SCSService(capability.findtext("interface/accessURL"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy remarks on what SCS 1.03 prescribes
        assert len(service.search(pos=(query["ra"], query["dec"]), radius=query["sr"])) == 2
    assert record.findtext("rights") == "CC-BY-4.0"
    assert record.findtext("altIdentifier") == "doi:10.5281/zenodo.1234567"
    assert record.findtext("curation/creator/altIdentifier") == "https://orcid.org/0000-0002-1825-0097"
    assert record.findtext("content/subject") == "neutrino-astronomy"
    assert record.findtext("coverage/waveband") == "Neutrino"
    cells = record.findtext("coverage/spatial")
    assert cells is not None
    assert cells.startswith("6/")


def test_the_landing_page_speaks_every_format(url: str, shared: Path, access: Access) -> None:
    page = f"{url}/resource/sky/events"

    def get(accept: str) -> httpx.Response:
        return httpx.get(page, headers={"Accept": accept})

    for accept in ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "*/*"):
        assert get(accept).headers["content-type"] == "text/html; charset=utf-8"
    html = etree.fromstring(get("text/html").content, etree.XMLParser(resolve_entities=False))
    words = " ".join("".join(map(str, html.itertext())).split())
    for expected in (
        "Candidates",
        "Josiah Carberry",
        "The Press",
        "CC-BY-4.0",
        ivoid("events"),
        "10.5281/zenodo.1234567",
    ):
        assert expected in words
    for accept in ("application/xml", "text/xml", "application/x-voresource+xml"):
        record = get(accept)
        assert complaints(record.content, shared) == []
        assert etree.fromstring(record.content).findtext("identifier") == ivoid("events")
    assert 'rel="cite-as"' in record.headers["link"]
    json_ = get("application/vnd.datacite.datacite+json")
    schema45.validate(json_.json())
    assert json_.json()["doi"] == "10.5281/zenodo.1234567"
    assert json_.json()["publicationYear"] == "2026"
    xml = etree.fromstring(get("application/vnd.datacite.datacite+xml").content)
    assert xml.findtext("{*}identifier") == "10.5281/zenodo.1234567"
    assert httpx.get(f"{page}?RESPONSEFORMAT=datacite-json").json() == json_.json()
    assert httpx.get(f"{page}?RESPONSEFORMAT=nonsense").status_code == 400
    assert httpx.get(f"{url}/resource/sky/{quote(PLAIN.name)}").status_code == 200
    for nothing in ("nothing", "bare", "%00", "..%2Fx"):
        assert httpx.get(f"{url}/resource/sky/{nothing}").status_code == 404
    drop_table(access, "sky.events")
    for accept in ("text/html", "application/xml"):
        gone = get(accept)
        assert gone.status_code == 410
        assert "withdrawn" in gone.text


def test_the_database_of_an_earlier_version_gets_its_records(server: Access, shared: Path) -> None:
    with new_database(server) as access:
        initialise(access, OWN)
        publish(access, EVENTS)
        execute(access.owner.conninfo, "DROP TABLE vo_service.registry_record, vo_service.registry_state")
        initialise(access, OWN)
        initialise(access, OWN)
        with served(access, **OPTIONS) as url:
            assert set(Harvester(url, shared).harvest()) == SERVICE | {ivoid("events")}
