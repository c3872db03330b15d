"""Rows of binary COPY as Arrow arrays: of whatever values, however their bytes are cut, whatever comes between them."""

from __future__ import annotations

import datetime as dt
import math
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.postgres import types
from psycopg.pq import Format

from vo_service.database.copy_answers import SocketAnswer
from vo_service.database.copy_types import arrays, loader
from vo_service.errors import QueryError

Column = tuple[str, st.SearchStrategy[object]]
Row = Sequence[object]

READY = b"Z\0\0\0\x05I"
NOTICE = b"N\0\0\0\x0aCabc\0\0"
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def written(kind: str, value: object) -> bytes:
    """A value as the server writes it, by psycopg."""
    if kind.endswith("[]"):
        assert isinstance(value, list)
        element = kind.removesuffix("[]")
        head = struct.pack(">iii", min(len(value), 1), None in value, types[element].oid)
        return head + (struct.pack(">ii", len(value), 1) if value else b"") + b"".join(field(element, x) for x in value)
    dumper = Transformer().adapters.get_dumper_by_oid(types[kind].oid, Format.BINARY)
    return bytes(dumper(type(value)).dump(value) or b"")


def field(kind: str, value: object) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    data = written(kind, value)
    return struct.pack(">i", len(data)) + data


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def begun(kinds: Sequence[str]) -> bytes:
    columns = b"".join(b"c%d\0" % i + struct.pack(">ihihih", 0, 0, oid(kind), 8, -1, 0) for i, kind in enumerate(kinds))
    return b"".join(
        (
            message(b"1", b""),
            message(b"t", bytes(2)),
            message(b"T", struct.pack(">h", len(kinds)) + columns),
            message(b"1", b""),
            message(b"2", b""),
            message(b"H", struct.pack(">bh", 1, len(kinds)) + struct.pack(">h", 1) * len(kinds)),
        )
    )


def copied(kinds: Sequence[str], rows: Sequence[Row], between: bytes = b"") -> bytes:
    """All that the server sends for these rows; after each of them, something else."""
    bodies = [struct.pack(">h", len(kinds)) + b"".join(map(field, kinds, row)) for row in rows] + [b"\xff\xff"]
    bodies[0] = HEADER + bodies[0]
    data = between.join(message(b"d", body) for body in bodies)
    return begun(kinds) + data + message(b"c", b"") + message(b"C", b"COPY 1\0") + READY


def oid(kind: str) -> int:
    return types[kind.removesuffix("[]")].array_oid if kind.endswith("[]") else types[kind].oid


@contextmanager
def answer(sent: bytes, size: int) -> Iterator[SocketAnswer]:
    """What the server sends, read in pieces of a size."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        yield SocketAnswer(ours, "SELECT", size, patience=10)


def read(sent: bytes, size: int) -> list[list[object]]:
    """The columns, read in batches of so many bytes."""
    with answer(sent, size) as coming:
        loaders = [loader(*column) for column in coming.columns]
        columns: list[list[object]] = [[] for _ in loaders]
        while not coming.ended:
            data, rows = coming.read()
            if len(rows):
                for column, array in zip(columns, arrays(data, rows, loaders), strict=True):
                    array.validate(full=True)
                    column.extend(array.to_pylist())
    return columns


def as_read(value: object) -> object:
    """A value as Arrow has it."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return [as_read(element) for element in value] if isinstance(value, list) else value


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


SCALARS: dict[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    "int2": integers(16),
    "int4": integers(32),
    "int8": integers(64),
    "float4": st.floats(width=32, allow_nan=False),
    "float8": st.floats(allow_nan=False),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    "bytea": st.binary(max_size=20),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(dt.datetime(2, 1, 1), timezones=st.just(dt.timezone(dt.timedelta(hours=2)))),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[object, ...]]]:
    kinds = draw(st.lists(st.sampled_from([*SCALARS, *(f"{kind}[]" for kind in SCALARS)]), min_size=1, max_size=5))
    nullable = draw(st.booleans())

    def values(kind: str) -> st.SearchStrategy[object]:
        if kind.endswith("[]"):
            element = SCALARS[kind.removesuffix("[]")]
            return st.lists(st.none() | element if nullable else element, max_size=4)
        return SCALARS[kind]

    row = st.tuples(*(st.none() | values(kind) if nullable else values(kind) for kind in kinds))
    # Equal rows in sequence, so that those of one length are met.
    runs = draw(st.lists(st.tuples(row, st.integers(1, 30)), min_size=1, max_size=5))
    return kinds, [found for found, times in runs for _ in range(times)]


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(8, 3_000), st.sampled_from([b"", b"", NOTICE]))
def test_any_rows_in_pieces_of_any_size(
    table: tuple[list[str], list[tuple[object, ...]]], size: int, between: bytes
) -> None:
    kinds, rows = table
    columns = read(copied(kinds, rows, between), size)
    assert columns == [[as_read(value) for value in column] for column in zip(*rows, strict=True)]


ROWS = [(1, "", [1.5, None]), (None, "ν → µ", []), (3, None, None), (4, "d\1", [2.5])] + [(5, "five", [5.0])] * 20
KINDS = ["int8", "text", "float8[]"]


@pytest.mark.parametrize("size", [3_000, 2_000_000])
def test_long_arrays_of_elements_that_differ_in_length(size: int) -> None:
    lengths = (0, 1, 499, 500, 501, 1_023, 1_024, 1_025, 2_500)
    rows = [([None if n % 7 == 3 else n for n in range(length)], [str(n) for n in range(length)]) for length in lengths]
    assert read(copied(["float8[]", "text[]"], rows), size) == [list(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("between", [b"", NOTICE])
def test_bytes_cut_anywhere(between: bytes) -> None:
    sent, expected = copied(KINDS, ROWS, between), [list(column) for column in zip(*ROWS, strict=True)]
    for size in range(8, 100):
        assert read(sent, size) == expected


def test_values_that_look_like_the_begin_of_rows_and_the_end_of_all() -> None:
    rows = [(i, message(b"d", struct.pack(">h", 2) + b"x" * (i % 3)) + READY * (i % 4)) for i in range(100)]
    sent = copied(["int4", "bytea"], rows)
    for size in (8, 50, 333, 1_000, 100_000):
        assert read(sent, size) == [list(column) for column in zip(*rows, strict=True)]


def test_row_longer_than_a_batch() -> None:
    rows = [("a" * 10,), ("b" * 30_000,), ("c" * 10,)]
    assert read(copied(["text"], rows), 100) == [[row[0] for row in rows]]


def test_no_rows() -> None:
    sent = (
        begun(["int4"]) + message(b"d", HEADER + b"\xff\xff") + message(b"c", b"") + message(b"C", b"COPY 0\0") + READY
    )
    assert [read(sent, size) for size in (8, 30, 1_000)] == [[[]]] * 3


def test_batches_are_as_long_as_asked_for() -> None:
    sent = copied(["int8"], [(i,) for i in range(4_000)])
    with answer(sent, 10_000) as coming:
        counts = []
        while not coming.ended:
            counts.append(len(coming.read()[1]))
    assert sum(counts) == 4_000
    assert set(counts[1:-1]) <= {10_000 // 19, 10_000 // 19 + 1}


def test_arrays_of_several_dimensions_are_flat() -> None:
    head = struct.pack(">iiiiiii", 2, 0, types["int2"].oid, 2, 1, 3, 1)
    value = head + b"".join(field("int2", n) for n in range(6))
    row = struct.pack(">hi", 1, len(value)) + value
    data = np.frombuffer(row, np.uint8)
    assert arrays(data, np.array([0]), [loader("c", types["int2"].array_oid)])[0].to_pylist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(("kind", "bits"), [("timestamp", 64), ("timestamptz", 64), ("date", 32)])
def test_infinite_times_are_an_error(kind: str, bits: int) -> None:
    for value in (2 ** (bits - 1) - 1, -(2 ** (bits - 1))):
        number = value.to_bytes(bits // 8, signed=True)
        row = struct.pack(">hi", 1, bits // 8) + number
        with pytest.raises(QueryError, match="infinite"):
            arrays(np.frombuffer(row, np.uint8), np.array([0]), [loader("t", types[kind].oid)])


def test_numbers_that_are_not_finite() -> None:
    columns = read(copied(["float8", "float4"], [(math.nan, -math.inf), (math.inf, math.nan)]), 1_000)
    assert str(columns) == "[[nan, inf], [-inf, nan]]"


def test_type_that_cannot_be_read_is_named() -> None:
    with pytest.raises(QueryError, match=r"Column 'where' .* type point, .*cast"):
        loader("where", types["point"].oid)


def test_rows_of_other_types_than_promised_are_an_error() -> None:
    with pytest.raises(psycopg.DataError, match="not of the types"):
        read(copied(["int4"], [(1,)]).replace(struct.pack(">i", types["int4"].oid), struct.pack(">i", 20)), 1_000)


def test_rows_of_other_columns_than_promised_are_an_error() -> None:
    sent = begun(["int4", "int4"]) + copied(["int4"], [(1,)]).removeprefix(begun(["int4"]))
    with pytest.raises(psycopg.DataError, match="columns"):
        read(sent, 1_000)


def error(state: bytes) -> bytes:
    return message(b"E", b"SERROR\0VERROR\0C" + state + b"\0Mwrong value\0Fx.c\0\0")


@pytest.mark.parametrize("begin", [b"", copied(["int4"], [(1,)]).split(b"c\0\0\0\4")[0]])
@pytest.mark.parametrize(
    ("state", "kind"), [(b"22012", psycopg.errors.DivisionByZero), (b"XY001", psycopg.DatabaseError)]
)
def test_errors_of_the_server(begin: bytes, state: bytes, kind: type[psycopg.Error]) -> None:
    with pytest.raises(kind) as caught:
        read(begin + error(state) + READY, 1_000)
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == (state.decode(), "wrong value")


@pytest.mark.parametrize("cut", [0, 3, 100, 400])
def test_end_of_the_connection(cut: int) -> None:
    with pytest.raises(psycopg.OperationalError, match="closed the connection") as caught:
        read(copied(KINDS, ROWS)[:cut], 100)
    assert caught.value.sqlstate is None
