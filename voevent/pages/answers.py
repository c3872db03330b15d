"""How requests below `/voevent` are answered: with which address, and what errors look like."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vo_service.context import Context
from vo_service.dali.endpoints import base_url
from vo_service.dali.errors import message_of
from vo_service.errors import ServiceError
from vo_service.web.pages import way_to_root
from vo_service.web.render import render

HARMLESS: Final = {
    # What others sent could be a page with scripts to a browser: it is shown as what it is, and nothing in it runs.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


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
