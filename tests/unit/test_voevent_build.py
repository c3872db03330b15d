"""What is built is read back whole, and without problems, in both versions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Literal

import pytest
from hypothesis import given, settings

from tests.support.alerts import AUTHOR, FULL, alerts
from vo_service.config import Settings, load_settings
from vo_service.errors import ConfigurationError
from voevent.alert import Alert, AlertError, Parameter
from voevent.build import author_of, build_packet, cited, packet_ivoid
from voevent.convert.packets import from_packet
from voevent.packet import Citation, read_packet
from voevent.validate import problems

VERSIONS: list[Literal["2.0", "2.1"]] = ["2.0", "2.1"]


@pytest.mark.parametrize("version", VERSIONS)
@given(alert=alerts)
@settings(max_examples=150, deadline=None)
def test_there_and_back(version: Literal["2.0", "2.1"], alert: Alert) -> None:
    author = replace(AUTHOR, version=version)
    raw = build_packet(alert, author)
    packet = read_packet(raw)

    assert raw == build_packet(alert, author)
    assert problems(packet) == ()
    assert packet.version == version
    assert from_packet(packet) == alert.model_copy(update={"citations": cited(alert, author)})


def test_a_packet_as_others_read_it() -> None:
    packet = read_packet(build_packet(FULL, AUTHOR))

    assert packet.ivoid == "ivo://org.example/alerts#EX-260301A_2"
    assert packet.citations == (Citation("ivo://org.example/alerts#EX-260301A_1", "supersedes"),)
    assert (packet.author, packet.author_ivoid) == ("A. Person", "ivo://org.example")
    assert (packet.where.ra, packet.where.dec, packet.where.error) == (94.3, -7.8, 2.2)
    assert packet.where.time == FULL.time
    told = {(p.group, p.name): (p.value, p.unit, p.data_type) for p in packet.params}
    assert told[None, "FAR"] == ("3.9e-07", "Hz", "float")
    assert told[None, "energy"] == ("120.0", "PeV", "float")
    assert told[None, "energy_error_plus"] == ("110.0", "PeV", "float")
    assert told[None, "src_error_50"] == ("1.2", "deg", "float")
    assert told[None, "ra_error_minus"] == ("1.0", "deg", "float")
    assert told[None, "alert_type"] == ("update", None, "string")
    assert told[None, "record_number"] == ("2", None, "int")
    assert told["provenance", "software"] == ("reco", None, "string")
    assert told["quality", "zenith"] == ("0.01", "rad", "float")
    assert packet.references == ("https://example.org/event", "https://example.org/provenance/17")


def test_no_error_is_no_perfect_position() -> None:
    alert = Alert.model_validate({"event": "a", "written": "2026-01-01T00:00:00Z", "position": {"ra": 1, "dec": 2}})

    assert b"<Error2Radius>NaN</Error2Radius>" in build_packet(alert, AUTHOR)
    assert b"Error2Radius" not in build_packet(alert, replace(AUTHOR, version="2.1"))


WRITTEN = {"written": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("fields", "local_id"),
    [
        ({"event": "A1"}, "A1"),
        ({"event": "A1", "record": 0}, "A1_0"),
        ({"event": "A1", "record": 3, "kind": "retraction"}, "A1_3"),
        ({"event": "A1", "edition": "b 7", "kind": "supersedes"}, "A1_b%207"),
        ({"event": "A1", "record": 3, "edition": "b", "role": "test"}, "A1_3_b_test"),
        ({"event": "A1", "kind": "followup", **WRITTEN}, "A1_2026-01-01T00:00:00_followup"),
        ({"event": "A1", "kind": "retraction", "time": "2026-02-01T00:00:00"}, "A1_2026-02-01T00:00:00_retraction"),
        ({"event": "A1", "record": 1, "role": "test"}, "A1_1_test"),
        ({"event": "GRB 230410A # é"}, "GRB%20230410A%20%23%20%C3%A9"),
    ],
)
def test_identifiers(fields: dict[str, object], local_id: str) -> None:
    alert = Alert.model_validate(fields)

    assert packet_ivoid(alert, AUTHOR) == f"ivo://org.example/alerts#{local_id}"
    assert packet_ivoid(alert, replace(AUTHOR, separator="?")) == f"ivo://org.example/alerts?{local_id}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event": "A"}, None),
        ({"event": "A", "record": 2}, None),
        ({"event": "A", "edition": "b", "kind": "supersedes"}, ("A", "supersedes")),
        ({"event": "A", "edition": "b", "kind": "retraction", "role": "test"}, ("A_test", "retraction")),
        ({"event": "A", "record": 2, "kind": "followup"}, ("A_1", "followup")),
        ({"event": "A", "record": 1, "kind": "supersedes", "role": "test"}, ("A_0_test", "supersedes")),
        ({"event": "A", "kind": "retraction"}, ("A", "retraction")),
    ],
)
def test_citations(fields: dict[str, object], expected: tuple[str, str] | None) -> None:
    alert = Alert.model_validate(fields)

    found = cited(alert, AUTHOR)

    assert found == (() if expected is None else (Citation(f"ivo://org.example/alerts#{expected[0]}", expected[1]),))


def test_citations_that_are_named_win() -> None:
    named = (Citation("ivo://org.other/stream#7", "followup"),)
    alert = FULL.model_copy(update={"citations": named})

    assert read_packet(build_packet(alert, AUTHOR)).citations == named


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(AlertError, match="text that XML cannot hold"):
        build_packet(FULL.model_copy(update={"description": "a\0b"}), AUTHOR)
    with pytest.raises(AlertError, match="params: far is told by a field of its own"):
        build_packet(FULL.model_copy(update={"params": (Parameter(name="far", value=1.0),)}), AUTHOR)
    with pytest.raises(AlertError, match="params: x is there twice"):
        build_packet(FULL.model_copy(update={"params": (Parameter(name="x"), Parameter(name="x"))}), AUTHOR)
    with pytest.raises(AlertError, match="group provenance is told by the field provenance"):
        build_packet(FULL.model_copy(update={"params": (Parameter(group="provenance", name="x"),)}), AUTHOR)
    with pytest.raises(AlertError, match="written: expected the time"):
        build_packet(FULL.model_copy(update={"written": None}), AUTHOR)


def test_a_date_for_those_that_have_none() -> None:
    packet = read_packet(build_packet(FULL.model_copy(update={"written": None}), AUTHOR, datetime(2026, 5, 1)))

    assert packet.author_time == datetime(2026, 5, 1)


def test_the_author_is_that_of_the_settings() -> None:
    default = author_of(Settings(authority="org.example", title="A service"))
    given = author_of(
        Settings(voevent_stream="ivo://org.example/x", voevent_separator="?", voevent_author="ivo://org.example/us")
    )

    assert (default.stream, default.separator, default.ivoid) == ("ivo://org.example/alerts", "#", "ivo://org.example")
    assert (default.title, default.version) == ("A service", "2.0")
    assert (given.stream, given.separator, given.ivoid) == ("ivo://org.example/x", "?", "ivo://org.example/us")


@pytest.mark.parametrize(
    "stream", ["http://example.org", "ivo://a/b", "ivo://org.example/a#b", "ivo://org.example/a b"]
)
def test_a_stream_that_is_no_identifier_is_refused(stream: str) -> None:
    with pytest.raises(ConfigurationError, match="expected an IVOA identifier"):
        load_settings(voevent_stream=stream)
