"""How requests below `/voevent` are answered: in which format, with which address, and what errors look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vo_service.context import Context
from vo_service.dali.endpoints import base_url
from vo_service.dali.errors import message_of
from vo_service.dali.parameters import Parameters
from vo_service.errors import ServiceError, UsageError
from vo_service.web.pages import way_to_root
from vo_service.web.render import render

HARMLESS: Final = {
    # What others sent could be a page with scripts to a browser: it is shown as what it is, and nothing in it runs.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

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


def packet_path(ivoid: str) -> str:
    """The address of a packet, relative to the service's root."""
    if {".", "..", ""} & set(ivoid.removeprefix("ivo://").split("/")[:-1]):
        # Clients resolve these in a path, and proxies make one slash of two.
        return f"voevent?ivoid={quote(ivoid, safe='')}"
    return f"voevent/{quote(ivoid, safe=':/')}"


def ivoid_in(path: str) -> str:
    """The identifier in the address of a packet, even if somebody on its way has made one slash of two."""
    return re.sub("^ivo:/(?!/)", "ivo://", path)


def page(request: Request, context: Context, template: str, *, status: int = 200, **values: object) -> Response:
    """A page of `templates/alerts/`."""
    settings = context.settings
    shared = {
        "settings": settings,
        "base": base_url(request, settings),
        "root": way_to_root(request),
        "endpoints": (),
        "packet_path": packet_path,
    }
    response = render(template, shared | values, status=status)
    response.headers["Vary"] = "Accept"
    return response


def error_json(error: Exception) -> Response:
    """What is wrong as JSON, with the error's HTTP status."""
    status = error.status if isinstance(error, ServiceError) else 500
    headers = error.headers() if isinstance(error, ServiceError) else {}
    return JSONResponse({"status": "error", "reason": message_of(error)}, status, headers)


def error_page(request: Request, context: Context, error: ServiceError) -> Response:
    """The same for people."""
    response = page(request, context, "alerts/error.html", status=error.status, what=error.message)
    response.headers.update(error.headers())
    return response
