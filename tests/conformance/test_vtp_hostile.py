"""What strangers may send to the broker's ports: each is answered or cut off, and the others do not notice.

All run against one `vo-service broker` process. While somebody misbehaves, a well-behaved author publishes and a
well-behaved subscriber listens: every event is acknowledged and delivered. The table of what each got, with the latency
of the well-behaved and the broker's memory, is printed at the end (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import random
import socket
import string
import struct
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import median

import pytest
import pytest_asyncio

from tests.support.programs import Program, Site, running, site
from tests.support.voevents import packet
from tests.support.vtp import PATIENCE, Peer
from voevent.vtp.framing import frame
from voevent.vtp.messages import Message

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, and all of 127.0.0.0/8"),
    pytest.mark.timeout(120),
]

STRANGER, FRIEND = "127.0.0.2", "127.0.0.1"
"""Addresses from which they connect."""

MIB = 1024 * 1024
TIMEOUT = 4.0
AUTHORS, SUBSCRIBERS = 64, 100
"""Connections that the broker takes at once."""

OPTIONS: dict[str, object] = {
    "voevent_size_limit": 4 * MIB,
    "voevent_timeout": TIMEOUT,
    "voevent_authors_limit": AUTHORS,
    "voevent_subscribers_limit": SUBSCRIBERS,
    "voevent_alive_interval": 5,
}


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with site() as place:
        yield place


class Table:
    """What each got."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, got: str, witness: Witness, memory: Memory) -> None:
        self.lines.append(f"| {name} | {got} | {witness} | {memory} |")

    def __str__(self) -> str:
        head = "| what | it got | others: events, ack p50 / max ms, delivery p50 / max ms | memory MiB before, peak |"
        return "\n".join(["", head, "| --- | --- | --- | --- |", *self.lines])


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    table = Table()
    yield table
    print(table)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(place: Site) -> AsyncIterator[Program]:
    async with running(place, **OPTIONS) as broker:
        yield broker
        assert "Traceback" not in broker.log, broker.log[-5000:]


@asynccontextmanager
async def connected(port: int, address: str = STRANGER) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@dataclass
class Witness:
    """The well-behaved: how long each event took to the acknowledgement, and to the subscriber."""

    acknowledged: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        def both(times: list[float]) -> str:
            return f"{1000 * median(times):.0f} / {1000 * max(times):.0f}"

        return f"{len(self.delivered)}, {both(self.acknowledged)}, {both(self.delivered)}"

    async def publish(self, broker: Program, listener: Peer) -> None:
        raw = packet(f"ivo://org.example/friend#{uuid.uuid4().hex}")
        begin = time.perf_counter()
        listening = asyncio.create_task(hear(listener, raw))
        async with connected(broker.ports[0], FRIEND) as author:
            author.send(raw)
            answer = await author.transport_message()
        assert answer.role == "ack", answer
        self.acknowledged.append(time.perf_counter() - begin)
        await listening
        self.delivered.append(time.perf_counter() - begin)


async def hear(listener: Peer, raw: bytes) -> None:
    """Until this message comes."""
    while (message := await listener.receive()) != raw:
        if b'role="iamalive"' in message:
            listener.send(Message("iamalive", "ivo://x.y/z", "ivo://org.example/listener"))


@dataclass
class Memory:
    """Bytes of a process: at first and at most."""

    before: int
    peak: int

    def __str__(self) -> str:
        return f"{self.before / MIB:.0f}, {self.peak / MIB:.0f}"


@asynccontextmanager
async def watched(broker: Program) -> AsyncIterator[tuple[Witness, Memory]]:
    """The well-behaved are at work while the block runs, once before it ends at least; memory is measured."""
    witness, memory = Witness(), Memory(broker.memory, broker.memory)
    done = asyncio.Event()

    async def publish(listener: Peer) -> None:
        while True:
            await witness.publish(broker, listener)
            if done.is_set():
                return
            await asyncio.sleep(0.02)

    async def measure() -> None:
        while True:
            memory.peak = max(memory.peak, broker.memory)
            await asyncio.sleep(0.02)

    async with connected(broker.ports[1], FRIEND) as listener:
        assert (await listener.transport_message()).role == "authenticate"
        publishing, measuring = asyncio.create_task(publish(listener)), asyncio.create_task(measure())
        try:
            yield witness, memory
        finally:
            done.set()
            try:
                await publishing
            finally:
                measuring.cancel()


# Authors.


def voevent(inner: str = "", *, attributes: str = 'role="test"', ivorn: str | None = None, prologue: str = "") -> str:
    name = f"ivo://org.example/hostile#{uuid.uuid4().hex}" if ivorn is None else ivorn
    return (
        f'{prologue}<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" version="2.0" {attributes}'
        f' ivorn="{name}"><Who><AuthorIVORN>ivo://org.example/hostile</AuthorIVORN><Date>2026-01-01T00:00:00</Date>'
        f"</Who>{inner}</voe:VOEvent>"
    )


def doctype(declarations: str, inner: str = "") -> bytes:
    return voevent(inner, prologue=f"<!DOCTYPE VOEvent [{declarations}]>").encode()


def what(inner: str) -> str:
    return voevent(f"<What>{inner}</What>")


def position(c1: str, error: str = "1", stamp: str = "2026-01-01T00:00:00") -> str:
    return voevent(
        "<WhereWhen><ObsDataLocation><ObservatoryLocation/><ObservationLocation>"
        '<AstroCoordSystem id="UTC-ICRS-TOPO"/><AstroCoords coord_system_id="UTC-ICRS-TOPO">'
        f"<Time><TimeInstant><ISOTime>{stamp}</ISOTime></TimeInstant></Time>"
        f'<Position2D unit="deg"><Value2><C1>{c1}</C1>'
        f"<C2>0</C2></Value2><Error2Radius>{error}</Error2Radius></Position2D></AstroCoords></ObservationLocation>"
        "</ObsDataLocation></WhereWhen>"
    )


def noise(length: int) -> str:
    """Letters that do not compress."""
    return "".join(random.Random(1).choices(string.ascii_letters, k=length))  # noqa: S311


LAUGHS = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(10))

REFUSED: dict[str, tuple[bytes | str, str]] = {
    "billion laughs": (doctype(LAUGHS, "<Description>&a10;</Description>"), "DOCTYPE"),
    "one large entity, often": (
        doctype(f'<!ENTITY a "{"x" * 100_000}">', f"<Description>{'&a;' * 10_000}</Description>"),
        "DOCTYPE",
    ),
    "external entity": (
        doctype('<!ENTITY a SYSTEM "file:///etc/passwd">', "<Description>&a;</Description>"),
        "DOCTYPE",
    ),
    "parameter entity": (doctype('<!ENTITY % a SYSTEM "http://127.0.0.1:9/a.dtd">%a;'), "DOCTYPE"),
    "external DTD": (voevent(prologue='<!DOCTYPE VOEvent SYSTEM "http://127.0.0.1:9/a.dtd">'), "DOCTYPE"),
    "DOCTYPE behind 1 MB of comments": (voevent(prologue="<!-- x -->" * 100_000 + "<!DOCTYPE VOEvent>"), "Too many"),
    "entity that is not declared": (voevent("<Description>&a;</Description>"), "Not XML"),
    "100,000 levels": (voevent("<Group>" * 100_000 + "</Group>" * 100_000), "Too many"),
    "40 levels": (voevent("<Description>" + "<p>" * 40 + "</p>" * 40 + "</Description>"), "More than 32"),
    "20,000 levels": (voevent("<Group>" * 20_000 + "</Group>" * 20_000), "Not XML"),
    "100,000 levels, not closed": (voevent("<a>" * 100_000), "Too many"),
    "100,000 namespaces": (
        voevent(attributes=" ".join(f'xmlns:n{n}="urn:{n}" n{n}:a="1"' for n in range(100_000))),
        "Too many",
    ),
    "200,000 attributes": (voevent(attributes=" ".join(f'a{n}="1"' for n in range(200_000))), "Too many"),
    "100,000 parameters": (what("".join(f'<Param name="p{n}"/>' for n in range(100_000))), "Too many"),
    "200,000 comments and instructions": (voevent("<!----><?a?>" * 200_000), "Too many"),
    "no bytes": (b"", "Not XML"),
    "3 MB of blanks": (b" " * 3_000_000, "Not XML"),
    "3 MB of NUL": (bytes(3_000_000), "Not XML"),
    "NUL in the text": (voevent("<Description>a\0b</Description>"), "Not XML"),
    "reference to NUL": (voevent("<Description>&#0;</Description>"), "Not XML"),
    "random bytes": (random.Random(1).randbytes(100_000), "Not XML"),  # noqa: S311
    "declared UTF-7": (voevent(prologue='<?xml version="1.0" encoding="UTF-7"?>'), "Not XML"),
    "declared Klingon": (voevent(prologue='<?xml version="1.0" encoding="x-klingon"?>'), "Not XML"),
    "declared UTF-16, is not": (voevent(prologue='<?xml version="1.0" encoding="UTF-16"?>'), "Not XML"),
    "Latin-1, not declared": (voevent("<Description>\xe9</Description>").encode("latin-1"), "Not XML"),
    "half a UTF-16 character": (b"\xff\xfe<\0V\0" + b"\0", "Not XML"),
    "UTF-32": (voevent(prologue='<?xml version="1.0" encoding="UTF-32"?>').encode("utf-32"), "Not XML"),
    "HTML": (b"<!doctype html><html><body>Hello</body></html>", ""),
    "another XML document": (b"<TimeSeries/>", "Expected a VOEvent"),
    "no ivorn": (voevent().replace("ivorn=", "ivor="), "no identifier"),
    "empty ivorn": (voevent(ivorn=" "), "no identifier"),
    "ivorn with line breaks": (voevent(ivorn="ivo://org.example/a#1&#10;ERROR: forged&#13;"), "ivorn"),
    "ivorn with a tab and a bell": (voevent(ivorn="ivo://org.example/a#1&#9;&#7;"), "Not XML"),
    "ivorn with markup": (voevent(ivorn="ivo://org.example/a#&lt;script&gt;"), "ivorn"),
    "ivorn written from right to left": (voevent(ivorn="ivo://org.example/a#\u202e1"), "ivorn"),
    "ivorn of 1 MB": (voevent(ivorn="ivo://org.example/a#" + noise(1_000_000)), "at most 500"),
    "ivorn of 5,000 letters": (voevent(ivorn="ivo://org.example/a#" + noise(5_000)), "at most 500"),
    "parameter's name of 10,000 letters": (what(f'<Param name="{noise(10_000)}" value="1"/>'), "at most 500"),
    "cited ivorn of 10,000 letters": (
        voevent(f'<Citations><EventIVORN cite="followup">ivo://a.b/c#{noise(10_000)}</EventIVORN></Citations>'),
        "at most 500",
    ),
    "unknown role": (voevent(attributes='role="alert"'), "role"),
    "role of 1 MB": (voevent(attributes=f'role="{"x" * 1_000_000}"'), "role"),
    "unknown namespace": (voevent().replace("/v2.0", "/v9.9"), "namespace"),
    "40,000 problems": (voevent("<Who/>" * 40_000), "more than one Who"),
    "right ascension 1e400": (position("1e400"), "Position2D"),
    "right ascension of 1 MB": (position("9" * 1_000_000), "Position2D"),
    "year 99999": (position("1", stamp="99999-01-01T00:00:00"), "ISOTime"),
    "iamalive": (Message("iamalive", "ivo://a.b/c").encode(), "Expected a VOEvent"),
    "authenticate": (Message("authenticate", "ivo://a.b/c").encode(), "Expected a VOEvent"),
    "ack": (Message("ack", "ivo://a.b/c").encode(), "Expected a VOEvent"),
    "nak": (Message("nak", "ivo://a.b/c").encode(), "Expected a VOEvent"),
    "Transport of an unknown role": (b'<Transport role="shutdown"/>', "Expected a VOEvent"),
    "Transport with a DOCTYPE": (b'<!DOCTYPE a [<!ENTITY b "c">]><Transport role="ack"/>', "DOCTYPE"),
}
"""Messages, and what the reason of the nak holds."""

ACCEPTED: dict[str, str | bytes] = {
    "no role (observation)": voevent(attributes=""),
    "UTF-16": voevent("<Description>\u03bd</Description>", prologue='<?xml version="1.0" encoding="UTF-16"?>').encode(
        "utf-16"
    ),
    "Latin-1, declared": voevent(
        "<Description>\xe9</Description>", prologue='<?xml version="1.0" encoding="ISO-8859-1"?>'
    ).encode("latin-1"),
    "40,000 attributes": voevent(attributes=" ".join(f'a{n}="1"' for n in range(40_000))),
    "20,000 parameters": what("".join(f'<Param name="p{n}"/>' for n in range(20_000))),
    "one name for 16,000 parameters": what('<Param name="p" value="1"/>' * 16_000),
    "value of 3 MB": what(f'<Param name="a" value="{"9" * 3_000_000}"/>'),
    "number with a million digits": what(f'<Param name="far" value="{"9" * 1_000_000}"/>'),
    "error radius 1e308": position("1", error="1e308"),
    "group's name of 3 MB": what(f'<Group name="{noise(3_000_000)}"><Param name="a"/></Group>'),
    "schemaLocation elsewhere": voevent(
        attributes='xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:a http://127.0.0.1:9/"'
    ),
    "XInclude": voevent(
        '<Description><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/></Description>'
    ),
    "stylesheet": voevent(prologue='<?xml-stylesheet href="http://127.0.0.1:9/a.xsl"?>'),
}
"""Messages that are odd and allowed; most are of no use but to make work."""


async def submit(broker: Program, raw: bytes | str) -> Message:
    async with connected(broker.ports[0]) as peer:
        peer.send(raw if isinstance(raw, bytes) else raw.encode())
        answer = await peer.transport_message()
        assert await peer.closed()
        return answer


def told(answer: Message) -> str:
    reason = (answer.result or "").replace("|", "\\|").replace("\n", " ")
    return f"{answer.role}: {reason[:90]}{'...' if len(reason) > 90 else ''}" if reason else answer.role


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused(broker: Program, table: Table, name: str) -> None:
    raw, reason = REFUSED[name]
    async with watched(broker) as (witness, memory):
        answer = await submit(broker, raw)
    assert answer.role == "nak"
    assert answer.result
    assert reason in answer.result
    assert "again" not in answer.result
    assert len(answer.result) < 10_000
    table.add(name, told(answer), witness, memory)


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_is_odd_and_allowed(broker: Program, table: Table, place: Site, name: str) -> None:
    raw = ACCEPTED[name] if isinstance(ACCEPTED[name], bytes) else str(ACCEPTED[name]).encode()
    async with watched(broker) as (witness, memory):
        answer = await submit(broker, raw)
    table.add(name, told(answer), witness, memory)
    assert answer.role == "ack", told(answer)
    assert place.rows("SELECT raw FROM alerts.voevent WHERE ivoid = %s", answer.origin) == [(raw,)]


# Frames.

HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(506)
"""The beginning of TLS."""

FRAMES: dict[str, tuple[bytes, str]] = {
    "length of 100 MB": (struct.pack("!I", 100_000_000), "at most"),
    "length -1": (struct.pack("!i", -1), "at most"),
    "length of 4 MiB and a byte": (struct.pack("!I", 4 * MIB + 1), "at most"),
    "length in the wrong order": (struct.pack("<I", 500) + b"<", "at most"),
    "no length, XML at once": (voevent().encode(), "at most"),
    "TLS": (HELLO, "at most"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "at most"),
    "half a length, then silence": (b"\0\0", "No whole event"),
    "half an event, then silence": (frame(voevent().encode())[:-100], "No whole event"),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_frames(broker: Program, table: Table, name: str) -> None:
    sent, reason = FRAMES[name]
    async with watched(broker) as (witness, memory), connected(broker.ports[0]) as peer:
        peer.writer.write(sent)
        answer = await peer.transport_message()
    assert (answer.role, reason in str(answer.result)) == ("nak", True)
    table.add(name, told(answer), witness, memory)


async def test_a_hundred_megabytes_are_not_kept(broker: Program, table: Table) -> None:
    async with watched(broker) as (witness, memory), connected(broker.ports[0]) as peer:
        peer.writer.write(struct.pack("!I", 100_000_000))
        with suppress(ConnectionError):
            for _ in range(100):
                peer.writer.write(bytes(1_000_000))
                await peer.writer.drain()
        answer = await peer.transport_message()
    assert answer.role == "nak"
    assert memory.peak - memory.before < 32 * MIB
    table.add("100 MB, sent", told(answer), witness, memory)


async def test_slow_senders(broker: Program, table: Table) -> None:
    """As many as one address may be, and some more."""
    raw = frame(voevent().encode())

    async def send_slowly(stack: AsyncExitStack) -> str:
        peer = await stack.enter_async_context(connected(broker.ports[0]))
        with suppress(ConnectionError):
            for byte in raw:
                peer.writer.write(bytes([byte]))
                if peer.reader._buffer:  # type: ignore[attr-defined]
                    break
                await asyncio.sleep(0.5)
        try:
            return str((await peer.transport_message()).result)
        except (EOFError, ConnectionError):
            return "closed"

    async with AsyncExitStack() as stack, watched(broker) as (witness, memory):
        answers = await asyncio.gather(*(send_slowly(stack) for _ in range(AUTHORS // 2 + 8)))
    slow, full = (sum(reason in answer for answer in answers) for reason in ("No whole event", "Too many"))
    # An answer is lost where its reader still sends.
    assert slow + full + answers.count("closed") == len(answers)
    assert 0 < slow <= AUTHORS // 2
    table.add(f"{len(answers)} authors, 2 bytes/s", f"nak: {slow} too slow, {full} too many", witness, memory)


async def test_authors_who_hang_up(broker: Program, table: Table) -> None:
    """2,000 connections that are reset at once, after nothing, half a frame, or a whole event."""
    raws = [b"", b"\0", frame(voevent().encode())[:100], frame(b"<VOEvent/>")]

    def hang_up() -> None:
        for number in range(2_000):
            with socket.socket() as connection:
                connection.bind((STRANGER, 0))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.connect(("127.0.0.1", broker.ports[number % 2]))
                with suppress(ConnectionError):
                    connection.sendall(raws[number % len(raws)])

    async with watched(broker) as (witness, memory):
        await asyncio.to_thread(hang_up)
    table.add("2,000 connections, reset at once", "-", witness, memory)


async def test_a_flood_of_subscribers_from_one_address(broker: Program, table: Table) -> None:
    """Whoever takes all places that one address may have leaves some for others."""
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(connected(broker.ports[1])) for _ in range(SUBSCRIBERS + 20)]
        async with watched(broker) as (witness, memory):
            cut = sum(await asyncio.gather(*(cut_off(peer) for peer in peers)))
    assert cut == SUBSCRIBERS // 2 + 20
    table.add(f"{len(peers)} subscribers from one address", f"{cut} closed", witness, memory)


async def cut_off(peer: Peer) -> bool:
    try:
        return (await peer.transport_message()).role != "authenticate"
    except (EOFError, ConnectionError):
        return True


# Subscribers.

FILTERS: dict[str, tuple[tuple[str, str], ...]] = {
    "not XPath": (("xpath-filter", "//Param[@name="),),
    "XPath with an axis": (("xpath-filter", "//*/ancestor::*"),),
    "XPath that squares": (("xpath-filter", "//*[//*[//*]]"),),
    "XPath with a variable": (("xpath-filter", "$a"),),
    "XPath with document()": (("xpath-filter", "document('/etc/passwd')"),),
    "XPath with regular expressions": (("xpath-filter", "re:test('aaaaaaaa', '(a+)+b')"),),
    "XPath of 1 MB": (("xpath-filter", "//a[" * 15_000),),
    "XPath with 2,000 brackets": (("xpath-filter", "(" * 450 + "1" + ")" * 450),),
    "21 filters": tuple(("role", "test") for _ in range(21)),
    "unknown role": (("role", "alert"),),
    "cone without radius": (("cone", "1 2"),),
    "cone of NaN": (("cone", "nan nan nan"),),
    "far that is none": (("far", "often"),),
    "since that is none": (("since", "yesterday"),),
    "since 10^30": (("since", "1" + "0" * 30),),
    "since in the year 99999": (("since", "99999-01-01T00:00:00"),),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_that_are_refused(broker: Program, table: Table, name: str) -> None:
    async with watched(broker) as (witness, memory), connected(broker.ports[1]) as peer:
        await peer.transport_message()
        peer.send(Message("authenticate", "ivo://a.b/c", "ivo://a.b/d", FILTERS[name]))
        answer = Message("nak", "", result="closed")
        with suppress(EOFError, ConnectionError):
            while (raw := await peer.receive()) and b'role="nak"' not in raw:
                pass
            found = raw.split(b"<Result>")[1].split(b"</Result>")[0].decode()
            answer = Message("nak", "", result=found)
    assert answer.result
    table.add(f"filter: {name}", told(answer), witness, memory)


EXPENSIVE = {
    "string of every element, 60 times": "//*" + '[contains(.,"")]' * 60,
    "nested counts": "//*[count(*[count(*[count(*[count(*[count(*)>=0])>=0])>=0])>=0])>=0]",
    "20 alternatives over all attributes": " or ".join(['count(//@*[.="x"])>0'] * 20),
    "normalized root": "//*" + '[not(normalize-space(.)="x")]' * 30,
}

DEEP = "<p>" * 30 + "x" * 1_000_000 + "</p>" * 30


@pytest.mark.parametrize("name", EXPENSIVE)
async def test_filters_that_are_expensive(broker: Program, table: Table, name: str) -> None:
    """Against the packet that costs most: 1 MB of text, as deep as may be."""
    async with watched(broker) as (witness, memory), connected(broker.ports[1]) as peer:
        await peer.transport_message()
        peer.send(Message("authenticate", "ivo://a.b/c", "ivo://a.b/d", (("xpath-filter", EXPENSIVE[name]),)))
        await asyncio.sleep(0.5)
        answer = await submit(broker, voevent(f"<Description>{DEEP}</Description>"))
        assert answer.role == "ack", told(answer)
        deadline = time.monotonic() + 3
        outcome = "stays"
        with suppress(TimeoutError):
            while time.monotonic() < deadline:
                try:
                    await asyncio.wait_for(peer.receive(), 1)
                except (EOFError, ConnectionError):
                    outcome = "closed"
                    break
    table.add(f"XPath: {name}", outcome, witness, memory)


def garbage() -> dict[str, Callable[[], Iterator[bytes]]]:
    """What subscribers may send for as long as they like: pieces of 64 kB, 20 MB of each."""
    iamalive = frame(b"<!-- --><Transport role='iamalive'><Origin>ivo://a.b/c</Origin></Transport>")
    bad = frame(Message("authenticate", "ivo://a.b/c", params=(("xpath-filter", "//*["), ("cone", "1"))).encode())
    ack = frame(Message("ack", "ivo://a.b/c", "ivo://a.b/d").encode())
    since = frame(Message("authenticate", "ivo://a.b/c", params=(("since", "0"),)).encode())
    voe = frame(voevent().encode())
    random_bytes = random.Random(2).randbytes(65_536)  # noqa: S311

    def endless(piece: bytes) -> Callable[[], Iterator[bytes]]:
        many = piece * max(1, 65_536 // len(piece))
        return lambda: (many for _ in range(20_000_000 // len(many)))

    return {
        "frames of no bytes": endless(struct.pack("!I", 0)),
        "frames of one byte": endless(frame(b"<")),
        "frames of 60 kB that are no XML": endless(frame(b"<a>" * 20_000)),
        "laughs": endless(frame(doctype(LAUGHS, "&a10;").replace(b"VOEvent", b"Transport"))),
        "random bytes": endless(random_bytes),
        "a frame of 4 GB": endless(b"\xff" * 65_536),
        "VOEvents": endless(voe),
        "iamalive without end": endless(iamalive),
        "acknowledgements without end": endless(ack),
        "bad filters without end": endless(bad),
        "catching up without end": endless(since),
    }


@pytest.mark.parametrize("name", garbage())
async def test_subscribers_who_talk(broker: Program, table: Table, name: str) -> None:
    outcome, sent = "stays", 0
    async with watched(broker) as (witness, memory), connected(broker.ports[1]) as peer:
        reading = asyncio.create_task(swallow(peer))
        end = time.monotonic() + 3
        try:
            for piece in garbage()[name]():
                peer.writer.write(piece)
                async with asyncio.timeout(max(0.01, end - time.monotonic())):
                    await peer.writer.drain()
                sent += len(piece)
        except TimeoutError:
            outcome = "is read slowly"
        except ConnectionError:
            outcome = "closed"
        reading.cancel()
    assert memory.peak - memory.before < 64 * MIB
    table.add(f"subscriber sends {name}", f"{outcome}, after {sent / 1e6:.1f} MB", witness, memory)


async def swallow(peer: Peer) -> None:
    with suppress(ConnectionError):
        while await peer.reader.read(65_536):
            pass


@pytest.mark.parametrize("since", [False, True])
async def test_subscribers_who_never_read(table: Table, since: bool) -> None:
    """Ten of them, and 50 MB: those that come, or those that are in the archive.

    A broker and an archive of its own: memory counts.
    """
    events = [voevent(f"<Description>{noise(200_000)}</Description>").encode() for _ in range(250)]

    async def offer(broker: Program, share: list[bytes]) -> None:
        for raw in share:
            async with connected(broker.ports[0], FRIEND) as author:
                author.send(raw)
                assert (await author.transport_message()).role == "ack"

    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(running(stack.enter_context(site()), **OPTIONS))
        if since:
            await asyncio.gather(*(offer(broker, events[n::4]) for n in range(4)))
        async with watched(broker) as (witness, memory):
            for _ in range(10):
                peer = await stack.enter_async_context(connected(broker.ports[1]))
                peer.send(Message("authenticate", "ivo://a.b/c", params=(("since", "0"),) if since else ()))
                peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            if since:
                await asyncio.sleep(3)
            else:
                await asyncio.gather(*(offer(broker, events[n::4]) for n in range(4)))
    assert memory.peak - memory.before < 64 * MIB
    what = "which are in the archive" if since else "which come"
    table.add(f"10 who never read 50 MB {what}", "", witness, memory)


async def test_a_burst_does_not_cut_off_who_reads(broker: Program, table: Table) -> None:
    """More than may wait for a subscriber, all at once."""
    events = [voevent(f"<Description>{noise(3_000_000)}</Description>").encode() for _ in range(12)]
    async with connected(broker.ports[1], FRIEND) as peer, watched(broker) as (witness, memory):
        await peer.transport_message()
        listening = asyncio.create_task(hear_all(peer, events))
        answers = await asyncio.gather(*(submit(broker, raw) for raw in events))
        assert {answer.role for answer in answers} == {"ack"}
        await listening
    table.add("burst of 36 MB", "all is delivered", witness, memory)


async def hear_all(listener: Peer, raws: list[bytes]) -> None:
    missing = {*raws}
    while missing:
        missing.discard(await listener.receive())


async def test_a_hostile_upstream_broker(place: Site, table: Table) -> None:
    """It is heard on, whatever it sends; what comes behind is taken in."""
    messages = [
        *(raw if isinstance(raw, bytes) else raw.encode() for raw, _ in REFUSED.values()),
        *(raw if isinstance(raw, bytes) else raw.encode() for raw in ACCEPTED.values()),
    ]
    last = voevent().encode()
    acknowledged = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack("!I", 10 * MIB) + bytes(10 * MIB))
        for raw in (*messages, last):
            writer.write(frame(raw))
        name = last.split(b'ivorn="')[1].split(b'"')[0]
        said = b""
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                said = said[-1000:] + data
                if name in said:
                    acknowledged.set()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = {**OPTIONS, "voevent_upstreams": f"127.0.0.1:{port}"}
    async with server, running(place, **options) as broker, watched(broker) as (witness, memory):
        await asyncio.wait_for(acknowledged.wait(), 2 * PATIENCE)
    table.add(f"{len(messages)} messages from upstream", "all is read", witness, memory)
