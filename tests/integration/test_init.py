"""`schema.sql`: what it makes, that it may be run again, and who may do what afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.database import SECRET, execute, new_database
from vo_service.catalog.model import Column, Schema, Table
from vo_service.catalog.store import publish_schema, publish_table, withdraw_table
from vo_service.database.access import Access, derive_access
from vo_service.database.init import initialise, schema_sql
from vo_service.errors import ConfigurationError, UnavailableError

# TAP 1.1, tables 2 to 6, and the order of rows in tables 7 to 9; behind those our own.
TAP_SCHEMA = {
    "schemas": "schema_name utype description schema_index",
    "tables": "schema_name table_name table_type utype description table_index nrows",
    "columns": "table_name column_name datatype arraysize xtype size description utype unit ucd indexed principal std"
    " column_index min_value max_value null_count",
    "keys": "key_id from_table target_table description utype",
    "key_columns": "key_id from_column target_column",
}

SNAPSHOT = (
    "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
    "SELECT c.oid, c.relfilenode, relname, relacl::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname IN ('tap_schema', 'vo_service') ORDER BY 1",
    "SELECT conrelid, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2",
    "SELECT tgrelid, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
    "SELECT oid, proname, prosrc, proconfig FROM pg_proc p WHERE pronamespace = 'vo_service'::regnamespace ORDER BY 1",
    "SELECT datacl::text FROM pg_database WHERE datname = current_database()",
    "SELECT rolname, rolsuper, rolcanlogin, rolconfig FROM pg_roles WHERE rolname ~ ('^' || current_database() || '_')"
    " ORDER BY 1",
    *(f"SELECT t::text, xmin::text FROM {table} t ORDER BY 1" for table in (*map("tap_schema.{}".format, TAP_SCHEMA),)),
    *(
        f"SELECT t::text, xmin::text FROM vo_service.{table} t ORDER BY 1"
        for table in ("schema_version", "catalog_version", "published_schema", "published_table")
    ),
)
"""All that `init` makes, down to the transactions that wrote the rows."""


def snapshot(access: Access) -> list[list[tuple[object, ...]]]:
    return [execute(access.owner.conninfo, query) for query in SNAPSHOT]


@contextmanager
def plain_role(server: Access, attributes: str = "") -> Iterator[tuple[str, str]]:
    """A role without privileges but `attributes`; gives its name and password."""
    name = f"role_{secrets.token_hex(6)}"
    execute(server.owner.conninfo, f"CREATE ROLE {name} LOGIN PASSWORD 'abc' {attributes}")
    try:
        yield name, "abc"
    finally:
        execute(server.owner.conninfo, f"DROP ROLE {name}")


@contextmanager
def owned_by_plain_role(server: Access, attributes: str) -> Iterator[tuple[Access, Access]]:
    """A new database whose owner has no privileges but `attributes`: access as the owner, and as the superuser."""
    with plain_role(server, attributes) as (name, password), new_database(server) as superuser:
        database = superuser.database
        execute(superuser.owner.conninfo, f"ALTER DATABASE {database} OWNER TO {name}")
        try:
            yield (
                derive_access(make_conninfo(superuser.owner.conninfo, user=name, password=password), SECRET),
                superuser,
            )
        finally:
            for role in ("writer", "reader"):
                # Dropped here: while its creator exists.
                drop = f"DO $$ BEGIN IF to_regrole('{database}_{role}') IS NOT NULL THEN"
                execute(superuser.owner.conninfo, f"{drop} DROP OWNED BY {database}_{role} CASCADE; END IF; END $$")
                execute(superuser.owner.conninfo, f"DROP ROLE IF EXISTS {database}_{role}")
            execute(superuser.owner.conninfo, f"REASSIGN OWNED BY {name} TO {superuser.owner.name}")
            execute(superuser.owner.conninfo, f"DROP OWNED BY {name}")


def test_tap_schema_has_the_columns_of_the_standard(each_access: Access) -> None:
    rows = execute(
        each_access.reader.conninfo,
        "SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns"
        " WHERE table_schema = 'tap_schema' GROUP BY 1",
    )
    assert dict(rows) == TAP_SCHEMA


def test_tap_schema_describes_itself(each_access: Access) -> None:
    rows = execute(
        each_access.reader.conninfo,
        "SELECT table_name, string_agg(column_name, ' ' ORDER BY column_index) FROM tap_schema.columns"
        " WHERE table_name LIKE 'tap_schema.%%' GROUP BY 1",
    )
    # "size" is a reserved word, and written as in a query.
    expected = {f"tap_schema.{table}": columns.replace(" size ", ' "size" ') for table, columns in TAP_SCHEMA.items()}
    assert dict(rows) == expected


def test_flags_are_zero_or_one(each_access: Access) -> None:
    for value in ("2", "NULL"):
        with pytest.raises(psycopg.errors.IntegrityError):
            execute(
                each_access.writer.conninfo,
                "INSERT INTO tap_schema.columns (table_name, column_name, datatype, indexed, principal, std)"
                f" VALUES ('tap_schema.tables', 'extra', 'int', 0, 0, {value})",
            )


def test_running_it_again_changes_nothing(empty_access: Access) -> None:
    initialise(empty_access)
    once = snapshot(empty_access)
    initialise(empty_access)
    assert snapshot(empty_access) == once


def test_two_at_once_do_not_meet(empty_access: Access) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(initialise, [empty_access] * 4))
    assert execute(empty_access.owner.conninfo, "SELECT version FROM vo_service.schema_version") == [(1,)]


def test_older_version_is_raised_newer_one_refused(empty_access: Access) -> None:
    initialise(empty_access)
    owner = empty_access.owner.conninfo
    execute(owner, "UPDATE vo_service.schema_version SET version = 0")
    initialise(empty_access)
    assert execute(owner, "SELECT version FROM vo_service.schema_version") == [(1,)]
    execute(owner, "UPDATE vo_service.schema_version SET version = 99")
    with pytest.raises(ConfigurationError, match=r"newer vo-service \(version 99 .* knows 1\)"):
        initialise(empty_access)


def test_lost_parts_are_made_again(empty_access: Access) -> None:
    initialise(empty_access)
    whole = snapshot(empty_access)
    owner = empty_access.owner.conninfo
    execute(owner, f"ALTER ROLE {empty_access.reader.name} PASSWORD 'changed'")
    execute(owner, f"GRANT CONNECT ON DATABASE {empty_access.database} TO PUBLIC")
    execute(owner, "DROP TRIGGER announce ON vo_service.published_table")
    initialise(empty_access)
    assert len(execute(owner, SNAPSHOT[3])) == len(whole[3])
    assert execute(owner, SNAPSHOT[5]) == whole[5]
    assert execute(empty_access.reader.conninfo, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM vo_service.catalog_version",
        "SELECT * FROM vo_service.published_table",
        "SELECT * FROM public.secret",
        "SELECT * FROM data.unpublished",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY tap_schema.tables TO '/tmp/tables'",
        "INSERT INTO tap_schema.schemas (schema_name) VALUES ('x')",
        "SET default_transaction_read_only = off; DELETE FROM tap_schema.schemas",
        "SET default_transaction_read_only = off; CREATE TEMPORARY TABLE t ()",
        "SET default_transaction_read_only = off; CREATE TABLE public.t ()",
        "SET default_transaction_read_only = off; CREATE TABLE tap_schema.t ()",
        "SET default_transaction_read_only = off; CREATE SCHEMA mine",
        "SET default_transaction_read_only = off; CREATE ROLE mine",
        "SET ROLE {writer}",
        "ALTER ROLE {writer} PASSWORD 'x'",
    ],
)
def test_reader_may_not(statement: str, each_access: Access) -> None:
    execute(each_access.owner.conninfo, "CREATE TABLE IF NOT EXISTS public.secret ()")
    execute(each_access.writer.conninfo, "CREATE SCHEMA IF NOT EXISTS data")
    execute(each_access.writer.conninfo, "CREATE TABLE IF NOT EXISTS data.unpublished ()")
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
        execute(each_access.reader.conninfo, statement.replace("{writer}", each_access.writer.name))


def test_reader_is_read_only_and_limited(each_access: Access) -> None:
    settings = (
        "default_transaction_read_only statement_timeout idle_in_transaction_session_timeout jit TimeZone".split()
    )
    values = [execute(each_access.reader.conninfo, f"SHOW {name}")[0][0] for name in settings]
    assert values == ["on", "1h", "1min", "off", "UTC"]


def test_reader_reads_what_the_writer_publishes(each_access: Access) -> None:
    writer, reader = each_access.writer, each_access.reader
    execute(writer.conninfo, "CREATE SCHEMA published")
    execute(writer.conninfo, "CREATE TABLE published.events AS SELECT 5 AS n")
    execute(writer.conninfo, f"GRANT USAGE ON SCHEMA published TO {reader.name}")
    execute(writer.conninfo, f"GRANT SELECT ON published.events TO {reader.name}")
    assert execute(reader.conninfo, "SELECT n FROM published.events") == [(5,)]


@pytest.mark.parametrize("statement", ["CREATE ROLE mine", "DROP TABLE tap_schema.tables", "CREATE TABLE public.t ()"])
def test_writer_may_not(statement: str, each_access: Access) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(each_access.writer.conninfo, statement)


def test_nobody_else_may_connect(each_access: Access) -> None:
    with (
        plain_role(each_access) as (name, password),
        pytest.raises(psycopg.OperationalError, match="permission denied"),
    ):
        psycopg.connect(each_access.owner.conninfo, user=name, password=password)


def test_changes_of_the_catalogue_are_counted_and_announced(empty_access: Access) -> None:
    initialise(empty_access)
    table = Table("s", "t", (Column("x", "double"),))
    with (
        psycopg.connect(empty_access.reader.conninfo, autocommit=True) as listener,
        psycopg.connect(empty_access.writer.conninfo) as connection,
    ):
        listener.execute("LISTEN vo_catalog")

        def after(change: str) -> tuple[int, list[str]]:
            connection.commit()
            row = connection.execute("SELECT version FROM vo_service.catalog_version").fetchone()
            assert row is not None, change
            return row[0], [note.payload for note in listener.notifies(timeout=0.2)]

        before, _ = after("nothing")
        publish_schema(connection, Schema("s", ()))
        publish_table(connection, table)
        published, announced = after("publishing")
        assert published > before
        assert announced[-1] == str(published)
        publish_schema(connection, Schema("s", ()))
        publish_table(connection, table)
        assert after("a repetition") == (published, [])
        publish_table(connection, Table("s", "u", table.columns))
        connection.rollback()
        assert after("a rollback") == (published, [])
        withdraw_table(connection, table)
        withdrawn, announced = after("withdrawal")
        assert withdrawn > published
        assert announced[-1] == str(withdrawn)


def test_tables_do_not_differ_by_case_alone(each_access: Access) -> None:
    with psycopg.connect(each_access.writer.conninfo) as connection:
        publish_schema(connection, Schema("case", ()))
        publish_table(connection, Table("case", "Events", ()))
        with pytest.raises(psycopg.errors.UniqueViolation):
            publish_table(connection, Table("case", "events", ()))
        connection.rollback()


def test_owner_need_not_be_a_superuser(each_server: Access) -> None:
    with owned_by_plain_role(each_server, "CREATEROLE") as (access, superuser):
        # As before PostgreSQL 15: the schema is not the owner's.
        execute(superuser.owner.conninfo, f"ALTER SCHEMA public OWNER TO {superuser.owner.name}")
        with pytest.raises(ConfigurationError, match=r"as a superuser .*: REVOKE ALL ON SCHEMA public FROM PUBLIC"):
            initialise(access)
        execute(superuser.owner.conninfo, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
        initialise(access)
        once = snapshot(access)
        initialise(access)
        assert snapshot(access) == once
        assert execute(access.reader.conninfo, "SELECT count(*) FROM tap_schema.tables") == [(5,)]


def test_owner_without_the_right_to_make_roles_is_told_what_to_run(each_server: Access) -> None:
    words = "Run as a superuser: ALTER ROLE role_.* CREATEROLE"
    with owned_by_plain_role(each_server, "") as (access, _), pytest.raises(ConfigurationError, match=words):
        initialise(access)


def test_who_does_not_own_the_database_is_told_what_to_run(empty_access: Access) -> None:
    with plain_role(empty_access) as (name, password):
        stranger = derive_access(make_conninfo(empty_access.owner.conninfo, user=name, password=password))
        with pytest.raises(ConfigurationError, match=rf"ALTER DATABASE test_\w+ OWNER TO {name}"):
            initialise(stranger)


def test_roles_kept_by_somebody_else_are_used_as_they_are(each_server: Access) -> None:
    with owned_by_plain_role(each_server, "") as (access, superuser):
        for role in (access.writer, access.reader):
            execute(superuser.owner.conninfo, f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}'")
        initialise(access)
        execute(superuser.owner.conninfo, f"ALTER ROLE {access.reader.name} PASSWORD 'other'")
        with pytest.raises(ConfigurationError, match=f"role {access.reader.name} exists, but cannot log in"):
            initialise(access)


def test_powerful_reader_is_refused(empty_access: Access) -> None:
    initialise(empty_access)
    execute(empty_access.owner.conninfo, f"ALTER ROLE {empty_access.reader.name} SUPERUSER")
    with pytest.raises(ConfigurationError, match=f"{empty_access.reader.name} .* NOSUPERUSER"):
        initialise(empty_access)


def test_other_encodings_are_refused(each_server: Access) -> None:
    name = f"test_{secrets.token_hex(6)}"
    owner = each_server.owner.conninfo
    execute(owner, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with pytest.raises(ConfigurationError, match=r"SQL_ASCII.*UTF8"):
            initialise(derive_access(make_conninfo(owner, dbname=name)))
    finally:
        execute(owner, f"DROP DATABASE {name}")


def test_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=str(tmp_path)):
        initialise(derive_access(f"host={tmp_path} dbname=d user=u password=p"))


def test_passwords_depend_on_secret_role_and_nothing_else() -> None:
    def password(url: str, secret: str | None = None) -> str:
        return derive_access(url, secret).reader.password

    url = "postgresql://owner:secret@host/archive"
    access = derive_access(url)
    assert (access.owner.name, access.writer.name, access.reader.name) == ("owner", "archive_writer", "archive_reader")
    assert access.writer.password != access.reader.password
    assert "secret" not in repr(access)
    assert password(url) == password("postgresql://owner:secret@elsewhere:1234/archive?sslmode=require")
    assert password(url) == password("postgresql://other@host/archive", "secret")
    assert password(url) != password(url, "another secret")
    assert password(url) != password("postgresql://owner:secret@host/archive2")
    assert "sslmode=require" in derive_access(url + "?sslmode=require").reader.conninfo


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres//owner:hidden@host/db", "expected postgresql://OWNER:PASSWORD@HOST/DATABASE"),
        ("postgresql://owner:hidden@host", "database or of its owner is missing"),
        ("postgresql://host/db", "database or of its owner is missing"),
        ("postgresql://owner@host/db", "VO_SERVICE_ROLE_SECRET"),
        (f"postgresql://owner:hidden@host/{'d' * 60}", "too long"),
    ],
)
def test_connection_strings_that_cannot_work_are_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        derive_access(url)
    assert "hidden" not in caught.value.message


def test_text_of_the_schema_is_found() -> None:
    top = Path(__file__).resolve().parents[2] / "schema.sql"
    assert schema_sql() == top.read_text(encoding="utf-8")
