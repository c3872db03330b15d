"""In which format a resource is answered that has several: asked for by a parameter, or by the Accept header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request

from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError

HTML: Final = ("text/html", "application/xhtml+xml")
XML: Final = ("application/xml", "text/xml")
JSON: Final = ("application/json",)

Offered = Mapping[str, Sequence[str]]
"""Formats by their names, with their media types; the first is what is sent where nothing is asked for."""


def chosen_format(request: Request, parameters: Parameters, offered: Offered) -> str:
    """The name of the format to answer in: by RESPONSEFORMAT or FORMAT (a name, or a media type), else by Accept.

    Raises UsageError for one that is not offered. An Accept header that names none of them is as none: the client finds
    out by the media type.
    """
    asked = (parameters.one("RESPONSEFORMAT") or parameters.one("FORMAT") or "").strip().lower()
    if asked:
        for name, types in offered.items():
            if asked == name or asked.split(";")[0] in types:
                return name
        raise UsageError(f"RESPONSEFORMAT={asked[:60]}: expected one of {', '.join(offered)}")
    wishes = _weights(request.headers.get("accept", ""))
    weights = {name: max(wishes.get(media, 0.0) for media in types) for name, types in offered.items()}
    best = max(weights, key=lambda name: weights[name])
    return best if weights[best] > 0 else next(iter(offered))


def _weights(accept: str) -> dict[str, float]:
    """Weights of media types in an Accept header (RFC 9110, section 12.5.1); wildcards are left out."""
    weights = {}
    for part in accept.lower().split(","):
        media, *options = (piece.strip() for piece in part.split(";"))
        weight = next((option[2:] for option in options if option.startswith("q=")), "1")
        weights[media] = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 1.0
    return weights
