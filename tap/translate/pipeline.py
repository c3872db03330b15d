"""From the tree of a query to a statement for the database: the passes, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from tap.adql.errors import AdqlError
from tap.adql.tree import Query
from tap.translate import bound
from tap.translate.emit import emit
from tap.translate.geometry import use_index
from tap.translate.healpix import asks_for_pixels, shift_index
from tap.translate.limits import limit_rows
from tap.translate.outputs import unique_names
from tap.translate.refusal import RefusedError
from tap.translate.resolve import resolve
from tap.translate.size import expect_moderate_size
from tap.translate.work import is_small
from vo_service.catalog.model import TAP_SCHEMA, Catalog, Table
from vo_service.database.statement import Statement


def translate(query: Query, catalog: Catalog, *, limit: int | None = None) -> Statement:
    """The statement that answers a query.

    Parameters
    ----------
    query
        As `tap.adql.parser.parse` made it.
    catalog
        What is published: the query can speak of nothing else.
    limit
        Rows at most, if the query's TOP is not smaller. To see whether rows were left out, ask for one more.

    Returns
    -------
    Complete SQL, and the result's columns with unique names, types, units and UCDs (TAP 1.1, section 2.7).

    Raises
    ------
    AdqlError
        The query names what is not published, or its types do not fit, or it uses what is not supported; with position.
    """
    try:
        resolved = resolve(query, catalog)
        expect_moderate_size(resolved)
    except RefusedError as refused:
        raise AdqlError(refused.problem, query.text, refused.at, hint=refused.hint) from None
    nodes = bound.all_nodes(resolved)
    tables = [node.table for node in nodes if isinstance(node, bound.TableEntry)]
    indexed = use_index(resolved)
    shifted = shift_index(indexed) if any(map(asks_for_pixels, nodes)) else indexed
    limited = limit_rows(shifted, limit)
    return Statement(
        emit(limited), unique_names(limited.columns), sources=_published(tables), small=is_small(limited, tables)
    )


def _published(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Of the tables that a query reads, those that are published, but for TAP_SCHEMA; each once, in order."""
    return tuple({t.full_name: t for t in tables if t.stored_as is None and t.schema != TAP_SCHEMA}.values())
