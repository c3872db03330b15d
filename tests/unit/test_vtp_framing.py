"""VTP frames: any cut of the stream gives the same messages, and no length makes the receiver hold too much."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from voevent.vtp.framing import Frames, Oversized, frame


def test_a_frame_is_its_length_in_network_order_and_the_message() -> None:
    assert frame(b"abc") == b"\x00\x00\x00\x03abc"


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(min_value=1, max_value=30), min_size=1))
def test_messages_do_not_depend_on_how_the_stream_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(message) for message in messages)
    frames, received, start, turn = Frames(25), [], 0, 0
    while start < len(stream):
        length = cuts[turn % len(cuts)]
        received += frames.feed(stream[start : start + length])
        start, turn = start + length, turn + 1
    assert received == [m if len(m) <= 25 else Oversized(len(m), 25) for m in messages]


def test_half_a_frame_is_no_message() -> None:
    frames = Frames(100)
    whole = frame(b"0123456789")
    assert frames.feed(whole[:3]) == []
    assert frames.feed(whole[3:8]) == []
    assert frames.feed(whole[8:] + whole[:5]) == [b"0123456789"]
    assert frames.feed(whole[5:]) == [b"0123456789"]


def test_an_oversized_message_is_told_by_its_length_and_never_held() -> None:
    frames = Frames(1_000)
    assert frames.feed(struct.pack("!I", 100_000_000)) == [Oversized(100_000_000, 1_000)]
    piece = bytes(1_000_000)
    for _ in range(100):
        assert frames.feed(piece) == []
        assert len(frames._buffer) == 0
    assert frames.feed(frame(b"next")) == [b"next"]


def test_the_limit_itself_is_allowed() -> None:
    assert Frames(4).feed(frame(b"1234")) == [b"1234"]
    assert str(Frames(3).feed(frame(b"1234"))[0]) == "A message of 4 bytes; at most 3 are taken"
