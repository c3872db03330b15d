"""The pages in a real browser: what HTML makes of them, and whether people can use them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from lxml import etree

from tests.support.browser import Browser, running_browser
from tests.support.pages import CATALOG, PAGES, pages_app
from tests.support.service import Service
from vo_service import server
from vo_service.config import Settings

TREE = "(function tree(e) { return [e.localName, [...e.children].map(tree)] })(document.documentElement)"

# The ratio of WCAG 2.2 (section 1.4.3) for every element that has text of its own.
CONTRASTS = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(colour).map(c => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    throw 'no background';
  };
  const ratio = e => {
    const [low, high] = [getComputedStyle(e).color, paper(e)].map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return [...document.body.querySelectorAll('*')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => [ratio(e), e.outerHTML.slice(0, 80)]);
})()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the pages of `tests.support.pages`."""
    settings = Settings(title="Example Observatory", publisher="The Press", contact_email="desk@example.org")
    listener = server.listen("127.0.0.1", 0)
    instance = uvicorn.Server(uvicorn.Config(pages_app(CATALOG, settings), log_level="warning"))
    thread = threading.Thread(target=instance.run, kwargs={"sockets": [listener]})
    thread.start()
    while not instance.started:
        time.sleep(0.01)
    yield server.address_of(listener)
    instance.should_exit = True
    thread.join()


def tree_of(element: etree._Element) -> list[Any]:
    return [element.tag, [tree_of(child) for child in element if isinstance(child.tag, str)]]


@pytest.mark.parametrize("page", [*PAGES, "/nowhere"])
def test_html_nests_as_written(browser: Browser, site: str, page: str) -> None:
    browser.open(site + page)
    assert browser.evaluate(TREE) == tree_of(etree.fromstring(httpx.get(site + page).content))
    assert browser.evaluate("document.compatMode") == "CSS1Compat"


@pytest.mark.parametrize("page", PAGES)
def test_nothing_runs_and_nothing_is_loaded_from_elsewhere(browser: Browser, site: str, page: str) -> None:
    browser.open(site + page)
    assert browser.evaluate("document.scripts.length") == 0
    assert not browser.happened("Page.javascriptDialogOpening")
    assert not browser.happened("Log.entryAdded")
    requested = [event["request"]["url"] for event in browser.happened("Network.requestWillBeSent")]
    assert len(requested) >= 3  # page, style, icon
    assert all(url.startswith(site) for url in requested)
    answered = [event["response"]["status"] for event in browser.happened("Network.responseReceived")]
    assert set(answered) == {200}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_page_is_wider_than_the_window(browser: Browser, site: str, page: str, width: int) -> None:
    browser.open(site + page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(browser: Browser, site: str, page: str, dark: bool) -> None:
    browser.open(site + page, dark=dark)
    ratios = browser.evaluate(CONTRASTS)
    assert len(ratios) > 20
    assert [where for ratio, where in ratios if ratio < 4.5] == []


def test_dark_is_dark(browser: Browser, site: str) -> None:
    papers = []
    for dark in (False, True):
        browser.open(site, dark=dark)
        papers.append(browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
    assert min(papers[0]) > 200
    assert max(papers[1]) < 60


@pytest.mark.parametrize("page", PAGES[:2])
def test_every_link_and_every_scrolled_part_is_reached_by_tab(browser: Browser, site: str, page: str) -> None:
    browser.open(site + page, width=320)
    reachable = browser.evaluate("document.querySelectorAll('a[href], [tabindex=\"0\"]').length")
    seen = []
    for _ in range(reachable):
        browser.press("Tab")
        seen.append(
            browser.evaluate(
                "(({left, top, right, bottom}, style) => [left, top, right, bottom, style.outlineStyle])"
                "(document.activeElement.getBoundingClientRect(), getComputedStyle(document.activeElement))"
            )
        )
    # The first is the link that skips the header: out of sight until it has the focus.
    assert seen[0][0] >= 0
    assert seen[0][1] >= 0
    assert len({tuple(place[:4]) for place in seen}) > reachable / 2
    assert {place[4] for place in seen} == {"solid"}
    overflowing = "[...document.querySelectorAll('main *')].filter(e => getComputedStyle(e).overflowX === 'auto')"
    assert browser.evaluate(f"{overflowing}.every(e => e.tabIndex === 0)")


def test_examples_answer_in_the_browser(browser: Browser, demo_service: Service) -> None:
    browser.open(demo_service.url)
    links = browser.evaluate("[...document.querySelectorAll('.examples a')].map(a => a.href)")
    assert len(links) >= 4
    for link in links:
        browser.open(link)
        is_page = "/resource/" in link or link.endswith(("/tap/examples", "/voevent", "/voevent/broker"))
        kind = "text/html" if is_page else "text/plain"
        assert browser.evaluate("document.contentType") == kind, link
        assert browser.evaluate("document.body.innerText.trim().length") > 1, link
