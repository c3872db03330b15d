"""The examples document: read as clients read it, and every query in it run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import psycopg
import pytest
from lxml import etree

from tap.adql import parse
from tap.example_queries import Query, example_queries, queries_of
from tap.examples import example_problems
from tap.translate import translate
from tests.support.database import new_database
from tests.support.published import ALERTS, CATALOG, EVENTS, SHOWERS, tables_in
from tests.support.served import served
from tests.support.service import Service
from vo_service.catalog.description import load_description
from vo_service.catalog.model import Catalog, Column, Example, Position, Schema, Statistics, Table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.ingest.load import load


def select(element: etree._Element | etree._ElementTree, path: str) -> list[Any]:
    """What an XPath finds."""
    found = element.xpath(path)
    assert isinstance(found, list)
    return found


def examples_in(page: bytes) -> list[dict[str, list[str]]]:
    """The properties of the examples in a page, as an RDFa reader finds them; the page must be XML."""
    (root,) = select(etree.parse(io.BytesIO(page)), "//*[@vocab='http://www.ivoa.net/rdf/examples#']")
    found = []
    for element in select(root, ".//*[@typeof='example']"):
        assert element.get("resource") == "#" + element.get("id")
        properties: dict[str, list[str]] = {}
        for part in select(element, ".//*[@property]"):
            assert len(part) == 0, "plain text is expected"
            properties.setdefault(part.get("property"), []).append(part.text)
        found.append(properties)
    return found


@pytest.fixture(scope="module")
def page(demo_service: Service) -> httpx.Response:
    return httpx.get(f"{demo_service.url}/tap/examples")


def test_the_page_is_html_for_people_and_xml_for_clients(page: httpx.Response) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    identifiers = select(etree.fromstring(page.content), "//@id")
    assert len(set(identifiers)) == len(identifiers)


def test_every_example_has_a_name_a_query_and_its_tables(page: httpx.Response) -> None:
    found = examples_in(page.content)
    assert len(found) > 12
    for example in found:
        assert len(example["name"]) == len(example["query"]) == 1
        assert example["table"]
        assert all(table in example["query"][0] for table in example["table"])
    assert len({example["name"][0] for example in found}) == len(found)
    assert {table for example in found for table in example["table"]} == {
        "demo.events",
        "demo.alerts",
        "tap_schema.tables",
        "tap_schema.columns",
    }


def test_every_query_of_the_demo_finds_rows(demo_service: Service, page: httpx.Response) -> None:
    for example in examples_in(page.content):
        parameters = {"LANG": "ADQL", "QUERY": example["query"][0], "RESPONSEFORMAT": "csv"}
        answer = httpx.get(f"{demo_service.url}/tap/sync", params=parameters)
        assert answer.status_code == 200, (example, answer.text)
        assert answer.text.count("\n") > 1, example


def test_links_run_the_queries(demo_service: Service, page: httpx.Response) -> None:
    addresses = select(etree.fromstring(page.content), "//*[@typeof='example']//a/@href")
    assert len(addresses) == len(examples_in(page.content))
    for address in addresses:
        answer = httpx.get(urljoin(str(page.url), str(address)))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")


def test_the_upload_is_told_of_but_is_no_example_to_run(page: httpx.Response) -> None:
    assert "TAP_UPLOAD.mine" in page.text
    assert not [e for e in examples_in(page.content) if "TAP_UPLOAD" in e["query"][0]]


def test_the_capability_leads_to_the_page(demo_service: Service, page: httpx.Response) -> None:
    document = etree.fromstring(httpx.get(f"{demo_service.url}/tap/capabilities").content)
    addresses = document.xpath(
        "//capability[@standardID='ivo://ivoa.net/std/DALI#examples']/interface/accessURL/text()"
    )
    assert addresses == [str(page.url)]


def known(table: Table, **extremes: tuple[str, str]) -> Table:
    """The table with rows, and with statistics of some columns."""
    columns = tuple(
        replace(c, statistics=Statistics(*extremes[c.name], 1)) if c.name in extremes else c for c in table.columns
    )
    return replace(table, columns=columns, rows=1100)


AWKWARD = Catalog(
    (
        Schema(
            "ev",
            (
                known(EVENTS, ra=("0", "359.9"), dec=("-90", "90"), Energy=("0.5", "1e+06")),
                known(replace(EVENTS, epoch_column="obs_time"), obs_time=("2017-09-01T20:54:00.25", "2017-09-30")),
                known(ALERTS, ra=("0", "0"), dec=("90", "90"), radius=("0.1", "4.1")),
                replace(EVENTS, rows=0),
            ),
        ),
        *CATALOG.schemas[1:],
    )
)


@pytest.fixture(scope="module")
def awkward(access: Access) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(access.owner.conninfo, autocommit=True) as connection, tables_in(connection):
        yield connection


@pytest.mark.parametrize("query", example_queries(AWKWARD), ids=lambda query: query.name)
def test_queries_of_awkward_tables_run(awkward: psycopg.Connection[Any], query: Query) -> None:
    statement = translate(parse(query.text, version="2.1"), CATALOG, limit=100)
    awkward.execute(statement.sql, statement.parameters or None)


def names(table: Table) -> list[str]:
    return [query.name.partition(": ")[2] for query in queries_of(table)]


def test_queries_go_with_the_columns_of_the_table() -> None:
    assert names(SHOWERS) == ["the first rows"]
    plain = Table("s", "t", (Column("a", "double"), Column("b", "double")), position=Position("a", "b"))
    assert names(plain) == ["the first rows"]
    assert names(known(plain)) == ["the first rows", "around a position", "map of the sky"]
    energetic = Table("s", "t", (Column("e", "float", ucd="phys.energy;em"), Column("f", "float", ucd="em.energy")))
    assert names(energetic) == ["the first rows", "highest energies"]
    assert names(known(energetic, e=("1", "1"))) == ["the first rows", "highest energies"]
    assert names(known(energetic, e=("1", "2")))[2:] == ["histogram of e"]
    assert "energy" not in "".join(names(Table("s", "t", (Column("e", "float", ucd="stat.error;phys.energy"),))))


def test_many_tables_have_few_examples_beside_those_of_their_publishers() -> None:
    given = (Example("mine", "SELECT x FROM s.t"),)
    tables = tuple(Table("s", f"t{i:03}", (Column("x", "int"),), rows=10, examples=given) for i in range(300))
    queries = example_queries(Catalog((Schema("s", tables),)))
    assert [query.name for query in queries].count("mine") == 300
    assert len(queries) < 350


def test_examples_that_do_not_work_are_told_of() -> None:
    good, bad, worse = (
        Example(name, query)
        for name, query in (
            ("a", "SELECT label FROM ev.Events"),
            ("b", "SELECT lable FROM ev.Events"),
            ("c", "SELECT\nFROM"),
        )
    )
    told = list(example_problems(CATALOG, replace(EVENTS, examples=(good, bad, worse))))
    assert [text.partition(": ")[0] for text in told] == ["ev.Events, example 'b'", "ev.Events, example 'c'"]
    assert "lable" in told[0]


def test_examples_of_the_publisher_come_first(server: Access, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(
        """
        name: pub
        tables:
          - name: t
            columns: [{name: x, datatype: int}]
            examples:
              - name: The <largest> & best
                query: SELECT MAX(x) AS m FROM pub.t WHERE x < 3
                description: One & only
        """
    )
    (tmp_path / "t.csv").write_text("x\n1\n2\n3\n")
    with new_database(server) as access:
        initialise(access)
        load(access, load_description(tmp_path / "d.yaml"), [tmp_path / "t.csv"])
        with served(access) as base:
            first = examples_in(httpx.get(f"{base}/tap/examples").content)[0]
            assert first == {
                "name": ["The <largest> & best"],
                "query": ["SELECT MAX(x) AS m FROM pub.t WHERE x < 3"],
                "table": ["pub.t"],
            }
            parameters = {"LANG": "ADQL", "QUERY": first["query"][0], "RESPONSEFORMAT": "csv"}
            assert httpx.get(f"{base}/tap/sync", params=parameters).text.split() == ["m", "2"]
