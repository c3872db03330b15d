"""Sources in the file of alerts: what the documentation shows is accepted, and what cannot be meant is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from vo_service.errors import ConfigurationError
from voevent.configuration import load_alerts_file
from voevent.sources.kafka import KafkaStream, Record
from voevent.sources.settings import KafkaSource, SourceSettings
from voevent.sources.tns import TNS

HOW_TO = Path(__file__).parents[2] / "docs/how-to/alerts-streams.md"


def load(tmp_path: Path, *sources: str) -> tuple[SourceSettings, ...]:
    file = tmp_path / "alerts.yaml"
    file.write_text("sources:\n" + "".join(f"  - {{{source}}}\n" for source in sources), encoding="utf-8")
    return load_alerts_file(file).sources


def stream(tmp_path: Path, source: str) -> KafkaStream:
    (found,) = load(tmp_path, source)
    assert isinstance(found, KafkaStream)
    return found


def record(topic: str, headers: dict[str, bytes] | None = None) -> Record:
    return Record(topic, 0, 0, None, b"{}", headers or {})


def test_every_kind_is_in_the_documentation_and_what_it_shows_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOW_TO.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(sources:.*?)```", text, re.DOTALL)
    for name in re.findall(r"\$\{(\w+)\}", shown):
        monkeypatch.setenv(name, f"value of {name}")
    file = tmp_path / "alerts.yaml"
    file.write_text(shown, encoding="utf-8")
    assert len(load_alerts_file(file).sources) == shown.count("- name: ")
    kinds = {get_args(model.model_fields["kind"].annotation)[0] for model in (*get_args(KafkaSource), TNS)}
    table = text.partition("| kind |")[2].partition("\n\n")[0]
    assert kinds == {kind for line in table.splitlines()[2:] for kind in re.findall(r"`(\w+)`", line.split("|")[1])}


GCN = "name: a, kind: gcn, client_id: us, client_secret: secret"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("name: a, kind: gnc", "does not match any of the expected tags"),
        ("name: a, kind: gcn, topics: [x]", "sources.0.gcn.client_id: Field required"),
        (f"{GCN}, topics: []", "at least 1 item"),
        (f"{GCN}, topics: [x], start: soon", "'newest' or 'oldest'"),
        (f"{GCN}, topics: [gcn.classic.text.FERMI_GBM_FLT_POS]", "the same notices as VOEvents in gcn.classic.voevent"),
        (f"{GCN}, topics: ['a topic']", "expected the name of a topic, or a regular expression that begins with ^"),
        (f"{GCN}, topics: ['^(']", "expected a regular expression after ^"),
        (f"{GCN}, topics: [x], stream: alerts", "expected an IVOA identifier"),
        ("name: a/b, kind: lasair, topics: [x]", "sources.0.lasair.name"),
        ("name: a, kind: igwn, client_id: us", "expected client_id and client_secret"),
        ("name: a, kind: igwn, client_id: a, client_secret: b, username: c, password: d", "expected client_id and"),
        ("name: a, kind: fink, bootstrap: x, topics: [x], username: us", "a username and a password, or neither"),
        ("name: a, kind: kafka, bootstrap: x, topics: [x], format: jason", "expected one of gcn, gcn-voevent,"),
        ("name: a, kind: tns, bot_id: 1, bot_name: us, api_key: k, url: 'ftp://x'", "sources.0.tns.url"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, source: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        load(tmp_path, source)


def test_each_source_has_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one source of each name; there are more of a"):
        load(tmp_path, "name: a, kind: lasair, topics: [x]", f"{GCN}, topics: [x]")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    sources = load(
        tmp_path,
        f"{GCN}, topics: [x]",
        "name: b, kind: snews, username: us, password: secret",
        "name: c, kind: fink, bootstrap: x, topics: [x], username: us, password: secret",
        "name: d, kind: tns, bot_id: 1, bot_name: us, api_key: secret",
        "name: e, kind: igwn, client_id: us, client_secret: secret",
    )
    assert "secret='" not in repr(sources)
    assert "'secret'" not in repr(sources)


def test_the_format_of_a_topic_of_gcn(tmp_path: Path) -> None:
    gcn = stream(tmp_path, f"{GCN}, topics: ['^']")
    formats = {
        "gcn.notices.km3net.alert": "gcn",
        "gcn.notices.km3net.voevent": "gcn-voevent",
        "gcn.notices.svom.voevent.grm": "gcn-voevent",
        "gcn.classic.voevent.SWIFT_XRT_POSITION": "gcn-voevent",
        "gcn.classic.text.SWIFT_XRT_POSITION": None,
        "gcn.classic.binary.SWIFT_XRT_POSITION": None,
        "gcn.circulars": "circular",
        "gcn.heartbeat": None,
        "igwn.gwalert": "igwn",
    }
    assert {topic: gcn.format_of(record(topic)) for topic in formats} == formats


def test_marked_tests_are_read_in_a_way_that_sees_the_mark(tmp_path: Path) -> None:
    for source in (
        "name: a, kind: igwn, username: us, password: secret",
        "name: a, kind: snews, username: us, password: secret",
        "name: a, kind: hopskotch, username: us, password: secret, topics: [x]",
    ):
        assert stream(tmp_path, source).format_of(record("x", {"_test": b"true"})) == "hopskotch"


def test_names_and_expressions_of_topics(tmp_path: Path) -> None:
    gcn = stream(tmp_path, f"{GCN}, topics: [gcn.circulars, '^gcn[.]notices[.]swift[.]']")
    found = ["gcn.circulars", "gcn.circulars.2", "xgcn.circulars", "gcn.notices.swift.bat.guano", "gcn.notices.svom"]
    assert [topic for topic in found if gcn.wants(topic)] == ["gcn.circulars", "gcn.notices.swift.bat.guano"]


def test_options_and_names_of_streams(tmp_path: Path) -> None:
    lasair = stream(tmp_path, "name: a, kind: lasair, topics: [x]")
    assert lasair.client() == {
        "bootstrap.servers": "lasair-lsst-kafka.lsst.ac.uk:9092",
        "security.protocol": "plaintext",
    }
    assert lasair.stream_of("x", "org.example") == "ivo://org.example/x"
    named = stream(tmp_path, "name: a, kind: lasair, topics: [x], stream: 'ivo://org.example.other/lasair'")
    assert named.stream_of("x", "org.example") == "ivo://org.example.other/lasair"
