"""DataLink over a real socket and a real database: from results to files, and cut-outs against brute force."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import psycopg
import pytest
import pyvo
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse as parse_votable
from astropy.table import Table as AstropyTable
from pyvo.dal.adhoc import DatalinkResults

from tests.support.database import new_database
from tests.support.judges import stilts, votlint_complaints
from tests.support.served import served
from tests.support.service import Service
from vo_service.catalog.model import Column, Person, Position, Resource, Schema, Table
from vo_service.catalog.store import publish_schema, publish_table
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.attach import Wish, attach_file, detach_file, remove_unused
from vo_service.sky.healpix import hpx

ROWS = 3_000
COLUMNS = (
    Column("event_id", "long", ucd="meta.id;meta.main", description="Number"),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
    Column("mjd", "double", unit="d", ucd="time.epoch", description="MJD, UTC"),
    Column("energy", "double", unit="GeV", ucd="phys.energy"),
)
EVENTS = Table(
    "sky", "Events", COLUMNS, position=Position("ra", "dec"), primary_key="event_id", epoch_column="mjd", rows=ROWS,
    resource=Resource("Events", creators=(Person("A"),), reference_url="https://example.org/events"),
)  # fmt: skip
NAMED = Table("sky", "na%me", (Column("a b", "char", "*", ucd="meta.id"), Column("t", "char", "*", xtype="timestamp", ucd="time.epoch")), primary_key="a b", epoch_column="t", rows=3)  # fmt: skip # noqa: E501
BARE = Table("sky", "bare", (Column("x", "int"),))

RNG = np.random.default_rng(5)
RA = RNG.uniform(0, 360, ROWS)
DEC = np.degrees(np.arcsin(RNG.uniform(-1, 1, ROWS)))
MJD = 57000 + np.arange(ROWS) / 10
ENERGY = 10 ** RNG.uniform(1, 5, ROWS)
ENERGY[7] = np.nan

PLOT = b"\x89PNG not really a plot" * 40_000
RESPONSE = b"SIMPLE  =                    T" * 100


@dataclass(frozen=True)
class Site:
    url: str
    access: Access
    files: Path

    def links(self, *identifiers: str, **parameters: str) -> AstropyTable:
        answer = httpx.post(f"{self.url}/datalink", data={"ID": list(identifiers), **parameters})
        assert answer.status_code == 200
        return table_of(answer.content)

    def cutout(self, **parameters: str) -> AstropyTable:
        answer = httpx.get(f"{self.url}/datalink/cutout", params={"ID": DATASET, **parameters})
        assert answer.status_code == 200, answer.text
        return table_of(answer.content, "ignore")


DATASET = "ivo://localhost.demo/sky/Events"


def table_of(document: bytes, verify: str = "exception") -> AstropyTable:
    return parse_votable(io.BytesIO(document), verify=verify).get_first_table().to_table()


@pytest.fixture(scope="module")
def site(server: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    state = tmp_path_factory.mktemp("state")
    with new_database(server) as access:
        initialise(access)
        _fill(access)
        _attach(access, state / "files", tmp_path_factory.mktemp("sources"))
        with served(access, state=state) as url:
            yield Site(url, access, state / "files")


def _fill(access: Access) -> None:
    with psycopg.connect(access.writer.conninfo) as connection:
        connection.execute("CREATE SCHEMA sky")
        connection.execute(
            'CREATE TABLE sky."Events" (event_id int8 PRIMARY KEY, ra float8, dec float8, mjd float8, energy float8,'
            " hpx int8)"
        )
        connection.execute('CREATE TABLE sky."na%me" ("a b" text PRIMARY KEY, t timestamp)')
        connection.execute("CREATE TABLE sky.bare (x int4)")
        columns = (range(ROWS), RA.tolist(), DEC.tolist(), MJD.tolist(), ENERGY.tolist(), hpx(RA, DEC).tolist())
        with connection.cursor().copy('COPY sky."Events" FROM STDIN') as copy:
            for row in zip(*columns, strict=True):
                copy.write_row(row)
        connection.execute(
            """INSERT INTO sky."na%me" VALUES ('a/b?c', '2020-01-01'), ('q & <z>', '2020-01-02'), ('7', NULL)"""
        )
        connection.execute('CREATE INDEX ON sky."Events" (hpx)')
        connection.execute("GRANT USAGE ON SCHEMA sky TO PUBLIC")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA sky TO PUBLIC")
        publish_schema(connection, Schema("sky", ()))
        for table in (EVENTS, NAMED, BARE):
            publish_table(connection, table)


def _attach(access: Access, directory: Path, sources: Path) -> None:
    plot, response, page = sources / "skymap 17.png", sources / "aeff.fits", sources / "read.md"
    plot.write_bytes(PLOT)
    response.write_bytes(RESPONSE)
    page.write_text("What the data are")
    for wish in (
        Wish("sky.Events", str(plot), "preview", "Sky map", row="17"),
        Wish("sky.events", str(response), "#calibration", "Effective area", product_type="response-function"),
        Wish("sky.Events", f"file://{page}", "documentation", content_type="text/markdown;charset=utf-8"),
        Wish("sky.na%me", str(page), "auxiliary", row="a/b?c"),
    ):
        attach_file(access, wish, directory)


# Links


def test_links_of_a_row_are_its_files_and_those_of_the_table(site: Site) -> None:
    links = site.links(f"{DATASET}?17")
    assert links["semantics"].tolist() == ["#this", "#preview", "#calibration", "#documentation", "#documentation"]
    preview = links[links["semantics"] == "#preview"][0]
    assert (preview["content_type"], preview["content_length"]) == ("image/png", len(PLOT))
    assert preview["access_url"].endswith("/skymap%2017.png")
    response = links[links["semantics"] == "#calibration"][0]
    assert (response["content_qualifier"], response["description"]) == ("#response-function", "Effective area")


def test_identifiers_are_answered_in_their_order_each_with_its_links_or_its_fault(site: Site) -> None:
    asked = [f"{DATASET}?17", "nonsense", DATASET, f"{DATASET}?{ROWS}", f"{DATASET}?x", "ivo://other/x", f"{DATASET}?3"]
    links = site.links(*asked)
    assert list(dict.fromkeys(links["ID"].tolist())) == asked
    faults = {row["ID"]: row["error_message"].partition(":")[0] for row in links if row["error_message"]}
    assert faults == {
        "nonsense": "UsageFault", f"{DATASET}?{ROWS}": "NotFoundFault", f"{DATASET}?x": "NotFoundFault",
        "ivo://other/x": "NotFoundFault",
    }  # fmt: skip
    for row in links:
        assert sum(bool(row[name]) for name in ("access_url", "service_def", "error_message")) == 1


def test_get_and_post_are_answered_alike(site: Site) -> None:
    parameters = {"id": [DATASET, f"{DATASET}?17"], "ReSponseFormat": "csv"}
    get = httpx.get(f"{site.url}/datalink", params=parameters)
    assert get.headers["Content-Type"].startswith("text/csv")
    assert get.text == httpx.post(f"{site.url}/datalink", data=parameters).text


def test_no_identifier_is_answered_by_an_empty_table(site: Site) -> None:
    answer = httpx.get(f"{site.url}/datalink")
    assert answer.headers["Content-Type"] == "application/x-votable+xml;content=datalink"
    assert b"<TABLEDATA>" in answer.content
    assert len(table_of(answer.content)) == 0


def test_what_is_cut_is_cut_between_identifiers_and_says_so(site: Site) -> None:
    asked = {"ID": [f"{DATASET}?17", f"{DATASET}?3"], "MAXREC": "6"}
    answer = httpx.get(f"{site.url}/datalink", params=asked)
    assert b'value="OVERFLOW"' in answer.content
    assert set(table_of(answer.content)["ID"]) == {f"{DATASET}?17"}
    assert b"OVERFLOW" not in httpx.get(f"{site.url}/datalink", params={**asked, "MAXREC": "100"}).content
    many = {"ID": [f"{DATASET}?{number}" for number in range(1_001)]}
    answer = httpx.post(f"{site.url}/datalink", data=many)
    assert b'value="OVERFLOW"' in answer.content
    assert len(set(table_of(answer.content)["ID"])) == 1_000


def test_bad_requests_are_faults(site: Site) -> None:
    answer = httpx.get(f"{site.url}/datalink?ID=x&MAXREC=many")
    assert (answer.status_code, b">UsageFault: " in answer.content or b'"UsageFault: ' in answer.content) == (400, True)
    answer = httpx.get(f"{site.url}/datalink/sky/bare?ID=1")
    assert (answer.status_code, b"NotFoundFault: " in answer.content) == (404, True)


def test_primary_keys_of_any_text_have_links(site: Site) -> None:
    url = f"{site.url}/datalink/sky/na%25me"
    links = table_of(httpx.get(url, params={"ID": ["a/b?c", "q & <z>", "none"]}).content)
    assert links["ID"].tolist() == ["a/b?c", "a/b?c", "q & <z>", "none"]
    this = httpx.get(links["access_url"][2])
    # Astropy has something against its name.
    assert table_of(this.content, "ignore")["a_b"].tolist() == ["q & <z>"]


# From a result to a file


@pytest.mark.parametrize("source", ["tap", "cone"])
def test_pyvo_comes_from_a_result_to_a_file(site: Site, source: str) -> None:
    if source == "tap":
        result = pyvo.dal.TAPService(f"{site.url}/tap").search(
            "SELECT event_id, ra FROM sky.Events WHERE event_id BETWEEN 16 AND 18"
        )
    else:
        cone = pyvo.dal.SCSService(f"{site.url}/scs/sky/Events?")
        result = cone.search(pos=(RA[17], DEC[17]), radius=1e-6)
    found = [link for links in result.iter_datalinks(preserve_order=True) for link in links]
    (preview,) = (link for link in found if link["semantics"] == "#preview")
    answer = httpx.get(preview.access_url)
    assert answer.content == PLOT
    digest = answer.headers["ETag"].strip('"')
    assert digest == hashlib.sha256(PLOT).hexdigest()


def test_pyvo_asks_for_many_texts_at_once(site: Site) -> None:
    result = pyvo.dal.TAPService(f"{site.url}/tap").search('SELECT "a b" FROM sky."na%me"')
    links = [(links["ID"][0], len(links)) for links in result.iter_datalinks()]
    assert sorted(links) == [("7", 1), ("a/b?c", 2), ("q & <z>", 1)]


def test_pyvo_cuts_by_the_service_that_the_links_describe(site: Site) -> None:
    links = DatalinkResults.from_result_url(f"{site.url}/datalink?ID={DATASET}")
    (service,) = (link for link in links if link["service_def"])
    data = service.process(circle=(RA[5], DEC[5], 10.0)).read()
    assert sorted(table_of(data)["event_id"]) == inside(RA[5], DEC[5], 10.0).tolist()


def test_pyvo_comes_from_obscore_to_a_file_that_was_attached_meanwhile(demo_service: Service, tmp_path: Path) -> None:
    source = tmp_path / "systematics.ecsv"
    source.write_bytes(RESPONSE)
    done = demo_service.run("attach", "demo.events", str(source), "--semantics", "error", "--description", "For tests")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(RESPONSE).hexdigest() in done.stdout
    query = "SELECT * FROM ivoa.obscore WHERE obs_publisher_did LIKE '%/demo/events'"
    (links,) = pyvo.dal.TAPService(f"{demo_service.url}/tap").search(query).iter_datalinks()
    (link,) = (link for link in links if link["description"] == "For tests")
    answer = httpx.get(link.access_url)
    assert (answer.content, answer.headers["Content-Type"]) == (RESPONSE, "application/x-ecsv")
    assert answer.headers["ETag"] == f'"{hashlib.sha256(RESPONSE).hexdigest()}"'


def test_the_command_tells_what_it_cannot_attach(demo_service: Service) -> None:
    done = demo_service.run("attach", "demo.events", "/nothing/here", "--semantics", "preview")
    assert (done.returncode, done.stderr.startswith("vo-service: /nothing/here cannot be read")) == (1, True)


def test_the_commands_tell_what_takes_the_place_of_what(demo_service: Service, tmp_path: Path) -> None:
    source = tmp_path / "note.txt"
    source.write_text("one")
    attach = ("attach", "demo.events", "--semantics", "error")
    assert "takes the place" not in demo_service.run(*attach, str(source)).stdout
    assert "It takes the place of the copy: 3 bytes" in demo_service.run(*attach, f"file://{source}").stdout
    unused = demo_service.state / "files" / ("0" * 64)
    unused.write_text("x")
    os.utime(unused, (1e9, 1e9))
    assert f"It takes the place of file://{source}: 3 bytes" in demo_service.run(*attach, str(source)).stdout
    assert not unused.exists()
    detach = ("detach", "demo.events", "note.txt")
    assert demo_service.run(*detach).stdout == "note.txt is not attached to demo.events any more.\n"
    again = demo_service.run(*detach)
    assert (again.returncode, "There is no file note.txt" in again.stderr) == (1, True)


# Cut-outs


def inside(ra: float, dec: float, radius: float) -> np.ndarray:
    centre = SkyCoord(ra, dec, unit="deg")
    return np.flatnonzero(SkyCoord(RA, DEC, unit="deg").separation(centre).deg <= radius)


def test_a_cut_out_has_the_events_within(site: Site) -> None:
    assert sorted(site.cutout(CIRCLE="80 -30 25")["event_id"]) == inside(80, -30, 25).tolist()
    polygon = site.cutout(POLYGON="0 0 40 0 40 30 0 30")["event_id"]
    roughly = np.flatnonzero((RA > 0.5) & (RA < 39.5) & (DEC > 0.5) & (DEC < 29.5))
    assert set(roughly) <= set(polygon)
    assert all(RA[polygon] <= 40) and all(DEC[polygon] < 34)  # noqa: PT018
    both = site.cutout(TIME="57010 57020", ENERGY="100 1000")["event_id"]
    kept = (MJD >= 57010) & (MJD <= 57020) & (ENERGY >= 100) & (ENERGY <= 1000)
    assert sorted(both) == np.flatnonzero(kept).tolist()
    assert sorted(site.cutout(TIME="57200 +Inf")["event_id"]) == np.flatnonzero(MJD >= 57200).tolist()
    assert sorted(site.cutout(ENERGY="-Inf +Inf")["event_id"]) == np.flatnonzero(~np.isnan(ENERGY)).tolist()
    assert len(site.cutout(ENERGY="+Inf +Inf")) == len(site.cutout(TIME="-Inf -Inf")) == 0
    band = site.cutout(BAND=f"0 {1.2398419843320026e-15 / 500!r}")["event_id"]
    assert abs(len(band) - np.count_nonzero(ENERGY >= 500)) <= 1
    assert len(site.cutout()) == ROWS
    assert site.cutout(ID=f"{DATASET}?17")["event_id"].tolist() == [17]


def test_a_cut_out_of_timestamps(site: Site) -> None:
    named = "ivo://localhost.demo/sky/na=25me"
    assert site.cutout(ID=named, TIME="58849 58849.5")["a_b"].tolist() == ["a/b?c"]
    assert len(site.cutout(ID=named, TIME="-Inf 1e300")) == 2


def test_a_cut_out_is_cut_at_maxrec_in_any_format(site: Site) -> None:
    answer = httpx.get(f"{site.url}/datalink/cutout", params={"ID": DATASET, "MAXREC": "5", "RESPONSEFORMAT": "csv"})
    assert len(answer.text.splitlines()) == 1 + 5 + 1
    assert b'value="OVERFLOW"' in httpx.get(f"{site.url}/datalink/cutout?ID={DATASET}&MAXREC=5").content


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "UsageError: ID is missing"),
        ("ID=ivo://x/y", 404, "UsageError: "),
        (f"ID={DATASET}?99999", 404, "UsageError: "),
        (f"ID={DATASET}&CIRCLE=1", 400, "UsageError: CIRCLE"),
        (f"ID={DATASET}&POS=1", 400, "UsageError: POS"),
        (f"ID={DATASET}&CIRCLE=1 2 3&CIRCLE=4 5 6", 400, "MultiValuedParamNotSupported: CIRCLE"),
    ],
)
def test_bad_requests_for_cut_outs_are_plain_text(site: Site, query: str, status: int, words: str) -> None:
    answer = httpx.get(f"{site.url}/datalink/cutout?{query}")
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (status, "text/plain")
    assert answer.text.startswith(words)


# Files


def test_a_file_that_is_attached_again_changes_in_its_place(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "again.txt"
    source.write_text("one")
    first = attach_file(site.access, Wish("sky.Events", str(source), "auxiliary", row="20"), site.files)
    url = f"{site.url}/files/{first.identifier}/again.txt"
    before = httpx.get(url)
    source.write_text("another")
    second = attach_file(site.access, Wish("sky.Events", str(source), "auxiliary", row="20"), site.files)
    after = httpx.get(url, headers={"If-None-Match": before.headers["ETag"]})
    assert first.identifier == second.identifier
    assert (before.text, after.status_code, after.text) == ("one", 200, "another")
    assert (first.before, second.before and second.before.sha256) == (None, first.stored.sha256)


@pytest.mark.parametrize("path", ["1/%00", "1/other.txt", f"{'9' * 5000}/x", "99999999999999999999/x", "-1/x", "a/x"])
def test_addresses_of_no_file_are_answered_by_the_document_of_an_error(site: Site, path: str) -> None:
    answer = httpx.get(f"{site.url}/files/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/x-votable+xml")
    assert b'value="ERROR"' in answer.content


def test_nothing_is_locked_while_a_file_is_fetched(site: Site) -> None:
    asked, told = Event(), Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            told.wait(60)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PLOT)

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server, ThreadPoolExecutor() as threads:
        threads.submit(server.serve_forever)
        wish = Wish("sky.Events", f"http://127.0.0.1:{server.server_port}/slow.png", "preview", row="21")
        try:
            attached = threads.submit(attach_file, site.access, wish, site.files)
            assert asked.wait(60)
            with psycopg.connect(site.access.writer.conninfo) as connection:
                connection.execute('LOCK TABLE sky."Events", vo_service.attachment IN ACCESS EXCLUSIVE MODE NOWAIT')
        finally:
            told.set()
            server.shutdown()
        assert attached.result().stored.sha256 == hashlib.sha256(PLOT).hexdigest()


def test_what_is_detached_is_linked_and_served_no_more(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "short-lived.txt"
    source.write_text("short-lived")
    done = attach_file(site.access, Wish("sky.Events", str(source), "auxiliary", row="22"), site.files)
    url = f"{site.url}/files/{done.identifier}/short-lived.txt"
    assert httpx.get(url).text == "short-lived"
    with pytest.raises(NotFoundError):
        detach_file(site.access, "sky.Events", None, "short-lived.txt")
    detach_file(site.access, "sky.Events", "22", "short-lived.txt")
    assert httpx.get(url).status_code == 404
    assert url not in site.links(f"{DATASET}?22")["access_url"]
    with pytest.raises(NotFoundError):
        detach_file(site.access, "sky.Events", "22", "short-lived.txt")


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish("sky.none", "x", "preview"), NotFoundError),
        (Wish("tap_schema.tables", "x", "preview"), NotFoundError),
        (Wish("sky.Events", "x", "preview", row="99999"), NotFoundError),
        (Wish("sky.Events", "x", "preview", row="abc"), NotFoundError),
        (Wish("sky.bare", "x", "preview", row="1"), UsageError),
        (Wish("sky.Events", "/nothing/here", "preview"), UsageError),
        (Wish("sky.Events", "x", "nonsense"), UsageError),
        (Wish("sky.Events", "x", "preview", product_type="two words"), UsageError),
        (Wish("sky.Events", "x", "preview", content_type="nonsense"), UsageError),
        (Wish("sky.Events", "x", "preview", "\udcff"), UsageError),
        (Wish("sky.\udcff", "x", "preview"), UsageError),
    ],
)
def test_what_cannot_be_attached_is_refused(site: Site, wish: Wish, error: type[Exception]) -> None:
    with pytest.raises(error):
        attach_file(site.access, wish, site.files)


def test_copies_that_nothing_needs_are_deleted_after_an_hour(site: Site) -> None:
    names = {path.name for path in site.files.iterdir()}
    unused, new = site.files / ("0" * 64), site.files / ("1" * 64)
    for path in (unused, new):
        path.write_text("x")
    for path in site.files.iterdir():
        if path != new:
            os.utime(path, (1e9, 1e9))
    remove_unused(site.access, site.files)
    kept = {path.name for path in site.files.iterdir()}
    assert kept <= names | {new.name}
    assert {hashlib.sha256(PLOT).hexdigest(), new.name} <= kept
    assert unused.name not in kept


# Judges


@pytest.mark.parametrize("query", ["", f"ID={DATASET}", f"ID={DATASET}?17&ID=nonsense&ID={DATASET}", "ID=nonsense"])
def test_stilts_has_nothing_against_the_links(site: Site, query: str) -> None:
    report = stilts("datalinklint", f"votable={site.url}/datalink?{query}").stdout
    assert "Totals: " in report, report
    # The vocabulary of STILTS 3.4.7 is older than this term.
    known = re.compile(r"E-SMCO-\d+ Unknown predicate 'documentation' from core DataLink vocabulary")
    found = [line for line in report.splitlines() if re.match(r"[EWF]-", line) and not known.match(line)]
    assert found == []


def test_stilts_has_nothing_against_results_that_lead_to_links(site: Site, tmp_path: Path) -> None:
    document = tmp_path / "result.vot"
    tap = {"LANG": "ADQL", "QUERY": "SELECT TOP 3 * FROM sky.Events"}
    for url, parameters in (
        (f"{site.url}/tap/sync", tap),
        (f"{site.url}/scs/sky/Events", {"RA": "1", "DEC": "1", "SR": "20"}),
        (f"{site.url}/datalink/cutout", {"ID": DATASET, "MAXREC": "3"}),
        (f"{site.url}/datalink", {"ID": DATASET}),
    ):
        document.write_bytes(httpx.get(url, params=parameters).content)
        assert b'utype="adhoc:service"' in document.read_bytes()
        assert votlint_complaints(str(document)) == []
