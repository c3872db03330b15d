"""HTML results: what a browser makes of them, and that nothing in them is more than text."""

from __future__ import annotations

import pyarrow as pa
import pytest
from lxml import etree

from tests.support.columns import SAMPLES, batch_of
from tests.support.documents import ENDINGS, written
from vo_service.catalog.model import Column
from vo_service.formats.base import Info, ResultTable
from vo_service.formats.registry import FORMATS, find_format

EVIL = '<script>alert("1")</script>&amp;'
COLUMN = Column("x", "char", "*", unit="deg", ucd="meta.note", description="What it is")


def page(table: ResultTable, *texts: str | None, ending: str = "end") -> etree._Element:
    rows = pa.RecordBatch.from_pydict({"x": pa.array(texts, pa.string())})
    document = written(find_format("html").writer(table), rows, ending=ending, told=1 if ending == "overflow" else EVIL)
    return etree.fromstring(document, etree.HTMLParser(recover=False))


@pytest.mark.parametrize("ending", ENDINGS)
def test_everything_is_text(ending: str) -> None:
    evil = Column(EVIL, "char", "*", unit=EVIL, ucd=EVIL, description=EVIL)
    table = ResultTable((evil,), name=EVIL, description=EVIL, infos=(Info(EVIL, EVIL, EVIL),))
    root = page(table, EVIL, None, ending=ending)
    assert not list(root.iter("script"))
    assert [cell.text for cell in root.iter("td")] == [EVIL, None]
    assert str(root.xpath("string(.//th)")) == f"{EVIL} [{EVIL}]{EVIL}"
    assert (root.findtext(".//title"), root.findtext(".//h1"), root.findtext(".//p")) == (EVIL, EVIL, EVIL)
    assert (root.findtext(".//dt"), root.findtext(".//dd")) == (EVIL, EVIL)


def test_head() -> None:
    head = page(ResultTable((COLUMN,))).find(".//th")
    assert head is not None
    assert (head.text, head.findtext("small"), head.get("title")) == ("x [deg]", "What it is", "meta.note")


@pytest.mark.parametrize(
    ("ending", "note"),
    [
        ("end", None),
        ("overflow", "There are more rows than the 1 above."),
        ("failure", f"The query failed here; the rows above are not all: {EVIL}"),
    ],
)
def test_endings(ending: str, note: str | None) -> None:
    assert page(ResultTable((COLUMN,)), "a", ending=ending).findtext(".//p[@class='note']") == note


@pytest.mark.parametrize(
    ("value", "is_link"),
    [("https://example.org/a?b=1&c", True), ('https://example.org/"onclick=', True), ("javascript:alert(1)", False)],
)
def test_addresses_of_the_origin_are_links(value: str, is_link: bool) -> None:
    root = page(ResultTable((COLUMN,), infos=(Info("reference_url", value),)))
    links = [(dict(link.attrib), link.text) for link in root.iter("a")]
    assert links == ([({"href": value, "rel": "noreferrer"}, value)] if is_link else [])


def test_numbers_stand_on_the_right() -> None:
    document = written(find_format("html").writer(ResultTable(tuple(SAMPLES))), batch_of(SAMPLES, 1))
    row = etree.fromstring(document, etree.HTMLParser()).find(".//tbody/tr")
    assert row is not None
    names = [column.name for column, cell in zip(SAMPLES, row, strict=True) if cell.get("class") == "number"]
    assert names == ["byte", "short", "int", "long", "float", "double"]


def test_nobody_gets_html_without_naming_it() -> None:
    assert [format_.mime_type for format_ in FORMATS].index("text/html") > 0
    assert find_format(None).format is find_format("").format is not find_format("html").format
