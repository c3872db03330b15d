"""A table beside another that is like it in all but its rows, and that takes its place.

What the service gives a table, and what an operator may have added by hand, is the same in both: columns with defaults,
checks and comments, storage settings, rights, indexes, keys. What holds on to the very table and would be lost (views,
triggers, foreign keys of other tables) is found before any work is done.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from vo_service.catalog.model import Table
from vo_service.errors import UsageError

Connection = psycopg.Connection[Any]

LONGEST_WAIT: Final = 0.2
"""Seconds for which queries of a table wait at most, whenever it is tried to exchange it."""

PAUSE: Final = 2.0
"""Seconds between two trials."""


class Duplicate:
    """The table that is to take the place of another one."""

    def __init__(self, table: Table) -> None:
        schema, name = table.sql_name
        # A name that no publisher would choose, and no other process of the service.
        working_name = f"~{hashlib.sha256(f'duplicate {name}'.encode()).hexdigest()[:16]}"
        self._names = {"schema": schema, "name": name, "copy": working_name}
        self.original: Final = sql.Identifier(schema, name)
        self.identifier: Final = sql.Identifier(schema, working_name)

    def check(self, connection: Connection) -> None:
        """Raises UsageError if the original has parts, or things depend on it that would not go over to a duplicate."""
        name = f"{self._names['schema']}.{self._names['name']}"
        if self._ask(connection, "SELECT 1 FROM subject WHERE relkind = 'p'"):
            raise UsageError(f"{name} is partitioned, so that it is not exchanged as a whole; CLUSTER its partitions")
        others = "SELECT pg_get_userbyid(relowner) FROM subject WHERE pg_get_userbyid(relowner) <> current_user"
        for (owner,) in self._ask(connection, others):
            raise UsageError(f"{name} belongs to the role {owner}; ALTER TABLE ... OWNER TO that of the writer first")
        found = [thing for (thing,) in self._ask(connection, _DEPENDENTS)]
        if found:
            raise UsageError(f"{name} cannot be exchanged for a copy, as something depends on it: {', '.join(found)}")

    def create(self, connection: Connection) -> None:
        """Create it without rows and indexes, in place of what an interrupted process may have left."""
        self.remove(connection)
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(self.identifier, self.original)
        )
        for (statement,) in self._ask(connection, _PROPERTIES):
            connection.execute(statement)

    def columns(self, connection: Connection) -> sql.Composed:
        """The columns that rows are made of: those that are not computed from others."""
        return sql.SQL(", ").join(sql.Identifier(name) for (name,) in self._ask(connection, _COLUMNS))

    def index(self, connection: Connection) -> None:
        """Create the indexes and keys that the original has, and tell the planner what the rows are like."""
        for (statement,) in [*self._ask(connection, _INDEXES), *self._ask(connection, _FOREIGN_KEYS)]:
            connection.execute(statement)
        connection.execute(sql.SQL("ANALYZE {}").format(self.identifier))

    def put_in_place(self, connection: Connection, waiting: Callable[[], None]) -> None:
        """Let it take the place of the original, whose rows are deleted; part of the caller's transaction.

        Queries of the original end undisturbed: until there is a moment without any, `waiting` is called again and
        again. Those that come meanwhile wait for LONGEST_WAIT at most.
        """
        renames = [statement for (statement,) in self._ask(connection, _INDEX_NAMES)]
        while not self._exchanged(connection, renames):
            waiting()
            time.sleep(PAUSE)

    def _exchanged(self, connection: Connection, renames: list[str]) -> bool:
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(int(1000 * LONGEST_WAIT)))
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self.original))
                connection.execute(sql.SQL("DROP TABLE {}").format(self.original))
                connection.execute(
                    sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.identifier, sql.Identifier(self._names["name"]))
                )
                for statement in renames:
                    connection.execute(statement.encode())
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def remove(self, connection: Connection) -> None:
        """Delete it if it is there."""
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.identifier))

    def _ask(self, connection: Connection, query: LiteralString) -> list[tuple[Any, ...]]:
        """Rows about the original; statements among them are about the duplicate."""
        return connection.execute(_SUBJECT + query, self._names).fetchall()


_SUBJECT: Final = """
    WITH subject AS (
        SELECT c.*, n.nspname AS schema, format('%%I.%%I', n.nspname, %(copy)s::text) AS duplicate
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND c.relname = %(name)s),
    indexes AS (
        SELECT s.*, i.indexrelid, k.oid AS key, x.relname AS index_name, obj_description(x.oid, 'pg_class') AS comment,
            format('%%s %%s', %(copy)s::text, row_number() OVER (ORDER BY x.oid)) AS working_name,
            CASE WHEN indisunique THEN 'UNIQUE INDEX' ELSE 'INDEX' END AS kind
        FROM subject s JOIN pg_index i ON i.indrelid = s.oid AND i.indisvalid JOIN pg_class x ON x.oid = i.indexrelid
            LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = s.oid AND k.contype IN ('p', 'u', 'x'))
"""
"""The original and its indexes. While there are both, the names of the duplicate's have to be others."""

_DEPENDENTS: Final = """
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0)
    FROM subject s JOIN pg_depend d
        ON (d.refclassid, d.refobjid) IN (('pg_class'::regclass, s.oid), ('pg_type'::regclass, s.reltype))
    WHERE NOT CASE d.classid
        WHEN 'pg_attrdef'::regclass THEN true
        WHEN 'pg_statistic_ext'::regclass THEN true
        WHEN 'pg_type'::regclass THEN d.deptype = 'i'
        WHEN 'pg_class'::regclass THEN (SELECT relkind IN ('i', 't') FROM pg_class WHERE oid = d.objid)
        WHEN 'pg_constraint'::regclass THEN
            (SELECT conrelid = s.oid AND confrelid <> s.oid FROM pg_constraint WHERE oid = d.objid)
        ELSE false END
    ORDER BY 1
"""

_COLUMNS: Final = """
    SELECT attname FROM subject s JOIN pg_attribute a ON a.attrelid = s.oid
    WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""

_PROPERTIES: Final = """
    SELECT format('ALTER TABLE %%s SET TABLESPACE %%I', duplicate, spcname)
    FROM subject s JOIN pg_tablespace t ON t.oid = s.reltablespace
    UNION ALL
    SELECT format('ALTER TABLE %%s SET (%%s = %%L)', duplicate, split_part(o, '=', 1), substr(o, strpos(o, '=') + 1))
    FROM subject, unnest(reloptions) o
    UNION ALL
    SELECT format('COMMENT ON TABLE %%s IS %%L', duplicate, obj_description(oid, 'pg_class')) FROM subject
    UNION ALL
    SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', duplicate, attname, attstattarget)
    FROM subject s JOIN pg_attribute a ON a.attrelid = s.oid WHERE attnum > 0 AND attstattarget >= 0
    UNION ALL
    SELECT format('GRANT %%s %%s ON %%s TO %%s %%s', privilege_type, of_column, duplicate,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END)
    FROM (
        SELECT duplicate, relowner, '' AS of_column, (aclexplode(relacl)).* FROM subject
        UNION ALL
        SELECT duplicate, relowner, format('(%%I)', attname), (aclexplode(attacl)).*
        FROM subject s JOIN pg_attribute a ON a.attrelid = s.oid
    ) rights WHERE grantee <> relowner
"""

_INDEXES: Final = """
    SELECT CASE
        WHEN key IS NOT NULL THEN format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s',
            duplicate, working_name, pg_get_constraintdef(key))
        ELSE format('CREATE %%s %%I ON %%s %%s', kind, working_name, duplicate, substr(pg_get_indexdef(indexrelid),
            length(format('CREATE %%s %%I ON %%I.%%I  ', kind, index_name, schema, relname)))) END
    FROM indexes
    UNION ALL
    SELECT format('COMMENT ON INDEX %%I.%%I IS %%L', schema, working_name, comment)
    FROM indexes WHERE comment IS NOT NULL
"""

_INDEX_NAMES: Final = (
    "SELECT format('ALTER INDEX %%I.%%I RENAME TO %%I', schema, working_name, index_name) FROM indexes"
)

_FOREIGN_KEYS: Final = """
    SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', duplicate, conname, pg_get_constraintdef(k.oid))
    FROM subject s JOIN pg_constraint k ON k.conrelid = s.oid AND k.contype = 'f'
"""
