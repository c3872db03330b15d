"""Reading packets, and what is said of those that are wrong."""

from __future__ import annotations

from datetime import datetime

import pytest

from voevent.packet import Citation, PacketError, Where, read_packet, split_ivoid
from voevent.times import format_time, parse_time
from voevent.validate import problems

BODY = """
  <Who><AuthorIVORN>ivo://org.example</AuthorIVORN><Date>2026-03-01T12:00:05</Date>
    <Author><title>Example</title><contactName>A. Person</contactName></Author></Who>
  <What>
    <Param name="FAR" value="3e-8" unit="Hz" ucd="arith.rate" dataType="float"/>
    <Group name="Event"><Param name="hits"><Value>42</Value><Description>Of light</Description></Param></Group>
    <Reference uri="https://example.org/a"/>
  </What>
  <WhereWhen><ObsDataLocation><ObservatoryLocation id="TEST"/><ObservationLocation>
    <AstroCoordSystem id="{system}"/>
    <AstroCoords coord_system_id="{system}">
      <Time unit="s"><TimeInstant><ISOTime>{time}</ISOTime></TimeInstant></Time>
      <Position2D unit="{unit}"><Name1>RA</Name1><Name2>Dec</Name2>
        <Value2><C1>{ra}</C1><C2>{dec}</C2></Value2><Error2Radius>{error}</Error2Radius></Position2D>
    </AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
  <How><Reference uri="https://example.org/a"/><Reference uri="https://example.org/b"/></How>
  <Why importance="{importance}"><Inference probability="0.5"><Concept>process.variation</Concept></Inference></Why>
  <Citations><EventIVORN cite="{cite}">ivo://org.example/stream#1</EventIVORN></Citations>
  <Description>An event</Description>
"""

USUAL = {
    "system": "UTC-ICRS-TOPO",
    "time": "2026-03-01T12:00:00.25",
    "unit": "deg",
    "ra": "10.5",
    "dec": "-20.25",
    "error": "0.5",
    "importance": "0.1",
    "cite": "followup",
}


def packet(
    namespace: str = "http://www.ivoa.net/xml/VOEvent/v2.0",
    *,
    version: str = "2.0",
    ivorn: str = "ivo://org.example/stream#2",
    role: str = ' role="observation"',
    body: str = BODY,
    **words: str,
) -> bytes:
    prefix, declaration = ("voe:", f' xmlns:voe="{namespace}"') if namespace else ("", "")
    text = body.format(**(USUAL | words)) if body is BODY else body
    start = f'<{prefix}VOEvent{declaration} version="{version}" ivorn="{ivorn}"{role}>'
    return f'<?xml version="1.0" encoding="UTF-8"?>{start}{text}</{prefix}VOEvent>'.encode()


def errors(raw: bytes) -> list[str]:
    return [problem.message for problem in problems(read_packet(raw)) if problem.severity == "error"]


def test_everything_that_a_packet_says_is_read() -> None:
    read = read_packet(packet())

    assert (read.ivoid, read.stream, read.local_id) == ("ivo://org.example/stream#2", "ivo://org.example/stream", "2")
    assert (read.role, read.version) == ("observation", "2.0")
    assert (read.author, read.author_ivoid) == ("A. Person", "ivo://org.example")
    assert read.author_time == datetime(2026, 3, 1, 12, 0, 5)
    assert (read.concept, read.description) == ("process.variation", "An event")
    assert read.where == Where(10.5, -20.25, 0.5, datetime(2026, 3, 1, 12, 0, 0, 250000), "UTC-ICRS-TOPO", "TEST")
    assert [(p.group, p.name, p.value, p.number, p.unit) for p in read.params] == [
        (None, "FAR", "3e-8", 3e-8, "Hz"),
        ("Event", "hits", "42", 42.0, None),
    ]
    assert read.params[1].description == "Of light"
    assert read.citations == (Citation("ivo://org.example/stream#1", "followup"),)
    assert read.references == ("https://example.org/a", "https://example.org/b")
    assert read.raw == packet()
    assert not problems(read)


@pytest.mark.parametrize(
    ("namespace", "version"),
    [
        ("http://www.ivoa.net/xml/VOEvent/v1.1", "1.1"),
        ("http://www.ivoa.net/xml/VOEvent/v2.0", "2.0"),
        ("http://www.ivoa.net/xml/VOEvent/v2.1", "2.1"),
        ("", "2.0"),
    ],
)
def test_all_versions_are_read_alike(namespace: str, version: str) -> None:
    raw = packet(namespace, version=version)
    read = read_packet(raw)

    assert read.version == version
    assert read.where.ra == 10.5
    assert len(read.params) == 2
    assert not errors(raw)


def test_a_packet_without_a_role_is_an_observation() -> None:
    assert read_packet(packet(role="")).role == "observation"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Not XML"),
        (b"hello", "Not XML"),
        (b"<VOEvent", "Not XML"),
        (b"<VOEvent ivorn='ivo://a/b#1'><Who></VOEvent>", "Not XML"),
        (b"<Transport role='ack'/>", "got an XML document of 'Transport'"),
        (b"<VOEvent/>", "no identifier"),
        (b"<!DOCTYPE VOEvent><VOEvent ivorn='ivo://a/b#1'/>", "DOCTYPE"),
        (b"<!-- x --><!DOCTYPE V [<!ENTITY a 'aaaa'>]><VOEvent ivorn='&a;'/>", "DOCTYPE"),
        ("\ufeff<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE V><V/>".encode("utf-16-le"), "DOCTYPE"),
        (b"<VOEvent ivorn='&unknown;'/>", "Not XML"),
        (b"<VOEvent ivorn='ivo://a/b#1'>" + b"<Group>" * 10_000, "Not XML"),
    ],
)
def test_what_is_no_packet_is_refused_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(PacketError, match=reason):
        read_packet(raw)


def test_a_doctype_in_text_is_text() -> None:
    raw = packet(body="<Description><![CDATA[<!DOCTYPE x>]]></Description>")

    assert read_packet(raw).description == "<!DOCTYPE x>"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ({"ra": "360"}, (0.0, -20.25, 0.5)),
        ({"unit": "rad", "ra": "3.141592653589793", "dec": "0", "error": "0"}, (180.0, 0.0, 0.0)),
        ({"ra": "0", "dec": "0.0", "error": "0"}, (None, None, None)),  # how packets say that they have no position
        ({"ra": "0", "dec": "0", "error": "1"}, (0.0, 0.0, 1.0)),
        ({"error": "NaN"}, (10.5, -20.25, None)),
        ({"error": "-1"}, (10.5, -20.25, None)),
        ({"ra": "NaN"}, (None, None, None)),
        ({"dec": "91"}, (None, None, None)),
        ({"ra": "1_0"}, (None, None, None)),
        ({"unit": "furlong"}, (None, None, None)),
        ({"system": "UTC-HPC-TOPO"}, (None, None, None)),  # of the Sun
        ({"system": "TT-FK5-GEO"}, (10.5, -20.25, 0.5)),
    ],
)
def test_positions(words: dict[str, str], where: tuple[float | None, ...]) -> None:
    read = read_packet(packet(**words)).where

    assert (read.ra, read.dec, read.error) == pytest.approx(where)


def test_radii_with_a_probability_in_their_name_are_read() -> None:
    """As KM3-230213A has them; the schema has Error2Radius alone, so that they are an error too."""
    raw = packet().replace(b"<Error2Radius>0.5</Error2Radius>", b"<Error2Radius90>2.2</Error2Radius90>")

    assert read_packet(raw).where.error == 2.2
    assert errors(raw) == [
        "Position2D: expected numbers, got Error2Radius None",
        "Position2D: Error2Radius90 may not stand there",
    ]


@pytest.mark.parametrize(
    ("text", "scale", "time"),
    [
        ("2024-09-01T01:16:47.0Z", "UTC", datetime(2024, 9, 1, 1, 16, 47)),
        ("2024-09-01 01:16:47", "UTC", datetime(2024, 9, 1, 1, 16, 47)),
        ("2024-09-01T03:16:47.1234567+02:00", "UTC", datetime(2024, 9, 1, 1, 16, 47, 123457)),
        ("2016-12-31T23:59:60", "UTC", datetime(2017, 1, 1)),
        ("2024-09-01", "UTC", datetime(2024, 9, 1)),
        # TT = TAI + 32.184 s, GPS = TAI - 19 s, and TAI - UTC was 37 s.
        ("2024-09-01T01:17:56.184", "TT", datetime(2024, 9, 1, 1, 16, 47)),
        ("2024-09-01T01:17:05", "GPS", datetime(2024, 9, 1, 1, 16, 47)),
    ],
)
def test_times(text: str, scale: str, time: datetime) -> None:
    assert abs((parse_time(text, scale) - time).total_seconds()) < 2e-6


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-13-01T00:00:00", "2024-09-01T01:16:61", "2024-W01-1", "9999-12-31T23:59:60"]
)
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a time|is not a time"):
        parse_time(text)


def test_times_are_written_without_needless_digits() -> None:
    assert format_time(datetime(2024, 9, 1, 1, 16, 40)) == "2024-09-01T01:16:40"
    assert format_time(datetime(2024, 9, 1, 1, 16, 40, 250000)) == "2024-09-01T01:16:40.25"


def test_the_time_scale_of_the_packet_is_heeded() -> None:
    read = read_packet(packet(system="GPS-ICRS-GEO", time="2024-09-01T01:17:05"))

    assert read.where.time == datetime(2024, 9, 1, 1, 16, 47)


@pytest.mark.parametrize(
    ("ivoid", "parts"),
    [
        ("ivo://a.b/c#d", ("ivo://a.b/c", "d")),
        ("ivo://a.b/c?d", ("ivo://a.b/c", "d")),
        ("ivo://a.b/c?d#e", ("ivo://a.b/c", "d#e")),
        ("ivo://a.b/c", ("ivo://a.b/c", "")),
    ],
)
def test_stream_and_local_identifier(ivoid: str, parts: tuple[str, str]) -> None:
    assert split_ivoid(ivoid) == parts


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (packet("http://www.ivoa.net/xml/VOEvent/v3.0"), "expected a namespace of VOEvent 1.1, 2.0 or 2.1"),
        (packet(version="2.1"), "expected version '2.0'"),
        (packet(role=' role="rumour"'), "role: expected one of observation, prediction, utility, test"),
        (packet(ivorn="http://example.org/1"), "expected an identifier such as"),
        (packet(ivorn="ivo://org.example/stream#a b"), "characters that identifiers may not have"),
        (packet(body="<What/>"), "Who is missing"),
        (packet(body="<Who><Date>2026-01-01T00:00:00</Date></Who>"), "expected AuthorIVORN or Author"),
        (packet(body="<Who><AuthorIVORN>ivo://a.b</AuthorIVORN><Date>soon</Date></Who>"), "Who/Date: expected a time"),
        (packet(body=BODY.format(**USUAL) + "<Who/>"), "VOEvent: more than one Who"),
        (packet(body=BODY.format(**USUAL) + "<Hearsay/>"), "VOEvent: Hearsay may not stand there"),
        (packet(time="noon"), "ISOTime: expected a time"),
        (packet(ra="north"), "Position2D: expected numbers, got C1 'north'"),
        (packet(dec="-90.5"), "expected 0 <= RA < 360 and -90 <= Dec <= 90"),
        (packet(error="-1"), "Error2Radius: expected no negative number"),
        (packet(unit="hours"), "Position2D: unit: expected deg"),
        (packet(importance="high"), "importance: expected a number"),
        (packet(cite="rumour"), "cite: expected one of followup, supersedes, retraction"),
        (packet(ivorn="ivo://org.example/stream#1"), "cites itself"),
        (packet().replace(b'"3e-8"', b'"small"'), "Param 'FAR': expected a number, as its dataType float says"),
        (packet().replace(b'dataType="float"', b'dataType="complex"'), "expected string, int or float"),
        (packet().replace(b'uri="https://example.org/b"', b""), "Reference: expected an attribute uri"),
        (packet().replace(b'probability="0.5"', b'probability="1.5"'), "expected a number from 0 to 1"),
    ],
)
def test_every_error_is_said(raw: bytes, message: str) -> None:
    assert [error for error in errors(raw) if message in error], errors(raw)


def test_all_errors_are_said_at_once() -> None:
    assert len(errors(packet(role=' role="rumour"', time="noon", ra="north", cite=""))) == 4


def test_nonsense_gets_a_short_answer() -> None:
    body = "".join(f"<Nonsense{number}/>" for number in range(1000))

    assert len(errors(packet(body=BODY.format(**USUAL) + body))) == 21
    assert (
        errors(packet(body=BODY.format(**USUAL) + "<Why><Rumour/></Why>" * 2))[-1] == "Why: Rumour may not stand there"
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (packet(""), "no namespace"),
        (packet(ivorn="ivo://org.example/stream"), "no # or ?"),
        (packet(ivorn="ivo://KM3NeT_Neutrino#1"), "no resource key"),
        (packet().replace(b'name="FAR"', b""), "one without a name"),
        (packet(system="UTC-HPC-TOPO", ra="-500"), "expected ICRS or FK5, got 'UTC-HPC-TOPO'"),
        (packet().replace(b'name="FAR"', b'name="x"').replace(b"</What>", b'<Param name="x"/></What>'), "be unique"),
        (
            packet().replace(b'"3e-8" unit="Hz" ucd="arith.rate" dataType="float"', b"\"{'url': 1}\""),
            "Python dictionary",
        ),
        (packet(body="<Who><AuthorIVORN>ivo://a.b</AuthorIVORN></Who>"), "no Date"),
    ],
)
def test_what_troubles_readers_is_a_warning(raw: bytes, message: str) -> None:
    found = problems(read_packet(raw))

    assert [problem.severity for problem in found if message in problem.message] == ["warning"]
    assert not errors(raw)


def test_voevent_2_1_needs_no_radius_and_has_intervals() -> None:
    raw = packet("http://www.ivoa.net/xml/VOEvent/v2.1", version="2.1").replace(
        b"<Error2Radius>0.5</Error2Radius>", b""
    )
    raw = raw.replace(b"TimeInstant>", b"TimeInterval>").replace(b"ISOTime>", b"ISOTimeStart>")

    assert read_packet(raw).where.time == datetime(2026, 3, 1, 12, 0, 0, 250000)
    assert not errors(raw)
