"""`vo-service validate` over a real service: nothing is wrong with a healthy one, and what is broken is found."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

import httpx
import numpy as np
import pytest
from astropy.io import fits

from tests.support.broken import Break, broken
from tests.support.service import COMMAND, Service, run_command, running, state_directory
from vo_service.errors import UsageError
from vo_service.validation.datalink import check_datalink
from vo_service.validation.findings import Finding
from vo_service.validation.landing import check_landing
from vo_service.validation.moc import check_moc
from vo_service.validation.oai import check_oai
from vo_service.validation.obscore import NOT_NULL, check_obscore
from vo_service.validation.records import check_records
from vo_service.validation.run import AREAS, validate
from vo_service.validation.schemas import Schemas
from vo_service.validation.services import check_services
from vo_service.validation.site import Site
from vo_service.validation.stilts import check_stilts
from vo_service.validation.vosi import check_vosi

Check = Callable[[Site], Iterator[Finding]]

EVENTS = rb"<oai:record\b(?:(?!</oai:record>).)*?<oai:identifier>ivo://[^<]*/demo/events<.*?</oai:record>"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The demo, with lists of the registry in parts of three records, and its broker listening."""
    with pytest.MonkeyPatch.context() as patch, state_directory() as state:
        patch.setenv("VO_SERVICE_REGISTRY_PAGE_SIZE", "3")
        with running("demo", state) as service:
            await_broker(service.url)
            yield service


@pytest.fixture(scope="module")
def url(service: Service) -> str:
    return service.url


def await_broker(url: str) -> None:
    """Wait until the address of the stream that the registry tells accepts connections."""
    everything = ""
    arguments = {"verb": "ListRecords", "metadataPrefix": "ivo_vor"}
    while arguments:
        page = httpx.get(f"{url}/oai", params=arguments).text
        everything += page
        token = re.search(r"<oai:resumptionToken[^>]*>([^<]+)<", page)
        arguments = {"verb": "ListRecords", "resumptionToken": token[1]} if token else {}
    place = urlsplit(re.findall(r"vtp://[^<]+", everything)[0])
    for _ in range(300):
        try:
            socket.create_connection((place.hostname or "", place.port or 0), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{place.geturl()} does not listen")


@pytest.fixture(scope="module")
def schemas(shared: Path) -> Schemas:
    return Schemas(shared / "conformance" / "xsd", fetching=False)


def findings(url: str, check: Check, schemas: Schemas | None = None) -> list[Finding]:
    return list(check(Site(url, schemas, "not here", thorough=False)))


def errors(found: list[Finding]) -> list[str]:
    return [str(finding) for finding in found if finding.kind == "ERROR"]


def test_a_healthy_service_has_no_errors(url: str, shared: Path) -> None:
    done = run_command("validate", f"{url}/", "--schemas", str(shared / "conformance" / "xsd"))
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("ERROR")] == []
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.fullmatch(r"0 errors, (\d+) warnings, (\d+) checks, (\d+) skipped", lines[-1])
    assert summary is not None
    assert int(summary[1]) == sum(line.startswith("WARNING") for line in lines)
    assert int(summary[2]) > 200
    for expected in (
        "checked 7 records in ivo_vor, in 3 parts",
        "checked 7 records against the schemas",
        "checked 12 malformed requests",
        "checked 5 records against live capabilities",
        "checked 4 records against live tables",
        "checked 2 MOCs of tables with a cone search",
        "checked 30 columns of ivoa.obscore",
    ):
        assert expected in lines


def test_errors_give_status_1_and_what_cannot_be_judged_is_said(url: str, tmp_path: Path) -> None:
    """Without schemas, without STILTS, and with a table that does not answer."""
    (tmp_path / "bin").mkdir()
    with broken(url, lambda asked, body: 500 if asked.startswith("/tap/tables") else body) as other:
        done = subprocess.run(
            [*COMMAND, "validate", other, "--schemas", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": str(tmp_path / "bin")},
        )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^ERROR vosi http://\S+/tap/tables: expected status 200, found 500$", done.stdout, re.M)
    assert "SKIPPED stilts taplint, votlint, datalinklint: stilts is not installed" in done.stdout
    unjudged = r"^SKIPPED records ivo://\S+ and 6 others: records not judged by schema: no schema for http"
    assert re.search(unjudged, done.stdout, re.M)
    assert "Traceback" not in done.stderr


def test_no_service_is_an_error_of_usage(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UsageError, match="expected an answer"):
        next(validate(f"http://127.0.0.1:{port}", tmp_path, thorough=False))


def test_a_directory_of_schemas_must_be_there(demo_service: Service, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a directory"):
        next(validate(demo_service.url, tmp_path / "nothing", thorough=False))


def listed(asked: str) -> bool:
    return "verb=ListRecords" in asked and "oai_dc" not in asked


def replaced(start: str, old: bytes, new: bytes) -> Break:
    """Replace a part of what answers requests that begin so; it must be there in one answer at least."""
    return lambda asked, body: re.sub(old, new, body, flags=re.S) if asked.startswith(start) else body


def never_ending(asked: str, body: bytes) -> bytes:
    """Each part of a list leads to itself."""
    token = re.search(r"resumptionToken=([^&]+)", asked)
    if token is None:
        return body
    element = b"<oai:resumptionToken>" + unquote(token[1]).encode() + b"</oai:resumptionToken>"
    return re.sub(rb"<oai:resumptionToken[^>]*?(/>|>[^<]*</oai:resumptionToken>)", element, body)


def told(query: str, **values: object) -> Break:
    """Answer a query of TAP that contains a text with a row of integers and texts."""
    fields = "".join(
        f'<FIELD name="{name}" datatype="int"/>'
        if isinstance(value, int)
        else f'<FIELD name="{name}" datatype="unicodeChar" arraysize="*"/>'
        for name, value in values.items()
    )
    row = "".join(f"<TD>{value}</TD>" for value in values.values())
    document = (
        '<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3" version="1.4"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}<DATA><TABLEDATA><TR>{row}</TR></TABLEDATA></DATA>'
        "</TABLE></RESOURCE></VOTABLE>"
    )
    return lambda asked, body: document.encode() if query in unquote_plus(asked) else body


BROKEN: dict[str, tuple[Check, Break, str]] = {
    "a record is not in ListRecords": (
        check_oai,
        lambda asked, body: re.sub(EVENTS, b"", body, flags=re.S) if listed(asked) else body,
        r"found it in ListIdentifiers in ivo_vor alone",
    ),
    "a record is listed twice": (
        check_oai,
        lambda asked, body: re.sub(b"(" + EVENTS + b")", rb"\1\1", body, flags=re.S) if listed(asked) else body,
        r"demo/events: expected one record in ivo_vor, found 2",
    ),
    "lists do not end": (
        check_oai,
        never_ending,
        r"expected ListRecords to end, found the resumptionToken \S+ again",
    ),
    "GetRecord tells something else": (
        check_oai,
        replaced("/oai?verb=GetRecord", rb"Simulated neutrino candidates", b"Other"),
        r"demo/events: expected the metadata of ListRecords in GetRecord \(ivo_vor\), found another",
    ),
    "errors have the wrong code": (
        check_oai,
        replaced("/oai", rb'"badResumptionToken"', b'"badArgument"'),
        r"expected the error badResumptionToken, found badArgument",
    ),
    "Identify is no valid answer": (
        check_oai,
        replaced("/oai?verb=Identify", rb"<oai:granularity>.*?</oai:granularity>", b""),
        r"expected Identify valid by the schema",
    ),
    "Identify has no record": (
        check_oai,
        replaced("/oai?verb=Identify", rb"<oai:description>.*</oai:description>", b""),
        r"expected the vg:Registry record in Identify, found none",
    ),
    "records are missing from the newest datestamp on": (
        check_oai,
        replaced("/oai?verb=ListIdentifiers&metadataPrefix=ivo_vor&from=", rb"<oai:header.*?</oai:header>", b""),
        r"expected it in ListIdentifiers from \S+ on, found it missing",
    ),
    "from is ignored": (
        check_oai,
        replaced("/oai?verb=ListIdentifiers&metadataPrefix=ivo_vor&from=", rb"<oai:datestamp>2", b"<oai:datestamp>1"),
        r"expected nothing older in ListIdentifiers from \S+ on, found it",
    ),
    "a record is not valid": (
        check_records,
        replaced("/oai", rb"<publisher>[^<]*</publisher>", b""),
        r"ERROR records ivo://\S+: expected records valid by the schema, found line \d+: Element 'creator'",
    ),
    "a record is no XML": (check_records, replaced("/oai", rb"</ri:Resource>", b""), r"not well-formed"),
    "an address does not answer": (
        check_records,
        lambda asked, body: 404 if asked.startswith("/datalink/demo/events") else body,
        r"demo/events: expected an answer from http://\S+/datalink/demo/events, found status 404",
    ),
    "a record names another that is not there": (
        check_records,
        replaced("/oai", rb'ivo-id="(ivo://[^/]+)/tap"', rb'ivo-id="\1/nothing"'),
        r"expected the related resource ivo://\S+/nothing here, found no such record",
    ),
    "an address is none": (
        check_records,
        replaced("/oai", rb"vtp://[^<]*", b"vtp://x.org:port"),
        r"vtp://x\.org:port: expected a URL",
    ),
    "the stream does not listen": (
        check_records,
        replaced("/oai", rb"vtp://[^<]*", b"vtp://127.0.0.1:1"),
        r"vtp://127\.0\.0\.1:1: expected a server that accepts connections",
    ),
    "a record comes from the future": (
        check_records,
        replaced("/oai", rb"(<oai:datestamp>)2\d{3}", rb"\g<1>2999"),
        r"expected a datestamp that is not in the future, found 2999",
    ),
    "a column of the record is not live": (
        check_services,
        replaced("/oai", rb"<name>energy</name>", b"<name>enrgy</name>"),
        r"demo/events: expected demo\.events\.enrgy as it is live, no such column, found float",
    ),
    "a column of the record has another type": (
        check_services,
        replaced("/scs/demo/events/tables", rb">float<", b">double<"),
        r"expected demo\.events\.energy as it is live, double, found float",
    ),
    "a capability is not in the record": (
        check_services,
        replaced("/scs/demo/events/capabilities", rb"VOSI#availability", b"VOSI#nonsense"),
        r"expected the live ivo://ivoa.net/std/vosi#nonsense at .*, found none in the record",
    ),
    "the test query gives an error": (
        check_services,
        replaced("/scs/demo/events?RA", rb'value="OK"/>', b'value="ERROR">broken</INFO>'),
        r"expected a result, found the error broken",
    ),
    "the test query finds nothing": (
        check_services,
        replaced("/scs/demo/events?RA", rb"<DATA>.*</DATA>", b""),
        r"demo/events: expected at least one row from the test query \S+, found none",
    ),
    "the service is not available": (
        check_vosi,
        replaced("/tap/availability", rb">true<", b">false<"),
        r"tap/availability: expected available true, found false",
    ),
    "capabilities are not valid": (
        check_vosi,
        replaced("/tap/capabilities", rb"accessURL", b"adressURL"),
        r"tap/capabilities: expected documents of capabilities valid by the schema",
    ),
    "a landing page does not answer": (
        check_landing,
        lambda asked, body: 404 if asked == "/resource/demo/events" else body,
        r"expected an answer from the page \S+/resource/demo/events, found status 404",
    ),
    "DataCite is no JSON": (
        check_landing,
        replaced("/resource", rb"^\{", b"["),
        r"datacite-json: expected JSON, found",
    ),
    "the page of a table that is described elsewhere does not lead to DataCite": (
        check_landing,
        lambda asked, body: (
            re.sub(rb"(<referenceURL>http://[^/]+)[^<]*", rb"\1/", body)
            if asked.startswith("/oai")
            else 500
            if asked.endswith("datacite-xml")
            else body
        ),
        r"resource/demo/events\?RESPONSEFORMAT=datacite-xml: expected status 200, found 500",
    ),
    "rows have no links": (
        check_datalink,
        replaced("/tap/sync", rb"DataLink#links", b"DataLink#nothing"),
        r"expected a service descriptor of DataLink in a result of demo\.events, found none",
    ),
    "links lack a column": (
        check_datalink,
        replaced("/datalink/demo/events", rb'name="semantics"', b'name="meaning"'),
        r"found none named semantics",
    ),
    "links have strange semantics": (
        check_datalink,
        replaced("/datalink/demo/events", rb"#this", b"#thin"),
        r"expected a term of the DataLink vocabulary or a URI, found '#thin'",
    ),
    "links lead nowhere": (
        check_datalink,
        lambda asked, body: 500 if asked.startswith("/datalink/cutout") else body,
        r"datalink/cutout\S+: expected an answer from the link #this, found status 500",
    ),
    "unknown identifiers get nothing": (
        check_datalink,
        replaced("/datalink/demo/events?ID=ivo%3A%2F%2Fnobody", rb"<TR>.*</TR>", b""),
        r"expected a row with an error_message, found \[\]",
    ),
    "the test query has no position": (
        check_moc,
        replaced("/oai", rb"<dec>[^<]*</dec>", b"<dec>None</dec>"),
        r"moc/demo/events: expected the position \S+ None of the test query",
    ),
    "a MOC is none": (
        check_moc,
        replaced("/moc/demo/events", rb"XTENSION", b"XTENSIOM"),
        r"in FITS that astropy reads",
    ),
    "a MOC has finer cells than it says": (
        check_moc,
        replaced("/moc/demo/events", rb"(MOCORD_S=|MOCORDER=)( +)\d", rb"\1\g<2>2"),
        r"expected cells of orders up to 2, found \d+ cells",
    ),
    "the test position is outside": (
        check_moc,
        replaced("/oai", rb"<dec>[^<]*</dec>", b"<dec>89.9</dec>"),
        r"moc/demo/events: expected the position \S+ 89.9 of the test query of \S+ inside",
    ),
    "ObsCore lacks a column": (
        check_obscore,
        replaced("/tap/tables", rb"<name>s_region</name>", b"<name>region</name>"),
        r"ivoa\.obscore\.s_region: expected this mandatory column, found none",
    ),
    "ObsCore has another type": (
        check_obscore,
        replaced("/tap/tables", rb"(<name>energy_min</name>.*?)>double<", rb"\1>float<"),
        r"energy_min: expected datatype and unit double eV, found float eV",
    ),
    "ObsCore has another unit": (
        check_obscore,
        replaced("/tap/tables", rb"(<name>em_min</name>.*?)>m</unit>", rb"\1>nm</unit>"),
        r"ivoa\.obscore\.em_min: expected datatype and unit double m, found double nm",
    ),
    "ObsCore has another UCD": (
        check_obscore,
        replaced("/tap/tables", rb"(<name>em_min</name>.*?)em\.wl;stat\.min", rb"\1em.energy;stat.min"),
        r"ivoa\.obscore\.em_min: expected the UCD em\.wl;stat\.min, found em\.energy;stat\.min",
    ),
    "ObsCore has another utype": (
        check_obscore,
        replaced("/tap/tables", rb"obscore:Target\.Name", b"obscore:Target.Title"),
        r"ivoa\.obscore\.target_name: expected the utype obscore:Target\.Name, found obscore:Target\.Title",
    ),
    **{
        f"ObsCore has rows without {name}": (
            check_obscore,
            told(f"FROM ivoa.obscore WHERE {name} IS NULL", n=3),
            rf"ERROR obscore ivoa\.obscore\.{name}: expected a value in each row, found 3 rows without",
        )
        for name in NOT_NULL
    },
    "ObsCore has an unknown level of calibration": (
        check_obscore,
        told("calib_level > 4", n=1),
        r"ivoa\.obscore\.calib_level: expected 0 to 4, found 1 rows without",
    ),
    "ObsCore has an unknown type of product": (
        check_obscore,
        told("dataproduct_type NOT IN", n=2),
        r"ivoa\.obscore\.dataproduct_type: expected one of 'image', .* or NULL, found 2 rows without",
    ),
    "ObsCore has an identifier twice": (
        check_obscore,
        told("COUNT(DISTINCT obs_publisher_did) AS different FROM ivoa.obscore&", n=2, different=1),
        r"ivoa\.obscore\.obs_publisher_did: expected 2 different values in as many rows, found 1",
    ),
    "the extension has an identifier twice": (
        check_obscore,
        told("AS different FROM ivoa.obscore_hea", n=2, different=1),
        r"ivoa\.obscore_hea\.obs_publisher_did: expected 2 different values in as many rows, found 1",
    ),
    "the extension has rows that ObsCore does not have": (
        check_obscore,
        told("h WHERE NOT EXISTS", n=1),
        r"ivoa\.obscore_hea\.obs_publisher_did: expected one of ivoa\.obscore in each row, found 1 rows",
    ),
    "a count of ObsCore is none": (
        check_obscore,
        told("dataproduct_type NOT IN", n="many"),
        r"ERROR obscore http\S+: expected a row of numbers, found \[",
    ),
    "the data of ObsCore do not answer": (
        check_obscore,
        told("TOP 1 * FROM ivoa.obscore&", access_url="http://127.0.0.1:1/"),
        r"ERROR obscore http://127\.0\.0\.1:1/: expected an answer",
    ),
    "ObsCore leads nowhere": (
        check_obscore,
        told("TOP 1 * FROM ivoa.obscore&", access_url=""),
        r"ERROR obscore ivoa\.obscore\.access_url: expected a URL in the first row, found none",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_an_error_of_its_area(what: str, url: str, schemas: Schemas) -> None:
    check, change, expected = BROKEN[what]
    with broken(url, change) as other:
        found = errors(findings(other, check, schemas))
    assert any(re.search(expected, line) for line in found), found


NO_ADDRESS = "http://exämple.org/ä b"

ADDRESSED: dict[str, tuple[Check, Break]] = {
    "records": (
        check_records,
        replaced("/oai", rb"(<accessURL[^>]*>)http[^<]*/datalink/[^<]*", rb"\1" + NO_ADDRESS.encode()),
    ),
    "services": (
        check_services,
        replaced("/oai", rb"(<accessURL[^>]*>)http[^<]*/scs/[^<]*", rb"\1" + NO_ADDRESS.encode()),
    ),
    "vosi": (check_vosi, replaced("/oai", rb"(<accessURL[^>]*>)http[^<]*/tap/[^<]*", rb"\1" + NO_ADDRESS.encode())),
    "landing": (check_landing, replaced("/oai", rb"(<referenceURL>)[^<]*", rb"\1" + NO_ADDRESS.encode())),
    "datalink": (
        check_datalink,
        replaced("/tap/sync", rb'(name="accessURL"[^>]*value=")[^"]*', rb"\1" + NO_ADDRESS.encode()),
    ),
    "moc": (check_moc, replaced("/oai", rb"(<footprint[^>]*>)[^<]*", rb"\1" + NO_ADDRESS.encode())),
    "obscore": (check_obscore, told("TOP 1 * FROM ivoa.obscore&", access_url=NO_ADDRESS)),
}


@pytest.mark.parametrize("area", ADDRESSED)
def test_addresses_that_are_none_are_named_as_such(area: str, url: str) -> None:
    check, change = ADDRESSED[area]
    with broken(url, change) as other:
        found = errors(findings(other, check))
    assert [line for line in found if NO_ADDRESS in line and "percent-encoded" in line], found
    assert not [line for line in found if "codec" in line]


@pytest.mark.parametrize("check", [check for _, check in AREAS], ids=lambda check: str(check.__name__))
def test_a_service_at_an_address_that_is_none(check: Check) -> None:
    found = errors(findings(NO_ADDRESS, check))
    assert [line for line in found if NO_ADDRESS in line and "percent-encoded" in line] or check is check_stilts, found


def test_a_moc_without_cells_is_that_of_a_table_without_rows(url: str) -> None:
    """Where there is no test query either: of a table with rows, its position is missing."""
    header = fits.Header({"MOCORD_S": 0, "ORDERING": "NUNIQ"})
    file = io.BytesIO()
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=np.empty(0, np.int64))], header)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)

    def emptied(asked: str, body: bytes) -> bytes:
        return file.getvalue() if asked.startswith("/moc/") else body

    def without_query(asked: str, body: bytes) -> bytes:
        body = emptied(asked, body)
        return re.sub(rb"<testQuery>.*?</testQuery>", b"", body, flags=re.S) if asked.startswith("/oai") else body

    with broken(url, without_query) as other:
        assert errors(findings(other, check_moc)) == []
    with broken(url, emptied) as other:
        assert any("of the test query" in line for line in errors(findings(other, check_moc)))


CHECKS = {check.__name__: check for check, _, _ in BROKEN.values()}


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_handed_on_as_it_is_has_no_errors(check: str, url: str, schemas: Schemas) -> None:
    """Which shows that the server in between breaks nothing else."""
    with broken(url, lambda _, body: body) as other:
        assert errors(findings(other, CHECKS[check], schemas)) == []


NO_POSITION = """<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://localhost.demo/stream#nowhere" role="test"
 version="2.0"><Who><AuthorIVORN>ivo://localhost.demo/stream</AuthorIVORN><Date>2026-11-21T16:00:00</Date></Who>
<What><Param name="x" value="1"/></What></voe:VOEvent>
"""


def test_rows_without_position_make_no_test_query(service: Service, schemas: Schemas, tmp_path: Path) -> None:
    """A cone search over alerts of which none has a position: there is nothing that a query would find."""
    (tmp_path / "event.xml").write_text(NO_POSITION)
    published = service.run("publish", str(tmp_path / "event.xml"))
    assert published.returncode == 0, published.stderr
    assert errors(findings(service.url, check_records, schemas)) == []
    assert errors(findings(service.url, check_vosi, schemas)) == []
    found = findings(service.url, check_services)
    assert errors(found) == []
    warnings = [str(finding) for finding in found if finding.kind == "WARNING"]
    assert [re.sub(r"ivo://\S+:", "ivo:", line) for line in warnings] == [
        "WARNING services ivo: expected a test query for its cone search, found none"
    ]
