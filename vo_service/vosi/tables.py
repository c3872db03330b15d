"""The tables document (VOSI 1.1, section 4, and VODataService 1.2, section 3.3): what can be queried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vo_service.catalog.model import Catalog, Column, ForeignKey, Schema, Table, adql_name
from vo_service.vosi.documents import Element, add, root, serialise


def tableset_document(catalog: Catalog, *, detail: Literal["min", "max"]) -> bytes:
    """All schemas and tables; with `detail="max"` their columns and foreign keys too."""
    document = root("vtm", "tableset", "vs", "xsi")
    fill_tableset(document, catalog, catalog.schemas, columns=detail == "max")
    return serialise(document)


def fill_tableset(tableset: Element, catalog: Catalog, schemas: Iterable[Schema], *, columns: bool) -> None:
    """Append schemas of the catalogue, or parts of them, to a `vs:TableSet`."""
    for schema in schemas:
        element = add(tableset, "schema")
        add(element, "name", adql_name(schema.name))
        _add_optional(element, "description", schema.description)
        _add_optional(element, "utype", schema.utype)
        for table in schema.tables:
            _fill_table(add(element, "table", type=table.table_type), table, catalog, columns=columns)


def table_document(catalog: Catalog, table: Table) -> bytes:
    """One table with its columns and foreign keys."""
    document = root("vtm", "table", "vs", "xsi")
    document.set("type", table.table_type)
    _fill_table(document, table, catalog, columns=True)
    return serialise(document)


def _fill_table(element: Element, table: Table, catalog: Catalog, *, columns: bool) -> None:
    add(element, "name", table.full_name)
    _add_optional(element, "description", table.description)
    _add_optional(element, "utype", table.utype)
    if table.counted_rows is not None:
        add(element, "nrows", table.counted_rows)
    if not columns:
        return
    for column in table.columns:
        _add_column(element, column, primary=column.name == table.primary_key)
    for key in catalog.keys:
        if key.from_table == table.full_name:
            _add_key(element, key)


def _add_column(parent: Element, column: Column, *, primary: bool) -> None:
    element = add(parent, "column", std="true" if column.std else "false")
    add(element, "name", adql_name(column.name))
    for name in ("description", "unit", "ucd", "utype"):
        _add_optional(element, name, getattr(column, name))
    add(
        element,
        "dataType",
        column.datatype,
        type_="vs:VOTableType",
        arraysize=column.arraysize,
        extendedType=column.xtype,
    )
    for flag, applies in (("indexed", column.indexed), ("principal", column.principal), ("primary", primary)):
        if applies:
            add(element, "flag", flag)


def _add_key(parent: Element, key: ForeignKey) -> None:
    element = add(parent, "foreignKey")
    add(element, "targetTable", key.target_table)
    for source, target in key.columns:
        pair = add(element, "fkColumn")
        add(pair, "fromColumn", source)
        add(pair, "targetColumn", target)
    _add_optional(element, "description", key.description)
    _add_optional(element, "utype", key.utype)


def _add_optional(parent: Element, name: str, text: str | None) -> None:
    if text:
        add(parent, name, text)
