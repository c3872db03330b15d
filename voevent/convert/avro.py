"""Avro as it comes over Kafka: files, which carry their schema, and Confluent's framing, which names it.

Facts: Avro 1.11, section "Object Container Files"; Confluent's wire format is a zero, the schema's number in four bytes
(big-endian), and one record.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from vo_service.errors import ConfigurationError
from voevent.alert import AlertError

CONTAINER: Final = b"Obj\x01"
"""How object container files begin."""

_MALFORMED: Final = (EOFError, ValueError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
"""What fastavro raises for bytes that are no Avro, or not of the schema."""


def records_of(data: bytes) -> list[dict[str, Any]]:
    """The records of an object container file.

    Raises AlertError if it is none; ConfigurationError if fastavro is not installed.
    """
    fastavro = _fastavro()
    try:
        records = list(fastavro.reader(BytesIO(data)))
    except (*_MALFORMED, fastavro.schema.SchemaParseException) as error:
        raise AlertError(f"The Avro file cannot be read: {error}") from None
    if not all(isinstance(record, dict) for record in records):
        raise AlertError("Expected an Avro file of records")
    return records


def is_framed(data: bytes) -> bool:
    """Whether a message begins as Confluent's framing does."""
    return len(data) > 5 and data[0] == 0


def framed_record(data: bytes, schemas: Path | None) -> dict[str, Any]:
    """The record of a message in Confluent's framing, as Rubin sends alerts.

    Its schema is `lsst.vMAJOR_MINOR.alert.avsc` in the directory `schemas`, beside those that it names: Rubin numbers
    its schemas 100 * MAJOR + MINOR.

    Raises ConfigurationError if the schema is not there, AlertError if the record does not follow it.
    """
    fastavro = _fastavro()
    (number,) = struct.unpack(">I", data[1:5])
    name = f"lsst.v{number // 100}_{number % 100}.alert.avsc"
    if schemas is None or not (schemas / name).is_file():
        where = "the setting voevent_schemas names no directory" if schemas is None else f"{schemas} has none"
        raise ConfigurationError(f"The alert follows the schema {number}, file {name}, and {where}")
    try:
        record = fastavro.schemaless_reader(BytesIO(data[5:]), _schema(schemas / name), None)
    except _MALFORMED as error:
        raise AlertError(f"The alert does not follow the schema {name}: {error}") from None
    if not isinstance(record, dict):
        raise AlertError(f"Expected a record, as the schema {name} should say")
    return record


_schemas: dict[Path, Any] = {}
"""Schemas that were read: they are large, and alerts are many."""


def _schema(path: Path) -> Any:  # noqa: ANN401 (fastavro's form of a schema)
    if path not in _schemas:
        fastavro = _fastavro()
        try:
            _schemas[path] = fastavro.schema.load_schema(str(path))
        except (
            OSError,
            ValueError,
            fastavro.schema.SchemaParseException,
            fastavro.repository.SchemaRepositoryError,
        ) as e:
            raise ConfigurationError(f"Cannot read the schema {path}: {e}") from None
    return _schemas[path]


def _fastavro() -> ModuleType:
    try:
        import fastavro  # noqa: PLC0415 (of the extra kafka)
        import fastavro.repository  # noqa: PLC0415
        import fastavro.schema  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError("Alerts in Avro need fastavro: pip install 'vo-service[kafka]'") from None
    return fastavro
