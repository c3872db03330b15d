"""JSON as it comes over the network, read with care."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from voevent.alert import AlertError


def read_json(data: bytes, *, strict: bool = True) -> dict[str, Any]:
    """One JSON object.

    JSON has no NaN (RFC 8259). Many programs write it all the same, for what is not known: it is read as null where
    not `strict`, as others' streams cannot be corrected.

    Raises AlertError if it is not JSON, or another kind of value.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant if strict else _unknown)
    except RecursionError:
        raise AlertError("The notice is nested too deeply") from None
    except UnicodeDecodeError:
        raise AlertError("Expected VOEvent XML or a notice in JSON, got bytes that are no text") from None
    except ValueError as error:
        raise AlertError(f"Expected VOEvent XML or a notice in JSON, got neither: {error}") from None
    if not isinstance(document, dict):
        raise AlertError(f"Expected a notice as a JSON object, got a {type(document).__name__}")
    return document


def _unknown(_: str) -> None:
    return None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON; leave out what is not known")
