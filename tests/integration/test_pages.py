"""The pages of the demo: every link answers, and every instruction for clients works as it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin

import httpx
import pytest
from lxml import etree

from tests.support.judges import program
from tests.support.service import Service

PAGES = ("/", "/table/demo/events", "/table/demo/alerts", "/table/tap_schema/columns")


def page(url: str) -> etree._Element:
    return etree.fromstring(httpx.get(url).raise_for_status().content)


def own_links(service: Service, address: str) -> Iterator[str]:
    """The links of a page to the service itself, absolute."""
    url = service.url + address
    for element in page(url).iter("a", "link", "img"):
        target = urldefrag(urljoin(url, element.get("href") or element.get("src")))[0]
        if target.startswith(service.url):
            yield target


def instructions(service: Service, address: str, language: str) -> list[str]:
    """The code blocks below headings that name this language."""
    blocks = [h.getnext() for h in page(service.url + address).iter("h4") if language in (h.text or "")]
    return [etree.tostring(block, method="text", encoding="unicode") for block in blocks if block is not None]


@pytest.mark.parametrize("address", PAGES)
def test_every_link_answers(demo_service: Service, address: str) -> None:
    links = set(own_links(demo_service, address))
    assert len(links) > 5
    for link in links:
        answer = httpx.get(link)
        assert answer.status_code == 200, link
        assert "error" not in answer.headers["content-type"]


def test_the_landing_page_shows_the_sample(demo_service: Service) -> None:
    words = " ".join(etree.tostring(page(demo_service.url), method="text", encoding="unicode").split())
    for expected in ("demo.events", "simulated", "100,000", "demo.alerts", "CC0-1.0", "9 tables"):
        assert expected in words


@pytest.mark.parametrize("address", ["/", "/table/demo/events"])
def test_the_python_works_as_it_stands(demo_service: Service, address: str) -> None:
    snippets = instructions(demo_service, address, "Python")
    assert len(snippets) == 2
    for snippet in snippets:
        done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "event_id" in done.stdout


@pytest.mark.parametrize("address", ["/", "/table/demo/events"])
def test_the_shell_commands_work_as_they_stand(demo_service: Service, address: str) -> None:
    program("stilts")
    commands = instructions(demo_service, address, "Shell")
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "event_id" in done.stdout
        assert len(done.stdout.splitlines()) > 5


def test_unknown_addresses_are_pages_or_text(demo_service: Service) -> None:
    missing = httpx.get(f"{demo_service.url}/nowhere")
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("text/html")
    assert not httpx.get(f"{demo_service.url}/tap/nowhere").headers["content-type"].startswith("text/html")
