"""Errors of the database as errors of the service, told in words for the person who asked.

Whose fault it was is told by the SQLSTATE (PostgreSQL manual, appendix A). The server's own words are passed on only
where they speak of the query's values and names, never where they could name files or settings; those are logged.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg

from vo_service.errors import QueryError, QueryTimeoutError, ServiceError, UnavailableError

QUERY_CANCELED = "57014"
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"

_STALE_PLAN = ("0A000", "26000")
"""A prepared statement whose tables have changed since, or which the connection does not know any more."""

UNREACHABLE = "The database cannot be reached at the moment; try again in a minute"

log = logging.getLogger(__name__)


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """A blocking connection. Raises UnavailableError with the server's reason (for the operator, not for clients)."""
    try:
        return psycopg.connect(conninfo)
    except psycopg.OperationalError as error:
        raise UnavailableError(f"Cannot connect to the database: {str(error).strip()}") from None


def is_timeout(error: psycopg.Error) -> bool:
    """Whether the query took longer than it may."""
    return error.sqlstate == QUERY_CANCELED


def is_worth_another_try(error: psycopg.Error) -> bool:
    """Whether the same statement may succeed on a new connection."""
    return is_lost(error) or error.sqlstate in _STALE_PLAN


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection was gone rather than the query at fault: worth a new connection."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state[:2] == "08" or state in ("57P01", "57P02", "57P03")


def explain(error: psycopg.Error, timeout: float, advice: str) -> ServiceError:
    """The error to show for one that the database raised while it ran a query.

    `timeout` is the number of seconds it had, `advice` a sentence on what to do if they were not enough.
    """
    state, words = error.sqlstate, _words(error)
    log.info("Query failed: %s %s", state, words or error)
    if state == QUERY_CANCELED:
        return QueryTimeoutError(f"The query took longer than {timeout:g} seconds, the limit here. {advice}")
    if is_lost(error):
        return UnavailableError(UNREACHABLE)
    if state in (INSUFFICIENT_PRIVILEGE, UNDEFINED_TABLE, UNDEFINED_COLUMN):
        return QueryError("The query names a table or column that is not available any more, or never was")
    kind = (state or "")[:2]
    if kind in ("21", "22", "42"):  # cardinality, data (division by zero, out of range), types
        return QueryError(f"The database could not evaluate the query: {words}")
    if kind in ("53", "54"):  # memory, disk space, complexity
        return QueryError("The query needs more memory or disk space than it may use here; ask for less at once")
    log.error("Unexpected error of the database: %s %s", state, error)
    return ServiceError("The database failed on this query; the operator finds the reason in the log")


def _words(error: psycopg.Error) -> str:
    """The server's primary message: without our SQL, which psycopg appends."""
    return error.diag.message_primary or ""
