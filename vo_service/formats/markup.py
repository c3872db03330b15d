"""Elements of XML as text: for the small parts of documents. What XML cannot hold is escaped or replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff"
"""Characters that XML 1.0 has no way to write; they become U+FFFD."""

_IN_TEXT = re.compile(f"[&<>\r{_ILLEGAL}]")
_IN_VALUE = re.compile(f'[&<>"\r\n\t{_ILLEGAL}]')


def element(name: str, attributes: Mapping[str, str | None], *content: str) -> str:
    """An element of markup; attributes that are None are left out."""
    told = "".join([f' {key}="{_value(value)}"' for key, value in attributes.items() if value is not None])
    inner = "".join(content)
    return f"<{name}{told}>{inner}</{name}>" if inner else f"<{name}{told}/>"


def text(characters: str) -> str:
    """Characters as the content of an element."""
    return _IN_TEXT.sub(_written, characters)


def _value(characters: str) -> str:
    return _IN_VALUE.sub(_written, characters)


def _written(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], "\ufffd")
