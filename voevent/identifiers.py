"""Local identifiers: what stands behind the stream in the identifier of a packet that is made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

_ALLOWED: Final = "~*'()+=/!$&,;:@"
"""Characters that a local identifier may have beside letters, digits and `_.-`; others are percent-encoded."""


def local_id_of(parts: Sequence[str], role: str) -> str:
    """The local identifier of a notice, or of an event, from its parts; with the role if it is no observation, so that
    a test never takes the identifier of what is real."""
    return quote("_".join(parts if role == "observation" else [*parts, role]), safe=_ALLOWED)
