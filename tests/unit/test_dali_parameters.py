"""Parameters of requests: every spelling, every encoding, every fault."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message

from vo_service.dali.forms import BODY_LIMIT, PAIRS_LIMIT
from vo_service.dali.parameters import Parameters, read_parameters
from vo_service.errors import TooLargeError, UsageError


def request(query: str = "", body: bytes | Sequence[bytes] = b"", content_type: str = "") -> Request:
    chunks = [body] if isinstance(body, bytes) else list(body)
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())] if content_type else []
    method = "POST" if content_type else "GET"
    return Request(
        {"type": "http", "method": method, "query_string": query.encode("latin-1"), "headers": headers}, receive
    )


def multipart(*parts: tuple[bytes, bytes]) -> bytes:
    """A multipart body with the boundary x, of parts with these attributes of their disposition and these values."""
    begun = [b"--x\r\nContent-Disposition: form-data; " + about + b"\r\n\r\n" + value for about, value in parts]
    return b"\r\n".join([*begun, b"--x--\r\n"])


FORM = "application/x-www-form-urlencoded"


async def test_names_ignore_case_and_blanks_are_kept() -> None:
    parameters = await read_parameters(request("ra=1&Dec=&SR=a+b%20c&x"))
    assert parameters.one("RA") == "1"
    assert parameters.one("DEC") == ""
    assert parameters.one("sr") == "a b c"
    assert parameters.one("X") == ""
    assert parameters.one("absent") is None


async def test_query_and_form_are_merged() -> None:
    parameters = await read_parameters(request("LANG=ADQL", b"QUERY=%CE%BD%3D1&X=1&X=2", FORM))
    assert parameters.one("LANG") == "ADQL"
    assert parameters.one("QUERY") == "ν=1"
    assert parameters.all("X") == ["1", "2"]


async def test_the_multipart_of_java_clients() -> None:
    boundary = "<<<--------------MULTIPART-BOUNDARY------->>>"
    part = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="QUERY"\r\n'
        f"Content-Type: text/plain; charset=UTF-8\r\n\r\nSELECT 'é' FROM t\r\n--{boundary}--\r\n"
    ).encode()
    chunks = [part[i : i + 7] for i in range(0, len(part), 7)]
    parameters = await read_parameters(request("", chunks, f'multipart/form-data; boundary="{boundary}"'))
    assert parameters.one("QUERY") == "SELECT 'é' FROM t"


async def test_files_are_no_parameters() -> None:
    body = multipart((b'name="UPLOAD"', b"t,param:t"), (b'name="t"; filename="t.vot"', b"\xff\x00"))
    parameters = await read_parameters(request("", body, "multipart/form-data; boundary=x"))
    assert parameters.one("UPLOAD") == "t,param:t"
    assert parameters.all("t") == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"a=1&" * (PAIRS_LIMIT + 1)),
        (FORM, b"&" * 1_000_000 + b"a=1"),
        ("multipart/form-data; boundary=x", multipart(*[(b'name="a"', b"1")] * (PAIRS_LIMIT + 1))),
    ],
)
async def test_too_many_parameters(content_type: str, body: bytes) -> None:
    with pytest.raises(TooLargeError, match="too many parameters: at most 20,000"):
        await read_parameters(request("", body, content_type))


async def test_a_client_that_leaves_while_it_sends() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", FORM.encode())]
    leaving = Request({"type": "http", "method": "POST", "query_string": b"", "headers": headers}, receive)
    with pytest.raises(UsageError, match="ended before its body was complete"):
        await read_parameters(leaving)


async def test_repetition() -> None:
    parameters = await read_parameters(request("RA=1&RA=1&DEC=1&DEC=2"))
    assert parameters.one("RA") == "1"
    with pytest.raises(UsageError, match="DEC is given 2 times"):
        parameters.one("DEC")


@pytest.mark.parametrize(
    ("query", "body", "content_type", "message"),
    [
        ("QUERY=%ff", b"", "", "QUERY is not UTF-8: byte 1 is 0xff"),
        ("%ff=1", b"", "", "The name of a parameter is not UTF-8"),
        ("QUERY=a%00b", b"", "", "QUERY contains a NUL character"),
        ("", b"\xff=1", FORM, "not UTF-8"),
        ("", b"<xml/>", "text/xml", "A body of type text/xml cannot be read"),
        ("", b"nonsense", "multipart/form-data", "The form cannot be read"),
        ("", b"nonsense", "multipart/form-data; boundary=x", "The form cannot be read"),
        ("", multipart((b'name="Q"', b"\xff")), 'multipart/form-data; boundary="x"', "Q is not UTF-8: byte 1 is 0xff"),
        (
            "",
            multipart((b'name="\xff"', b"1")),
            "multipart/form-data; boundary=x",
            "The name of a parameter is not UTF-8",
        ),
        ("", multipart((b'id="Q"', b"1")), "multipart/form-data; boundary=x", "a part has no name"),
        ("", multipart((b'name="Q"', b"1"))[:-8], "multipart/form-data; boundary=x", "ends before its last boundary"),
    ],
)
async def test_what_cannot_be_decoded(query: str, body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await read_parameters(request(query, body, content_type))


async def test_a_body_that_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="at most"):
        await read_parameters(request("", [b"x" * 1_000_000] * (BODY_LIMIT // 1_000_000 + 1), FORM))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "RA is missing: expected a number from 0 to 360, in decimal degrees"),
        ("abc", "RA=abc: expected a number from 0 to 360"),
        ("10:20:30", "not sexagesimal"),
        ("10 20 30", "not sexagesimal"),
        ("400", "RA=400"),
        ("-0.1", "RA=-0.1"),
        ("nan", "RA=nan"),
        ("inf", "RA=inf"),
        ("1e999", "RA=1e999"),
        ("0x10", "RA=0x10"),
        ("1_0", "RA=1_0"),
        ("١", "RA=١"),
        ("12h30m", "not sexagesimal"),
        ("1" * 100_000 + "x", "RA=111"),
        ("1:1" * 100_000, "not sexagesimal"),
    ],
)
def test_numbers_that_are_none(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Parameters([("ra", text)]).number("RA", 0, 360)


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), (" 1.5e2 ", 150.0), ("+.5", 0.5), ("360", 360.0)])
def test_numbers(text: str, value: float) -> None:
    assert Parameters([("RA", text)]).number("RA", 0, 360) == value


def test_integers() -> None:
    parameters = Parameters(
        [("A", "5"), ("B", ""), ("C", "-1"), ("D", "1.5"), ("E", "1_0"), ("G", "9" * 5000), ("H", "9" * 19), ("F", "٣")]
    )
    assert parameters.integer("A", low=0, default=1) == 5
    assert parameters.integer("B", low=0, default=1) == 1
    assert parameters.integer("Z", low=0, default=1) == 1
    assert parameters.integer("H", low=0, default=1) == 10**19 - 1  # the largest long of Java is one to clip
    for name in "CDEFG":
        with pytest.raises(UsageError, match=f"{name}=.*expected an integer, 0 or more"):
            parameters.integer(name, low=0, default=1)
    with pytest.raises(UsageError, match="from 1 to 3"):
        parameters.integer("A", low=1, high=3, default=2)
