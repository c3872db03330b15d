"""Messages of others' streams to packets."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastavro.schema import load_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.alerts import AUTHOR, FULL
from tests.support.streams import (
    CIRCULAR,
    COINCIDENCE,
    DETECTOR,
    FITS,
    GRAVITATIONAL_WAVE,
    IGWN_SCHEMA,
    LSST,
    LSST_SCHEMA,
    SOURCE_SCHEMA,
    TRANSIENT,
    ZTF,
    ZTF_SCHEMA,
    container,
    framed,
)
from vo_service.config import Settings
from vo_service.errors import ConfigurationError, ServiceError
from voevent.alert import Alert, AlertError, Position
from voevent.build import build_packet
from voevent.convert import KINDS_OF_STREAM, avro, from_stream, media_type, split
from voevent.convert.igwn import skymap_in
from voevent.convert.own import to_json
from voevent.convert.packets import to_json_document
from voevent.convert.streams import read
from voevent.packet import Packet, read_packet
from voevent.validate import problems

STREAM = "ivo://org.example/others"
SETTINGS = Settings(authority="org.example")
NOW = datetime(2026, 3, 2)


def packets(data: bytes | dict[str, Any], kind: str, **headers: bytes) -> list[Packet]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return [read_packet(made) for made in from_stream(raw, kind, STREAM, SETTINGS, NOW, headers)]


def one(data: bytes | dict[str, Any], kind: str, **headers: bytes) -> Packet:
    (packet,) = packets(data, kind, **headers)
    assert problems(packet) == ()
    return packet


def alert(data: dict[str, Any], kind: str) -> Alert:
    (found,) = read(json.dumps(data).encode(), kind)
    return found


def told(packet: Packet) -> dict[str, str | None]:
    return {f"{param.group}.{param.name}" if param.group else param.name: param.value for param in packet.params}


def test_a_gravitational_wave() -> None:
    packet = one(GRAVITATIONAL_WAVE, "igwn")

    assert packet.ivoid == f"{STREAM}#S260301ab_2026-03-01T12:01:00Z_PRELIMINARY"
    assert (packet.role, packet.citations) == ("observation", ())
    assert packet.where.time == datetime(2026, 3, 1, 12, 0, 0, 500000)
    assert packet.author_time == datetime(2026, 3, 1, 12, 1)
    assert packet.references == ("https://example.org/superevents/S260301ab",)
    params = told(packet)
    assert {
        "event_name": "S260301ab",
        "FAR": "1e-09",
        "instrument": "H1, L1",
        "notice_alert_type": "PRELIMINARY",
        "significant": "true",
        "classification.BNS": "0.9",
        "external_coinc.time_difference": "1.5",
        "skymap_1": "event.skymap",
        "skymap_2": "external_coinc.combined_skymap",
        "provenance.converted_from": "igwn",
    }.items() <= params.items()
    assert GRAVITATIONAL_WAVE["event"]["skymap"].encode() not in packet.raw


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("EARLYWARNING", "initial"),
        ("PRELIMINARY", "initial"),
        ("INITIAL", "supersedes"),
        ("UPDATE", "supersedes"),
        ("RETRACTION", "retraction"),
    ],
)
def test_updates_and_retractions_of_gravitational_waves(word: str, kind: str) -> None:
    packet = one(GRAVITATIONAL_WAVE | {"alert_type": word}, "igwn")

    cited = [] if kind == "initial" else [(f"{STREAM}#S260301ab", kind)]
    assert [(citation.ivoid, citation.cite) for citation in packet.citations] == cited


@pytest.mark.parametrize(
    "changes",
    [
        {"superevent_id": "MS260301ab"},
        {"superevent_id": "TS260301ab"},
        {"event": GRAVITATIONAL_WAVE["event"] | {"search": "MDC"}},
    ],
)
def test_mock_gravitational_waves_are_tests(changes: dict[str, Any]) -> None:
    packet = one(GRAVITATIONAL_WAVE | changes, "igwn")

    assert packet.role == "test"
    assert packet.ivoid.endswith("_test")


def test_the_sky_map_inside_a_message() -> None:
    record = {name: GRAVITATIONAL_WAVE[name] for name in ("superevent_id", "time_created", "alert_type")}
    shortened = copy.deepcopy(GRAVITATIONAL_WAVE)
    shortened["event"]["skymap"] = "U0lNUExFICA9IC..."

    assert skymap_in(json.dumps(GRAVITATIONAL_WAVE).encode()) == FITS
    assert skymap_in(container(IGWN_SCHEMA, record | {"event": {"skymap": FITS}})) == FITS
    assert skymap_in(container(IGWN_SCHEMA, record | {"event": None})) is None
    assert skymap_in(json.dumps(shortened).encode()) is None
    for other in (b"", b"{}", b'{"event": "EX-1"}', b"<VOEvent/>", b"\xff", avro.CONTAINER, container(IGWN_SCHEMA)):
        assert skymap_in(other) is None


def test_what_a_detector_of_neutrinos_saw() -> None:
    packet = one(DETECTOR, "snews")

    assert (packet.ivoid, packet.role) == (f"{STREAM}#b1946ac9", "observation")
    assert packet.where.time == datetime(2026, 3, 1, 12, 0, 0, 123457)
    assert told(packet)["instrument"] == "Example"
    assert one(DETECTOR | {"is_test": "True"}, "snews").role == "test"
    assert one(DETECTOR | {"is_firedrill": True}, "snews").ivoid == f"{STREAM}#b1946ac9_test"
    assert one(DETECTOR | {"uuid": None}, "snews").ivoid.endswith(
        "#Example_CoincidenceTier_2026-03-01T12:00:01.000000000"
    )
    series = {"timing_series": ["2026-03-01T12:00:00"], "neutrino_time_utc": None}
    assert one(DETECTOR | series, "snews").where.time == datetime(2026, 3, 1, 12)


def test_heartbeats_are_no_alerts() -> None:
    assert packets({"detector_name": "Example", "detector_status": "ON", "machine_time": "2026-03-01"}, "snews") == []
    assert packets(DETECTOR | {"tier": "Heartbeat"}, "snews") == []
    schema = {"$schema": "https://gcn.nasa.gov/schema/main/gcn/heartbeat.schema.json"}
    assert packets(schema | {"alert_datetime": "2026-03-01T12:00:00Z"}, "gcn") == []


def test_a_detector_takes_back_what_it_saw() -> None:
    base = {"detector_name": "Example", "tier": "Retraction", "uuid": "77", "machine_time_utc": "2026-03-01T13:00:00"}
    named = one(base | {"retract_message_uid": "b1946ac9", "retraction_reason": "Noise"}, "snews")
    latest = one(base | {"retract_latest": True}, "snews")

    assert [(c.ivoid, c.cite) for c in named.citations] == [(f"{STREAM}#b1946ac9", "retraction")]
    assert (named.ivoid, named.description) == (f"{STREAM}#b1946ac9_retraction_77", "Noise")
    assert [(c.ivoid, c.cite) for c in latest.citations] == [(f"{STREAM}#Example", "retraction")]


def test_a_coincidence_of_detectors() -> None:
    first, update = one(COINCIDENCE, "snews"), one(COINCIDENCE | {"alert_type": "UPDATE"}, "snews")

    assert first.ivoid == f"{STREAM}#SNEWS_2026-03-01_3_2026-03-01T12:00:05.5"
    assert first.where.time == datetime(2026, 3, 1, 11, 59, 59, 500000)
    assert (told(first)["instrument"], told(first)["False Alarm Prob"]) == ("One, Two", "1.2%")
    assert [(c.ivoid, c.cite) for c in update.citations] == [(f"{STREAM}#SNEWS_2026-03-01_3", "supersedes")]
    assert one(COINCIDENCE | {"alert_type": "TEST COINC_MSG"}, "snews").role == "test"


def test_a_circular_and_its_correction() -> None:
    first, second = one(CIRCULAR, "circular"), one(CIRCULAR | {"version": 2, "editedOn": 1772370000000}, "circular")

    assert first.ivoid == f"{STREAM}#circular-40001_1"
    assert first.author_time == datetime(2026, 3, 1, 12)
    assert first.description == "EX 260301A: seen\n\nIt was seen.\nLook up."
    assert first.references == ("https://gcn.nasa.gov/circulars/40001",)
    assert told(first)["eventId"] == "EX 260301A"
    assert [(c.ivoid, c.cite) for c in second.citations] == [(first.ivoid, "supersedes")]
    assert second.author_time == datetime(2026, 3, 1, 13)


def test_a_circular_with_headers() -> None:
    header = {
        "TITLE": "GCN CIRCULAR",
        "NUMBER": "40001",
        "SUBJECT": "Seen",
        "DATE": "26/03/01 12:00:00 GMT",
        "FROM": "A",
    }
    packet = one({"header": header, "body": "Text"}, "hopskotch", _format=b"circular")

    assert packet.ivoid == f"{STREAM}#circular-40001_1"
    assert (packet.description, packet.author_time) == ("Seen\n\nText", datetime(2026, 3, 1, 12))


def test_an_object_of_the_transient_name_server() -> None:
    reply = {"id_code": 200, "id_message": "OK", "data": {"reply": TRANSIENT}}
    found = alert(TRANSIENT, "tns")
    typed = one(TRANSIENT | {"object_type": {"name": "SN Ia", "id": 3}}, "tns")

    assert found.position == Position(ra=94.3, dec=-7.8, ra_error=(2.5e-5, 2.5e-5))
    assert (found.event, found.time, found.mission) == ("2026abc", datetime(2026, 3, 1, 12, 0, 0, 500000), "ZTF")
    assert alert(reply, "tns") == found
    assert one(TRANSIENT, "tns").ivoid != typed.ivoid
    assert (typed.concept, [c.ivoid for c in typed.citations]) == ("SN Ia", [f"{STREAM}#2026abc"])


def test_replies_are_split_into_objects() -> None:
    other = {"objname": "2026abd", "prefix": "AT", "objid": 18}
    shuffled = dict(reversed(TRANSIENT.items()))
    parts = split(json.dumps({"id_code": 200, "data": {"reply": [TRANSIENT, other]}}).encode(), "tns")

    assert split(json.dumps({"id_code": 200, "data": [shuffled]}).encode(), "tns") == parts[:1]
    assert [one(part, "tns").ivoid.partition("#")[2][:7] for part in parts] == ["2026abc", "2026abd"]
    assert split(b"anything", "igwn") == [b"anything"]
    with pytest.raises(AlertError, match="The Transient Name Server says: Too many requests"):
        split(b'{"id_code": 429, "id_message": "Too many requests"}', "tns")


def test_an_alert_of_ztf() -> None:
    packet = one(container(ZTF_SCHEMA, ZTF), "ztf")

    assert packet.ivoid == f"{STREAM}#ZTF26aaaaaaa_3000000000000000001"
    assert (packet.where.ra, packet.where.dec, packet.where.time) == (94.3, -7.8, datetime(2026, 3, 1, 12))
    params = told(packet)
    assert {"mission": "ZTF", "candidate.magpsf": "18.5", "number_of_prv_candidates": "2"}.items() <= params.items()
    assert not {"candidate.ssdistnr", "cutoutScience.fileName"} & params.keys()
    assert len(packets(container(ZTF_SCHEMA, ZTF, ZTF | {"candid": 2}), "ztf")) == 2


def test_an_alert_of_rubin_needs_its_schema(tmp_path: Path) -> None:
    (tmp_path / "lsst.v12_3.alert.avsc").write_text(json.dumps(LSST_SCHEMA))
    (tmp_path / "lsst.v12_3.diaSource.avsc").write_text(json.dumps(SOURCE_SCHEMA))
    data = framed(1203, load_schema(str(tmp_path / "lsst.v12_3.alert.avsc")), LSST)
    (raw,) = from_stream(data, "lsst", STREAM, Settings(voevent_schemas=tmp_path), NOW)
    packet = read_packet(raw)

    assert packet.ivoid == f"{STREAM}#170000000000000000_170000000000000001"
    assert (packet.where.time, packet.where.error) == (datetime(2026, 3, 1, 12), 4e-5)
    assert told(packet)["mission"] == "Rubin Observatory"
    assert "diaSource.psfFlux" not in told(packet)
    with pytest.raises(
        ConfigurationError, match=r"schema 1203, file lsst.v12_3.alert.avsc, and the setting voevent_sch"
    ):
        from_stream(data, "lsst", STREAM, SETTINGS)
    with pytest.raises(ConfigurationError, match=r"file lsst.v12_4.alert.avsc, and .* has none"):
        from_stream(framed(1204, SOURCE_SCHEMA, LSST["diaSource"]), "lsst", STREAM, Settings(voevent_schemas=tmp_path))
    with pytest.raises(AlertError, match=r"does not follow the schema lsst.v12_3.alert.avsc"):
        from_stream(data[:20], "lsst", STREAM, Settings(voevent_schemas=tmp_path))
    (tmp_path / "lsst.v12_5.alert.avsc").write_text("{")
    with pytest.raises(ConfigurationError, match=r"Cannot read the schema .*lsst.v12_5.alert.avsc"):
        from_stream(b"\0\0\0\x04\xb5\0", "lsst", STREAM, Settings(voevent_schemas=tmp_path))


def test_synthetic_sources_of_rubin_are_tests() -> None:
    source = LSST["diaSource"] | {"pixelFlags_injectedCenter": True}

    assert alert({"diaSourceId": 1, "diaSource": source}, "lsst").role == "test"


@pytest.mark.parametrize(
    ("record", "event", "time"),
    [
        ({"objectId": "ZTF1", "rows": [{"jd": 2461101.0, "ra": 1.0, "decl": 2.0}, {"jd": 2461100.0}]}, "ZTF1", 1),
        (
            {"locus_id": "ANT1", "ra": 1.0, "dec": 2.0, "alerts": [{"lsst_diaSource_midpointMjdTai": 61100.5}]},
            "ANT1",
            1,
        ),
        ({"diaObjectId": 17, "ra": 1.0, "decl": 2.0, "lastDiaSourceMjdTai": 61100.5, "UTC": "2026"}, "17", 1),
        ({"objectId": "ZTF2", "ramean": 1.0, "decmean": 2.0, "jdmax": 2461101.0}, "ZTF2", 1),
        ({"objectId": "ZTF2", "ra": 361.0 - 360, "dec": 2.0, "mjd": 61100.5}, "ZTF2", 1),
        ({"diaSourceId": "12", "ra": 1.0, "dec": 2.0}, "12", None),
    ],
)
def test_alerts_in_the_words_of_brokers(record: dict[str, Any], event: str, time: int | None) -> None:
    found = alert(record, "lasair")

    assert (found.event, found.position) == (event, Position(ra=1.0, dec=2.0))
    assert (
        (found.time is None)
        if time is None
        else (found.time is not None and found.time.date().isoformat() == "2026-03-01")
    )
    assert found.edition is None if event == "12" else found.edition
    assert alert(record | {"class": "SN"}, "fink").edition != found.edition or event == "12"


def test_a_detection_may_belong_to_many_triggers() -> None:
    """As in Fink's `fink_grb_*`: the same detection comes with each burst that it may be the afterglow of."""
    found = [alert({"objectId": "ZTF1", "candid": 7, "triggerId": trigger}, "fink").edition for trigger in (1, 2)]

    assert found == ["7_1", "7_2"]


def test_not_a_number_is_what_is_not_known() -> None:
    (found,) = read(b'{"objectId": "A", "ra": NaN, "dec": NaN, "jd": NaN, "score": NaN}', "lasair")

    assert (found.position, found.time, found.params) == (None, None, ())


def test_hopskotch_says_what_it_carries() -> None:
    raw = build_packet(FULL, AUTHOR)
    gcn = {
        "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/a/b.schema.json",
        "event_name": "A",
        "record_number": 1,
    }
    by_content = [
        (GRAVITATIONAL_WAVE, "S260301ab"),
        (COINCIDENCE, "SNEWS"),
        (CIRCULAR, "circular"),
        (gcn, "A_1"),
        ({"event": "Ours"}, "Ours"),
        (ZTF | {"cutoutScience": None}, "ZTF"),
    ]

    assert packets(raw, "hopskotch", _format=b"voevent")[0].raw == raw
    for message, name in by_content:
        for made in (
            one(message, "hopskotch", _format=b"json"),
            one(message, "hopskotch"),
            one({"format": "json", "content": message}, "hopskotch"),
        ):
            assert made.ivoid.startswith(f"{STREAM}#{name}")
    assert one(container(ZTF_SCHEMA, ZTF), "hopskotch", _format=b"avro").ivoid.endswith("_3000000000000000001")


def test_tests_on_hopskotch_are_tests() -> None:
    packet = one({"event": "Ours"}, "hopskotch", _test=b"true")

    assert (packet.role, packet.ivoid) == ("test", f"{STREAM}#Ours_test")
    with pytest.raises(AlertError, match="header says that it is a test, but its packet has the role observation"):
        packets(build_packet(FULL, AUTHOR), "hopskotch", _test=b"true")
    test = build_packet(FULL.model_copy(update={"role": "test"}), AUTHOR)
    assert packets(test, "hopskotch", _test=b"true")[0].raw == test


@pytest.mark.parametrize("what", ["json", "circular", "voevent", "avro"])
def test_messages_that_hop_client_packs(what: str) -> None:
    models = pytest.importorskip("hop.models")
    producer = pytest.importorskip("hop.io").Producer
    raw = build_packet(FULL, AUTHOR)
    message = {
        "json": models.JSONBlob({"event": "A"}),
        "circular": models.GCNCircular({"number": "7", "subject": "A"}, "Text"),
        "voevent": models.VOEvent.load(raw),
        "avro": models.AvroBlob({"objectId": "A", "candid": 1}),
    }[what]
    payload, headers = producer.pack(message, test=False)

    expected = {"json": "A", "circular": "circular-7_1", "voevent": "EX-260301A_2", "avro": "A_1"}[what]
    (made,) = from_stream(payload, "hopskotch", AUTHOR.stream, SETTINGS, NOW, dict(headers))
    assert read_packet(made).ivoid == f"{AUTHOR.stream}#{expected}"


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"{}", "rumour", "Expected one of the kinds gcn, gcn-voevent"),
        (b"\0" * 160, "gcn-classic", "GCN's binary packets are not read; the topics gcn.classic.voevent"),
        (b"[]", "igwn", "Expected a notice as a JSON object, got a list"),
        (b"{}", "igwn", "Expected superevent_id, time_created and an alert_type of EARLYWARNING"),
        (b"{}", "snews", "detector_name: expected the name of a detector"),
        (b'{"detector_name": "A", "p_val": 1}', "snews", "machine_time_utc: expected the time of the message"),
        (b'{"detector_names": ["A"]}', "snews", "alert_type: expected one of NEW_MESSAGE"),
        (b'{"detector_names": ["A"], "alert_type": "UPDATE"}', "snews", "neutrino_times: expected the times"),
        (b'{"detector_names": ["A"], "alert_type": "UPDATE", "neutrino_times": ["x"]}', "snews", "neutrino_times: exp"),
        (b"{}", "circular", "circularId: expected the number"),
        (b'{"circularId": 1, "createdOn": "soon"}', "circular", "createdOn: expected milliseconds"),
        (b"{}", "tns", "Expected a reply of the Transient Name Server"),
        (b"{}", "ztf", "Expected an alert of a survey, with one of objectId"),
        (b'{"objectId": "A", "ra": "x"}', "ztf", "ra: expected degrees, got 'x'"),
        (b'{"objectId": "A", "jd": 1e9}', "ztf", "jd: expected a Julian date"),
        (b'{"objectId": "A", "jd": 0.5}', "ztf", "is before the year 1"),
        (b"Obj\x01junk", "ztf", "The Avro file cannot be read"),
        (b"{}", "hopskotch", "Expected an alert of LVK, SNEWS, GCN"),
        (b'{"format": "voevent", "content": {}}', "hopskotch", "taken apart into JSON by a hop-client of old"),
        (b'{"format": "external", "content": {}}', "hopskotch", "_format: expected one of avro, blob"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "igwn", "nested too deeply"),
    ],
)
def test_what_is_no_such_message(data: bytes, kind: str, message: str) -> None:
    with pytest.raises(AlertError, match=message):
        packets(data, kind)


def test_media_types() -> None:
    assert media_type(container(ZTF_SCHEMA, ZTF)) == "application/avro"
    assert media_type(b"\0\0\0\x03\x84\0") == "application/avro"
    assert media_type(b" <VOEvent/>") == "text/xml"
    assert media_type(b'\n{"a": 1}') == "application/json"
    assert media_type(b"GCN") == "application/octet-stream"


NOTICE: dict[str, Any] = {
    "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/example/alert.schema.json",
    "event_name": ["EX-260301A"],
    "id": ["17"],
    "record_number": 1,
    "alert_type": "initial",
    "alert_tense": "current",
    "alert_datetime": "2026-03-01T12:05:00Z",
    "trigger_time": "2026-03-01T12:00:00Z",
    "trigger_time_error": 0.5,
    "instrument": ["One"],
    "ra": 94.3,
    "dec": -7.8,
    "ra_dec_error": [2.2],
    "far": 3.9e-7,
    "nu_energy": 120.5,
    "healpix_url": "https://example.org/map.fits",
    "data": {"targets": [{"ra": 1, "dec": 2}]},
}

SAMPLES = [
    (NOTICE, "gcn"),
    (json.loads(json.dumps(to_json(FULL))), "own"),
    (GRAVITATIONAL_WAVE, "igwn"),
    (DETECTOR, "snews"),
    (COINCIDENCE, "snews"),
    (CIRCULAR, "circular"),
    (TRANSIENT, "tns"),
    (ZTF | {"cutoutScience": None}, "ztf"),
    (LSST | {"diaSource": LSST["diaSource"] | {"psfFlux": None}}, "lsst"),
]


@pytest.mark.parametrize(("message", "kind"), SAMPLES)
def test_packets_of_every_origin_become_our_json(message: dict[str, Any], kind: str) -> None:
    document = to_json_document(one(message, kind).raw)
    (again,) = from_stream(json.dumps(document).encode(), "own", STREAM, SETTINGS, NOW)

    params = told(one(message, kind)) | {"provenance.converted_from": "own"}
    assert told(read_packet(again)) == params
    assert read_packet(again).ivoid == one(message, kind).ivoid


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(("message", "kind"), SAMPLES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_message_with_other_values_is_converted_or_refused(
    message: dict[str, Any], kind: str, data: st.DataObject
) -> None:
    changed = copy.deepcopy(message)
    for _ in range(data.draw(st.integers(1, 3))):
        place = changed
        key = data.draw(st.sampled_from(sorted(place)))
        if isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place)))
        place[key] = data.draw(_anything)
    for name in (kind, "hopskotch"):
        _converted_or_refused(partial(packets, changed, name))


def _converted_or_refused(convert: Callable[[], list[Packet]]) -> None:
    try:
        found = convert()
    except ServiceError:
        return
    assert [problem for packet in found for problem in problems(packet) if problem.severity == "error"] == []


@given(data=st.binary(max_size=60), start=st.sampled_from([b"", b"Obj\x01", b"\0\0\0\x03\x84", b"{"]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_with_a_reason(data: bytes, start: bytes) -> None:
    for kind in KINDS_OF_STREAM:
        _converted_or_refused(partial(packets, start + data, kind))
