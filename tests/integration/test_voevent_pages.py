"""A packet's page, its JSON and its bytes: what it says, what became of it, and that nothing in it can do harm."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote

import httpx
import psycopg
import pytest
from lxml import etree

from tests.integration.test_browser import CONTRASTS, TREE, tree_of
from tests.support.alerts import FULL
from tests.support.browser import Browser, running_browser
from tests.support.database import new_database
from tests.support.served import served
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.alert import parse_alert
from voevent.archive.store import AlertStore
from voevent.convert.own import to_json
from voevent.pipeline import Source, accept

WORD = "of authors"
TOKEN = {"Authorization": f"Bearer {WORD}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = "&lt;script>alert('x')&lt;/script>\"&amp;"


@pytest.fixture(scope="module")
def archive(server: Access) -> Iterator[Access]:
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


@pytest.fixture(scope="module")
def url(archive: Access) -> Iterator[str]:
    with served(archive, voevent_token=WORD, title="Example Observatory") as base:
        yield base


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def ivoid() -> str:
    return f"ivo://org.example/stream#{uuid.uuid4().hex[:12]}"


def sent(url: str, data: bytes) -> httpx.Response:
    answer = httpx.post(f"{url}/voevent", content=data, headers=TOKEN)
    assert answer.status_code == 201, answer.text
    return answer


def address(url: str, ivoid: str) -> str:
    return f"{url}/voevent/{quote(ivoid, safe=':/')}"


def resolved(place: str, href: str) -> str:
    """A relative address as browsers resolve it (RFC 3986, section 5.2.4): empty segments stay, unlike with urljoin."""
    if "://" in href.partition("/voevent/")[0]:
        return href
    path, href = place.partition("?")[0].rpartition("/")[0], href.removeprefix("./")
    while href.startswith("../"):
        path, href = path.rpartition("/")[0], href.removeprefix("../")
    return f"{path}/{href}"


def page(url: str, ivoid: str) -> etree._Element:
    answer = httpx.get(address(url, ivoid), headers=BROWSER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return etree.fromstring(answer.content)


def words(element: etree._Element | None) -> str:
    assert element is not None
    return " ".join(etree.tostring(element, method="text", encoding="unicode").split())


def section(root: etree._Element, name: str) -> etree._Element:
    (found,) = [element for element in root.iter("section") if element.get("aria-labelledby") == name]
    return found


def signals(root: etree._Element) -> list[str]:
    return [words(element) for element in root.iter("p") if element.get("class") == "signal"]


def test_one_packet_in_three_forms(url: str, ivoid: str) -> None:
    raw = packet(ivoid, role="observation")
    place = sent(url, raw).headers["location"]
    assert place == address(url, ivoid)
    for wish in ({}, {"Accept": "application/xml"}, {"Accept": "*/*"}):
        answer = httpx.get(place, headers=wish)
        assert answer.content == raw
        assert answer.headers["content-type"] == "application/xml"
        assert "sandbox" in answer.headers["content-security-policy"]
    told = httpx.get(place, headers={"Accept": "application/json"}).json()
    assert (told["ivoid"], told["event"], told["position"]["ra"]) == (ivoid, ivoid.split("#")[1], 77.36)
    assert (told["voevent"].encode(), told["original"], told["status"]) == (raw, None, "current")
    assert told["times"]["stored"] >= told["times"]["received"]
    same = httpx.get(f"{url}/voevent", params={"ivoid": ivoid, "RESPONSEFORMAT": "application/json"}).json()
    assert same | {"times": None} == told | {"times": None}  # that of the acknowledgement is noted a little later
    assert httpx.get(f"{place}?original").content == raw
    assert httpx.get(place.replace("ivo://", "ivo:/")).content == raw  # as some proxies write it
    text = words(page(url, ivoid))
    for expected in (
        ivoid,
        "2026-11-21 09:59:30.500 UTC",
        "77.3600° +5.6900° ± 0.5° ICRS",
        "120.0",
        "TeV",
        "em.energy",
    ):
        assert expected in text


@pytest.mark.parametrize(
    "name",
    ["stream?local-id", "stream#a b", "stream#50%25", "stream#x+y&z=1", "stream#é", "a/../b#x", "stream#a/b?c#d"],
)
async def test_any_identifier_has_a_page_that_is_linked(url: str, name: str, archive: Access) -> None:
    ivoid = f"ivo://org.example/{name}"
    raw = packet(ivoid.replace("&", "&amp;"))
    async with AlertStore(archive) as store:
        assert (await accept(raw, Source("stream", "upstream.example.org"), store)).status == "accepted"
    _has_a_page(url, ivoid, raw)


def _has_a_page(url: str, ivoid: str, raw: bytes) -> None:
    listed = etree.fromstring(httpx.get(f"{url}/voevent?MAXREC=1", headers=BROWSER).content)
    (link,) = [a for a in listed.iter("a") if words(a) == ivoid]
    there = resolved(f"{url}/voevent", link.get("href", ""))
    assert httpx.get(there).content == raw
    shown = etree.fromstring(httpx.get(there, headers=BROWSER).content)
    assert words(shown.find(".//h1")) == ivoid
    for a in section(shown, "archive").iter("a"):
        assert httpx.get(resolved(there, a.get("href", ""))).status_code == 200
    assert "upstream.example.org" in words(section(shown, "archive"))
    # Packets of streams are kept even if they are not as the standard has it.
    faulty = any(text.startswith("Not as the standard has it:") for text in signals(shown))
    assert faulty == bool({" ", "é"} & set(ivoid))


def test_history_is_followed_both_ways(url: str, ivoid: str) -> None:
    """2 supersedes 1, 3 retracts 2, 4 follows up 1, a test claims to retract 4; 1 itself cites one that never came."""
    names = [ivoid, *(f"{ivoid}-{n}" for n in range(2, 6))]
    absent = f"{ivoid}-0"
    cites = [(absent, "followup"), (names[0], "supersedes"), (names[1], "retraction"), (names[0], "followup")]
    for name, cited in zip(names[:4], cites, strict=True):
        sent(url, packet(name, role="observation", cites=cited))
    sent(url, packet(names[4], role="test", cites=(names[3], "retraction")))
    told = httpx.get(address(url, names[3]), params={"format": "json"}).json()
    assert [one["ivoid"] for one in told["history"]] == names
    assert [one["status"] for one in told["history"]] == ["superseded", "retracted", "current", "current", "current"]
    assert [one["kind"] for one in told["history"]] == [
        "followup", "supersedes", "retraction", "followup", "retraction"
    ]  # fmt: skip
    shown = [page(url, name) for name in names]
    assert signals(shown[0]) == [f"Superseded by {names[1]}, which was retracted itself."]
    assert signals(shown[1]) == [f"Retracted by {names[2]}."]
    assert [signals(shown[2]), signals(shown[3])] == [[], []]
    assert signals(shown[4]) == ["A test: this packet reports no observation."]
    for root in shown:
        items = section(root, "history").findall(".//li")
        assert [next(name for name in sorted(names, key=len, reverse=True) if name in words(item)) for item in items]
        assert len(items) == 5
        assert f"Cited, and not in this archive: {absent}" in words(section(root, "history"))
    listed = etree.fromstring(httpx.get(f"{url}/voevent?text={ivoid[-12:]}", headers=BROWSER).content)
    badges = {words(row.find("th/a")): [words(b) for b in row.iter("strong")] for row in listed.findall(".//tbody/tr")}
    assert badges == {
        names[0]: ["superseded", "followup"],
        names[1]: ["retracted", "supersedes"],
        names[2]: ["retraction"],
        names[3]: ["followup"],
        names[4]: ["test", "retraction"],
    }


def test_a_notice_in_json_is_kept_as_it_came(url: str) -> None:
    data = json.dumps(to_json(FULL) | {"event": f"EX-{uuid.uuid4().hex[:8]}"}).encode()
    answer = sent(url, data)
    place = answer.headers["location"]
    original = httpx.get(f"{place}?original")
    assert original.content == data
    assert original.headers["content-type"] == "application/json"
    assert original.headers["content-disposition"].startswith("attachment")
    told = httpx.get(place, params={"format": "json"}).json()
    assert told["original"] == {"media_type": "application/json", "text": data.decode()}
    alert = {name: told[name] for name in json.loads(data) if name != "$schema"}
    assert parse_alert(alert | {"citations": []}) == parse_alert(
        {k: v for k, v in json.loads(data).items() if k != "$schema"} | {"citations": []}
    )
    assert sent_again(url, data) == (200, "duplicate", place)


def sent_again(url: str, data: bytes) -> tuple[int, str, str]:
    answer = httpx.post(f"{url}/voevent", content=data, headers=TOKEN)
    return answer.status_code, answer.json()["status"], answer.headers["location"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"event": "A", "position": {"ra": 400, "dec": 0}}', "position.ra"),
        (b'{"event": "A", "colour": "red"}', "colour"),
        (b'{"a": 1}', "neither"),
        (b"[1]", "list"),
        (b'{"$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/x.schema.json"}', "event_name"),
        (b"\xff\xfe", "no text"),
    ],
)
def test_what_is_no_notice_is_refused_with_the_reason(url: str, data: bytes, expected: str) -> None:
    answer = httpx.post(f"{url}/voevent", content=data, headers=TOKEN)
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid")
    assert expected in answer.json()["reason"]


def test_only_posts_are_taken(url: str, ivoid: str) -> None:
    for place in (f"{url}/voevent", address(url, ivoid)):
        answer = httpx.put(place, content=packet(ivoid), headers=TOKEN)
        assert answer.status_code == 405
        assert "PUT" in answer.json()["reason"]


def test_the_schema_of_our_json_is_published(url: str) -> None:
    answer = httpx.get(f"{url}/voevent/alert.schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert {"event", "position", "far"} <= set(answer.json()["properties"])


def test_coincidences_are_shown_to_both(url: str, ivoid: str, archive: Access) -> None:
    other = f"{ivoid}-other"
    sent(url, packet(ivoid, role="observation"))
    sent(url, packet(other, role="observation"))
    assert "It has not been matched yet." in words(section(page(url, ivoid), "matches"))
    with psycopg.connect(archive.owner.conninfo) as connection:
        record_coincidence(connection, ivoid, other, "alerts.voevent")
        record_coincidence(connection, ivoid, "demo.events 17", "demo.events")
    for this, that in ((ivoid, other), (other, ivoid)):
        shown = section(page(url, this), "matches")
        assert address(url, that) in {resolved(address(url, this), a.get("href", "")) for a in shown.iter("a")}
        assert "-12.5" in words(shown)
        assert "0.25°" in words(shown)
    assert "demo.events 17" in words(section(page(url, ivoid), "matches"))
    told = httpx.get(address(url, other), params={"format": "json"}).json()
    assert [one["p_value"] for one in told["coincidences"]] == [0.001]


def record_coincidence(connection: psycopg.Connection[tuple[object, ...]], first: str, second: str, kind: str) -> None:
    connection.execute(
        "INSERT INTO alerts.coincidence (rule, alert_ivoid, counterpart, counterpart_kind, delta_t, separation,"
        " p_value, revision, status, found_at) VALUES ('near', %s, %s, %s, -12.5, 0.25, 0.001, 1, 'current', now())",
        (first, second, kind),
    )


@pytest.mark.parametrize("accept", [None, "text/html"])
def test_what_is_not_there(url: str, accept: str | None) -> None:
    answer = httpx.get(address(url, "ivo://nowhere/x#<y>"), headers={} if accept is None else {"Accept": accept})
    assert answer.status_code == 404
    assert answer.headers["content-type"].split(";")[0] == (accept or "application/json")
    assert "<y>" not in answer.text or accept is None


@pytest.fixture(scope="module")
def places(url: str) -> list[str]:
    """Addresses of pages: a list, a plain packet, one that is full of traps, one that is not there."""
    names = [f"ivo://org.example/stream#{name}" for name in ("plain", "later", "hostile")]
    sent(url, packet(names[0], role="prediction"))
    sent(url, packet(names[1], role="prediction", cites=(names[0], "supersedes")))
    trap = packet(names[2]).replace(
        b"<Group",
        f'<Description>{HOSTILE}</Description><Reference uri="javascript:alert(1)"/>'
        f'<Param name="{HOSTILE.replace(chr(34), "")}" value="{"w" * 300}" unit="{HOSTILE.replace(chr(34), "")}"/>'
        "<Group".encode(),
    )
    sent(url, trap)
    return [f"{url}/voevent", *(address(url, name) for name in names), address(url, "ivo://nowhere/x")]


def test_pages_are_html_as_written_and_load_nothing_from_elsewhere(
    browser: Browser, url: str, places: list[str]
) -> None:
    for place in places:
        browser.open(place)
        assert browser.evaluate(TREE) == tree_of(etree.fromstring(httpx.get(place, headers=BROWSER).content))
        assert browser.evaluate("document.scripts.length") == 0
        assert not browser.happened("Page.javascriptDialogOpening")
        requested = [event["request"]["url"] for event in browser.happened("Network.requestWillBeSent")]
        assert all(one.startswith(url) for one in requested)
        assert browser.evaluate("[...document.links].every(a => /^(https?|mailto):/.test(a.protocol))")


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_can_be_read(browser: Browser, places: list[str], width: int, dark: bool) -> None:
    for place in places:
        browser.open(place, width=width, dark=dark)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, place
        assert [where for ratio, where in browser.evaluate(CONTRASTS) if ratio < 4.5] == []


def test_fields_have_labels_and_headings_are_in_order(browser: Browser, places: list[str]) -> None:
    for place in places:
        browser.open(place)
        assert browser.evaluate(
            "[...document.querySelectorAll('input, select')].every(e => e.labels.length === 1 && e.labels[0].innerText)"
        )
        levels = browser.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.localName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert browser.evaluate("[...document.querySelectorAll('th')].every(e => e.scope)")
        names = browser.evaluate(
            "[...document.querySelectorAll('[aria-labelledby]')].map(e => e.getAttribute('aria-labelledby'))"
        )
        assert all(browser.evaluate(f"document.getElementById('{name}').innerText") for name in names)


def test_the_form_searches(browser: Browser, url: str, places: list[str]) -> None:
    browser.open(places[0])
    browser.events.clear()
    browser.evaluate("document.querySelector('#field-role').value = 'prediction', document.forms[0].requestSubmit()")
    while not browser.happened("Page.loadEventFired"):
        browser.call("Target.getTargets")
    roles = browser.evaluate("[...document.querySelectorAll('tbody tr .badge')].map(e => e.textContent)")
    assert roles == ["prediction", "prediction", "superseded"]
    assert browser.evaluate("document.querySelector('#field-role').value") == "prediction"


def test_every_link_of_the_pages_answers(url: str, places: list[str]) -> None:
    for place in places:
        root = etree.fromstring(httpx.get(place, headers=BROWSER).content)
        targets = {resolved(place, href) for a in root.iter("a") if not (href := a.get("href", "")).startswith("#")}
        for target in targets:
            if target.startswith(url):
                assert httpx.get(target).status_code == 200, target


def test_the_front_page_leads_here(url: str) -> None:
    root = etree.fromstring(httpx.get(url).content)
    assert f"{url}/voevent" in {resolved(f"{url}/", a.get("href", "")) for a in root.iter("a")}
