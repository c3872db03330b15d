"""Frames of the VOEvent Transport Protocol: four bytes of length, then as many bytes of message. Pure.

Source: VTP 2.0, section 3: the length is an unsigned 32-bit integer in network byte order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Oversized:
    """A message that is longer than the receiver takes; its bytes are skipped."""

    length: int
    limit: int

    def __str__(self) -> str:
        return f"A message of {self.length} bytes; at most {self.limit} are taken"


def frame(message: bytes) -> bytes:
    """A message as it goes over the wire."""
    return _LENGTH.pack(len(message)) + message


class Frames:
    """Cuts what arrives, in pieces of any size, into messages.

    What is kept is never more than `limit` bytes and one piece: a longer message is reported as soon as its length is
    known, and passed over.

    Parameters
    ----------
    limit
        Bytes of a message at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The messages that are complete with this piece, in order."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        buffer = self._buffer
        buffer += data
        messages: list[bytes | Oversized] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            length: int = _LENGTH.unpack_from(buffer, start)[0]
            begin = start + _LENGTH.size
            end = begin + length
            if length > self.limit:
                messages.append(Oversized(length, self.limit))
                self._skip = max(0, end - len(buffer))
            elif end > len(buffer):
                break
            else:
                messages.append(bytes(buffer[begin:end]))
            start = end
        del buffer[:start]
        return messages
