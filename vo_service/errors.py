"""Every error a user can meet, in one tree; each class knows its HTTP status.

    ServiceError                      500
    ├── UsageError                    400   a request that cannot be understood
    │   └── (tap.adql.AdqlError)      400   a query that is not ADQL, with position
    ├── NotFoundError                 404
    ├── MethodNotAllowedError         405
    ├── TooLargeError                 413
    ├── TooManyRequestsError          429   with Retry-After
    ├── QueryError                    400   the database refused the query (division by zero, overflow ...)
    ├── QueryTimeoutError             400   the query took longer than it may
    ├── UnavailableError              503   the database cannot be reached
    ├── ConfigurationError            500   a setting or description that cannot work
    └── IngestError                   500   a file or row that cannot be loaded

Each protocol renders them in the form its standard prescribes (`vo_service.dali.errors` for DALI services);
the command line prints the message and ends with status 1.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """An error whose message is meant for the user.

    Parameters
    ----------
    message
        What was wrong, where, and what was expected; one or more sentences of plain text.
    """

    status: ClassVar[int] = 500
    """The HTTP status of an answer that carries this error."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def headers(self) -> dict[str, str]:
        """HTTP headers that the answer carries beside its status."""
        return {}


class UsageError(ServiceError):
    """The request cannot be understood: a parameter is missing, repeated, misspelt or out of range."""

    status = 400


class NotFoundError(ServiceError):
    """Nothing is published under this name or address."""

    status = 404


class ForbiddenError(ServiceError):
    """Who asks may not do this."""

    status = 403


class MethodNotAllowedError(ServiceError):
    """The address exists, the HTTP method does not."""

    status = 405


class TooLargeError(ServiceError):
    """The request is larger than the service accepts."""

    status = 413


class TooManyRequestsError(ServiceError):
    """A limit on concurrent work is reached; try again after `retry_after` seconds."""

    status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class QueryError(ServiceError):
    """The database could not carry out the query, by the query's own fault (DALI 1.1, section 4.2.2)."""

    status = 400


class QueryTimeoutError(QueryError):
    """The query took longer than the service allows."""


class UnavailableError(ServiceError):
    """The database cannot be reached."""

    status = 503


class ConfigurationError(ServiceError):
    """A setting, or a table description, that cannot work."""


class IngestError(ServiceError):
    """A file, or a row of it, that cannot be loaded."""
