"""The tables that a query speaks of, guessed from the query itself: so that any query can be run somewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tap.adql import tree
from vo_service.catalog.model import Catalog, Column, Position, Schema, Table

DEFAULT_SCHEMA = "pub"

_Name = tuple[str, str]


def guessed_catalog(query: tree.Query) -> Catalog:
    """Tables with the columns that the query uses: numbers, unless it treats them as strings or geometries."""
    nodes = list(_walk(query))
    tables = dict(_tables(nodes, {common.name.name.lower() for common in query.common_tables}))
    strings, points, regions = _names_by_use(nodes)
    schemas: dict[str, list[Table]] = defaultdict(list)
    for (schema, name), names in _columns(nodes, tables).items():
        columns = tuple(_column(n, n.lower() in strings, n.lower() in points, n.lower() in regions) for n in names)
        known = {column.name for column in columns if column.arraysize is None}
        position = Position("ra", "dec") if {"ra", "dec"} <= known else None
        schemas[schema].append(Table(schema, name, columns or (Column("x", "int"),), position=position))
    return Catalog(tuple(Schema(name, tuple(held)) for name, held in schemas.items()))


def _walk(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        for item in value:
            yield from _walk(item)
    elif type(value).__module__ == tree.__name__:
        yield value
        for name in getattr(value, "__slots__", ()):
            yield from _walk(getattr(value, name))


def _tables(nodes: list[object], common: set[str]) -> Iterator[tuple[str, _Name]]:
    """Names by which columns are qualified, and the table that each means."""
    for node in nodes:
        if isinstance(node, tree.NamedTable):
            *schema, name = [part.name for part in node.name.parts[-2:]]
            if schema and schema[0].lower().startswith("pg_"):
                continue  # nobody can make such a schema
            if schema or name.lower() not in common:
                full = ((schema or [DEFAULT_SCHEMA])[0].lower(), name)
                yield (node.alias.name if node.alias else name).lower(), full


def _columns(nodes: list[object], tables: dict[str, _Name]) -> dict[_Name, list[str]]:
    """Columns that no table is named for are put into the first one."""
    found: dict[_Name, dict[str, str]] = {}
    for full in tables.values():
        if not any(full[0] == s and full[1].lower() == n.lower() for s, n in found):
            found[full] = {}
    for node in nodes:
        if isinstance(node, tree.ColumnReference) and found:
            *qualifier, name = [part.name for part in node.parts[-2:]]
            table = tables.get(qualifier[0].lower()) if qualifier else next(iter(found))
            if table is not None and table in found:
                found[table].setdefault(name.lower(), name)
        if isinstance(node, tree.Join):
            for part in node.using:
                for names in found.values():
                    names.setdefault(part.name.lower(), part.name)
    return {table: list(names.values()) for table, names in found.items()}


_STRING_FUNCTIONS = ("ivo_hashlist_has", "ivo_hasword", "ivo_nocasematch")


def _names_by_use(nodes: list[object]) -> tuple[set[str], set[str], set[str]]:
    """Lower-case names of columns that are strings, points and regions, by what is done with them."""
    strings = [_strings_of(node) for node in nodes]
    regions = [_named(node.first, node.second) for node in nodes if isinstance(node, tree.GeometryPredicate)]
    points = [_named(node.first, node.second) for node in nodes if isinstance(node, tree.Distance)]
    points += [
        _named(node.geometry)
        for node in nodes
        if isinstance(node, tree.GeometryProperty | tree.CoordSys | tree.Centroid)
    ]
    return set().union(*strings), set().union(*points), set().union(*regions)


def _strings_of(node: object) -> set[str]:
    match node:
        case tree.Like():
            return _named(node.value, node.pattern)
        case tree.Comparison() if _is_text(node.left) or _is_text(node.right):
            return _named(node.left, node.right)
        case tree.InList() if _is_text(node.items[0]):
            return _named(node.value)
        case tree.Concatenation():
            return _named(*node.operands)
        case tree.StringFunction():
            return _named(*node.arguments)
        case tree.UserFunction() if node.name.lower() in _STRING_FUNCTIONS:
            return _named(*node.arguments)
        case _:
            return set()


def _named(*nodes: object) -> set[str]:
    return {node.parts[-1].name.lower() for node in nodes if isinstance(node, tree.ColumnReference)}


def _is_text(node: object) -> bool:
    return isinstance(node, tree.String | tree.StringFunction | tree.Concatenation)


def _column(name: str, is_string: bool, is_point: bool, is_region: bool) -> Column:
    if is_point:
        return Column(name, "double", arraysize="2", xtype="point")
    if is_region:
        return Column(name, "double", arraysize="*", xtype="polygon")
    return Column(name, "char", arraysize="*") if is_string else Column(name, "double")
