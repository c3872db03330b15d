"""What the declaration of an ADQL function says, and the words to say it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vo_service.catalog.model import Column

ADQL_TYPES: Final = {
    "SMALLINT": Column("", "short"),
    "INTEGER": Column("", "int"),
    "BIGINT": Column("", "long"),
    "REAL": Column("", "float"),
    "DOUBLE PRECISION": Column("", "double"),
    "VARCHAR": Column("", "char", arraysize="*"),
    "TIMESTAMP": Column("", "char", arraysize="*", xtype="timestamp"),
    "POINT": Column("", "double", arraysize="2", xtype="point"),
    "CIRCLE": Column("", "double", arraysize="3", xtype="circle"),
    "POLYGON": Column("", "double", arraysize="*", xtype="polygon"),
    "MOC": Column("", "char", arraysize="*", xtype="moc"),
    "INTEGER[]": Column("", "int", arraysize="*"),
    "DOUBLE PRECISION[6]": Column("", "double", arraysize="6"),
}
"""The types of ADQL 2.1 (section 3) and of MOCs, and the arrays that functions give, as VOTable describes them."""

ResultRule = Callable[[Sequence[Column]], Column]
"""From the arguments, described as columns, to the description of the result."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function: its name and type.

    The type is one of `ADQL_TYPES`, or NUMERIC (any number), ORDERED (what can be put in order), GEOMETRY (a point,
    circle or polygon) or ANY. A type of floating-point numbers takes any number, one of integers any integer.
    """

    name: str
    type: str
    optional: bool = False
    within: tuple[int, int] | None = None
    """The least and the greatest value; what is not constant is checked by the database."""
    constant: bool = False
    """The value must be known without the database."""
    words: tuple[str, ...] = ()
    """The strings that the argument can be, written as such."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language, or one of the forms of a function that has several.

    Attributes
    ----------
    name
        As its standard writes it: functions of the language in upper case, user-defined ones in lower. A query may
        write it in any case.
    parameters
        Optional ones last.
    returns
        The ADQL type of the result for the signature; `result` decides the type of one call.
    description
        One sentence, for `/capabilities` and the documentation.
    sql
        PostgreSQL for a call: a template, or a function of the arguments' columns that gives it. `{0}`, `{1}` stand for
        the arguments, `{type}` for the SQL type of the result, `{distinct}` for `DISTINCT ` or nothing.
    result
        Type, unit and UCD of the result.
    aggregate
        True for a set function: it makes one value of many rows.
    feature
        Identifier (TAPRegExt) of the optional language feature that the function belongs to; None in the core.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    description: str
    sql: str | Callable[[Sequence[Column]], str]
    result: ResultRule
    aggregate: bool = False
    feature: str | None = None

    @property
    def signature(self) -> str:
        """As TAPRegExt and ADQL 2.1 (section 4.3.2) write it: `POWER(x DOUBLE PRECISION, ...) -> DOUBLE PRECISION`."""
        parameters = ", ".join(f"{p.name} {p.type}" for p in self.parameters)
        return f"{self.name}({parameters}) -> {self.returns}"

    @property
    def fewest(self) -> int:
        """How many arguments a call must have at least."""
        return sum(not p.optional for p in self.parameters)

    def template(self, arguments: Sequence[Column]) -> str:
        """The SQL template for these arguments."""
        return self.sql if isinstance(self.sql, str) else self.sql(arguments)


def fixed(adql_type: str, *, unit: str | None = None, ucd: str | None = None) -> ResultRule:
    """The result has this type, unit and UCD, whatever the arguments are."""
    column = replace(ADQL_TYPES[adql_type], unit=unit, ucd=ucd)
    return lambda arguments: column


def same_quantity(adql_type: str) -> ResultRule:
    """The result has this type, and is the same physical quantity as the first argument, in its unit."""
    column = ADQL_TYPES[adql_type]

    def rule(arguments: Sequence[Column]) -> Column:
        first = arguments[0]
        return replace(column, unit=first.unit, ucd=derived_ucd(first), description=first.description)

    return rule


def derived_ucd(column: Column) -> str | None:
    """The UCD of values computed from a column that are the same quantity, but not the main ones of their table."""
    if column.ucd is None:
        return None
    return ";".join(word for word in column.ucd.split(";") if word != "meta.main")
