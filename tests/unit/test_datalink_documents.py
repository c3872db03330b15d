"""Documents of DataLink: rows, service descriptors, and what of a result leads to the links of its rows."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from astropy.io.votable import parse
from lxml import etree

from datalink.descriptor import cutout_service
from datalink.identifiers import dataset_id, find_target
from datalink.links import COLUMNS, Link, as_batch, failed, links_of, links_of_file, service_name, within_limit
from tap.adql import parse as parse_adql
from tap.translate import translate
from tests.support.documents import written
from tests.support.xsd import complaints
from vo_service.catalog.model import Catalog, Column, Position, Resource, Schema, Statistics, Table
from vo_service.dali.links import query_links, row_links
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.register import Attachment
from vo_service.files.semantics import checked_semantics
from vo_service.formats.base import ResultTable
from vo_service.formats.registry import find_format
from vo_service.formats.services import InputParameter, ServiceDescriptor

AUTHORITY = "org.example.vo"
BASE = "https://vo.example.org"
NS = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}

EVENTS = Table(
    "ev",
    "Events",
    (
        Column("event_id", "int", ucd="meta.id;meta.main", description="Number"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
        Column(
            "mjd",
            "double",
            unit="d",
            ucd="time.epoch",
            description="MJD, UTC",
            statistics=Statistics("54000.5", "58000"),
        ),
        Column("E", "float", unit="GeV", ucd="phys.energy", statistics=Statistics("10.0", "1000.0")),
    ),
    position=Position("ra", "dec"),
    primary_key="event_id",
    epoch_column="mjd",
    resource=Resource("Events", doi="10.1234/ab(c)", reference_url="https://example.org/about"),
)
NAMES = Table("ev", "na me", (Column("a b", "char", "*", ucd="meta.id"),), primary_key="a b")
OBSCORE = Table(
    "ivoa", "obscore", (Column("obs_publisher_did", "char", "*", ucd="meta.ref.ivoid"), Column("t", "double")),
)  # fmt: skip
BARE = Table("ev", "bare", (Column("x", "int"),))
CATALOG = Catalog((Schema("ev", (EVENTS, NAMES, BARE)), Schema("ivoa", (OBSCORE,))))


def attachment(identifier: int, semantics: str, row: str | None = None) -> Attachment:
    return Attachment(
        identifier, "ev", "Events", row, f"file {identifier}.fits", semantics, "", "application/fits", None, 17,
        "0" * 64, None, datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def votable(table: ResultTable, *batches: pa.RecordBatch, form: str = "votable/td") -> bytes:
    return written(find_format(form).writer(table), *batches)


def test_identifiers_lead_to_tables_and_rows() -> None:
    for table, key in (
        (EVENTS, None),
        (EVENTS, "-17"),
        (NAMES, None),
        (NAMES, "a/b?c=d&e #%"),
        (NAMES, "files/7"),
        (BARE, None),
    ):
        identifier = dataset_id(table, AUTHORITY, key)
        target = find_target(identifier, CATALOG, AUTHORITY)
        assert (target.identifier, target.table, target.key) == (identifier, table, key)
    assert find_target("IVO://ORG.example.vo/EV/events?007", CATALOG, AUTHORITY).key == "7"
    assert find_target("007", CATALOG, AUTHORITY, EVENTS).key == "7"
    assert find_target("x y", CATALOG, AUTHORITY, NAMES).key == "x y"
    assert find_target("ivo://x/y?z#1", CATALOG, AUTHORITY, NAMES).key == "ivo://x/y?z#1"
    assert find_target(dataset_id(EVENTS, AUTHORITY, "7"), CATALOG, AUTHORITY, NAMES).table == EVENTS
    file = find_target(f"{dataset_id(BARE, AUTHORITY)}?files/12", CATALOG, AUTHORITY)
    assert (file.key, file.file) == (None, 12)


@pytest.mark.parametrize(
    "identifier",
    [
        f"ivo://{AUTHORITY}/ev/none", f"ivo://{AUTHORITY}/ev", f"ivo://{AUTHORITY}", "ivo://other/ev/Events",
        f"ivo://{AUTHORITY}/ev/Events?x", f"ivo://{AUTHORITY}/ev/Events?", f"ivo://{AUTHORITY}/ev/Events?2147483648",
        f"ivo://{AUTHORITY}/ev/Events?1_0", f"ivo://{AUTHORITY}/ev/bare?1", f"ivo://{AUTHORITY}/ev/Events/x",
        f"ivo://{AUTHORITY}/ev/Events?" + "9" * 5000, f"{dataset_id(NAMES, AUTHORITY)}?%00",
    ],
)  # fmt: skip
def test_identifiers_of_nothing_are_not_found(identifier: str) -> None:
    with pytest.raises(NotFoundError):
        find_target(identifier, CATALOG, AUTHORITY)


@pytest.mark.parametrize("identifier", ["", "17", "http://example.org/x", "foo:bar"])
def test_what_is_no_identifier_is_bad_usage(identifier: str) -> None:
    with pytest.raises(UsageError):
        find_target(identifier, CATALOG, AUTHORITY)


def test_each_link_has_one_of_address_service_and_error() -> None:
    files = [attachment(1, "#preview"), attachment(2, "#calibration"), attachment(3, "#preview", "5")]
    whole = find_target(dataset_id(EVENTS, AUTHORITY), CATALOG, AUTHORITY)
    row = find_target(dataset_id(EVENTS, AUTHORITY, "5"), CATALOG, AUTHORITY)
    of_table = list(links_of(whole, files, BASE, AUTHORITY, "cut"))
    of_row = list(links_of(row, files, BASE, AUTHORITY, "cut"))
    for link in (*of_table, *of_row, failed("x", "NotFoundFault: x")):
        assert sum(x is not None for x in (link.access_url, link.service_def, link.error_message)) == 1
    file = find_target(f"{whole.identifier}?files/2", CATALOG, AUTHORITY)
    (link,) = links_of_file(file, files, BASE)
    assert (link.semantics, link.access_url) == ("#this", f"{BASE}/files/2/file%202.fits")
    assert links_of_file(file, files[:1], BASE)[0].error_message == "NotFoundFault: there is no such file"
    documents = ["#documentation", "#documentation"]
    assert [link.semantics for link in of_table] == ["#this", "#cutout", "#preview", "#calibration", *documents]
    assert [link.semantics for link in of_row] == ["#this", "#calibration", "#preview", *documents]
    assert of_table[2].access_url == f"{BASE}/files/1/file%201.fits"
    assert of_table[-1].access_url == "https://doi.org/10.1234/ab%28c%29"
    assert of_row[0].access_url == f"{BASE}/datalink/cutout?ID=ivo%3A%2F%2F{AUTHORITY}%2Fev%2FEvents%3F5"


def test_links_of_one_identifier_are_not_cut_apart() -> None:
    groups = [[Link("a"), Link("a")], [Link("b"), Link("b")], [Link("c")]]
    assert within_limit(groups, 5) == ([*groups[0], *groups[1], *groups[2]], False)
    assert within_limit(groups, 4) == ([*groups[0], *groups[1]], True)
    assert within_limit(groups, 3) == (groups[0], True)
    assert within_limit(groups, 1) == ([], True)
    assert within_limit([], 0) == ([], False)


def test_the_table_of_links_and_its_service_are_a_votable(shared: Path) -> None:
    target = find_target(dataset_id(EVENTS, AUTHORITY), CATALOG, AUTHORITY)
    name = service_name(EVENTS)
    service = cutout_service(EVENTS, f"{BASE}/datalink/cutout", target.identifier, name)
    links = list(links_of(target, [attachment(1, "#preview")], BASE, AUTHORITY, name))
    document = votable(ResultTable(COLUMNS, name="links", services=(service,)), as_batch(links))
    assert not complaints(document, shared)
    table = parse(io.BytesIO(document), verify="exception").get_first_table().to_table()
    assert table["service_def"].tolist().count(name) == 1
    assert table["content_length"].tolist()[2] == 17
    root = etree.fromstring(document)
    (resource,) = root.findall("v:RESOURCE[@type='meta']", NS)
    assert (resource.get("utype"), resource.get("ID")) == ("adhoc:service", name)
    parameters = {element.get("name"): element for element in resource.iterfind("v:GROUP/v:PARAM", NS)}
    assert list(parameters) == ["ID", "CIRCLE", "POLYGON", "TIME", "ENERGY", "BAND", "MAXREC", "RESPONSEFORMAT"]
    assert parameters["ID"].get("value") == target.identifier
    widest = {
        name: limit.get("value", "")
        for name, element in parameters.items()
        for limit in element.iterfind(".//v:MAX", NS)
    }
    assert widest["TIME"] == "54000.5 58000"
    low, high = map(float, widest["BAND"].split())
    # 1 GeV is 1.2398e-15 m.
    assert (low, high) == pytest.approx((1.23984198e-18, 1.23984198e-16))


def test_a_table_without_axes_has_no_parameters_of_them() -> None:
    service = cutout_service(BARE, BASE, "ivo://x/y", "cut")
    assert [parameter.name for parameter in service.parameters] == ["ID", "MAXREC", "RESPONSEFORMAT"]


def links_of_query(query: str) -> list[tuple[str, tuple[str, ...]]]:
    statement = translate(parse_adql(query), CATALOG, limit=5)
    return [(link.url, link.columns()) for link in query_links(BASE, statement.sources, statement.columns)]


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("SELECT * FROM ev.Events", "event_id"),
        ("SELECT event_id AS number, ra FROM ev.Events", "number"),
        ("SELECT e.event_id FROM (SELECT * FROM ev.Events) e", "event_id"),
        ("SELECT ra FROM ev.Events", None),
        ("SELECT MAX(event_id) AS event_id FROM ev.Events", None),
        ("SELECT event_id + 1 AS event_id FROM ev.Events", None),
        ("SELECT a.event_id, b.event_id FROM ev.Events a, ev.Events b", None),
        ("SELECT * FROM ev.bare", None),
    ],
)
def test_results_with_the_primary_key_lead_to_links(query: str, column: str | None) -> None:
    assert links_of_query(query) == ([] if column is None else [(f"{BASE}/datalink/ev/Events", (column,))])


def test_results_of_obscore_lead_to_the_links_of_data_sets() -> None:
    assert links_of_query("SELECT t, obs_publisher_did AS did FROM ivoa.obscore") == [(f"{BASE}/datalink", ("did",))]
    assert links_of_query("SELECT t FROM ivoa.obscore") == []


def test_the_address_of_a_name_that_needs_it_is_escaped() -> None:
    assert links_of_query('SELECT "a b" FROM ev."na me"') == [(f"{BASE}/datalink/ev/na%20me", ("a b",))]


@pytest.mark.parametrize("form", ["votable/b2", "votable/b", "votable/td"])
def test_a_service_refers_to_a_field(form: str, shared: Path) -> None:
    table = ResultTable(EVENTS.columns, services=(row_links(BASE, EVENTS, "event_id"),))
    document = votable(table, form=form)
    assert not complaints(document, shared)
    root = etree.fromstring(document)
    (field,) = (element for element in root.iterfind(".//v:FIELD", NS) if element.get("ID"))
    (parameter,) = root.iterfind(".//v:GROUP[@name='inputParams']/v:PARAM", NS)
    assert (field.get("name"), field.get("ID"), parameter.get("ref")) == ("event_id", "event_id", "event_id")
    assert parse(io.BytesIO(document), verify="exception").get_first_table().to_table().colnames[0] == "event_id"


@pytest.mark.parametrize("name", ["a b", "1st", "größe", "system", 'q"<&', "x:y", "-"])
def test_any_name_of_a_column_gets_an_xml_id(name: str, shared: Path) -> None:
    columns = (replace(EVENTS.columns[0], name=name), EVENTS.columns[1])
    service = ServiceDescriptor("s", BASE, (InputParameter("ID", column=name),))
    document = votable(ResultTable(columns, services=(service,)))
    assert not complaints(document, shared)


def test_a_result_without_services_has_neither_ids_nor_descriptors() -> None:
    document = votable(ResultTable(EVENTS.columns))
    assert b"<FIELD ID" not in document
    assert b'type="meta"' not in document


def test_semantics_are_terms_of_the_vocabulary_or_uris() -> None:
    core = "http://www.ivoa.net/rdf/datalink/core#"
    assert [checked_semantics(term) for term in ("preview", "#preview", f"{core}preview")] == ["#preview"] * 3
    assert checked_semantics("http://example.org/terms#x") == "http://example.org/terms#x"
    for wrong in ("", "#", "Preview", "#provenance", f"{core}nothing", "two words", "a:b c"):
        with pytest.raises(UsageError):
            checked_semantics(wrong)
