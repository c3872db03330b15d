"""The publishing registry (OAI-PMH 2.0; Registry Interfaces 1.1, section 3)."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Final

from vo_service.validation.client import with_parameters
from vo_service.validation.documents import NS, Element, text_of, xsi_type
from vo_service.validation.findings import Area, BrokenError, Finding
from vo_service.validation.harvest import Harvester, canonical, code_of
from vo_service.validation.site import Site

AREA: Final = Area("oai")

PREFIXES: Final = ("ivo_vor", "oai_dc")
MANAGED: Final = "ivo_managed"

_NOTHING: Final = "ivo://nobody.invalid/nothing"

MALFORMED: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("badVerb", {}),
    ("badVerb", {"verb": "Nonsense"}),
    ("badArgument", {"verb": "Identify", "nonsense": "1"}),
    ("badArgument", {"verb": "ListRecords"}),
    ("badArgument", {"verb": "GetRecord", "metadataPrefix": "ivo_vor"}),
    ("badArgument", {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "from": "2020-13-45"}),
    ("badArgument", {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "from": "2021-01-01", "until": "2020-01-01"}),
    ("cannotDisseminateFormat", {"verb": "ListRecords", "metadataPrefix": "nonsense"}),
    ("idDoesNotExist", {"verb": "GetRecord", "metadataPrefix": "ivo_vor", "identifier": _NOTHING}),
    ("idDoesNotExist", {"verb": "ListMetadataFormats", "identifier": _NOTHING}),
    ("badResumptionToken", {"verb": "ListRecords", "resumptionToken": "nonsense"}),
    ("noRecordsMatch", {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "until": "1990-01-01"}),
)
"""Requests that are wrong, with the code that tells so (section 3.6)."""


def check_oai(site: Site) -> Iterator[Finding]:
    """All of it."""
    harvester = site.harvester
    yield from AREA.guarded(_identify(site))
    yield from AREA.guarded(_formats_and_sets(harvester))
    for prefix in PREFIXES:
        yield from AREA.guarded(_lists(site, prefix))
    yield from AREA.guarded(_increment(harvester))
    yield from AREA.guarded(_posted(harvester))
    for code, arguments in MALFORMED:
        yield from AREA.guarded(_malformed(harvester, code, arguments))
    yield AREA.checked(len(MALFORMED), "malformed requests")


def _identify(site: Site) -> Iterator[Finding]:
    harvester = site.harvester
    root = harvester.ask({"verb": "Identify"})
    answer = harvester.one(verb="Identify")
    yield AREA.checked(1, "Identify")
    yield from site.judged(AREA, "Identify", [(harvester.address, root)])
    registry = answer.find("oai:description/ri:Resource", NS)
    if registry is None or xsi_type(registry) != "Registry":
        raise BrokenError(harvester.address, "expected the vg:Registry record in Identify, found none")
    base = text_of(answer, "oai:baseURL")
    harvested = [
        (interface.findtext("accessURL") or "").strip()
        for interface in registry.iterfind("capability/interface")
        if xsi_type(interface) == "OAIHTTP"
    ]
    if base not in harvested:
        yield AREA.error(
            harvester.address, f"expected baseURL {base} as accessURL of the record's vg:Harvest, found {harvested}"
        )
    if base != harvester.address:
        yield AREA.warning(harvester.address, f"expected this address as baseURL, found {base}")
    if text_of(answer, "oai:adminEmail").endswith(".invalid"):
        yield AREA.warning(harvester.address, "expected an adminEmail that can be written to, found none")


def _formats_and_sets(harvester: Harvester) -> Iterator[Finding]:
    formats = {text_of(one, "oai:metadataPrefix") for one in harvester.one(verb="ListMetadataFormats")}
    sets = {text_of(one, "oai:setSpec") for one in harvester.one(verb="ListSets")}
    yield AREA.checked(2, "ListMetadataFormats, ListSets")
    for wanted, found, verb in ((set(PREFIXES), formats, "ListMetadataFormats"), ({MANAGED}, sets, "ListSets")):
        if not wanted <= found:
            yield AREA.error(harvester.address, f"expected {sorted(wanted)} in {verb}, found {sorted(found)}")


def _lists(site: Site, prefix: str) -> Iterator[Finding]:
    """ListRecords, ListIdentifiers and GetRecord tell the same, with and without the set."""
    harvester, arguments = site.harvester, {"metadataPrefix": prefix, "set": MANAGED}
    address = with_parameters(harvester.address, {"verb": "ListRecords", **arguments})
    pages = harvester.pages("ListRecords", **arguments)
    records = [item for page in pages for item in page.iterfind("oai:record", NS)]
    headers = [header for item in records if (header := item.find("oai:header", NS)) is not None]
    yield AREA.checked(len(records), f"records in {prefix}, in {len(pages)} parts")
    yield from _sizes(address, pages, len(records))
    yield from site.judged(AREA, "ListRecords", [(address, _frame(page)) for page in pages])
    if prefix == "oai_dc":
        contents = [(_name(item), content) for item in records for content in item.iterfind("oai:metadata/dc:dc", NS)]
        yield from site.judged(AREA, "Dublin Core", contents)
    names = Counter(_name(item) for item in records)
    for name in (name for name, count in names.items() if count > 1):
        yield AREA.error(name, f"expected one record in {prefix}, found {names[name]}")
    listed = harvester.items("ListIdentifiers", **arguments)
    yield from _same_headers(f"ListIdentifiers in {prefix}", headers, listed)
    everything = harvester.items("ListRecords", metadataPrefix=prefix)
    inside = [item.find("oai:header", NS) for item in everything]
    managed = [h for h in inside if h is not None and MANAGED in (s.text for s in h.iterfind("oai:setSpec", NS))]
    yield from _same_headers(f"ListRecords in {prefix} without set", headers, managed)
    for item in records:
        yield from AREA.guarded(_get(harvester, prefix, item))
    yield AREA.checked(len(records), f"GetRecord in {prefix}")


def _sizes(address: str, pages: list[Element], found: int) -> Iterator[Finding]:
    """The size of the list, where tokens tell it, is true."""
    for page in pages:
        token = page.find("oai:resumptionToken", NS)
        said = None if token is None else token.get("completeListSize")
        if said is not None and said != str(found):
            yield AREA.error(address, f"expected {said} records as completeListSize says, found {found}")
            return


def _same_headers(what: str, headers: list[Element], others: list[Element]) -> Iterator[Finding]:
    ours, theirs = (
        {text_of(header, "oai:identifier"): canonical(header) for header in side} for side in (headers, others)
    )
    yield AREA.checked(len(others), f"headers of {what}")
    for name in sorted(ours.keys() ^ theirs.keys()):
        where = "ListRecords" if name in ours else what
        yield AREA.error(name, f"expected it in ListRecords and in {what}, found it in {where} alone")
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            yield AREA.error(name, f"expected the same header in ListRecords and {what}, found another")


def _get(harvester: Harvester, prefix: str, listed: Element) -> Iterator[Finding]:
    name = _name(listed)
    got = harvester.one(verb="GetRecord", metadataPrefix=prefix, identifier=name).find("oai:record", NS)
    for part in ("oai:header", "oai:metadata/*"):
        if canonical(None if got is None else got.find(part, NS)) != canonical(listed.find(part, NS)):
            what = "header" if part == "oai:header" else "metadata"
            yield AREA.error(name, f"expected the {what} of ListRecords in GetRecord ({prefix}), found another")


def _increment(harvester: Harvester) -> Iterator[Finding]:
    """From the newest datestamp on there are the records of it; none is older than the earliest."""
    earliest = text_of(harvester.one(verb="Identify"), "oai:earliestDatestamp")
    headers = harvester.items("ListIdentifiers", metadataPrefix="ivo_vor")
    stamps = {text_of(header, "oai:identifier"): text_of(header, "oai:datestamp") for header in headers}
    newest = max(stamps.values(), default="")
    if min(stamps.values(), default=earliest) < earliest:
        yield AREA.error(
            harvester.address, f"expected no datestamp before {earliest}, the earliest, found {min(stamps.values())}"
        )
    again = harvester.items("ListIdentifiers", **{"metadataPrefix": "ivo_vor", "from": newest})
    found = {text_of(header, "oai:identifier"): text_of(header, "oai:datestamp") for header in again}
    expected = sorted(name for name, stamp in stamps.items() if stamp == newest)
    for name in expected:
        if name not in found:
            yield AREA.error(name, f"expected it in ListIdentifiers from {newest} on, found it missing")
    for name in sorted(name for name, stamp in found.items() if stamp < newest):
        yield AREA.error(name, f"expected nothing older in ListIdentifiers from {newest} on, found it")
    yield AREA.checked(len(expected), f"records from the newest datestamp on, {newest}")


def _posted(harvester: Harvester) -> Iterator[Finding]:
    """POST tells the same as GET (section 3.1.1)."""
    arguments = {"verb": "ListSets"}
    got, posted = (harvester.ask(arguments, post=post).find("oai:ListSets", NS) for post in (False, True))
    yield AREA.checked(1, "request by POST")
    if canonical(got) != canonical(posted):
        yield AREA.error(harvester.address, "expected the same answer to ListSets by GET and POST, found another")


def _malformed(harvester: Harvester, code: str, arguments: dict[str, str]) -> Iterator[Finding]:
    found = code_of(harvester.ask(arguments))
    if found != code:
        address = with_parameters(harvester.address, arguments)
        yield AREA.error(address, f"expected the error {code}, found {found or 'no error'}")


def _frame(page: Element) -> Element:
    """The answer that a list is part of, without what records hold: that is judged by itself."""
    root = copy.deepcopy(page.getroottree().getroot())
    for metadata in root.findall(".//oai:metadata", NS):
        parent = metadata.getparent()
        if parent is not None:
            parent.remove(metadata)
    return root


def _name(item: Element) -> str:
    return text_of(item, "oai:header/oai:identifier")
