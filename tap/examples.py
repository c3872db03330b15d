"""The examples document (DALI 1.1, section 2.3; terms: http://www.ivoa.net/rdf/examples), for clients and for people.

It is a page like the others, with RDFa attributes. Clients read it as XML, so that pages are well-formed XML, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from starlette.responses import Response

from tap.adql import parse
from tap.example_queries import Query, example_queries
from tap.translate import translate
from vo_service.catalog.model import TAP_SCHEMA, Catalog, Table
from vo_service.config import Settings
from vo_service.errors import UsageError
from vo_service.web.render import render

STANDARD = "ivo://ivoa.net/std/DALI#examples"


def examples_page(catalog: Catalog, settings: Settings, base: str) -> Response:
    """The examples for what is published; `base` is the address of the service."""
    queries = example_queries(catalog)
    positioned = [table for table in catalog.tables() if table.position and table.schema != TAP_SCHEMA]
    return render(
        "examples.html",
        {
            "settings": settings,
            "base": base,
            "root": "../",
            "endpoints": (),
            "examples": [(f"example-{number}", query, address_of(query)) for number, query in enumerate(queries, 1)],
            "positioned": positioned[0] if positioned else None,
        },
    )


def example_problems(catalog: Catalog, table: Table) -> Iterator[str]:
    """What is wrong with the queries that the publisher of a table gives as examples."""
    for example in table.examples:
        try:
            translate(parse(example.query, version="2.1"), catalog, limit=1)
        except UsageError as error:
            yield f"{table.full_name}, example {example.name!r}: {error.message}"


def address_of(query: Query) -> str:
    """Where the query is answered as text, relative to the page."""
    return f"sync?{urlencode({'LANG': 'ADQL', 'QUERY': query.text, 'RESPONSEFORMAT': 'text/plain'})}"
