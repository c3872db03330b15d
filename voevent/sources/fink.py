"""Fink: filtered streams of ZTF and Rubin alerts, and coincidences with GRBs and gravitational waves (`fink_grb_*`).

Facts: fink-client 12.3.0. A message is one Avro record; its schema is the message's key, in JSON.
"""

from __future__ import annotations

import json
from hashlib import md5
from typing import ClassVar, Final, Literal

from voevent.sources.kafka import KafkaCluster, Record

_CONTAINER: Final = b"Obj\x01"


class Fink(KafkaCluster):
    """Topics of Fink, at the servers that come with its credentials."""

    FORMAT: ClassVar[str] = "fink"

    kind: Literal["fink"]
    tls: bool = False

    def content(self, record: Record) -> bytes:
        """The record with its schema, as an Avro object container: without the schema, nobody could read it later."""
        if record.value.startswith(_CONTAINER) or not _is_schema(record.key):
            return record.value
        return container(record.key or b"", record.value)


def container(schema: bytes, datum: bytes) -> bytes:
    """An object container file of one record (Avro 1.11, "Object Container Files"); the same for the same record."""
    sync = md5(schema, usedforsecurity=False).digest()
    header = _CONTAINER + _long(1) + _bytes(b"avro.schema") + _bytes(schema) + _long(0) + sync
    return header + _long(1) + _bytes(datum) + sync


def _bytes(data: bytes) -> bytes:
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """A number that is not negative, in Avro's variable length."""
    rest = number << 1
    parts = bytearray()
    while rest > 0x7F:
        parts.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*parts, rest])


def _is_schema(key: bytes | None) -> bool:
    try:
        return isinstance(json.loads(key or b""), dict)
    except ValueError:
        return False
