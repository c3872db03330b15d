"""Errors of DataLink and SODA: their documents begin with the name of a fault (DataLink 1.1, 3.5; SODA 1.0, 4.2)."""

from __future__ import annotations

from starlette.responses import Response

from vo_service.dali.errors import VOTABLE, message_of
from vo_service.dali.parameters import RepeatedError
from vo_service.errors import (
    NotFoundError,
    ServiceError,
    TooLargeError,
    TooManyRequestsError,
    UnavailableError,
    UsageError,
)
from vo_service.formats.votable import error_document


def fault_of(error: Exception) -> str:
    """The name of the fault that an error is (DataLink 1.1, table 3)."""
    if isinstance(error, NotFoundError):
        return "NotFoundFault"
    if isinstance(error, UnavailableError | TooManyRequestsError):
        return "TransientFault"
    return "UsageFault" if isinstance(error, UsageError | TooLargeError) else "DefaultFault"


def fault_response(error: Exception) -> Response:
    """A VOTable that says what is wrong with a request for links."""
    document = error_document(f"{fault_of(error)}: {message_of(error)}")
    return Response(document, _status(error), _headers(error), VOTABLE)


def soda_error_response(error: Exception) -> Response:
    """Plain text that says what is wrong with a request for a cut-out."""
    name = "UsageError" if isinstance(error, UsageError | NotFoundError) else "Error"
    if isinstance(error, RepeatedError):
        name = "MultiValuedParamNotSupported"
    if isinstance(error, UnavailableError | TooManyRequestsError):
        name = "ServiceUnavailable"
    return Response(f"{name}: {message_of(error)}\n", _status(error), _headers(error), "text/plain")


def _status(error: Exception) -> int:
    return error.status if isinstance(error, ServiceError) else 500


def _headers(error: Exception) -> dict[str, str]:
    return error.headers() if isinstance(error, ServiceError) else {}
