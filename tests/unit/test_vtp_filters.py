"""Filters of subscribers: what they let pass, which are refused, and that none takes long."""

from __future__ import annotations

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from voevent.packet import Packet, read_packet
from voevent.vtp.filters import COUNT_LIMIT, read_filters
from voevent.vtp.xpath import FUNCTIONS, LENGTH_LIMIT, XPathError, compile_xpath


def packet(role: str = "observation", ra: float | None = 130.0, dec: float = -20.0, params: str = "") -> Packet:
    place = (
        ""
        if ra is None
        else f"""<WhereWhen><ObsDataLocation><ObservatoryLocation id="x"/><ObservationLocation>
        <AstroCoordSystem id="UTC-ICRS-TOPO"/><AstroCoords coord_system_id="UTC-ICRS-TOPO">
        <Position2D unit="deg"><Value2><C1>{ra!r}</C1><C2>{dec!r}</C2></Value2></Position2D>
        </AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>"""
    )
    return read_packet(
        f"""<v:VOEvent xmlns:v="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" role="{role}"
        ivorn="ivo://org.example/alerts#1"><Who><AuthorIVORN>ivo://org.example/nu</AuthorIVORN>
        <Author><shortName>NU</shortName></Author></Who><What><Param name="energy" value="1.2e2" unit="TeV"/>
        <Param name="far" value="3" unit="yr^-1"/><Param name="note" value="good"/>
        <Group name="fit"><Param name="quality" value="7"/></Group>{params}</What>{place}
        <How><Description>Made by hand, Swift</Description></How></v:VOEvent>""".encode()
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("xpath-filter", '//Who/Author[shortName="NU"]', True),
        ("xpath-filter", '//Who/Author[shortName="VO-GCN"]', False),
        ("xpath-filter", '/*[local-name()="VOEvent" and @role="observation"]', True),
        ("xpath-filter", '//Param[@name="energy" and @value>100]', True),
        ("xpath-filter", '//Param[@name="energy" and @value>200]', False),
        ("xpath-filter", "//How[contains(Description, 'Swift')]", True),
        ("xpath-filter", 'not(//Param[@name="nothing"]) and count(//Param) >= 4', True),
        ("xpath-filter", '//Group[@name="fit"]/Param[@name="quality"]/@value = "7"', True),
        ("xpath-filter", "contains(//How/Description, 1, 2)", False),
        ("role", "observation", True),
        ("role", "test, utility", False),
        ("author", "ivo://org.example/*", True),
        ("author", "ivo://org.example", False),
        ("author", "ivo://org?example/*", False),
        ("stream", "ivo://org.example/alerts", True),
        ("param", "energy > 100", True),
        ("param", "energy>200", False),
        ("param", "energy = 120", True),
        ("param", "energy != 120", False),
        ("param", "fit/quality >= 7", True),
        ("param", "other/quality >= 7", False),
        ("param", "quality <= 6.9", False),
        ("param", "note = good", True),
        ("param", "note != good", False),
        ("param", "note < 5", False),
        ("param", "absent != 1", False),
        ("cone", "130, -20, 0.1", True),
        ("cone", "131 -20 0.5", False),
        ("far", "1e-7", True),
        ("far", "9e-8", False),
    ],
)
def test_conditions(name: str, value: str, expected: bool) -> None:
    wanted, faults = read_filters([(name, value)])
    assert faults == []
    assert wanted(packet()) is expected


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("xpath-filter", "//Param[", "a name"),
        ("xpath-filter", "//*[//*[//*]]", "inside of [ ]"),
        ("xpath-filter", "//*//*//*", "once"),
        ("xpath-filter", "//Param[../Param]", "expected ]"),
        ("xpath-filter", "ancestor::*", "axes"),
        ("xpath-filter", "//a | //b", "unions"),
        ("xpath-filter", "//a = //b", "a string or number"),
        ("xpath-filter", "(//a) = (//b)", "a string or number"),
        ("xpath-filter", "document('file:///etc/passwd')", "functions"),
        ("xpath-filter", "id('a')", "functions"),
        ("xpath-filter", "$x", "variables"),
        ("xpath-filter", "v:VOEvent", "namespaces"),
        ("xpath-filter", "", "a name"),
        ("xpath-filter", "a" * 1001, "1000"),
        ("xpath-filter", "(" * 20 + "1" + ")" * 20, "at most 8"),
        ("role", "alert", "observation"),
        ("param", "energy", "comparison"),
        ("param", "energy > much", "number"),
        ("cone", "1, 2", "degrees"),
        ("cone", "1, 2, x", "degrees"),
        ("cone", "1, 95, 2", "|Dec|"),
        ("far", "often", "Hz"),
        ("far", "-1", "Hz"),
    ],
)
def test_filters_that_are_refused_are_told_why(name: str, value: str, hint: str) -> None:
    wanted, faults = read_filters([(name, value)])
    assert not wanted
    assert len(faults) == 1
    assert hint in faults[0]


def test_xpath_filters_are_alternatives_and_conditions_must_all_hold() -> None:
    no, yes = ("xpath-filter", "//Nothing"), ("xpath-filter", "//What")
    assert read_filters([no, yes])[0](packet())
    assert not read_filters([no, yes, ("role", "test")])[0](packet())
    assert not read_filters([no, ("role", "observation")])[0](packet())
    assert not read_filters([("role", "observation"), ("far", "1e-9")])[0](packet())


def test_packets_without_a_position_or_rate_do_not_pass() -> None:
    assert not read_filters([("cone", "0, 0, 180")])[0](packet(ra=None))
    empty = read_packet(b'<VOEvent ivorn="ivo://a.b/c#1"/>')
    assert not read_filters([("far", "1")])[0](empty)
    assert read_filters([("role", "observation")])[0](empty)


def test_no_filter_is_false_and_other_params_are_left_alone() -> None:
    wanted, faults = read_filters([("since", "5"), ("anything", "else")])
    assert not wanted
    assert faults == []
    assert wanted(packet())


def test_too_many_filters_are_refused() -> None:
    wanted, faults = read_filters([("role", "test")] * (COUNT_LIMIT + 1))
    assert not wanted
    assert str(COUNT_LIMIT) in faults[0]
    wanted, faults = read_filters([("xpath-filter", f"//What[.='{'a' * 600}']")] * 2)
    assert not wanted
    assert str(LENGTH_LIMIT) in faults[0]


angles = st.floats(min_value=0, max_value=359.999)
latitudes = st.floats(min_value=-90, max_value=90)


@given(angles, latitudes, angles, latitudes, st.floats(min_value=0, max_value=180))
def test_cones_agree_with_astropy(ra: float, dec: float, ra2: float, dec2: float, radius: float) -> None:
    event = packet(ra=ra2, dec=dec2)
    if event.where.ra is None or event.where.dec is None:
        return
    separation = SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(ra2 * u.deg, dec2 * u.deg)).deg
    if abs(separation - radius) < 1e-9:
        return
    wanted, faults = read_filters([("cone", f"{ra!r}, {dec!r}, {radius!r}")])
    assert faults == []
    assert wanted(event) == (separation < radius)


names = st.sampled_from(["Param", "*", "What", "@name", "@*", ".", "text()"])
literals = st.sampled_from(["'a'", '"x]y"', "1", "-2.5"])
paths = st.recursive(
    st.tuples(st.sampled_from(["", "/", "//"]), names).map("".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["/", "//"]), names).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
        st.tuples(inner, st.sampled_from(["=", "<", ">="]), literals).map(" ".join),
        st.tuples(inner, st.sampled_from(["or", "and"]), inner).map(" ".join),
        inner.map(lambda text: f"not({text})"),
    ),
    max_leaves=6,
)


@given(paths)
def test_what_is_allowed_is_xpath_to_libxml2(expression: str) -> None:
    """Whatever passes the check is compiled by libxml2 too, so the grammar allows nothing but XPath."""
    try:
        compiled = compile_xpath(expression)
    except XPathError as error:
        assert "Not an XPath expression" not in error.message  # noqa: PT017
    else:
        compiled(packet().root)


@given(st.text(alphabet="/[]()@*.='\"<>!ab 1orand-:$|,", max_size=25))
def test_no_text_breaks_the_check(text: str) -> None:
    try:
        assert isinstance(compile_xpath(text), etree.XPath)
    except XPathError as error:
        assert "expected" in error.message or "Not an XPath" in error.message  # noqa: PT017


def test_every_allowed_function_exists() -> None:
    arguments = {"contains": "'a', 'b'", "starts-with": "'a', 'b'", "substring": "'abc', 2"}
    arguments |= dict.fromkeys(("count", "sum", "name", "local-name"), ".")
    none = {"true", "false", "last", "position"}
    for name in FUNCTIONS:
        compile_xpath(f"*[{name}({'' if name in none else arguments.get(name, '1')})]")(packet().root)
