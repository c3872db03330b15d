"""Transport messages: read as they are met, written so that every peer understands them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from voevent.vtp.messages import NAMESPACE, ROLES, Message, Role, read_message, role_of

NAMESPACES = [
    "http://www.telescope-networks.org/xml/Transport/v1.1",
    "http://telescope-networks.org/schema/Transport/v1.1",
    "http://telescope-networks.org/xml/Transport/v1.1",
    "http://www.telescope-networks.org/xml/Transport/v2.0",
    "",
]

PYGCN = (
    b"<?xml version='1.0' encoding='UTF-8'?><trn:Transport role=\"ack\" version=\"1.0\" "
    b'xmlns:trn="http://telescope-networks.org/schema/Transport/v1.1" '
    b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    b'xsi:schemaLocation="http://telescope-networks.org/schema/Transport/v1.1 http://x/Transport-v1.1.xsd">'
    b"<Origin>ivo://a.b/c#1</Origin><Response>ivo://p/q</Response></trn:Transport>"
)


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("role", ROLES)
def test_every_namespace_in_use_is_read(namespace: str, role: Role) -> None:
    raw = (
        f'<t:Transport xmlns:t="{namespace}" version="1.0" role="{role}">'
        if namespace
        else f'<Transport role="{role}">'
    )
    raw += "<Origin> ivo://a.b/c#1 </Origin><TimeStamp>2026-01-01T00:00:00Z</TimeStamp>"
    raw += "</t:Transport>" if namespace else "</Transport>"
    message = read_message(raw.encode())
    assert message == Message(role, "ivo://a.b/c#1")
    assert role_of(raw.encode()) == role


def test_what_pygcn_sends_is_an_acknowledgement() -> None:
    assert role_of(PYGCN) == "ack"
    assert read_message(PYGCN) == Message("ack", "ivo://a.b/c#1", "ivo://p/q")


texts = st.text(max_size=30).map(str.strip)


@given(
    st.sampled_from(ROLES),
    st.text(alphabet="ivo:/#&<>'\"abc", min_size=1).map(str.strip).filter(bool),
    st.lists(st.tuples(st.text(alphabet='ab<>&"', max_size=9), st.text(alphabet="xy'\"<[@]>", max_size=9)), max_size=3),
    st.text(alphabet="reason <&>", min_size=1).map(str.strip).filter(bool),
)
def test_what_is_written_is_read_again(role: Role, origin: str, params: list[tuple[str, str]], result: str) -> None:
    message = Message(role, origin, "ivo://me/here", tuple(params), result)
    assert read_message(message.encode()) == message
    assert role_of(message.encode()) == role


@given(st.text())
def test_any_reason_can_be_written(reason: str) -> None:
    # Reasons quote packets that may hold characters which XML cannot.
    assert read_message(Message("nak", "ivo://a/b", result=reason.encode("utf-8", "replace").decode()).encode())


def test_children_stand_in_the_order_of_the_schema() -> None:
    root = etree.fromstring(Message("nak", "ivo://a/b", "ivo://c/d", (("n", "v"),), "why").encode())
    assert root.tag == f"{{{NAMESPACE}}}Transport"
    assert sorted(root.items()) == [("role", "nak"), ("version", "1.0")]
    assert [child.tag for child in root] == ["Origin", "Response", "TimeStamp", "Meta"]
    assert [child.tag for child in root[3]] == ["Param", "Result"]
    assert datetime.fromisoformat(str(root[2].text)).tzinfo is not None


def test_old_filters_of_comet_are_read_as_params() -> None:
    raw = (
        b'<Transport role="authenticate"><Origin>ivo://a/b</Origin><Meta><filter type="xpath">//Param</filter>'
        b'<Param name="xpath-filter" value="//Who"/></Meta></Transport>'
    )
    message = read_message(raw)
    assert message is not None
    assert message.params == (("xpath-filter", "//Param"), ("xpath-filter", "//Who"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff",
        b"no XML",
        b"<Transport",
        b"<Transport role='greeting'/>",
        b"<Transport/>",
        b"<transport role='ack'/>",
        b'<VOEvent role="test" ivorn="ivo://a/b#c"/>',
        b'<?xml version="1.0"?><v:VOEvent xmlns:v="http://www.ivoa.net/xml/VOEvent/v2.0" role="observation"/>',
        b'<!-- <Transport role="ack"/> --><VOEvent/>',
        b'<!DOCTYPE Transport [<!ENTITY a "b">]><Transport role="ack"><Origin>&a;</Origin></Transport>',
    ],
)
def test_what_is_no_transport_message_has_no_role(raw: bytes) -> None:
    assert role_of(raw) is None
    assert read_message(raw) is None


def test_unusual_prologues_are_understood() -> None:
    commented = (
        b"<?xml version='1.0'?>\n<!-- hello -->\n<Transport role='iamalive'><Origin>ivo://a/b</Origin></Transport>"
    )
    assert role_of(commented) == "iamalive"
    assert role_of(commented.decode().replace("'1.0'", "'1.0' encoding='UTF-16'").encode("utf-16")) == "iamalive"
    assert role_of(b"\xef\xbb\xbf<Transport\n role = 'ack' ><Origin/></Transport>") == "ack"


def test_messages_of_the_conformance_set(shared: Path) -> None:
    found = {path.stem: path.read_bytes() for path in (shared / "conformance" / "voevent").glob("transport_*.xml")}
    assert found
    for name, raw in found.items():
        message = read_message(raw)
        assert message is not None
        assert f"transport_{message.role}" == name
        assert role_of(raw) == message.role
        assert (message.result is not None) == (message.role == "nak")
    events = [p for p in (shared / "conformance" / "voevent").glob("*.xml") if not p.stem.startswith("transport_")]
    assert [path.name for path in events if role_of(path.read_bytes()) is not None] == []
