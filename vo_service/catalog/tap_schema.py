"""TAP_SCHEMA's description of itself (TAP 1.1, section 4): published like any other table, by `init`."""

from __future__ import annotations

from vo_service.catalog.model import TAP_SCHEMA, Column, ForeignKey, Schema, Table
from vo_service.catalog.store import LAST_SCHEMA, Connection, publish_schema, publish_table, renew_rows

_COLUMNS = {
    "schemas": """
        schema_name    | char | Schema name, as it is written in a query
        utype          | char | Data model path, if the schema corresponds to a data model
        description    | char | What the schema holds
        schema_index   | int  | Place in the recommended order of schemas
    """,
    "tables": """
        schema_name    | char | Schema that the table belongs to
        table_name     | char | Table name with its schema, as it is written in a query
        table_type     | char | One of table, view
        utype          | char | Data model path, if the table corresponds to a data model
        description    | char | What the table holds
        table_index    | int  | Place in the recommended order of the schema's tables
        nrows          | long | Number of rows; null where it is not known
    """,
    "columns": """
        table_name     | char | Table that the column belongs to
        column_name    | char | Column name, as it is written in a query
        datatype       | char | VOTable datatype
        arraysize      | char | VOTable arraysize; null for scalars
        xtype          | char | DALI or other extended type
        size           | int  | Length of fixed-size arrays; deprecated, use arraysize
        description    | char | What the column holds
        utype          | char | Data model path of the column
        unit           | char | Unit in VOUnits syntax
        ucd            | char | UCD of the column
        indexed        | int  | 1 if conditions on the column use an index, else 0
        principal      | int  | 1 if the column is one to look at first, else 0
        std            | int  | 1 if a standard defines the column, else 0
        column_index   | int  | Place in the recommended order of the table's columns
        min_value      | char | Smallest value of a column of numbers or times, infinities aside
        max_value      | char | Largest value of a column of numbers or times, infinities aside
        null_count     | long | Number of rows in which the value is missing; null where it is not known
    """,
    "keys": """
        key_id         | char | Identifier of the foreign key
        from_table     | char | Table that refers
        target_table   | char | Table that is referred to
        description    | char | What the relation means
        utype          | char | Data model path of the relation
    """,
    "key_columns": """
        key_id         | char | Foreign key that the pair of columns belongs to
        from_column    | char | Column of the referring table
        target_column  | char | Column of the table that is referred to
    """,
}

_DESCRIPTIONS = {
    "schemas": "The schemas of this service",
    "tables": "The tables of this service",
    "columns": "The columns of this service's tables",
    "keys": "Foreign keys between tables",
    "key_columns": "The columns that make up foreign keys",
}

_PRINCIPAL = frozenset({"schema_name", "table_name", "column_name", "description", "datatype", "unit", "ucd", "key_id"})

_OURS = frozenset({"nrows", "min_value", "max_value", "null_count"})
"""Columns that no standard knows; clients show them beside the others."""

_KEYS = (
    ("tables", "schema_name", "schemas", "schema_name"),
    ("columns", "table_name", "tables", "table_name"),
    ("keys", "from_table", "tables", "table_name"),
    ("keys", "target_table", "tables", "table_name"),
    ("key_columns", "key_id", "keys", "key_id"),
)
"""Table, column, and what they refer to."""


def _column(line: str) -> Column:
    name, datatype, description = (part.strip() for part in line.split("|"))
    return Column(
        name=name,
        datatype=datatype,
        arraysize="*" if datatype == "char" else None,
        description=description,
        principal=name in _PRINCIPAL,
        std=name not in _OURS,
    )


TABLES = tuple(
    Table(
        schema=TAP_SCHEMA,
        name=name,
        columns=tuple(_column(line) for line in lines.strip().splitlines()),
        description=_DESCRIPTIONS[name],
        table_index=index,
    )
    for index, (name, lines) in enumerate(_COLUMNS.items(), start=1)
)


def publish_tap_schema(connection: Connection) -> None:
    """Enter TAP_SCHEMA into the catalogue, and into it what an older version left out; a repetition changes nothing."""
    publish_schema(
        connection,
        Schema(
            TAP_SCHEMA, (), description="The service's description of its tables (TAP 1.1)", schema_index=LAST_SCHEMA
        ),
    )
    for table in TABLES:
        publish_table(connection, table, [_key(*key) for key in _KEYS if key[0] == table.name])
    renew_rows(connection)


def _key(source: str, column: str, target: str, target_column: str) -> ForeignKey:
    return ForeignKey(
        key_id=f"{TAP_SCHEMA}.{source}.{column}",
        from_table=f"{TAP_SCHEMA}.{source}",
        target_table=f"{TAP_SCHEMA}.{target}",
        columns=((column, target_column),),
        description=f"{column} of {source} is {target_column} of {target}",
    )
