"""Resumption tokens (OAI-PMH 2.0, section 3.5): they say all that is needed to go on, so that nothing is kept.

They do not expire. Whoever forges one gets another part of what everybody may read.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, Field, NonNegativeInt, TypeAdapter, ValidationError

from registry_records.stamps import Span

_LENGTH = 2_000
"""Characters of a token at most: those of ours are shorter."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: of which format and span, how many records came before, and how many there were in all."""

    prefix: str
    span: Span
    cursor: int = 0
    size: int | None = None


_FIELDS = TypeAdapter(
    tuple[
        str,
        AwareDatetime,
        AwareDatetime,
        AwareDatetime,
        Annotated[str, Field(pattern=r"^[^\x00]*$")],
        NonNegativeInt,
        Annotated[int, Field(ge=1)],
    ]
)


def write_token(place: Place) -> str:
    """The token of a place."""
    span = place.span
    fields = (place.prefix, span.since, span.before, *span.after, place.cursor, place.size or 1)
    return base64.urlsafe_b64encode(_FIELDS.dump_json(fields)).decode()


def read_token(token: str) -> Place | None:
    """The place of a token; None if it is none."""
    if len(token) > _LENGTH:
        return None
    try:
        fields = _FIELDS.validate_json(base64.b64decode(token, altchars=b"-_", validate=True), strict=True)
    except (binascii.Error, ValidationError, ValueError):
        return None
    prefix, since, before, datestamp, key, cursor, size = fields
    return Place(prefix, Span(since, before, (datestamp, key)), cursor, size)
