"""Errors as the documents that DALI services answer with (DALI 1.1, section 4.2)."""

from __future__ import annotations

import logging

from starlette.responses import Response

from vo_service.errors import ServiceError
from vo_service.formats.votable import error_document, scs_error_document

log = logging.getLogger(__name__)

VOTABLE = "application/x-votable+xml"

UNEXPECTED = "The service failed in an unexpected way; its operators find the reason in the log"


def message_of(error: Exception) -> str:
    """What a client is told of an error. What was not expected is logged, and not told."""
    if isinstance(error, ServiceError):
        return error.message
    log.error("Unexpected error", exc_info=error)
    return UNEXPECTED


def error_response(error: Exception) -> Response:
    """A VOTable that says what is wrong, with the error's HTTP status."""
    status = error.status if isinstance(error, ServiceError) else 500
    headers = error.headers() if isinstance(error, ServiceError) else {}
    return Response(error_document(message_of(error)), status, headers, VOTABLE)


def scs_error_response(error: Exception) -> Response:
    """The same for cone search: status 200 for what the client did wrong (SCS 1.03, section 2.3)."""
    status = error.status if isinstance(error, ServiceError) else 500
    headers = error.headers() if isinstance(error, ServiceError) else {}
    return Response(scs_error_document(message_of(error)), 200 if status == 400 else status, headers, VOTABLE)
