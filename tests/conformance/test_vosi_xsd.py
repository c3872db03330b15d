"""VOSI documents of awkward catalogues against the IVOA's schemas; and that these schemas do object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.support.xsd import complaints
from vo_service.catalog.model import Catalog, Column, ForeignKey, Schema, Table
from vo_service.vosi.availability import availability_document
from vo_service.vosi.capabilities import SimpleCapability, capabilities_document
from vo_service.vosi.tables import table_document, tableset_document

TEXTS = (
    '<a href="x">&amp;</a> ]]> <!-- \'"',
    "".join(map(chr, range(0x20))) + "\x7f\x85\u2028\ufffe\uffff\ud800",
    "γ-ray 🔭 \n\n   two   spaces ",
)
NAMES = ("select", 'a"b', "größe", "1st", "with space", "a<b>&c", "TIME")
ARRAYSIZES = ("*", "16", "16*", "2x3", "2x3x*")

COLUMNS = (
    *(Column(name, "double", unit="deg", ucd="pos.eq.ra", principal=True, indexed=True, std=True) for name in NAMES),
    *(Column(f"text{n}", "char", "*", xtype="timestamp", description=text) for n, text in enumerate(TEXTS)),
    *(Column(f"array{n}", "float", size, utype="a:b") for n, size in enumerate(ARRAYSIZES)),
    *(Column(f"of_{t}", t) for t in ("boolean", "unsignedByte", "short", "int", "long", "float", "double", "char")),
)
TABLES = tuple(
    Table("Order", name, COLUMNS, description=TEXTS[n % len(TEXTS)], utype="x:y", primary_key="select")
    for n, name in enumerate(NAMES)
)
KEYS = tuple(
    ForeignKey(f"k{n}", table.full_name, TABLES[0].full_name, (('"select"', '"select"'), ('"a""b"', '"1st"')), text)
    for n, (table, text) in enumerate(zip(TABLES[1:], (*TEXTS, None, "", "x"), strict=True))
)
CATALOG = Catalog((Schema("Order", TABLES, TEXTS[0], "s:t"), Schema("without tables", ())), KEYS)


@pytest.mark.parametrize("detail", ["min", "max"])
def test_tableset(detail: str, shared: Path) -> None:
    assert complaints(tableset_document(CATALOG, detail="min" if detail == "min" else "max"), shared) == []


@pytest.mark.parametrize("table", [*TABLES, Table("a", "bare", ())], ids=lambda table: table.name)
def test_table(table: Table, shared: Path) -> None:
    assert complaints(table_document(CATALOG, table), shared) == []


@pytest.mark.parametrize("available", [True, False])
def test_availability(available: bool, shared: Path) -> None:
    since = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-11)))
    assert complaints(availability_document(available, since, TEXTS), shared) == []
    assert complaints(availability_document(available, datetime(2026, 1, 1, tzinfo=UTC)), shared) == []


def test_capability_with_an_address_to_escape(shared: Path) -> None:
    capability = SimpleCapability("ivo://a/b", 'http://x.org/?a=1&b=%3C"', version="1.1")
    assert complaints(capabilities_document([capability]), shared) == []


def test_the_schemas_object_to_faulty_documents(shared: Path) -> None:
    document = table_document(CATALOG, TABLES[0])
    assert complaints(document.replace(b"vs:VOTableType", b"vs:NoSuchType"), shared)
    assert complaints(document.replace(b"<name>", b"<title>").replace(b"</name>", b"</title>"), shared)
    assert complaints(document.replace(b'std="true"', b'std="perhaps"'), shared)
