"""Pages over a catalogue of the test's own: what stands on them, hostile names that stay text, and good form.

The pages are written so that an XML parser reads them; what HTML makes of them is tested in a browser
(`tests/integration/test_browser.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from lxml import etree

from tests.support.pages import CATALOG, HOSTILE, PAGES, pages_app
from vo_service.catalog.model import Catalog, Schema
from vo_service.catalog.tap_schema import TABLES as TAP_SCHEMA_TABLES
from vo_service.config import Settings


def client_of(catalog: Catalog, settings: Settings, base: str = "http://vo.test") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=pages_app(catalog, settings)), base_url=base)


@pytest.fixture
def client() -> httpx.AsyncClient:
    return client_of(CATALOG, Settings(title="Example Observatory"))


async def page(client: httpx.AsyncClient, address: str, status: int = 200) -> etree._Element:
    answer = await client.get(address)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return etree.fromstring(answer.content, etree.XMLParser(resolve_entities=False))


def text(element: etree._Element) -> str:
    return " ".join("".join(str(part) for part in element.itertext()).split())


def addresses(root: etree._Element) -> Iterator[str]:
    for element in root.iter("a", "link", "img"):
        yield element.get("href") or element.get("src") or ""


async def test_the_landing_page_shows_every_table(client: httpx.AsyncClient) -> None:
    root = await page(client, "/")
    words = text(root)
    for expected in ("Example Observatory", "2 tables with 123,457 rows", "All of them", "CC-BY-4.0", "Carberry 2026"):
        assert expected in words
    assert [text(badge) for badge in root.iterfind(".//strong[@class='badge']")] == ["simulated"]
    linked = {urljoin("http://vo.test/", address) for address in addresses(root)}
    for address in (*PAGES[1:], *(f"/table/tap_schema/{table.name}" for table in TAP_SCHEMA_TABLES)):
        assert f"http://vo.test{address}" in linked


async def test_the_page_of_a_table_shows_all_that_is_known_of_it(client: httpx.AsyncClient) -> None:
    root = await page(client, "/table/demo/events")
    words = text(root)
    for expected in (
        "demo.events simulated Candidates All of them First paragraph. Second paragraph. 123,456 rows, 4 columns",
        "Josiah Carberry, Brown (ORCID 0000-0002-1825-0097)",
        "A. N. Other",
        "Desk <desk@example.org>",
        "1.10, 2026-11-21",
    ):
        assert expected in words
    rows = [[text(cell) for cell in row] for row in root.iterfind(".//tbody/tr")]
    assert rows == [
        ["event_id", "long", "", "meta.id;meta.main", "Number primary key"],
        ["ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension"],
        ["dec", "double", "deg", "pos.eq.dec;meta.main", "Declination"],
        ["observed", "char(*) timestamp", "", "", " ".join(HOSTILE.split())],
    ]
    assert {
        "https://orcid.org/0000-0002-1825-0097",
        "https://creativecommons.org/licenses/by/4.0/",
        "https://doi.org/10.5281/zenodo.1234567",
        "https://example.org/data",
        "mailto:desk@example.org",
        "http://vo.test/tap/capabilities",
        "http://vo.test/scs/demo/events/availability",
    } <= set(addresses(root))


async def test_a_table_is_found_in_any_letter_case(client: httpx.AsyncClient) -> None:
    assert "demo.events" in text(await page(client, "/table/DEMO/Events"))


@pytest.mark.parametrize("address", PAGES)
async def test_hostile_text_stays_text(client: httpx.AsyncClient, address: str) -> None:
    root = await page(client, address)
    assert not list(root.iter("script"))
    assert not [address for address in addresses(root) if "javascript" in address]
    assert HOSTILE in "".join(str(part) for part in root.itertext())
    assert not root.xpath("//@*[starts-with(name(), 'on')]")


@pytest.mark.parametrize("address", [*PAGES, "/nowhere", "/table/demo"])
async def test_pages_are_well_built(client: httpx.AsyncClient, address: str) -> None:
    root = await page(client, address, 404 if address in ("/nowhere", "/table/demo") else 200)
    assert root.get("lang") == "en"
    assert text(root.find("head/title"))  # type: ignore[arg-type]
    identifiers = [element.get("id") for element in root.iter("*") if element.get("id")]
    assert len(identifiers) == len(set(identifiers))
    for element in root.iter("*"):
        assert element.get("aria-labelledby") in (None, *identifiers)
        assert element.get("style") is None
    for image in root.iter("img"):
        assert image.get("alt") is not None
    for table in root.iter("table"):
        assert table.find("caption") is not None
        assert all(header.get("scope") for header in table.iter("th"))
    levels = [int(str(element.tag)[1]) for element in root.iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert root.find("body/a").get("href") == f"#{root.find('body/main').get('id')}"  # type: ignore[union-attr]


@pytest.mark.parametrize("address", [*PAGES, "/no/where", "/table/a/b/c", "/%2F/x"])
async def test_pages_load_the_style_from_any_depth(client: httpx.AsyncClient, address: str) -> None:
    root = etree.fromstring((await client.get(address)).content)
    style = root.find(".//link[@rel='stylesheet']")
    assert style is not None
    answer = await client.get(urljoin(f"http://vo.test{address}", style.get("href")))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert "max-age" in answer.headers["cache-control"]
    unchanged = await client.get(str(answer.url), headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize("address", ["/", "/table/demo/events", "/nowhere", "/static/style.css"])
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, address: str) -> None:
    got, head = await client.get(address), await client.head(address)
    assert head.status_code == got.status_code
    assert head.headers["content-length"] == str(len(got.content))
    assert head.content == b""


async def test_pages_allow_no_script_and_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    sources = [address for address in addresses(await page(client, "/")) if not urlsplit(address).path.startswith("./")]
    assert not [address for address in sources if address.endswith((".css", ".svg", ".js", ".woff2"))]


async def test_what_is_not_there_is_a_page_for_people_only(client: httpx.AsyncClient) -> None:
    assert "There is nothing at /no<b>where." in text(await page(client, "/no%3Cb%3Ewhere", 404))
    assert "No table demo.x is published here." in text(await page(client, "/table/demo/x", 404))
    answer = await client.get("/tap/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")


async def test_pages_are_not_posted_to(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405


async def test_an_empty_service_says_how_to_fill_it() -> None:
    client = client_of(Catalog((Schema("tap_schema", TAP_SCHEMA_TABLES),)), Settings())
    assert "vo-service ingest" in text(await page(client, "/"))


async def test_addresses_for_clients_are_those_of_the_public() -> None:
    client = client_of(CATALOG, Settings(public_url="https://vo.example.org/data/"), base="http://10.0.0.1:8000")
    root = await page(client, "/table/demo/events")
    assert {text(code) for code in root.iterfind(".//code[@class='copy']")} == {
        "https://vo.example.org/data/scs/demo/events?",
        "https://vo.example.org/data/tap",
    }
    assert "10.0.0.1" not in etree.tostring(root, encoding="unicode")


async def test_the_operator_is_named() -> None:
    settings = Settings(publisher="Institute of <Examples>", contact_name="Desk", contact_email="desk@example.org")
    root = await page(client_of(CATALOG, settings), "/")
    footer = root.find("body/footer")
    assert footer is not None
    assert "Published by Institute of <Examples>. Questions to Desk." in text(footer)
    assert "mailto:desk@example.org" in set(addresses(footer))
