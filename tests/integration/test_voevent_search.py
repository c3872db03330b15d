"""A search of the archive finds what a look at every packet finds, in every form, piece by piece."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import astropy.units as u
import httpx
import numpy as np
import psycopg
import pytest
from astropy.coordinates import SkyCoord
from lxml import etree

from tests.support.database import new_database
from tests.support.served import served
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.packet import read_packet

WORD = "of authors"
COUNT = 120
BEGIN = datetime(2026, 1, 1)
STREAMS = ("ivo://org.example/a", "ivo://org.example/b_c", "ivo://org.example/bxc")

TEMPLATE = """<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="{role}" ivorn="{ivoid}">
<Who><AuthorIVORN>ivo://org.example</AuthorIVORN><Date>2026-11-21T10:00:00</Date></Who>
<What><Param name="far" value="{far!r}" unit="Hz"/><Param name="topology" value="{topology}"/></What>
<WhereWhen><ObsDataLocation><ObservatoryLocation id="E"/><ObservationLocation>
<AstroCoordSystem id="UTC-ICRS-TOPO"/><AstroCoords coord_system_id="UTC-ICRS-TOPO"><Time unit="s"><TimeInstant>
<ISOTime>{time}</ISOTime></TimeInstant></Time>{position}</AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
<Description>{description}</Description></voe:VOEvent>"""

POSITION = """<Position2D unit="deg"><Name1>RA</Name1><Name2>Dec</Name2><Value2><C1>{ra!r}</C1><C2>{dec!r}</C2></Value2>
<Error2Radius>0.5</Error2Radius></Position2D>"""


@dataclass(frozen=True)
class Made:
    ivoid: str
    role: str
    stream: str
    time: datetime
    ra: float | None
    dec: float
    far: float
    topology: str
    description: str

    def raw(self) -> bytes:
        position = "" if self.ra is None else POSITION.format(ra=self.ra, dec=self.dec)
        described = self.description.replace("&", "&amp;")
        fields = {name: getattr(self, name) for name in ("role", "ivoid", "far", "topology")}
        text = TEMPLATE.format(**fields, time=self.time.isoformat(), position=position, description=described)
        return text.encode()


def made() -> list[Made]:
    random = np.random.default_rng(20260301)
    packets = []
    for number in range(COUNT):
        stream = STREAMS[number % 3]
        packets.append(
            Made(
                ivoid=f"{stream}#E-{number:03d}",
                role=("observation", "observation", "test", "prediction")[int(random.integers(4))],
                stream=stream,
                time=BEGIN + timedelta(hours=int(random.integers(0, 24 * 30))),
                ra=None if number % 10 == 9 else float(random.uniform(0, 360)),
                dec=float(np.degrees(np.arcsin(random.uniform(-1, 1)))),
                far=float(10 ** random.uniform(-9, -5)),
                topology=("Track", "Shower")[int(random.integers(2))],
                description=("A & B 100% sure", "a_b likely", "plain")[int(random.integers(3))],
            )
        )
    return packets


PACKETS = made()


@pytest.fixture(scope="module")
def archive(server: Access) -> Iterator[Access]:
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


@pytest.fixture(scope="module")
def url(archive: Access) -> Iterator[str]:
    with served(archive, voevent_token=WORD, busy_timeout=1.0) as base, httpx.Client() as client:
        for packet in PACKETS:
            answer = client.post(f"{base}/voevent", content=packet.raw(), headers={"Authorization": f"Bearer {WORD}"})
            assert answer.status_code == 201, answer.text
        yield base


def near(packet: Made, ra: float, dec: float, radius: float) -> bool:
    if packet.ra is None:
        return False
    centre, place = (SkyCoord(*at, unit="deg") for at in ((ra, dec), (packet.ra, packet.dec)))
    return bool(centre.separation(place) <= radius * u.deg)


Look = Callable[[Made], bool]

CASES: list[tuple[dict[str, str], Look]] = [
    ({}, lambda p: True),
    ({"role": "test"}, lambda p: p.role == "test"),
    ({"role": "test, prediction"}, lambda p: p.role in ("test", "prediction")),
    ({"stream": STREAMS[1]}, lambda p: p.stream == STREAMS[1]),
    ({"stream": "ivo://org.example/b*"}, lambda p: p.stream in STREAMS[1:]),
    ({"far": "1e-7"}, lambda p: p.far <= 1e-7),
    ({"from": "2026-01-10", "to": "2026-01-12"}, lambda p: datetime(2026, 1, 10) <= p.time < datetime(2026, 1, 13)),
    ({"to": "2026-01-12T06:00"}, lambda p: p.time < datetime(2026, 1, 12, 6)),
    ({"RA": "10", "DEC": "-20", "SR": "40"}, lambda p: near(p, 10, -20, 40)),
    ({"RA": "0", "DEC": "90", "SR": "60"}, lambda p: near(p, 0, 90, 60)),
    ({"ra": "120", "dec": "5", "sr": "180"}, lambda p: p.ra is not None),
    ({"text": "track"}, lambda p: p.topology == "Track"),
    ({"text": "TRACK sure"}, lambda p: p.topology == "Track" and "sure" in p.description),
    ({"text": "100%"}, lambda p: "100%" in p.description),
    ({"text": "a_b"}, lambda p: "a_b" in p.description),
    ({"text": "&"}, lambda p: "&" in p.description),
    ({"text": "E-017"}, lambda p: p.ivoid.endswith("E-017")),
    ({"text": "nothing-like-this"}, lambda p: False),
    ({"role": "observation", "far": "1e-6", "RA": "200", "DEC": "0", "SR": "90", "from": "2026-01-05"},
     lambda p: p.role == "observation" and p.far <= 1e-6 and near(p, 200, 0, 90) and p.time >= datetime(2026, 1, 5)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "holds"), CASES, ids=[" ".join(query) + str(n) for n, (query, _) in enumerate(CASES)]
)
def test_a_search_finds_what_a_look_at_every_packet_finds(url: str, query: dict[str, str], holds: Look) -> None:
    answer = httpx.get(f"{url}/voevent", params=query)
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["ivoid"] for line in found] == [p.ivoid for p in reversed(PACKETS) if holds(p)]
    assert all(newer["event_id"] > older["event_id"] for newer, older in pairwise(found))
    page = etree.fromstring(httpx.get(f"{url}/voevent", params={**query, "MAXREC": "500", "format": "html"}).content)
    rows = [row.findtext("th/a/code") for row in page.iter("tr") if row.find("td") is not None]
    assert rows == [line["ivoid"] for line in found]


def test_json_lines_are_our_json(url: str) -> None:
    (line,) = httpx.get(f"{url}/voevent?text=E-017").text.splitlines()
    told, packet = json.loads(line), PACKETS[17]
    assert (told["role"], told["stream"], told["far"]) == (packet.role, packet.stream, packet.far)
    assert (told["position"]["ra"], told["position"]["dec"]) == (packet.ra, packet.dec)
    assert told["received_from"] == "http"


def test_packets_come_as_they_were_sent(url: str) -> None:
    answer = httpx.get(f"{url}/voevent?role=test&RESPONSEFORMAT=xml")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        members = [tar.extractfile(member) for member in tar]
        got = [member.read() for member in members if member is not None]
        names = tar.getnames()
    assert got == [packet.raw() for packet in reversed(PACKETS) if packet.role == "test"]
    assert len(set(names)) == len(got)
    assert all("/" not in name and name.endswith(".xml") for name in names)
    assert {read_packet(raw).role for raw in got} == {"test"}


@pytest.mark.parametrize("form", ["json", "html", "xml"])
def test_the_header_link_leads_through_all(url: str, form: str) -> None:
    address, counts = f"{url}/voevent?MAXREC=50&role=&RESPONSEFORMAT={form}", []
    while True:
        answer = httpx.get(address)
        counts.append(_count(answer, form))
        if "next" not in answer.links:
            break
        address = answer.links["next"]["url"]
    assert counts == [50, 50, 20]


def _count(answer: httpx.Response, form: str) -> int:
    if form == "json":
        return len(answer.text.splitlines())
    if form == "xml":
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            return len(tar.getnames())
    return len(etree.fromstring(answer.content).findall(".//tbody/tr"))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/x-ndjson"),
        ("*/*", "application/x-ndjson"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/xml", "application/x-tar"),
        ("application/x-tar", "application/x-tar"),
        ("application/json;q=0.5, text/html;q=0.1", "application/x-ndjson"),
        ("image/png", "application/x-ndjson"),
    ],
)
def test_the_accept_header_chooses(url: str, accept: str | None, kind: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = httpx.get(f"{url}/voevent?MAXREC=1", headers=headers)
    assert answer.headers["content-type"].split(";")[0] == kind
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("role=tests", "role"),
        ("from=yesterday", "from"),
        ("RA=10", "DEC"),
        ("RA=10&DEC=91&SR=1", "DEC"),
        ("far=often", "far"),
        ("MAXREC=0", "MAXREC"),
        ("before=x", "before"),
        ("rolle=test", "rolle"),
        ("RESPONSEFORMAT=pdf", "RESPONSEFORMAT"),
        ("text=a+b+c+d+e+f+g+h+i+j+k", "words"),
        ("to=9999-12-31", "to"),
    ],
)
def test_what_cannot_be_understood_is_told(url: str, query: str, words: str) -> None:
    answer = httpx.get(f"{url}/voevent?{query}")
    assert answer.status_code == 400
    assert words in answer.json()["reason"]
    page = httpx.get(f"{url}/voevent?{query}", headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert words in page.text
    assert page.headers["content-type"].startswith("text/html")


def test_a_range_of_storage_is_that_of_the_archive(url: str) -> None:
    lines = [json.loads(line) for line in httpx.get(f"{url}/voevent").text.splitlines()]
    middle = lines[60]["stored_at"]
    later = httpx.get(f"{url}/voevent", params={"since": middle}).text.splitlines()
    earlier = httpx.get(f"{url}/voevent", params={"until": middle}).text.splitlines()
    assert (len(later), len(earlier)) == (61, 59)


def test_searches_end_in_time_and_those_for_words_are_few(
    url: str, archive: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the table is locked no search gets anywhere."""
    monkeypatch.setattr("vo_service.database.records.TIME_LIMIT", 3.0)
    with psycopg.connect(archive.owner.conninfo) as connection, ThreadPoolExecutor(5) as pool:
        connection.execute("LOCK TABLE alerts.voevent IN ACCESS EXCLUSIVE MODE")
        answers = list(pool.map(httpx.get, [f"{url}/voevent?text=x", f"{url}/voevent"] * 2 + [f"{url}/voevent?text=y"]))
        connection.rollback()
    told = Counter((answer.status_code, answer.json()["reason"].rpartition(". ")[2]) for answer in answers)
    advice = "Narrow the search, best by a range of time"
    assert told[400, advice] == 4
    assert {status for status, _ in told} == {400, 429}
    assert httpx.get(f"{url}/voevent?text=E-017").text.count("\n") == 1
