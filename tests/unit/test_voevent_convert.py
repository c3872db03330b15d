"""Notices in JSON to VOEvent and back: GCN's schemas, and our own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings

from tests.support.alerts import AUTHOR, FULL, alerts
from vo_service.config import Settings
from voevent.alert import Alert, AlertError, Energy, Position
from voevent.build import build_packet
from voevent.convert import to_alert, to_packet
from voevent.convert.own import SCHEMA_ID, describe, from_json, schema, to_json
from voevent.convert.packets import from_packet
from voevent.packet import Packet, PacketError, read_packet
from voevent.validate import problems

GCN = "https://gcn.nasa.gov/schema/main/gcn/notices/"

NOTICE: dict[str, Any] = {
    "$schema": GCN + "example/alert.schema.json",
    "mission": "Example",
    "instrument": "EX042",
    "messenger": "Neutrino",
    "alert_datetime": "2026-03-01T12:05:00.00Z",
    "alert_tense": "current",
    "alert_type": "initial",
    "record_number": 1,
    "event_name": ["EX-260301A", "Other name"],
    "id": ["17", "18"],
    "trigger_time": "2026-03-01T12:00:00.5Z",
    "ra": 94.3,
    "dec": -7.8,
    "ra_dec_error": 2.2,
    "src_error_50": 1.2,
    "far": 3.9e-7,
    "nu_energy": 120.5,
    "alert_topology": "Track",
    "healpix_url": "https://example.org/map.fits",
    "light_curve_url": "https://example.org/lightcurve",
    "additional_info": "Look up",
    "p_astro": 0.9,
    "ground_generated_notice": False,
    "rate_energy_range": [15, 350.5],
    "classification": {"GRB": 0.75, "other": 0.25},
    "details": [{"id": "a", "ra": 94.1, "inner": {"deep": [{"x": 1}, {"x": None}]}}, {"id": "b"}],
}


def notice(**changes: object) -> bytes:
    """The notice with other values; without those that are `...`."""
    return json.dumps({key: value for key, value in (NOTICE | changes).items() if value is not ...}).encode()


def packet(data: bytes) -> Packet:
    return read_packet(to_packet(data, Settings(authority="org.example"), datetime(2026, 3, 2)))


def test_a_notice_of_gcn() -> None:
    alert = to_alert(notice())

    assert (alert.event, alert.record, alert.kind, alert.role) == ("EX-260301A", 1, "initial", "observation")
    assert alert.written == datetime(2026, 3, 1, 12, 5)
    assert alert.time == datetime(2026, 3, 1, 12, 0, 0, 500000)
    assert alert.position == Position(ra=94.3, dec=-7.8, radius_90=2.2, radius_50=1.2)
    assert alert.far == 3.9e-7
    assert alert.energy == Energy(value=120.5, unit="TeV")
    assert (alert.topology, alert.mission, alert.instrument) == ("Track", "Example", "EX042")
    assert alert.skymaps == ("https://example.org/map.fits",)
    assert alert.references == ("https://example.org/lightcurve",)
    assert alert.provenance == {"notice_schema": NOTICE["$schema"]}
    assert alert.description == "Look up"


def test_nothing_of_a_notice_is_lost() -> None:
    params = [(p.group, p.name, p.value) for p in to_alert(notice()).params]

    assert params == [
        (None, "id_1", "17"),
        (None, "id_2", "18"),
        (None, "alias", "Other name"),
        (None, "messenger", "Neutrino"),
        (None, "light_curve_url", "https://example.org/lightcurve"),
        (None, "p_astro", 0.9),
        (None, "ground_generated_notice", "false"),
        (None, "rate_energy_range_1", 15),
        (None, "rate_energy_range_2", 350.5),
        ("classification", "GRB", 0.75),
        ("classification", "other", 0.25),
        ("details_1", "id", "a"),
        ("details_1", "ra", 94.1),
        ("details_1", "inner.deep_1.x", 1),
        ("details_1", "inner.deep_2.x", None),
        ("details_2", "id", "b"),
    ]


def test_a_notice_becomes_a_packet_without_problems() -> None:
    found = packet(notice())

    assert problems(found) == ()
    assert found.ivoid == "ivo://org.example/alerts#EX-260301A_1"
    assert from_packet(found) == to_alert(notice())


def test_names_that_are_ours_are_told_apart() -> None:
    data = notice(provenance={"a": "b"}, energy=1, src_error=[1, 2], grid=[[1, 2], [3]])

    found = packet(data)

    told = {(param.group, param.name) for param in found.params}
    assert {("notice_provenance", "a"), (None, "notice_energy"), (None, "src_error_1"), (None, "grid_1_2")} <= told
    assert problems(found) == ()


@pytest.mark.parametrize(
    ("word", "kind", "cite"),
    [
        ("initial", "initial", None),
        ("subsequent", "followup", "followup"),
        ("update", "supersedes", "supersedes"),
        ("retraction", "retraction", "retraction"),
    ],
)
def test_alert_types_become_citations(word: str, kind: str, cite: str | None) -> None:
    data = notice(alert_type=word, record_number=2)

    assert to_alert(data).kind == kind
    assert [(c.ivoid, c.cite) for c in packet(data).citations] == (
        [("ivo://org.example/alerts#EX-260301A_1", cite)] if cite else []
    )


@pytest.mark.parametrize(
    ("tense", "role"),
    [
        ("current", "observation"),
        ("archival", "observation"),
        ("planned", "prediction"),
        ("injection", "test"),
        ("commanded", "test"),
        ("test", "test"),
    ],
)
def test_tests_and_predictions_are_no_observations(tense: str, role: str) -> None:
    found = packet(notice(alert_tense=tense))

    assert found.role == role
    assert (found.ivoid == "ivo://org.example/alerts#EX-260301A_1") == (role == "observation")


@pytest.mark.parametrize(
    ("changes", "position"),
    [
        ({"containment_probability": 0.5, "src_error_50": ...}, {"radius_50": 2.2}),
        ({"containment_probability": 0.68}, {"radius": 2.2, "containment": 0.68, "radius_50": 1.2}),
        ({"ra_dec_error": [2.2], "src_error_50": ...}, {"radius_90": 2.2}),
        ({"ra_dec_error": [3, 2], "src_error_50": ...}, {"ellipse": (3, 2, 0), "containment": 0.9}),
        ({"ra_dec_error": [3, 2, 45], "src_error_50": ...}, {"ellipse": (3, 2, 45), "containment": 0.9}),
        ({"ra_dec_error": ..., "src_error_50": ..., "systematic_included": True}, {"systematic_included": True}),
    ],
)
def test_errors_of_positions(changes: dict[str, object], position: dict[str, Any]) -> None:
    found = to_alert(notice(**changes)).position

    assert found == Position(ra=94.3, dec=-7.8, **position)


def test_positions_that_stand_elsewhere() -> None:
    nowhere = {"ra": ..., "dec": ..., "ra_dec_error": ..., "src_error_50": ...}
    target = {"event_name": "T1", "ra": 1.5, "dec": 2.5}
    one = to_alert(notice(**nowhere, event_name=..., id=..., data={"targets": [target]}))
    two = to_alert(notice(**nowhere, data={"targets": [target, target]}))

    assert to_alert(notice(**nowhere, most_probable_direction={"ra": 1, "dec": 2})).position == Position(ra=1, dec=2)
    assert one.position == Position(ra=1.5, dec=2.5)
    assert one.event == "T1"
    assert two.position is None


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"event_name": "One"}, "One"),
        ({"event_name": ...}, "17"),
        ({"event_name": ..., "id": ...}, "example-alert_2026-03-01T12:00:00.5Z"),
        ({"event_name": "Source", "id": ..., "record_number": ..., "alert_type": ...}, "Source_2026-03-01T12:00:00.5Z"),
        ({"event_name": ..., "id": ..., "$schema": ...}, "Example-EX042_2026-03-01T12:00:00.5Z"),
    ],
)
def test_names_of_events(changes: dict[str, object], event: str) -> None:
    assert to_alert(notice(**changes)).event == event


def test_a_retraction_that_says_little() -> None:
    """As CHIME sends them: no record number, no date of the alert. Sent again, it has the same identifier."""
    data = json.dumps(
        {
            "$schema": GCN + "chime/frb.schema.json",
            "trigger_time": "2026-09-18T07:19:10.765268Z",
            "id": "427325191",
            "alert_type": "retraction",
        }
    ).encode()

    found = packet(data)

    assert found.ivoid == "ivo://org.example/alerts#427325191_2026-09-18T07:19:10.765268_retraction"
    assert [(c.ivoid, c.cite) for c in found.citations] == [("ivo://org.example/alerts#427325191", "retraction")]
    assert found.author_time == datetime(2026, 3, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Expected VOEvent XML or a notice in JSON"),
        (b"\xff\xfe\x00", "bytes that are no text"),
        (b"[1]", "Expected a notice as a JSON object, got a list"),
        (b'{"far": NaN}', "NaN is not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": 1}', "Expected a notice of GCN, by its \\$schema, or ours"),
        (b'{"event": "A", "$schema": "https://example.org/x"}', "\\$schema: expected urn:vo-service:alert:1"),
        (b'{"event": "A", "colour": "red", "far": -1}', "far: .*greater than or equal to 0; colour: Extra inputs"),
        (b'{"event": "A", "role": "rumour"}', "role: Input should be 'observation'"),
        (b'{"event": "A", "time": "noon"}', "time: expected a time such as"),
        (b'{"event": "A", "position": {"ra": 360, "dec": 0}}', "position.ra: .*less than 360"),
        (b'{"event": "A", "energy": {"value": 1, "unit": "foe"}}', "energy.unit: Input should be 'eV'"),
        (
            b'{"event": "A", "citations": [{"ivoid": "x", "cite": "followup"}]}',
            "citations: expected an ivo:// identifier",
        ),
        (b'{"event": "A", "skymaps": ["not a url"]}', "skymaps.0: String should match"),
        (b'{"event": "A", "params": [{"value": 1}]}', "params.0.name: Field required"),
        (notice(**{"$schema": "https://gcn.nasa.gov/schema/main/gcn/circulars.schema.json"}), "one of gcn/notices"),
        (notice(alert_type="rumour"), "alert_type: expected one of initial, subsequent, update, retraction"),
        (notice(alert_tense="future"), "alert_tense: expected one of current"),
        (notice(ra="north"), "ra: expected a number, got 'north'"),
        (notice(dec=...), "position.dec: .*valid number"),
        (notice(alert_datetime="soon"), "written: expected a time such as"),
        (
            notice(event_name=..., id=..., trigger_time=..., alert_datetime=...),
            "event_name: expected a name, an id, or a time",
        ),
    ],
)
def test_what_cannot_be_understood_is_said(data: bytes, message: str) -> None:
    with pytest.raises(AlertError, match=message):
        to_packet(data, Settings())


def test_xml_stays_as_it_is() -> None:
    raw = build_packet(FULL, AUTHOR) + b"<!-- signature -->"

    assert to_packet(raw, Settings()) == raw
    with pytest.raises(PacketError, match="Not XML"):
        to_packet(b"  <VOEvent>", Settings())


@given(alert=alerts)
@settings(max_examples=100, deadline=None)
def test_our_json_there_and_back(alert: Alert) -> None:
    assert from_json(json.loads(json.dumps(to_json(alert)))) == alert


def test_our_json_by_way_of_a_packet() -> None:
    data = json.dumps(to_json(FULL)).encode()

    assert to_alert(data) == FULL
    assert from_packet(packet(data)).model_copy(update={"citations": ()}) == FULL


def test_the_smallest_alert() -> None:
    found = packet(b'{"event": "A1"}')

    assert found.ivoid == "ivo://org.example/alerts#A1"
    assert found.author_time == datetime(2026, 3, 2)
    assert problems(found) == ()


def test_offsets_of_times_are_heeded() -> None:
    assert to_alert(b'{"event": "A", "time": "2026-03-01T14:00:00+02:00"}').time == datetime(2026, 3, 1, 12)


def test_the_schema_in_the_file_is_that_of_the_fields() -> None:
    """If this fails: write `describe()` to the file."""
    assert schema() == describe()
    assert schema()["$id"] == SCHEMA_ID
    assert schema()["required"] == ["event"]
    assert not [
        name
        for name, part in schema()["properties"].items()
        if not {"description", "const", "$ref", "anyOf"} & set(part)
    ]


@pytest.mark.parametrize(
    ("param", "kept"),
    [
        (b'<Param name="FAR" value="1.0" unit="foe"/>', True),  # a unit that nobody knows
        (b'<Param name="FAR" value="-1.0" unit="Hz"/>', True),
        (b'<Param name="FAR" value="12.0" unit="1/yr"/>', False),
        (b'<Param name="Energy" value="1.0" unit="erg"/>', True),
        (b'<Param name="energy_error_minus" value="1.0" unit="TeV"/>', True),  # of no energy
        (b'<Param name="src_error_90" value="1.0" unit="deg"/>', True),  # of no position
        (b'<Param name="record_number" value="1.5"/>', True),
        (b'<Param name="record_number" value="2"/>', False),
        (b'<Param name="alert_type" value="PRELIMINARY"/>', True),
        (b'<Param name="healpix_url" value="none"/>', True),
        (b'<Param name="skymap_fits" value="https://example.org/map.fits"/>', False),
    ],
)
def test_what_does_not_fit_a_field_stays_a_parameter(param: bytes, kept: bool) -> None:
    raw = b'<VOEvent ivorn="ivo://a.b/c#d"><What>' + param + b"</What></VOEvent>"

    assert len(from_packet(read_packet(raw)).params) == kept


def test_units_are_converted() -> None:
    raw = b'<VOEvent ivorn="ivo://a.b/c#d"><What><Param name="FAR" value="12.0" unit="1/yr"/></What></VOEvent>'

    assert from_packet(read_packet(raw)).far == pytest.approx(12 / (365.25 * 86400))
