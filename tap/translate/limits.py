"""Third pass: how many rows the query may return."""

from __future__ import annotations

from dataclasses import replace

from tap.translate.bound import Query


def limit_rows(query: Query, limit: int | None) -> Query:
    """The query with at most `limit` rows; TOP counts where it is smaller (TAP 1.1, section 2.7.4)."""
    if limit is None or (query.limit is not None and query.limit <= limit):
        return query
    return replace(query, limit=limit)
