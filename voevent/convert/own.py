"""Our own minimal JSON: the fields of `Alert`, and nothing else. Its JSON Schema stands beside this file."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from voevent.alert import Alert, AlertError, parse_alert

SCHEMA_ID = "urn:vo-service:alert:1"
"""What `$schema` says in notices that we write; it may be left out of those that we read."""


def from_json(notice: dict[str, Any]) -> Alert:
    """An alert from our JSON.

    Raises AlertError that names every field that cannot be used.
    """
    fields = dict(notice)
    schema = fields.pop("$schema", SCHEMA_ID)
    if schema != SCHEMA_ID:
        raise AlertError(f"$schema: expected {SCHEMA_ID} or a schema of gcn/notices, got {str(schema)[:200]!r}")
    if "event" not in fields:
        raise AlertError("Expected a notice of GCN, by its $schema, or ours, with event; this is neither")
    return parse_alert(fields)


def to_json(alert: Alert) -> dict[str, Any]:
    """An alert as our JSON: fields that are not known are left out."""
    fields: dict[str, Any] = alert.model_dump(mode="json", exclude_defaults=True)
    return {"$schema": SCHEMA_ID, **_without_nothing(fields)}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of our JSON, as the file has it."""
    text = files("voevent.convert").joinpath("alert.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def describe() -> dict[str, Any]:
    """JSON Schema of our JSON, as the fields of `Alert` are now. A test holds the file to it."""
    made = Alert.model_json_schema()
    made["properties"] = {"$schema": {"const": SCHEMA_ID}, **made["properties"]}
    made["description"] = "One notice about one event, as vo-service takes it and gives it."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **made}


def _without_nothing(value: Any) -> Any:  # noqa: ANN401 (any JSON)
    if isinstance(value, dict):
        return {key: _without_nothing(part) for key, part in value.items() if part is not None}
    return [_without_nothing(part) for part in value] if isinstance(value, list) else value
