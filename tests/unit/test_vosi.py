"""The VOSI documents say what the objects say; read back with lxml, and with pyvo as an independent reader."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from lxml import etree
from pyvo.io.vosi import parse_availability, parse_capabilities, parse_tables

from conesearch.capabilities import ConeSearchCapability
from tap.capabilities import tap_capabilities
from vo_service.catalog.model import Catalog, Column, ForeignKey, Schema, Table
from vo_service.catalog.tap_schema import TABLES
from vo_service.config import Settings
from vo_service.vosi.availability import availability_document
from vo_service.vosi.capabilities import SimpleCapability, capabilities_document, vosi_capabilities
from vo_service.vosi.documents import NAMESPACES, Element, legal
from vo_service.vosi.tables import table_document, tableset_document

TYPE = f"{{{NAMESPACES['xsi']}}}type"

EVENTS = Table(
    "ev",
    "events",
    (
        Column("event_id", "long", ucd="meta.id;meta.main", indexed=True),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", principal=True, std=True),
        Column("time", "char", "*", xtype="timestamp", utype="a:b.c", description='a < b & "c" > d \x00\x0b'),
        Column("levels", "float", "2x3"),
    ),
    primary_key="event_id",
)
ODD = Table("Order", 'a"b', (Column("größe", "unicodeChar", "16*"),), table_type="view", utype="x:y")
KEY = ForeignKey("k", "ev.events", ODD.full_name, (("event_id", '"größe"'), ("ra", "two")), "why", "p:q")
CATALOG = Catalog((Schema("ev", (EVENTS,), "Events <&>"), Schema("Order", (ODD,), utype="s:t")), (KEY,))


def texts(element: Element, path: str) -> list[str]:
    """The texts or attributes that an XPath finds."""
    found = element.xpath(path)
    assert isinstance(found, list)
    return [str(text) for text in found]


@pytest.fixture(scope="module")
def tableset() -> Element:
    return etree.fromstring(tableset_document(CATALOG, detail="max"))


def test_names_are_as_written_in_queries(tableset: Element) -> None:
    assert texts(tableset, "schema/name/text()") == ["ev", '"Order"']
    assert texts(tableset, "schema/table/name/text()") == ["ev.events", '"Order"."a""b"']
    assert texts(tableset, "schema/table/column/name/text()") == ["event_id", "ra", '"time"', "levels", '"größe"']


def test_columns_carry_their_metadata(tableset: Element) -> None:
    _, right_ascension, time, *_ = tableset.iterfind("schema/table/column")
    assert (right_ascension.get("std"), time.get("std")) == ("true", "false")
    assert (right_ascension.findtext("unit"), right_ascension.findtext("ucd")) == ("deg", "pos.eq.ra;meta.main")
    assert time.findtext("utype") == "a:b.c"
    assert not texts(time, "(unit | ucd)/text()")


def test_types_are_those_of_votable(tableset: Element) -> None:
    written = [
        (e.get(TYPE), e.text, e.get("arraysize"), e.get("extendedType"))
        for e in tableset.iterfind("schema/table/column/dataType")
    ]
    assert written == [
        ("vs:VOTableType", "long", None, None),
        ("vs:VOTableType", "double", None, None),
        ("vs:VOTableType", "char", "*", "timestamp"),
        ("vs:VOTableType", "float", "2x3", None),
        ("vs:VOTableType", "unicodeChar", "16*", None),
    ]


def test_the_number_of_rows_stands_behind_the_utype() -> None:
    table = replace(ODD, rows=3_000_000_000)
    document = etree.fromstring(table_document(Catalog(), table))
    assert [child.tag for child in document][:3] == ["name", "utype", "nrows"]
    assert document.findtext("nrows") == "3000000000"
    assert etree.fromstring(table_document(Catalog(), TABLES[0])).find("nrows") is None


def test_flags(tableset: Element) -> None:
    flags = [texts(column, "flag/text()") for column in tableset.iterfind("schema/table/column")]
    assert flags == [["indexed", "primary"], ["principal"], [], [], []]


def test_a_foreign_key_stands_in_the_table_it_leaves(tableset: Element) -> None:
    (key,) = tableset.findall("schema/table/foreignKey")
    assert texts(key, "../name/text()") == ["ev.events"]
    assert key.findtext("targetTable") == '"Order"."a""b"'
    pairs = [(pair.findtext("fromColumn"), pair.findtext("targetColumn")) for pair in key.iterfind("fkColumn")]
    assert pairs == [("event_id", '"größe"'), ("ra", "two")]
    assert (key.findtext("description"), key.findtext("utype")) == ("why", "p:q")


def test_text_that_xml_cannot_hold_is_replaced(tableset: Element) -> None:
    assert texts(tableset, "schema/table/column/description/text()") == ['a < b & "c" > d \ufffd\ufffd']
    assert legal("\t\n\r \x7f\x85\U0001f52d") == "\t\n\r \x7f\x85\U0001f52d"
    assert legal("\x00\x08\x0b\x0c\x1f\ud800\ufffe\uffff") == "\ufffd" * 8


def test_detail_min_leaves_out_columns_and_keys_alone() -> None:
    document = etree.fromstring(tableset_document(CATALOG, detail="min"))
    assert texts(document, "//column | //foreignKey") == []
    assert texts(document, "schema/table/name/text()") == ["ev.events", '"Order"."a""b"']
    assert texts(document, "schema/table/@type") == ["table", "view"]
    assert texts(document, "schema/description/text()") == ["Events <&>"]


def test_one_table_is_what_the_tableset_says_of_it(tableset: Element) -> None:
    document = etree.fromstring(table_document(CATALOG, EVENTS))
    inner = next(tableset.iterfind("schema/table"))
    assert document.tag == f"{{{NAMESPACES['vtm']}}}table"
    assert document.items() == inner.items()
    assert [etree.tostring(e, method="c14n", exclusive=True) for e in document] == [
        etree.tostring(e, method="c14n", exclusive=True) for e in inner
    ]


def test_pyvo_reads_the_tables() -> None:
    tables = list(parse_tables(io.BytesIO(tableset_document(CATALOG, detail="max")), pedantic=True).iter_tables())
    assert [table.name for table in tables] == [EVENTS.full_name, ODD.full_name]
    time = tables[0].columns[2]
    assert (time.datatype.content, time.datatype.arraysize) == ("char", "*")


@pytest.mark.parametrize(
    "since", [datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))]
)
def test_pyvo_reads_the_availability(since: datetime) -> None:
    document = availability_document(False, since, ["down <&>", "back \x01 soon"])
    found = parse_availability(io.BytesIO(document), pedantic=True)
    assert found.available is False
    assert found.upsince == "2026-01-01T12:00:00Z"
    assert list(found.notes) == ["down <&>", "back \ufffd soon"]


def test_every_service_has_the_three_endpoints_below_its_address() -> None:
    document = etree.fromstring(capabilities_document(vosi_capabilities("http://x.org/tap")))
    found = zip(texts(document, "*/@standardID"), texts(document, "*/interface/accessURL/text()"), strict=True)
    assert dict(found) == {
        "ivo://ivoa.net/std/VOSI#capabilities": "http://x.org/tap/capabilities",
        "ivo://ivoa.net/std/VOSI#availability": "http://x.org/tap/availability",
        "ivo://ivoa.net/std/VOSI#tables-1.1": "http://x.org/tap/tables",
    }


def test_an_address_is_escaped() -> None:
    document = capabilities_document([SimpleCapability("ivo://a/b", "http://x.org/?a=1&b=<")])
    assert etree.fromstring(document).findtext("capability/interface/accessURL") == "http://x.org/?a=1&b=<"


def test_pyvo_reads_the_tap_capability() -> None:
    settings = Settings(maxrec_default=123, maxrec_limit=4567)
    document = capabilities_document(tap_capabilities("http://x.org/tap", settings))
    (tap,) = (c for c in parse_capabilities(io.BytesIO(document), pedantic=True) if c.standardid.endswith("std/TAP"))
    (interface,) = tap.interfaces
    assert (interface.version, interface.role) == ("1.1", "std")
    assert not interface.securitymethods
    assert [url.content for url in interface.accessurls] == ["http://x.org/tap"]
    assert {version.content: version.ivo_id for version in tap.languages[0].versions} == {
        "2.0": "ivo://ivoa.net/std/ADQL#v2.0",
        "2.1": "ivo://ivoa.net/std/ADQL#v2.1",
    }
    assert (tap.outputlimit.default.content, tap.outputlimit.hard.content) == (123, 4567)
    assert [method.ivo_id.rpartition("#")[2] for method in tap.uploadmethods] == [
        "upload-inline",
        "upload-http",
        "upload-https",
    ]
    duration, retention = tap.executionduration, tap.retentionperiod
    assert (duration.default, duration.hard) == (settings.async_timeout, settings.async_timeout_limit)
    assert (retention.default, retention.hard) == (settings.job_lifetime, settings.job_lifetime_limit)


def test_the_cone_search_address_is_ready_for_parameters() -> None:
    cone = ConeSearchCapability("http://x.org/scs/a/b", 10, (1.5, -2.5))
    (capability,) = etree.fromstring(capabilities_document([cone]))
    (interface,) = capability.findall("interface")
    assert capability.get(TYPE) == "cs:ConeSearch"
    assert interface.find("securityMethod") is None
    assert texts(interface, "accessURL[@use='base']/text()") == ["http://x.org/scs/a/b?"]
    assert texts(capability, "testQuery/*/text()") == ["1.5", "-2.5", "0.5"]
    assert texts(capability, "(maxSR | maxRecords | verbosity)/text()") == ["180.0", "10", "true"]
