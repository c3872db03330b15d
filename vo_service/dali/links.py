"""Service descriptors by which a result leads to the links of its rows (DataLink 1.1, section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from vo_service.catalog.model import GROWING, Column, Table
from vo_service.formats.services import InputParameter, ServiceDescriptor

INTEGERS = {"unsignedByte": 16, "short": 16, "int": 32, "long": 64}
"""Bits of the integer types, in the database."""

OBSCORE = "ivoa"
"""The schema of ObsCore's tables, which lists the data sets of all others."""

PUBLISHER_DID = "obs_publisher_did"

LINKS = "ivo://ivoa.net/std/DataLink#links-1.1"

LINKS_TYPE = "application/x-votable+xml;content=datalink"
"""Of documents with links (DataLink 1.1, section 3.1)."""


def links_path(table: Table) -> str:
    """Address of the links of a table's rows, by their primary key alone; relative to the root."""
    return f"datalink/{table.path}"


def has_links(table: Table) -> bool:
    """Whether rows of the table have links: those of published data that an integer or a text identifies."""
    if table.primary_key is None or table.stored_as is not None or table.schema in GROWING:
        return False
    key = table.column(table.primary_key)
    return key.xtype is None and (key.is_string or (key.datatype in INTEGERS and key.arraysize is None))


def row_links(base: str, table: Table, key: str) -> ServiceDescriptor:
    """The service that has the links of a table's rows; `key` is the column of the result with their primary key."""
    prose = f"Files, previews, documents and services of rows of {table.schema}.{table.name}"
    return _links_service(f"links of {table.full_name}", f"{base}/{links_path(table)}", key, prose)


def dataset_links(base: str, column: str) -> ServiceDescriptor:
    """The service that has the links of data sets; `column` is the column of the result with their identifiers."""
    prose = "Files, previews, documents and services of data sets"
    return _links_service("links of data sets", f"{base}/datalink", column, prose)


def _links_service(name: str, url: str, column: str, description: str) -> ServiceDescriptor:
    return ServiceDescriptor(
        name=name,
        description=description,
        url=url,
        standard_id=LINKS,
        content_type=LINKS_TYPE,
        parameters=(InputParameter("ID", column=column, ucd="meta.id;meta.main"),),
    )


def query_links(base: str, sources: Iterable[Table], columns: Sequence[Column]) -> tuple[ServiceDescriptor, ...]:
    """The services for the result of a query: for each of its tables whose primary key is among the result's columns.

    In results of ObsCore the identifiers of data sets take its place. A column of a result is the key if it says the
    same of itself; where that holds for several columns or tables, nothing is said, as nobody can tell which is meant.
    """
    found = list(_found_once(tuple(sources), columns))
    observations = [column for table, column in found if table.schema == OBSCORE]
    rows = [row_links(base, table, column) for table, column in found if table.schema != OBSCORE]
    return (*rows, *(dataset_links(base, column) for column in observations[:1]))


def _found_once(sources: Sequence[Table], columns: Sequence[Column]) -> Iterator[tuple[Table, str]]:
    """The tables whose key is one column of a result, and the column's name."""
    keys = [(table, key) for table in sources if (key := _key(table)) is not None]
    names = [column.name for column in columns]
    for table, key in keys:
        named = [column.name for column in columns if _says_the_same(column, key)]
        alike = [other for _, other in keys if _says_the_same(other, key)]
        if len(alike) == 1 and len(named) == 1 and names.count(named[0]) == 1:
            yield table, named[0]


def _key(table: Table) -> Column | None:
    """The column by whose values rows of a table are asked for."""
    if table.schema == OBSCORE and table.stored_as is None:
        return next((column for column in table.columns if column.name == PUBLISHER_DID), None)
    return table.column(table.primary_key or "") if has_links(table) else None


def _says_the_same(column: Column, key: Column) -> bool:
    """Whether two columns are described alike, but for what a query may change."""
    return column is key or _description(column) == _description(key)


_description = attrgetter("datatype", "arraysize", "xtype", "unit", "ucd", "utype", "description")
