"""What the names of a query mean: tables of the catalogue, columns of what stands in FROM.

Regular identifiers match regardless of letter case, delimited ones exactly (ADQL 2.1, section 2.1.4). A column that
FROM does not have is looked for in the query around a subquery, and so on outwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tap.adql.tree import Identifier, TableName
from tap.translate.bound import Entry, Expression, Reference
from tap.translate.refusal import RefusedError, did_you_mean
from vo_service.catalog.model import Catalog, Column, Table, adql_name


def same_name(identifier: Identifier, name: str) -> bool:
    """Whether an identifier of the query means this name."""
    return identifier.name == name or (not identifier.delimited and identifier.name.lower() == name.lower())


def find_table(catalog: Catalog, name: TableName) -> Table:
    """The published table of this name; its schema may be left out where no other schema has a table of the name."""
    if len(name.parts) > 2:
        raise RefusedError(f"There are no catalogues here; write {_written(name.parts[1:])}", name.at)
    *schema, table = name.parts
    if schema:
        known = catalog.table(schema[0].name, table.name)
        found = [known] if known and same_name(schema[0], known.schema) and same_name(table, known.name) else []
    else:
        found = [known for known in catalog.tables() if same_name(table, known.name)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(t.full_name for t in found)
        raise RefusedError(f"The table name {_written(name.parts)} is ambiguous: there are {names}", name.at)
    raise RefusedError(
        f"There is no table {_written(name.parts)}",
        name.at,
        _similar_table(name, catalog) or _where_tables_are(name),
    )


def _where_tables_are(name: TableName) -> str:
    if len(name.parts) == 2 and name.parts[0].name.upper() == "TAP_UPLOAD":
        return "Tables in TAP_UPLOAD come with the query: UPLOAD=name,param:part or UPLOAD=name,https://..."
    return "The tables are listed in TAP_SCHEMA.tables"


def _similar_table(name: TableName, catalog: Catalog) -> str | None:
    wanted = ".".join(part.name for part in name.parts[-2:])
    full = {f"{t.schema}.{t.name}": t.full_name for t in catalog.tables()}
    bare = {t.name: t.full_name for t in catalog.tables()}
    for known in (full, bare):
        hint = did_you_mean(wanted if known is full else name.parts[-1].name, known)
        if hint is not None:
            return hint
    return None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or subquery in FROM: what it may be called, and its columns.

    Attributes
    ----------
    alias
        Its name in SQL.
    names
        Its alias in the query; of a table without one, its schema and its name.
    columns
        With the names that the query may use.
    sql_names
        The names of the columns in SQL, unquoted.
    places
        Those of the columns, by their names in lower case.
    """

    alias: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    sql_names: tuple[str, ...]
    places: dict[str, list[int]] = field(compare=False)

    def is_called(self, qualifier: Sequence[Identifier]) -> bool:
        """Whether `qualifier.column` can mean a column of this one: `alias`, `table` or `schema.table`."""
        names = self.names[len(self.names) - len(qualifier) :]
        return len(qualifier) <= len(self.names) and all(map(same_name, qualifier, names))

    def reference(self, place: int, at: int) -> Reference:
        return Reference(self.alias, self.sql_names[place], self.columns[place], at)

    def find(self, identifier: Identifier) -> list[Expression]:
        """The columns of this name: more than one only where they differ by letter case and none matches exactly."""
        places = self.places.get(identifier.name.lower(), [])
        exact = [place for place in places if self.columns[place].name == identifier.name]
        return [self.reference(place, identifier.at) for place in (exact if exact or identifier.delimited else places)]

    def all_columns(self, at: int) -> list[Expression]:
        return [self.reference(place, at) for place in range(len(self.columns))]


@dataclass(frozen=True, slots=True)
class Rows:
    """What an item of FROM gives: the relations in it, and the columns that USING or NATURAL made one of.

    `merged` pairs such a column with the references that it hides.
    """

    entry: Entry
    relations: tuple[Relation, ...]
    merged: tuple[tuple[Expression, tuple[Reference, ...]], ...] = ()

    def find(self, identifier: Identifier) -> list[Expression]:
        """The columns that the name means without a qualifier."""
        found = [column for column, _ in self.merged if same_name(identifier, column.column.name)]
        if not self.merged:
            return [column for relation in self.relations for column in relation.find(identifier)]
        hidden = self._hidden()
        return found + [c for relation in self.relations for c in relation.find(identifier) if c not in hidden]

    def all_columns(self, at: int) -> list[Expression]:
        """The columns that `*` means, those of USING or NATURAL first."""
        hidden = self._hidden()
        rest = [c for relation in self.relations for c in relation.all_columns(at) if c not in hidden]
        return [column for column, _ in self.merged] + rest

    def _hidden(self) -> set[Expression]:
        return {reference for _, references in self.merged for reference in references}


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns that an expression can speak of: those of FROM, then those of the query around it."""

    rows: tuple[Rows, ...]
    outer: Scope | None = None

    def column(self, parts: tuple[Identifier, ...], at: int) -> Expression:
        """The column that a reference means. RefusedError if there is none, or more than one."""
        if len(parts) > 3:
            raise RefusedError(f"There are no catalogues here; write {_written(parts[1:])}", at)
        scope: Scope | None = self
        while scope is not None:
            found = scope.find(parts)
            if len(found) == 1:
                return found[0]
            if found:
                raise self._ambiguous(parts, found, at)
            scope = scope.outer
        raise self._unknown(parts, at)

    def find(self, parts: tuple[Identifier, ...]) -> list[Expression]:
        """All columns of this scope alone that a reference could mean."""
        *qualifier, name = parts
        if not qualifier:
            return [column for rows in self.rows for column in rows.find(name)]
        return [column for relation in self._called(qualifier) for column in relation.find(name)]

    def relation(self, table: TableName) -> Relation:
        """The entry of FROM that `table.*` means."""
        found = list(self._called(table.parts))
        if len(found) == 1:
            return found[0]
        if found:
            raise RefusedError(f"{_written(table.parts)} is ambiguous", table.at)
        known = [adql_name(relation.names[-1]) for relation in self._relations()]
        raise RefusedError(f"FROM has no table {_written(table.parts)}", table.at, _list("FROM has", known))

    def _called(self, qualifier: Sequence[Identifier]) -> Iterable[Relation]:
        return (relation for relation in self._relations() if relation.is_called(qualifier))

    def _relations(self) -> Iterable[Relation]:
        return (relation for rows in self.rows for relation in rows.relations)

    def _ambiguous(self, parts: tuple[Identifier, ...], found: list[Expression], at: int) -> RefusedError:
        aliases = {column.entry for column in found if isinstance(column, Reference)}
        owners = [relation for relation in self._everything() if relation.alias in aliases]
        if len(owners) == 1:
            names = " and ".join(f'"{column.column.name}"' for column in found)
            return RefusedError(f"The column {_written(parts)} is ambiguous: there are {names}", at)
        full = " or ".join(f"{'.'.join(map(adql_name, r.names))}.{_written(parts[-1:])}" for r in owners)
        return RefusedError(f"The column {_written(parts)} is ambiguous", at, f"Write {full}" if full else None)

    def _unknown(self, parts: tuple[Identifier, ...], at: int) -> RefusedError:
        *qualifier, name = parts
        owners = [r for r in self._everything() if not qualifier or r.is_called(qualifier)]
        if not owners:
            known = [adql_name(relation.names[-1]) for relation in self._everything()]
            return RefusedError(
                f"There is no table {_written(tuple(qualifier))} in FROM, or not one that can be used here",
                at,
                did_you_mean(qualifier[-1].name, known) or _list("Here are", known),
            )
        columns = {column.name: adql_name(column.name) for relation in owners for column in relation.columns}
        hint = did_you_mean(name.name, columns.values())
        if name.delimited and any(same_name(Identifier(name.name), column) for column in columns):
            hint = f"Names in double quotes must match in letter case. {hint or ''}".strip()
        where = f" in {_written(tuple(qualifier))}" if qualifier else ""
        return RefusedError(f"There is no column {_written((name,))}{where}", at, hint)

    def _everything(self) -> list[Relation]:
        """The relations of this scope and those around it."""
        scope: Scope | None = self
        relations: list[Relation] = []
        while scope is not None:
            relations += scope._relations()
            scope = scope.outer
        return relations


def _written(parts: Sequence[Identifier]) -> str:
    """As the query has it."""
    return ".".join('"' + p.name.replace('"', '""') + '"' if p.delimited else p.name for p in parts)


def _list(intro: str, names: Sequence[str]) -> str | None:
    return f"{intro} {', '.join(names)}" if names else None
