"""Requests of OAI-PMH without a service: identifiers, spans of time, tokens."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from registry_records.names import identifier, key_of
from registry_records.oai_request import OaiError, read_place, read_request
from registry_records.stamps import BEGINNING, END, Span
from registry_records.tokens import Place, read_token, write_token
from vo_service.catalog.identifiers import ivoid, names_in
from vo_service.config import Settings

SETTINGS = Settings(authority="Org.Example")
NAMES = ("events", "größe & co", "a=b", "%41", "x'y(z)*~!+", "=C3", " ", "🔭", "A\\B")


@pytest.mark.parametrize("name", NAMES)
def test_identifiers_can_be_read_back(name: str) -> None:
    text = ivoid("org.example", "sky", name)
    assert text.isascii()
    assert names_in("org.example", text) == ("sky", name)
    assert names_in("ORG.example", text.replace("ivo://org", "IVO://Org")) == ("sky", name)


def test_identifiers_differ() -> None:
    assert len({ivoid("org.example", "sky", name) for name in NAMES}) == len(NAMES)
    assert ivoid("org.example", "sky", "plain_name-1.2") == "ivo://org.example/sky/plain_name-1.2"
    assert names_in("org.example", "ivo://org.example2/sky") is None
    assert names_in("org.example", "http://org.example/sky") is None


@pytest.mark.parametrize("key", ["authority", "org", "registry", "tap", "stream", "sky/größe & co"])
def test_keys_and_identifiers_belong_together(key: str) -> None:
    assert key_of(SETTINGS, identifier(SETTINGS, key)) == key
    assert key_of(SETTINGS, identifier(SETTINGS, key).replace("Org", "ORG")) == key


@pytest.mark.parametrize("text", ["ivo://org.example/authority", "ivo://org.example/stream", "ivo://org.example/x"])
def test_other_identifiers_of_the_authority_are_nothing(text: str) -> None:
    assert key_of(SETTINGS, text) is None


def span(**arguments: str) -> Span:
    names = {"since": "from", "until": "until"}
    pairs = [(names[name], value) for name, value in arguments.items()]
    return read_place(read_request([("verb", "ListRecords"), ("metadataPrefix", "oai_dc"), *pairs])).span


def test_spans_hold_both_ends() -> None:
    day = datetime(2026, 11, 21, tzinfo=UTC)
    assert span() == Span(BEGINNING, END)
    assert span(since="2026-11-21", until="2026-11-21") == Span(day, day + timedelta(days=1))
    assert span(until="2026-11-21T00:00:00Z") == Span(BEGINNING, day + timedelta(seconds=1))
    assert span(until="9999-12-31").before == span(until="9999-12-31T23:59:59Z").before == END
    assert span(until="1066-10-14").before < BEGINNING


@pytest.mark.parametrize(
    "text", ["0000-01-01", "2026-1-1", "2026-11-21T24:00:00Z", "2026-11-21T10:00:00+01:00", "٢٠٢٦-01-01", ""]
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(OaiError) as caught:
        span(since=text)
    assert caught.value.code == "badArgument"


def test_tokens_hold_a_place() -> None:
    moment = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
    place = Place("oai_dc", Span(BEGINNING, END, (moment, "sky/größe 🔭")), cursor=100, size=250)
    assert read_token(write_token(place)) == place


def test_what_is_no_token() -> None:
    whole = write_token(Place("oai_dc", Span(), 1, 2))
    fields = base64.urlsafe_b64decode(whole)
    wrong = [
        fields.replace(b'"",1', b'"\\u0000",1'),
        fields.replace(b"1970", b"197"),
        fields[:-1],
        fields.replace(b",1,", b",-1,"),
    ]
    assert all(text != fields for text in wrong)
    for token in ("", "x", "é", whole[:-5], "A" * 5000, *(base64.urlsafe_b64encode(text).decode() for text in wrong)):
        assert read_token(token) is None
    assert read_token(whole) is not None
