"""Events to webhooks and by mail: signed, each once, none lost, and no sink waits for another."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import ValidationError

from tests.support.database import execute, new_database
from tests.support.receivers import Receiver, Request, receiver
from tests.support.sinks import (
    SECRET,
    SETTINGS,
    delivering,
    failures,
    given_up,
    last_error,
    new_ivoid,
    new_name,
    put,
    reached,
    state,
    until,
    webhook,
)
from tests.support.voevents import packet
from vo_service.app import OWN
from vo_service.database.access import Access
from vo_service.database.init import initialise
from voevent.archive.store import AlertStore
from voevent.configuration import load_alerts_file
from voevent.convert.own import from_json
from voevent.publish import outbox
from voevent.publish.settings import SinkSettings
from voevent.vtp.filters import Filter


@pytest.fixture(scope="module", autouse=True)
def _tables(access: Access) -> None:
    initialise(access, OWN)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.01)


def genuine(request: Request) -> bool:
    """Whether the signature is right, as a receiver would find out (Standard Webhooks)."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    version, _, written = headers["webhook-signature"].partition(",")
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return version == "v1" and fresh and base64.b64decode(written) == hmac.new(key, signed, hashlib.sha256).digest()


async def test_an_event_is_posted_and_signed(access: Access, hook: Receiver) -> None:
    settings, ivoid = webhook(hook.url, headers={"Authorization": "Bearer of news"}), new_ivoid()
    async with delivering(access, settings) as store:
        number = await put(store, packet(ivoid, role="observation"))
        await reached(access, settings.name, number)
    (request,) = hook.ledger
    assert (request.path, request.headers["Authorization"]) == ("/alerts?by=test", "Bearer of news")
    assert request.headers["Content-Type"] == "application/json"
    assert genuine(request)
    document = json.loads(request.body)
    assert document.pop("ivoid") == ivoid
    assert from_json(document).role == "observation"


async def test_a_packet_is_posted_as_it_is(access: Access, hook: Receiver) -> None:
    raw = packet(new_ivoid())
    async with delivering(access, webhook(hook.url, format="voevent")) as store:
        await put(store, raw)
        await until(lambda: hook.ledger)
    (request,) = hook.ledger
    assert (request.body, request.headers["Content-Type"]) == (raw, "application/xml")
    assert genuine(request)


@pytest.mark.usefixtures("_soon")
async def test_a_receiver_in_trouble_gets_each_event_in_order(access: Access, hook: Receiver) -> None:
    answers = iter([503, 429, 404, 302, 204, 500, 204])
    hook.answer, hook.location = lambda request: next(answers), hook.url
    settings, ivoids = webhook(hook.url), [new_ivoid(), new_ivoid()]
    async with delivering(access, settings) as store:
        numbers = [await put(store, packet(ivoid)) for ivoid in ivoids]
        await reached(access, settings.name, numbers[1])
    assert [request.ivoid for request in hook.ledger] == [ivoids[0]] * 5 + [ivoids[1]] * 2
    assert all(genuine(request) for request in hook.ledger)
    assert len({request.headers["webhook-id"] for request in hook.ledger}) == 2
    assert given_up(access, settings.name) == []


@pytest.mark.usefixtures("_soon")
async def test_a_refused_event_is_noted_and_the_others_come(access: Access, hook: Receiver) -> None:
    settings, ivoids = webhook(hook.url), [new_ivoid() for _ in range(3)]
    hook.answer = lambda request: 422 if request.ivoid == ivoids[1] else 200
    async with delivering(access, settings) as store:
        numbers = [await put(store, packet(ivoid)) for ivoid in ivoids]
        await reached(access, settings.name, numbers[2])
    assert [request.ivoid for request in hook.ledger] == [ivoids[0], *[ivoids[1]] * outbox.REFUSALS, ivoids[2]]
    ((number, reason),) = given_up(access, settings.name)
    assert (number, reason) == (numbers[1], f"{hook.url} answers 422: why so")


@pytest.mark.usefixtures("_soon")
async def test_a_receiver_that_is_gone_gets_nothing_more_until_the_next_start(access: Access, hook: Receiver) -> None:
    settings, ivoids = webhook(hook.url), [new_ivoid(), new_ivoid()]
    hook.answer = lambda request: 410
    async with delivering(access, settings, webhook(hook.url.replace("alerts", "others"))) as store:
        for ivoid in ivoids:
            await put(store, packet(ivoid))
        await until(lambda: "410" in last_error(access, settings.name))
    assert [request.ivoid for request in hook.ledger if "alerts" in request.path] == [ivoids[0]]
    hook.answer = lambda request: 200
    hook.ledger.clear()
    async with delivering(access, settings):
        await until(lambda: len(hook.ledger) == 2)
    assert [request.ivoid for request in hook.ledger] == ivoids


async def test_sinks_do_not_wait_for_each_other(access: Access, hook: Receiver) -> None:
    """One does not answer, one is not there; the third gets all."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        stuck = webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=2)
        away = webhook("http://127.0.0.1:1/")
        well = webhook(hook.url)
        async with delivering(access, stuck, away, well) as store:
            numbers = [await put(store, packet(new_ivoid())) for _ in range(5)]
            await reached(access, well.name, numbers[-1])
            await until(lambda: failures(access, away.name) > 0)
            assert "refused" in last_error(access, away.name)
            for sink in (away, stuck):
                assert (state(access, sink.name) or (0,))[0] < numbers[0]


async def test_what_is_sent_when_the_process_stops_is_noted(access: Access, hook: Receiver) -> None:
    def slowly(request: Request) -> int:
        time.sleep(0.5)
        return 200

    hook.answer = slowly
    settings = webhook(hook.url)
    async with delivering(access, settings) as store:
        number = await put(store, packet(new_ivoid()))
        await until(lambda: hook.ledger)
    assert state(access, settings.name) == (number, 0, None)


@pytest.mark.usefixtures("_soon")
async def test_what_cannot_be_noted_is_not_sent_again(access: Access, hook: Receiver) -> None:
    """The database ends all connections while the receiver confirms."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND datname = current_database()"
    ended = []

    def and_cut(request: Request) -> int:
        if len(hook.ledger) == 3:
            ended.extend(execute(access.owner.conninfo, end, access.writer.name))
        return 200

    hook.answer = and_cut
    settings, ivoids = webhook(hook.url), [new_ivoid() for _ in range(5)]
    async with AlertStore(access) as store:
        last = [await put(store, packet(ivoid)) for ivoid in ivoids][-1]
    settings = settings.model_copy(update={"since": "oldest", "filters": only(ivoids)})
    async with delivering(access, settings):
        await reached(access, settings.name, last)
    assert ended
    assert [request.ivoid for request in hook.ledger] == ivoids


def only(ivoids: list[str]) -> Filter:
    return Filter(alternatives=(" or ".join(f"@ivorn = '{ivoid}'" for ivoid in ivoids),))


async def test_only_what_is_wanted(access: Access, hook: Receiver) -> None:
    settings = webhook(hook.url, filters={"role": "observation", "param": ["energy/E > 100", "FAR < 3"]})
    wanted = new_ivoid()
    async with delivering(access, settings) as store:
        await put(store, packet(new_ivoid(), role="test"))
        await put(store, packet(new_ivoid(), role="observation", energy=5))
        await put(store, packet(wanted, role="observation", energy=500))
        last = await put(store, packet(new_ivoid(), role="prediction", energy=500))
        await reached(access, settings.name, last)
    assert [request.ivoid for request in hook.ledger] == [wanted]


async def test_where_a_new_sink_begins(server: Access, hook: Receiver) -> None:
    ivoids = [new_ivoid() for _ in range(4)]
    with new_database(server) as access:
        initialise(access, OWN)
        async with delivering(access) as store:
            await put(store, packet(ivoids[0]))
            moment = datetime.now(UTC)
            for ivoid in ivoids[1:3]:
                await put(store, packet(ivoid))
        oldest, newest = (webhook(f"{hook.url}&{since}", since=since) for since in ("oldest", "newest"))
        timed = webhook(f"{hook.url}&timed", since=moment)
        later = webhook(f"{hook.url}&later", since=moment + timedelta(days=1))
        async with delivering(access, oldest, newest, timed, later) as store:
            last = await put(store, packet(ivoids[3]))
            for sink in (oldest, newest, timed, later):
                await reached(access, sink.name, last)
    got = {
        word: [request.ivoid for request in hook.ledger if request.path.endswith(word)]
        for word in ("oldest", "newest", "timed", "later")
    }
    assert got == {"oldest": ivoids, "newest": ivoids[3:], "timed": ivoids[1:], "later": ivoids[3:]}


class Mailbox:
    """What an SMTP server does with mail: keeps it, but refuses some recipients and some texts."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.answer: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 (so it is called there)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answer.get(address, "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
        assert isinstance(mail, EmailMessage)
        self.mails += [(recipient, mail) for recipient in envelope.rcpt_tos]
        return "250 OK"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@contextmanager
def serving(box: Mailbox, port: int, **options: Any) -> Iterator[None]:  # noqa: ANN401
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    with serving(box, port):
        yield box, port


def mails(port: int, **fields: Any) -> SinkSettings:  # noqa: ANN401
    return SETTINGS.validate_python(
        {
            "kind": "email",
            "name": new_name(),
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "sender": "alerts@example.org",
            "recipients": ["shift@example.org"],
            **fields,
        }
    )


async def test_a_mail_says_what_and_why(access: Access, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    settings, first, ivoid = mails(port, filters={"far": "1e-6"}), new_ivoid(), new_ivoid()
    async with delivering(access, settings) as store:
        await put(store, packet(first, role="test"))
        number = await put(store, packet(ivoid, role="observation", cites=(first, "supersedes")))
        await reached(access, settings.name, number)
    ((recipient, mail),) = box.mails
    assert (recipient, mail["To"], mail["From"]) == ("shift@example.org", "shift@example.org", "alerts@example.org")
    assert mail["Subject"] == f"[observation] {ivoid.partition('#')[2]}: supersedes"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    for words in (
        "RA 77.3600, Dec +5.6900 deg (ICRS), error 0.5 deg",
        "2026-11-21T09:59:30.5 UTC",
        "6.34e-08 Hz (2 a year)",
        "energy/E = 120.0 TeV",
        f"supersedes of {first}",
        f"https://vo.example.org/voevent/{ivoid.replace('#', '%23')}",
        f"the sink {settings.name!r}",
        "far: 1e-6",
        "role: observation",
    ):
        assert words in text, (words, text)


@pytest.mark.usefixtures("_soon")
async def test_a_refused_recipient_keeps_none_waiting(access: Access, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    box.answer = {"left@example.org": "550 No such person", "busy@example.org": "450 Come back"}
    recipients = ["left@example.org", "busy@example.org", "shift@example.org"]
    settings = mails(port, recipients=recipients, filters={"role": "test"})
    async with delivering(access, settings) as store:
        number = await put(store, packet(new_ivoid()))
        await until(lambda: failures(access, settings.name) > 1)
        del box.answer["busy@example.org"]
        await reached(access, settings.name, number)
    assert sorted(recipient for recipient, _ in box.mails) == ["busy@example.org", "shift@example.org"]
    ((refused, reason),) = given_up(access, settings.name)
    assert (refused, reason) == (number, "left@example.org: 550 No such person")


@pytest.mark.usefixtures("_soon")
async def test_mail_waits_for_its_server(access: Access) -> None:
    box, port = Mailbox(), free_port()
    settings = mails(port, filters={"role": "test"})
    async with delivering(access, settings) as store:
        number = await put(store, packet(new_ivoid()))
        await until(lambda: failures(access, settings.name) > 0)
        with serving(box, port):
            await reached(access, settings.name, number)
    assert len(box.mails) == 1


@pytest.mark.usefixtures("_soon")
async def test_mail_goes_encrypted_and_with_a_password(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    box, port = Mailbox(), free_port()
    fields = {"host": "localhost", "security": "starttls", "user": "u", "filters": {"role": "test"}}
    settings, wrong = (mails(port, **(fields | {"password": word})) for word in ("word", "none"))

    def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"u", b"word"), handled=False)

    with serving(box, port, tls_context=context, require_starttls=True, auth_required=True, authenticator=knows):
        async with delivering(access, settings, wrong) as store:
            number = await put(store, packet(new_ivoid()))
            await reached(access, settings.name, number)
            await until(lambda: "535" in last_error(access, wrong.name))
    assert len(box.mails) == 1


HOOK = {"kind": "webhook", "name": "a", "url": "https://example.org/", "secret": SECRET}
MAIL = {"kind": "email", "name": "a", "host": "h", "sender": "a@b", "recipients": ["c@d"]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**HOOK, "secret": "short"}, "whsec_"),
        ({**HOOK, "secret": "whsec_c2hvcnQ="}, "24 to 64"),
        ({**HOOK, "url": "ftp://example.org"}, "expected an address"),
        ({**HOOK, "url": "https://me:word@example.org"}, "without user"),
        ({**HOOK, "headers": {"webhook-id": "1"}}, "set by the sink"),
        ({**HOOK, "headers": {"X": "a\nb"}}, "one line"),
        ({**HOOK, "filters": {"rolle": "test"}}, "no such filters"),
        ({**HOOK, "filters": {"role": "real"}}, "observation, prediction"),
        ({**HOOK, "filters": ["role"]}, "conditions by their names"),
        ({**HOOK, "since": "yesterday"}, "newest"),
        ({**HOOK, "kind": "pigeon"}, "kafka"),
        ({"kind": "kafka", "name": "a", "bootstrap": "b"}, "topic_voevent, topic_json"),
        (
            {"kind": "kafka", "name": "a", "bootstrap": "b", "topic_json": "t", "username": "u"},
            "username and a password",
        ),
        ({**HOOK, "name": "vtp"}, "of the broker itself"),
        ({**MAIL, "subject": "{nothing}"}, "subject"),
        ({**MAIL, "subject": "{role.x}"}, "subject"),
        ({**MAIL, "user": "u"}, "both user and password"),
        ({**MAIL, "user": "u", "password": "p", "security": "none"}, "starttls"),
        ({**MAIL, "recipients": []}, "at least 1"),
    ],
)
def test_settings_that_cannot_be_used(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SETTINGS.validate_python(fields)


def test_secrets_are_not_shown() -> None:
    shown = repr(SETTINGS.validate_python({**MAIL, "user": "u", "password": "secret word"}))
    shown += repr(SETTINGS.validate_python({**HOOK, "headers": {"Authorization": "secret word"}}))
    shown += repr(
        SETTINGS.validate_python(
            {"kind": "kafka", "name": "a", "bootstrap": "b", "topic_json": "t", "options": {"p": "secret word"}}
        )
    )
    assert "secret word" not in shown
    assert SECRET not in shown


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "alerts-sinks.md").read_text()
    file = tmp_path / "alerts.yaml"
    file.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    for name, value in {
        "KAFKA_USERNAME": "u",
        "KAFKA_PASSWORD": "p",
        "TELESCOPE_SECRET": SECRET,
        "SMTP_PASSWORD": "p",
    }.items():
        monkeypatch.setenv(name, value)
    kafka, telescope, shift = load_alerts_file(file).sinks
    assert (kafka.kind, telescope.kind, shift.kind) == ("kafka", "webhook", "email")
    assert telescope.since == datetime(2026, 11, 1)
    assert set(shift.filters.conditions) == {
        ("role", "observation"),
        ("far", "1e-7"),
        ("param", "alert_topology = Track"),
        ("param", "energy > 1e5"),
    }
