"""A query ready for the database, and what its answer looks like: the value between translation and execution."""

from __future__ import annotations

from dataclasses import dataclass, replace

from psycopg.sql import Literal

from vo_service.catalog.model import Column, Table

FEW_ROWS = 300
"""Expected rows up to which each is best made of Python values; more of them are best read by numpy."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL to run as the reader, and the columns it returns.

    Attributes
    ----------
    sql
        One SELECT, complete: identifiers quoted, values as literals or, with `parameters`, as `%s` placeholders.
    columns
        One per output column, in order. The executor delivers Arrow arrays of exactly these types
        (`vo_service.database.arrow.arrow_type`).
    parameters
        Values of the placeholders. A statement with parameters is prepared and meant for answers of at most some
        thousand rows.
    sources
        The published tables that it reads.
    small
        Whether a small answer is expected, after little work. If it turns out not to be, the statement is run again as
        others are, without parameters.
    many
        Whether more than `FEW_ROWS` are expected of a statement with parameters.
    """

    sql: str
    columns: tuple[Column, ...]
    parameters: tuple[object, ...] = ()
    sources: tuple[Table, ...] = ()
    small: bool = False
    many: bool = False

    def at_length(self) -> Statement:
        """The statement for an answer that turned out not to be small: values in place of the placeholders."""
        # In parentheses, since a cast binds more tightly than a sign.
        values = tuple(f"({Literal(value).as_string()})" for value in self.parameters)
        sql = self.sql % values if values else self.sql
        return replace(self, sql=sql, parameters=(), small=False, many=False)
