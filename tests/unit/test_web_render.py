"""The filters of the pages: what becomes a link, and what does not."""

from __future__ import annotations

import ast
import shlex
from types import SimpleNamespace

import pytest
from lxml import etree

from vo_service.catalog.model import Column, Resource, Table
from vo_service.config import Settings
from vo_service.web import render


@pytest.mark.parametrize(
    "doi", ["10.5281/zenodo.1234567", "doi:10.5281/zenodo.1234567", "https://doi.org/10.5281/zenodo.1234567"]
)
def test_a_doi_resolves_in_every_spelling(doi: str) -> None:
    assert render.doi_url(doi) == "https://doi.org/10.5281/zenodo.1234567"


def test_a_doi_of_old_style_is_encoded() -> None:
    assert render.doi_url("10.1002/(SICI)1<1::X>3.0") == "https://doi.org/10.1002/(SICI)1%3C1::X%3E3.0"


@pytest.mark.parametrize("text", ["", "10.5281", "javascript:alert(1)", "https://evil.example/10.5281/x", "10.1/x\n"])
def test_what_is_no_doi_is_no_link(text: str) -> None:
    assert render.doi_url(text) is None


def test_an_orcid_resolves() -> None:
    assert render.orcid_url("0000-0002-1825-0097") == "https://orcid.org/0000-0002-1825-0097"
    assert render.orcid_url("https://orcid.org/0000-0002-1694-233X") == "https://orcid.org/0000-0002-1694-233X"


@pytest.mark.parametrize("text", ["0000-0002-1825", "0000-0002-1825-0097/x", "javascript:0000-0002-1825-0097"])
def test_what_is_no_orcid_is_no_link(text: str) -> None:
    assert render.orcid_url(text) is None


@pytest.mark.parametrize(
    "text", [None, "", "javascript:alert(1)", "ftp://x", "//x", "https://", "https://a b", "https://a\n"]
)
def test_only_web_addresses_become_links(text: str | None) -> None:
    assert render.web_url(text) is None


def test_web_addresses_become_links() -> None:
    assert render.web_url("https://example.org/a?b=c#d") == "https://example.org/a?b=c#d"


def test_a_name_is_one_segment_of_a_path() -> None:
    assert Table('a/b c?d#e%"é', "t/u", ()).path == "a%2Fb%20c%3Fd%23e%25%22%C3%A9/t%2Fu"


def test_paragraphs_are_split_at_blank_lines() -> None:
    assert render.paragraphs("a\nb\n \n\n c \n") == ["a\nb", "c"]
    assert render.paragraphs(None) == []


def test_the_type_of_a_column_has_its_arraysize() -> None:
    assert render.column_type(Column("x", "double")) == "double"
    assert render.column_type(Column("x", "char", arraysize="16*")) == "char(16*)"


@pytest.mark.parametrize("text", ['SELECT "a b" FROM x', "it's", "a\\b\n\u2028$`!", "é"])
def test_texts_survive_python_and_the_shell(text: str) -> None:
    assert ast.literal_eval(render.python_literal(text)) == text
    assert shlex.split(shlex.quote(text)) == [text]


@pytest.mark.parametrize(
    ("about", "shown"),
    [
        (Resource("T", date="2017"), {"Published": "2017"}),
        (Resource("T", version="1.0"), {"Version": "1.0"}),
        (Resource("T", version="1.0", date="2017-03"), {"Version": "1.0", "Published": "2017-03"}),
    ],
)
def test_a_date_is_no_version(about: Resource, shown: dict[str, str]) -> None:
    table = Table("s", "t", (Column("x", "int"),), resource=about)
    record = SimpleNamespace(about=about, title="T", ivoid="ivo://org.example.vo/s/t", description="")
    values = {"record": record, "table": table, "settings": Settings(), "base": "", "root": "", "endpoints": ()}
    page = bytes(render.render("resource.html", values | {"updated": "2026-11-21"}).body)
    entries = [[str(part.text) for part in entry] for entry in etree.fromstring(page, etree.HTMLParser()).iter("div")]
    assert {entry[0]: entry[1] for entry in entries if entry and entry[0] in ("Version", "Published")} == shown
