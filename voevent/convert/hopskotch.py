"""What SCiMMA's Hopskotch wraps around messages: a label of the format, and whether it is a test.

Facts: hop-client 0.13, `hop/io.py` and `hop/models.py`. The label is the header `_format`; before there were headers, a
JSON object had it, with the content beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from voevent.alert import AlertError
from voevent.convert.document import read_json

_READ: Final = frozenset({"voevent", "circular", "json", "avro", "blob"})


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A message without its envelope."""

    data: bytes
    test: bool


def unwrap(data: bytes, headers: Mapping[str, bytes]) -> Unwrapped:
    """A message by its headers, or out of the envelope of old.

    Raises AlertError if it is of a format that is not read.
    """
    label = headers.get("_format", b"").decode("utf-8", "replace").lower()
    test = "_test" in headers
    if not label and data.lstrip().startswith(b"{"):
        notice = read_json(data, strict=False)
        if notice.keys() == {"format", "content"}:
            return Unwrapped(_content(str(notice["format"]).lower(), notice["content"]), test)
    _check(label or "blob")
    return Unwrapped(data, test)


def _content(label: str, content: Any) -> bytes:  # noqa: ANN401 (any JSON)
    _check(label)
    if label == "voevent":
        raise AlertError(
            "The VOEvent was taken apart into JSON by a hop-client of old; expected one that sends its XML"
        )
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


def _check(label: str) -> None:
    if label not in _READ:
        raise AlertError(f"_format: expected one of {', '.join(sorted(_READ))}, got {label!r}")
