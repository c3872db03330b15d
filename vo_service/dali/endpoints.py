"""Routes of DALI services: methods checked, errors answered as documents, addresses made absolute."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vo_service.config import Settings
from vo_service.dali.errors import error_response
from vo_service.dali.forms import discard_files
from vo_service.errors import MethodNotAllowedError

Handler = Callable[[Request], Awaitable[Response]]
ErrorHandler = Callable[[Exception], Response]

READ = ("GET", "HEAD")
READ_OR_POST = ("GET", "HEAD", "POST")


def endpoint(
    path: str, handler: Handler, methods: Sequence[str] = READ, *, on_error: ErrorHandler = error_response
) -> Route:
    """A route whose errors, those of the method included, are answered by `on_error`."""
    return Route(path, _Endpoint(handler, methods, on_error))


class _Endpoint:
    """The ASGI application of one route."""

    def __init__(self, handler: Handler, methods: Sequence[str], on_error: ErrorHandler) -> None:
        self._handler = handler
        self._methods = methods
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self._respond(request)
            await response(scope, receive, send)
        finally:
            discard_files(scope)

    async def _respond(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(self._methods)})
        if request.method not in self._methods:
            response = self._on_error(
                MethodNotAllowedError(f"{request.method} is not possible here; expected {', '.join(self._methods)}")
            )
            response.headers["Allow"] = ", ".join(self._methods)
            return response
        try:
            return await self._handler(request)
        except Exception as error:  # whatever it was, the client gets a document
            return self._on_error(error)


def base_url(request: Request, settings: Settings) -> str:
    """The address of the service as clients see it, without a slash at the end."""
    return settings.public_url or str(request.base_url).rstrip("/")


def xml(document: bytes) -> Response:
    """An XML document as an answer."""
    return Response(document, media_type="text/xml")
