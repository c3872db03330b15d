"""Requests that are wrong, or odd but right: the answer their protocol asks for, and a message that names the fault.

TAP 1.1, section 3.2, and DALI 1.1, section 4.2: status 4xx and a VOTable with QUERY_STATUS=ERROR. SCS 1.03, section
2.3: status 200 and a VOTable with an INFO named Error.
"""

from __future__ import annotations

import io
import math
import re
import time

import httpx
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable import parse
from astropy.io.votable.tree import VOTableFile

from tests.support.service import Service

EVENTS = "demo.events"
GOOD = {"LANG": "ADQL", "QUERY": f"SELECT TOP 2 event_id, ra FROM {EVENTS}"}


def query(text: str, **more: str) -> dict[str, str]:
    return {**GOOD, "QUERY": text, **more}


def table(rows: str, fields: str = "<FIELD name='x' datatype='double'/>") -> bytes:
    """A VOTable to upload."""
    head = "<VOTABLE version='1.4' xmlns='http://www.ivoa.net/xml/VOTable/v1.3'><RESOURCE><TABLE>"
    return f"{head}{fields}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>".encode()


ROW = "<TR><TD>1.5</TD></TR>"

# What is asked for, and what the message says of it.
WRONG_QUERIES: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, r"QUERY is missing"),
    "no QUERY": ({"LANG": "ADQL"}, r"QUERY is missing"),
    "blank QUERY": (query("  "), r"QUERY is missing"),
    "no LANG": ({"QUERY": GOOD["QUERY"]}, r"LANG is missing: expected one of ADQL, "),
    "another language": ({**GOOD, "LANG": "SQL"}, r"LANG=SQL: expected one of ADQL, "),
    "another version": ({**GOOD, "LANG": "ADQL-3.0"}, r"LANG=ADQL-3\.0: expected one of"),
    "two queries": ({**GOOD, "query": "SELECT 1"}, r"QUERY is given 2 times with different values"),
    "misspelt SELECT": (query("SELET x FROM y"), r"Expected SELECT, found SELET.*line 1, column 1"),
    "no FROM": (query(f"SELECT ra\nFORM {EVENTS}"), r"line 2, column"),
    "unknown schema": (query("SELECT * FROM nosuch.events"), r"There is no table nosuch\.events"),
    "unknown table": (query("SELECT * FROM demo.event"), r"There is no table demo\.event\b.*demo\.events"),
    "unknown column": (query(f"SELECT energie FROM {EVENTS}"), r"There is no column energie\b.*energy"),
    "unknown alias": (query(f"SELECT x.ra FROM {EVENTS} AS e"), r"\bx\b"),
    "unknown function": (query(f"SELECT NOSUCH(ra) FROM {EVENTS}"), r"Unknown function NOSUCH"),
    "a function of the database": (query(f"SELECT pg_sleep(1) FROM {EVENTS}"), r"Unknown function pg_sleep"),
    "number of arguments": (query(f"SELECT POWER(ra) FROM {EVENTS}"), r"POWER"),
    "a table of the database": (query("SELECT * FROM pg_catalog.pg_class"), r"There is no table pg_catalog\.pg_class"),
    "two statements": (query(f"SELECT ra FROM {EVENTS}; DELETE FROM {EVENTS}"), r"end of the query.*DELETE"),
    "DELETE": (query(f"DELETE FROM {EVENTS}"), r"Expected SELECT, found DELETE"),
    "number as text": (query(f"SELECT ra FROM {EVENTS} WHERE event_id = 'abc'"), r"number.*string"),
    "division by zero": (query(f"SELECT 1 / (run - run) AS x FROM {EVENTS}"), r"division by zero"),
    "negative radius": (
        query(f"SELECT ra FROM {EVENTS} WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(1, 2, -3))"),
        r"radius of CIRCLE must lie between 0 and 180 degrees; this is -3",
    ),
    "declination beyond the pole": (
        query(f"SELECT ra FROM {EVENTS} WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(1, 92, 3))"),
        r"Declination must lie between -90 and 90 degrees; this is 92",
    ),
    "NUL": (query(f"SELECT ra FROM {EVENTS} WHERE 'a\0' = 'b'"), r"QUERY contains a NUL"),
    "parentheses without end": (
        query(f"SELECT ra FROM {EVENTS} WHERE {'(' * 3000}1=1{')' * 3000}"),
        r"nested too deep",
    ),
    "length": (
        query(f"SELECT ra FROM {EVENTS} WHERE run IN ({'12345,' * 100_000}1)"),
        r"has 6\d\d,\d{3} characters; at",
    ),
    "unknown format": ({**GOOD, "RESPONSEFORMAT": "image/jpeg"}, r"RESPONSEFORMAT=image/jpeg: expected one of"),
    "unknown format, the old way": ({**GOOD, "FORMAT": "punchcards"}, r"FORMAT=punchcards: expected one of"),
    "negative MAXREC": ({**GOOD, "MAXREC": "-3"}, r"MAXREC=-3: expected an integer, 0 or more"),
    "MAXREC in words": ({**GOOD, "MAXREC": "many"}, r"MAXREC=many: expected an integer"),
    "MAXREC with decimals": ({**GOOD, "MAXREC": "1.5"}, r"MAXREC=1\.5: expected an integer"),
    "UPLOAD without an address": ({**GOOD, "UPLOAD": "mine"}, r"UPLOAD=mine: expected NAME,param:PART"),
    "UPLOAD of a part that is not there": ({**GOOD, "UPLOAD": "mine,param:file"}, r"UPLOAD=mine,param:file: .*'file'"),
    "UPLOAD of a file here": (
        {**GOOD, "UPLOAD": "mine,file:///etc/hostname"},
        r"UPLOAD=mine,file:.*file: is not accepted",
    ),
    "UPLOAD by FTP": ({**GOOD, "UPLOAD": "mine,ftp://example.org/x"}, r"ftp: is not accepted"),
    "UPLOAD from this machine": (
        {**GOOD, "UPLOAD": "mine,http://127.0.0.1:1/x"},
        r"127\.0\.0\.1 is not a public address",
    ),
    "UPLOAD from the cloud's metadata": ({**GOOD, "UPLOAD": "mine,http://169.254.169.254/x"}, r"not a public address"),
    "name of an upload": ({**GOOD, "UPLOAD": "two words,param:mine"}, r"UPLOAD=two words,param:mine: expected NAME"),
    "a table that was not uploaded": (query("SELECT * FROM TAP_UPLOAD.mine"), r"There is no table TAP_UPLOAD\.mine"),
}


def error_of(answer: httpx.Response) -> str:
    """The message in an error document of TAP; the document is read by astropy."""
    assert answer.headers["content-type"] == "application/x-votable+xml"
    document = parse(io.BytesIO(answer.content))
    (resource,) = document.resources
    assert resource.type == "results"
    (status,) = [info for info in resource.infos if info.name == "QUERY_STATUS"]
    assert status.value == "ERROR"
    message = str(status.content)
    for secret in ("Traceback", "psycopg", "SELECT t1", "postgres"):
        assert secret not in message
    return message


@pytest.mark.parametrize("name", WRONG_QUERIES)
def test_wrong_queries(demo_service: Service, name: str) -> None:
    parameters, message = WRONG_QUERIES[name]
    answer = httpx.post(f"{demo_service.url}/tap/sync", data=parameters, timeout=60)
    assert answer.status_code == 400, answer.text[:1000]
    assert re.search(message, error_of(answer), re.S)


RIGHT_QUERIES: dict[str, dict[str, str]] = {
    "as it should be": GOOD,
    "the older language": {**GOOD, "LANG": "ADQL-2.0"},
    "REQUEST of TAP 1.0": {**GOOD, "REQUEST": "doQuery"},
    "REQUEST of nobody": {**GOOD, "REQUEST": "doNothing"},
    "names in any case": {name.lower(): value for name, value in GOOD.items()},
    "a parameter of nobody": {**GOOD, "VERBOSE": "yes"},
    "repeated with one value": {**GOOD, "maxrec": "5", "MAXREC": "5"},
    "a semicolon at the end": query(GOOD["QUERY"] + ";"),
    "empty RESPONSEFORMAT": {**GOOD, "RESPONSEFORMAT": ""},
}


@pytest.mark.parametrize("name", RIGHT_QUERIES)
def test_odd_but_right_queries(demo_service: Service, name: str) -> None:
    answer = httpx.post(f"{demo_service.url}/tap/sync", data=RIGHT_QUERIES[name], timeout=60)
    assert answer.status_code == 200, answer.text
    assert len(parse(io.BytesIO(answer.content)).get_first_table().array) == 2


WRONG_UPLOADS: dict[str, tuple[bytes, str]] = {
    "no table at all": (b"hello", r"UPLOAD mine: the (format is not recognised|file cannot be read)"),
    "nothing": (b"", r"UPLOAD mine: "),
    "a document that ends early": (table(ROW)[:-60], r"UPLOAD mine: the file cannot be read"),
    "a value that is no number": (table("<TR><TD>one</TD></TR>"), r"UPLOAD mine: .*row 1: x: 'one' is not a number"),
    "a document with entities": (b"<!DOCTYPE V [<!ENTITY a 'b'>]>" + table("<TR><TD>&a;</TD></TR>"), r"UPLOAD mine: "),
    "an address in the document": (
        b"<!DOCTYPE V [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>" + table("<TR><TD>&a;</TD></TR>"),
        r"UPLOAD mine: ",
    ),
}


def upload(service: Service, content: bytes, text: str = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.mine") -> httpx.Response:
    return httpx.post(
        f"{service.url}/tap/sync",
        data={"LANG": "ADQL", "QUERY": text, "UPLOAD": "mine,param:file", "RESPONSEFORMAT": "votable"},
        files={"file": ("mine.xml", content)},
        timeout=60,
    )


@pytest.mark.parametrize("name", WRONG_UPLOADS)
def test_wrong_uploads(demo_service: Service, name: str) -> None:
    content, message = WRONG_UPLOADS[name]
    answer = upload(demo_service, content)
    assert answer.status_code == 400, answer.text
    assert re.search(message, error_of(answer), re.S)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_right_uploads(demo_service: Service, count: int) -> None:
    answer = upload(demo_service, table(ROW * count))
    assert answer.status_code == 200, answer.text
    assert parse(io.BytesIO(answer.content)).get_first_table().array["n"].tolist() == [count]


def test_a_column_that_the_upload_has_not(demo_service: Service) -> None:
    answer = upload(demo_service, table(ROW), "SELECT y FROM TAP_UPLOAD.mine")
    assert answer.status_code == 400
    assert re.search(r"There is no column y\b", error_of(answer))


# Cone search --


CONE = {"RA": "80", "DEC": "5", "SR": "2"}
WRONG_CONES: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, r"^RA is missing"),
    "no RA": ({"DEC": "5", "SR": "2"}, r"^RA is missing: expected a number from 0 to 360"),
    "no DEC": ({"RA": "5", "SR": "2"}, r"^DEC is missing: expected a number from -90 to 90"),
    "no SR": ({"RA": "80", "DEC": "5"}, r"^SR is missing: expected a number from 0 to 180"),
    "blank": ({**CONE, "DEC": ""}, r"^DEC is missing"),
    "words": ({**CONE, "RA": "eighty"}, r"^RA=eighty: expected a number from 0 to 360"),
    "RA beyond the circle": ({**CONE, "RA": "400"}, r"^RA=400: expected a number from 0 to 360"),
    "RA below 0": ({**CONE, "RA": "-0.1"}, r"^RA=-0\.1: expected"),
    "DEC beyond the pole": ({**CONE, "DEC": "95"}, r"^DEC=95: expected a number from -90 to 90"),
    "DEC just beyond the pole": ({**CONE, "DEC": "-90.001"}, r"^DEC=-90\.001: expected"),
    "a negative radius": ({**CONE, "SR": "-2"}, r"^SR=-2: expected a number from 0 to 180"),
    "a radius beyond the sky": ({**CONE, "SR": "180.5"}, r"^SR=180\.5: expected"),
    "NaN": ({**CONE, "SR": "nan"}, r"^SR=nan: expected"),
    "infinity": ({**CONE, "RA": "inf"}, r"^RA=inf: expected"),
    "sexagesimal": ({**CONE, "RA": "05:20:00"}, r"^RA=05:20:00: .*not sexagesimal"),
    "two positions": ({**CONE, "ra": "81"}, r"^RA is given 2 times with different values"),
    "VERB": ({**CONE, "VERB": "4"}, r"^VERB=4: expected an integer from 1 to 3"),
    "RESPONSEFORMAT": ({**CONE, "RESPONSEFORMAT": "image/jpeg"}, r"^RESPONSEFORMAT=image/jpeg: expected one of"),
    "MAXREC": ({**CONE, "MAXREC": "-1"}, r"^MAXREC=-1: expected"),
}


@pytest.mark.parametrize("name", WRONG_CONES)
def test_wrong_cones(demo_service: Service, name: str) -> None:
    parameters, message = WRONG_CONES[name]
    answer = httpx.get(f"{demo_service.url}/scs/demo/events", params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-votable+xml")
    (info,) = [info for info in parse(io.BytesIO(answer.content)).resources[0].infos if info.name == "Error"]
    assert re.search(message, str(info.value))


def cone(service: Service, **parameters: str) -> VOTableFile:
    answer = httpx.get(f"{service.url}/scs/demo/events", params={**CONE, **parameters}, timeout=60)
    assert answer.status_code == 200
    return parse(io.BytesIO(answer.content))


@pytest.fixture(scope="module")
def separations(demo_service: Service) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of all events from the centre of CONE, in degrees, sorted."""
    parameters = query(f"SELECT ra, dec FROM {EVENTS}")
    rows = parse(io.BytesIO(httpx.post(f"{demo_service.url}/tap/sync", data=parameters, timeout=60).content))
    array = rows.get_first_table().array
    places = SkyCoord(array["ra"].filled(math.nan), array["dec"].filled(math.nan), unit="deg")
    centre = SkyCoord(float(CONE["RA"]), float(CONE["DEC"]), unit="deg")
    return np.sort(places.separation(centre).deg)


@pytest.mark.parametrize("radius", ["180", "2", "0.0001"])
def test_cones_of_every_size(
    demo_service: Service, separations: np.ndarray[tuple[int], np.dtype[np.float64]], radius: str
) -> None:
    rows = cone(demo_service, SR=radius, MAXREC="1000000").get_first_table().array
    assert len(rows) == np.searchsorted(separations, float(radius))


@pytest.mark.parametrize("more", [{"SR": "0"}, {"MAXREC": "0"}, {"RA": "360"}, {"FOO": "bar"}, {"VERB": "1"}])
def test_odd_but_right_cones(demo_service: Service, more: dict[str, str]) -> None:
    rows = cone(demo_service, **more).get_first_table().array
    assert (len(rows) == 0) is ("SR" in more or "MAXREC" in more)


# Methods, addresses and endings --


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("address", ["/tap/sync", "/tap/tables", "/scs/demo/events"])
def test_methods_that_are_not_possible(demo_service: Service, method: str, address: str) -> None:
    answer = httpx.request(method, demo_service.url + address)
    assert answer.status_code == 405
    assert {"GET", "HEAD"} <= set(answer.headers["allow"].split(", "))
    assert f"{method} is not possible here; expected GET, HEAD" in answer.text


def test_which_methods_are_possible(demo_service: Service) -> None:
    answer = httpx.options(f"{demo_service.url}/tap/sync")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, POST", b"")


def test_head_says_what_get_would(demo_service: Service) -> None:
    for parameters, status in ((GOOD, 200), ({}, 400)):
        answer = httpx.head(f"{demo_service.url}/tap/sync", params=parameters)
        assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize("address", ["/tap/tables/no.such", "/tap/nonsense", "/scs/demo/nosuch", "/nonsense"])
def test_addresses_that_are_not_there(demo_service: Service, address: str) -> None:
    answer = httpx.get(demo_service.url + address)
    assert answer.status_code == 404
    assert address.rpartition("/")[2] in answer.text


@pytest.mark.parametrize(("maxrec", "cut"), [("3", True), ("200000", False)])
def test_text_that_is_cut_says_so(demo_service: Service, maxrec: str, cut: bool) -> None:
    parameters = query(f"SELECT event_id FROM {EVENTS}", MAXREC=maxrec)
    for kind in ("csv", "tsv"):
        answer = httpx.post(f"{demo_service.url}/tap/sync", data={**parameters, "RESPONSEFORMAT": kind}, timeout=60)
        assert answer.text.splitlines()[-1].startswith("# OVERFLOW") is cut


# Jobs --


@pytest.fixture(scope="module")
def job(demo_service: Service) -> str:
    """The address of a job that nobody told to run."""
    answer = httpx.post(f"{demo_service.url}/tap/async", data=GOOD)
    assert answer.status_code == 303
    return str(answer.headers["location"])


WRONG_TO_JOBS: dict[str, tuple[str, dict[str, str], str]] = {
    "a phase of nobody": ("/phase", {"PHASE": "PAUSE"}, r"PHASE=PAUSE: expected RUN or ABORT"),
    "no phase": ("/phase", {}, r"PHASE is missing|expected RUN or ABORT"),
    "a time in words": ("/destruction", {"DESTRUCTION": "later"}, r"DESTRUCTION=later: expected a time in UTC"),
    "a time of no calendar": ("/destruction", {"DESTRUCTION": "2026-13-01T00:00:00Z"}, r"DESTRUCTION=2026-13-01"),
    "seconds in words": (
        "/executionduration",
        {"EXECUTIONDURATION": "an hour"},
        r"EXECUTIONDURATION=an hour: expected",
    ),
    "negative seconds": ("/executionduration", {"EXECUTIONDURATION": "-5"}, r"EXECUTIONDURATION=-5: expected"),
    "another action": ("", {"ACTION": "BURN"}, r"ACTION=BURN: expected"),
}


@pytest.mark.parametrize("name", WRONG_TO_JOBS)
def test_wrong_requests_to_a_job(job: str, name: str) -> None:
    path, parameters, message = WRONG_TO_JOBS[name]
    answer = httpx.post(job + path, data=parameters)
    assert answer.status_code == 400, answer.text
    assert re.search(message, error_of(answer))
    assert httpx.get(f"{job}/phase").text == "PENDING"


@pytest.mark.parametrize("path", ["", "/phase", "/results/result", "/error", "/destruction"])
def test_jobs_that_are_not_there(demo_service: Service, path: str) -> None:
    answer = httpx.get(f"{demo_service.url}/tap/async/nosuchjob{path}")
    assert answer.status_code == 404
    assert "There is no job nosuchjob" in error_of(answer)


def test_results_that_are_not_there(job: str) -> None:
    for path in ("/results/result", "/results/other"):
        answer = httpx.get(job + path)
        assert answer.status_code == 404
        assert "PENDING" in error_of(answer)


@pytest.mark.parametrize("name", ["nothing", "misspelt SELECT", "unknown table", "unknown format", "negative MAXREC"])
def test_jobs_that_are_wrong_fail_with_the_same_words(demo_service: Service, name: str) -> None:
    """TAP 1.1, section 2.2: a job may be made with anything, and is judged when it runs."""
    parameters, message = WRONG_QUERIES[name]
    made = httpx.post(f"{demo_service.url}/tap/async", data={**parameters, "PHASE": "RUN"})
    assert made.status_code == 303, made.text
    address = made.headers["location"]
    assert httpx.get(address, params={"WAIT": "60"}, timeout=90).status_code == 200
    while (phase := httpx.get(f"{address}/phase").text) in ("QUEUED", "EXECUTING"):
        time.sleep(0.1)
    assert phase == "ERROR"
    assert re.search(message, error_of(httpx.get(f"{address}/error")), re.S)
    assert httpx.delete(address).status_code == 303
