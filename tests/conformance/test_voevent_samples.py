"""Real alerts: what each becomes, by our reading; and what we write, by the judgement of others.

Judges: the schemas of VOEvent 2.0 and 2.1, voevent-parse (where it can be installed: Python 3.11), and KM3NeT's own
conversion of its notices.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings

from tests.support.alerts import AUTHOR, FULL, alerts
from tests.support.xsd import complaints
from vo_service.config import Settings
from vo_service.errors import ServiceError
from voevent.alert import Alert
from voevent.build import build_packet
from voevent.convert import to_packet
from voevent.convert.own import from_json, to_json
from voevent.convert.packets import from_packet
from voevent.packet import Packet, Param, read_packet
from voevent.validate import problems

SETTINGS = Settings(authority="org.example")

BECOME = {
    "antares_lsst_locus.json": "refused: this is neither",
    "babamul_alert.avro": "refused: bytes that are no text",
    "fink_ztf_alert_1.avro": "refused: bytes that are no text",
    "gcn_boom_alert.json": "ivo://org.example/alerts#ZTF25acffkdr_2025-11-30T10:28:57Z",
    "gcn_chime_frb_retraction.json": "ivo://org.example/alerts#427325191_2024-09-18T07:19:10.765268_retraction",
    "gcn_circular.json": "refused: expected one of gcn/notices",
    "gcn_classic_icecube_cascade.bin": "refused: bytes that are no text",
    "gcn_classic_sk_sn.bin": "refused: bytes that are no text",
    "gcn_classic_snews.bin": "refused: bytes that are no text",
    "gcn_einstein_probe_240508.json": "ivo://org.example/alerts#einstein_probe-wxt-alert_2024-05-08T07:38:01.151Z",
    "gcn_einstein_probe_wxt.json": "ivo://org.example/alerts#01708973486",
    "gcn_fermi_gbm_final.json": "ivo://org.example/alerts#745121685_7",
    "gcn_fermi_gbm_flight1.json": "ivo://org.example/alerts#745121685_2",
    "gcn_fermi_lat_flare.json": "ivo://org.example/alerts#OQ%20334_2025-11-20T00:00:00.0",
    "gcn_icecube_gold_bronze.json": "ivo://org.example/alerts#IceCube-230416A_1",
    "gcn_icecube_lvk_nu_track_search.json": (
        "ivo://org.example/alerts#icecube-lvk_nu_track_search_2023-09-14T11:14:01Z"
    ),
    "gcn_km3net_alert_he.json": "ivo://org.example/alerts#KM3-240901A_1",
    "gcn_km3net_alert_multiplet.json": "ivo://org.example/alerts#KM3-240901B_1",
    "gcn_superk_sn_real.json": "ivo://org.example/alerts#SN.095001.000001_1",
    "gcn_superk_sn_test.json": "ivo://org.example/alerts#SN.095001.000001_1_test",
    "gcn_svom_grm_trigger.json": "ivo://org.example/alerts#sb24022203_test",
    "gcn_swift_guano_arcmin.json": "ivo://org.example/alerts#694215995_3",
    "gcn_swift_guano_retraction.json": "ivo://org.example/alerts#694215995_4",
    "igwn_gwalert_ms181101ab-ext-update_displayexample.json": "refused: superevent_id: Extra inputs",
    "igwn_gwalert_ms181101ab-initial_displayexample.json": "refused: superevent_id: Extra inputs",
    "igwn_gwalert_ms181101ab-retraction.avro": "refused: bytes that are no text",
    "igwn_gwalert_ms181101ab-retraction.json": "refused: superevent_id: Extra inputs",
    "lasair_lsst_simple.json": "refused: this is neither",
    "lsst_7912941781254298.avro": "refused: bytes that are no text",
    "pittgoogle_rows.json": "refused: this is neither",
    "snews_coincidence_tier.json": "refused: this is neither",
    "snews_combined.json": "refused: this is neither",
    "snews_heartbeat.json": "refused: this is neither",
    "snews_significance_tier.json": "refused: this is neither",
    "snews_timing_tier.json": "refused: this is neither",
    "ztf_472263571115115000.avro": "refused: bytes that are no text",
}
"""What authors' notices become. Formats of others' streams are refused here: see test_stream_samples."""

FAULTS = {
    "voevent_chime_frb_retraction.xml": ["VOEvent: original_prefix may not stand there"],
    "voevent_chime_frb_subsequent.xml": [
        "EventIVORN: expected an identifier such as ivo://org.example/stream#event, got ''"
    ],
    "voevent_gcn_kill_socket.xml": ["Who is missing: expected an author and a Date"],
}
"""Packets that an author would get back, and that are kept with a warning when others have let them pass."""

BEYOND_SCHEMA = FAULTS.keys() - {"voevent_chime_frb_retraction.xml"}
"""Those that the schema allows: it knows nothing of identifiers."""


def samples(shared: Path, ending: str = "") -> list[Path]:
    found = sorted((shared / "data" / "alerts").glob(f"*{ending}"))
    return [path for path in found if path.name != "SOURCES.md"]


def errors(packet: Packet) -> list[str]:
    return [problem.message for problem in problems(packet) if problem.severity == "error"]


def test_what_authors_notices_become(shared: Path) -> None:
    become: dict[str, str] = {}
    for path in samples(shared):
        if path.suffix == ".xml":
            continue
        try:
            become[path.name] = read_packet(to_packet(path.read_bytes(), SETTINGS, datetime(2026, 1, 1))).ivoid
        except ServiceError as error:
            expected = BECOME[path.name].removeprefix("refused: ")
            become[path.name] = f"refused: {expected if expected in error.message else error.message}"

    assert become == BECOME


def test_notices_become_valid_packets(shared: Path) -> None:
    for version in ("2.0", "2.1"):
        settings = Settings(authority="org.example", voevent_version=version)
        for path in samples(shared, ".json"):
            if BECOME[path.name].startswith("refused"):
                continue
            raw = to_packet(path.read_bytes(), settings, datetime(2026, 1, 1))
            assert complaints(raw, shared) == [], path.name
            assert problems(read_packet(raw)) == (), path.name


def test_every_packet_is_read_and_its_faults_are_said(shared: Path) -> None:
    """The namespace-less, the 1.1 and the 2.1 ones too; what the schema finds wrong, we find wrong."""
    for path in samples(shared, ".xml"):
        packet = read_packet(path.read_bytes())
        found = errors(packet)
        assert found == FAULTS.get(path.name, []), path.name
        if packet.version != "1.1" and "VOEvent/v" in str(packet.root.tag) and path.name not in BEYOND_SCHEMA:
            assert bool(complaints(packet.raw, shared)) == bool(found), path.name


def test_every_packet_becomes_json_and_comes_back(shared: Path) -> None:
    for path in samples(shared, ".xml"):
        alert = from_packet(read_packet(path.read_bytes()))
        assert from_json(to_json(alert)) == alert, path.name


def test_a_packet_that_its_schema_refuses_is_kept_with_reasons(shared: Path) -> None:
    """KM3-230213A, as published: its radii have names that the schema does not know."""
    raw = (shared / "data" / "events" / "alerts_vo" / "KM3-230213A_voevent.xml").read_bytes()
    packet = read_packet(raw)

    assert complaints(raw, shared)
    assert (packet.where.ra, packet.where.dec, packet.where.error) == (94.3, -7.8, 2.2)
    assert [message for message in errors(packet) if "Error2Radius90 may not stand there" in message]


NAMES = {
    "TrigID": "id",
    "Event_Name": "event_name",
    "Instrument": "instrument",
    "Pipeline": "pipeline",
    "Alert_Type": "alert_type",
    "N_events": "number_of_events",
}
"""Parameters that KM3NeT calls otherwise than its notices."""

APART = {
    "he": {
        "Alert_Tense": ("current", None),  # told by the role
        "FAR unit": ("yr^-1", "Hz"),  # the schema of the notice says Hz: their unit is wrong
    },
    "multiplet": {
        "Alert_Tense": ("current", None),
        "FAR unit": ("yr^-1", "Hz"),
        "Pipeline": ("multiplet_arca", "multiplet_orca"),  # the two samples differ
        "counterpart_info_1 reference": ("{'url': 'url to catalog or notice'}", None),  # a Python dictionary
    },
}
"""All that differs between KM3NeT's packets and ours of the same notices: (theirs, ours)."""


@pytest.mark.parametrize("which", ["he", "multiplet"])
def test_km3nets_pairs_field_by_field(which: str, shared: Path) -> None:
    directory = shared / "data" / "alerts"
    theirs = read_packet((directory / f"voevent_km3net_{which}.xml").read_bytes())
    ours = read_packet(to_packet((directory / f"gcn_km3net_alert_{which}.json").read_bytes(), SETTINGS))
    told = {(param.group, param.name): param for param in ours.params}

    apart: dict[str, tuple[str | None, str | None]] = {}
    for param in theirs.params:
        group = param.group
        if group is not None:
            group = group.replace("Nu_Event", "event_details").replace("Counterpart", "counterpart_info")
        name = param.name if group else NAMES.get(param.name, param.name)
        mine = told.get((group, name))
        label = f"{group} {name}" if group else param.name
        if mine is None or not same(param, mine):
            apart[label] = (param.value, mine.value if mine else None)
        elif param.unit and param.unit != mine.unit:
            apart[f"{label} unit"] = (param.unit, mine.unit)

    assert apart == APART[which]
    assert (ours.role, ours.author_time) == (theirs.role, theirs.author_time)
    assert replace(ours.where, coord_system=None, observatory=None) == replace(
        theirs.where, coord_system=None, observatory=None
    )
    assert warnings(ours) == []
    assert any("has no resource key: expected ivo://authority/stream#event" in text for text in warnings(theirs))
    if which == "multiplet":
        assert told["counterpart_info_1", "reference.url"].value == "url to catalog or notice"
        assert "Param 'reference': its value is a Python dictionary" in "".join(warnings(theirs))


def warnings(packet: Packet) -> list[str]:
    return [problem.message for problem in problems(packet)]


def same(one: Param, other: Param) -> bool:
    if one.number is not None:
        return one.number == other.number
    return (one.value or "").lower() == (other.value or "").lower()


VERSIONS: list[Literal["2.0", "2.1"]] = ["2.0", "2.1"]


@pytest.mark.parametrize("version", VERSIONS)
@given(alert=alerts)
@settings(max_examples=150, deadline=None)
def test_whatever_we_build_is_valid(shared: Path, version: Literal["2.0", "2.1"], alert: Alert) -> None:
    assert complaints(build_packet(alert, replace(AUTHOR, version=version)), shared) == []


@pytest.fixture(scope="module")
def voeventparse() -> Any:  # noqa: ANN401 (a module without types)
    try:
        return importlib.import_module("voeventparse")
    except ImportError:
        pytest.skip("voevent-parse is not installed: pip install voevent-parse, on Python 3.11")


def test_voevent_parse_loads_what_we_write(voeventparse: Any, shared: Path) -> None:  # noqa: ANN401
    notices = [path for path in samples(shared, ".json") if not BECOME[path.name].startswith("refused")]
    packets = [build_packet(FULL, AUTHOR), *(to_packet(path.read_bytes(), SETTINGS) for path in notices)]
    assert len(packets) > 15
    for raw in packets:
        ours, theirs = read_packet(raw), voeventparse.loads(raw)
        assert voeventparse.valid_as_v2_0(theirs), ours.ivoid
        assert theirs.attrib["ivorn"] == ours.ivoid
        assert theirs.attrib["role"] == ours.role
        top, grouped = voeventparse.get_toplevel_params(theirs), voeventparse.get_grouped_params(theirs)
        for param in ours.params:
            values = (top if param.group is None else grouped[param.group]).getlist(param.name)
            assert param.value in [value.get("value") for value in values], (ours.ivoid, param)
        if ours.where.ra is not None:
            position = voeventparse.get_event_position(theirs)
            assert (position.ra, position.dec, position.units) == (ours.where.ra, ours.where.dec, "deg")
            assert ours.where.error is None or position.err == ours.where.error
        if ours.where.time is not None:
            assert voeventparse.get_event_time_as_utc(theirs).replace(tzinfo=None) == ours.where.time


@given(alert=alerts)
@settings(max_examples=50, deadline=None)
def test_voevent_parse_loads_any_of_our_packets(voeventparse: Any, alert: Alert) -> None:  # noqa: ANN401
    theirs = voeventparse.loads(build_packet(alert, AUTHOR))

    assert voeventparse.valid_as_v2_0(theirs)
