"""What a person may have meant where a query is wrong: sentences for the mistakes that other dialects teach."""

from __future__ import annotations

from tap.adql.tree import ColumnReference, Value

_STRAIGHT_QUOTES = "Strings stand between straight quotes: 'text'"
_STRAIGHT_DOUBLE_QUOTES = 'Names are delimited by straight double quotes: "name"'
_POWER = "Powers are written POWER(x, y)"
_COMMENTS = "Comments begin with -- and reach to the end of the line"

CHARACTERS = {
    "%": "The remainder of a division is MOD(a, b)",
    "[": "ADQL has no arrays",
    "&": "Conditions are joined by AND",
    "|": "Strings are joined by ||, conditions by OR",
    "!": "Unequal is written <> or !=",
    "^": _POWER,
    ":": "A type is changed by CAST(x AS type)",
    "#": _COMMENTS,
    "/": _COMMENTS,  # of /*
    "`": 'Names are delimited by double quotes: "name"',
    "_": 'A name begins with a letter; others are written in double quotes: "_name"',
    "\u00a0": "It is a no-break space; type a plain one",
    "\u2018": _STRAIGHT_QUOTES,
    "\u2019": _STRAIGHT_QUOTES,
    "\u201c": _STRAIGHT_DOUBLE_QUOTES,
    "\u201d": _STRAIGHT_DOUBLE_QUOTES,
    "\u2013": "It is a dash; the minus sign is -",
    "\u2212": "It is a typographic minus sign; type a plain -",
}
"""For characters that have no meaning in ADQL."""

_SIGNS = {
    ("=", "="): "Equality is written with one =",
    ("=", ">"): "Greater or equal is written >=",
    ("=", "<"): "Less or equal is written <=",
    ("*", "*"): _POWER,
}
"""For two signs in a row that ADQL does not know as one."""

_QUANTIFIERS = "Rows of another query are compared by IN or EXISTS"
_ROWS = "ADQL limits the number of rows by SELECT TOP n"

_WORDS = {
    **dict.fromkeys(("ALL", "ANY", "SOME"), _QUANTIFIERS),
    **dict.fromkeys(("FALSE", "TRUE"), "ADQL has no truth values"),
    **dict.fromkeys(("CASE", "NULLIF"), "ADQL has no CASE and NULLIF; see COALESCE and UNION"),
    "CROSS": "All pairs of rows of two tables are written FROM a, b",
    "ESCAPE": "LIKE in ADQL has no ESCAPE",
    "FETCH": _ROWS,
}
"""For words of SQL that ADQL reserves and has no use for."""

_STRUCTURE = frozenset(
    "AND AS ASC BETWEEN BY DESC EXISTS FROM FULL GROUP HAVING ILIKE IN INNER IS JOIN LEFT LIKE NATURAL NOT NULL ON OR"
    " ORDER RIGHT SELECT UNION USING WHERE WITH".split()
)
"""Words that are hardly ever meant as names."""


def for_token(kind: str, text: str, before: tuple[str, str]) -> str | None:
    """A hint on a token that should not stand where it does, and the one `before` it (empty at the beginning)."""
    if ("name", "LIMIT") in ((kind, text.upper()), (before[0], before[1].upper())):
        return _ROWS
    if not before[0]:
        return None if kind == "end" else "ADQL only reads: a query begins with SELECT or WITH"
    if before[0] == ";":
        return "A request is one query"
    if (before[0], kind) in _SIGNS:
        return _SIGNS[before[0], kind]
    if kind in _WORDS:
        return _WORDS[kind]
    if kind[0].isupper() and kind not in _STRUCTURE:
        return f'{kind} is a reserved word of ADQL: as a name it is written "{kind.lower()}"'
    return None


def for_argument(node: Value) -> str | None:
    """A hint on an argument where a string is needed: other dialects put strings in double quotes, too."""
    if isinstance(node, ColumnReference) and len(node.parts) == 1 and node.parts[0].delimited:
        return f"Double quotes delimit names; strings stand in single quotes: '{node.parts[0].name}'"
    return None
