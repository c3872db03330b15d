"""ADQL text to tokens (ADQL 2.1, section 2.1): one regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tap.adql.errors import AdqlError
from vo_service.catalog.model import RESERVED_WORDS
from vo_service.errors import UsageError

Version: TypeAlias = Literal["2.0", "2.1"]

LENGTH_LIMIT = 1_000_000
"""Characters of a query at most: far beyond what people or programs write, far below what would strain the service."""

_NEW_IN_2_1 = frozenset({"BIGINT", "ILIKE", "IN_UNIT", "OFFSET"})
"""Words that ADQL 2.0 does not reserve."""

_KEYWORDS: dict[Version, frozenset[str]] = {"2.1": RESERVED_WORDS, "2.0": RESERVED_WORDS - _NEW_IN_2_1}

_SPACE = r"(?:[ \t\r\n\f\v]++|--[^\n]*+)*+"

# Quantifiers are possessive (++, *+): there is one way to read a token, and no text makes the search go back far.
_TOKEN = re.compile(
    _SPACE
    + r"""(?:
        (?P<name>[A-Za-z][A-Za-z0-9_]*+)
      | (?P<number>(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)(?![A-Za-z0-9_.])
      | (?P<operator><>|!=|<=|>=|\|\||[()*,./<>=+;-])
      | (?P<string>'(?:[^']++|'')*+')
      | (?P<delimited>"(?:[^"]++|"")++")
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


@dataclass(slots=True)
class Token:
    """A token; `kind` is name, keyword, operator, number, string, delimited or end.

    `text` of a keyword is in upper case, that of strings and delimited identifiers without their quotes.
    """

    kind: str
    text: str
    at: int


def tokenize(text: str, version: Version) -> list[Token]:
    """The tokens of a query; the last is of kind "end". Raises AdqlError, and UsageError for a query too long to read."""
    if len(text) > LENGTH_LIMIT:
        raise UsageError(f"The query has {len(text):,} characters; at most {LENGTH_LIMIT:,} are accepted")
    keywords = _KEYWORDS[version]
    tokens: list[Token] = []
    place = 0
    while True:
        match = _TOKEN.match(text, place)
        if match is None:
            raise _no_token(text, place)
        kind = match.lastgroup or ""
        value, at, begin, place = match[kind], match.start(kind), place, match.end()
        if kind == "name":
            upper = value.upper()
            tokens.append(Token("keyword", upper, at) if upper in keywords else Token("name", value, at))
        elif kind == "string":
            value = value[1:-1].replace("''", "'")
            if tokens and tokens[-1].kind == "string" and "\n" in text[begin:at]:
                tokens[-1].text += value  # SQL-92, 5.3: strings on successive lines are one
            else:
                tokens.append(Token("string", value, at))
        elif kind == "delimited":
            tokens.append(Token("delimited", value[1:-1].replace('""', '"'), at))
        else:
            tokens.append(Token(kind, value, at))
            if kind == "end":
                return tokens


_HINTS = {
    "%": "The remainder of a division is MOD(a, b)",
    "[": "ADQL has no arrays",
    "&": "Conditions are joined by AND",
    "|": "Strings are joined by ||, conditions by OR",
    "`": 'Names are delimited by double quotes: "name"',
    "\u00a0": "It is a no-break space; type a plain one",
    "\u2018": "Strings stand between straight quotes: 'text'",
    "\u2019": "Strings stand between straight quotes: 'text'",
    "\u201c": 'Names are delimited by straight double quotes: "name"',
    "\u201d": 'Names are delimited by straight double quotes: "name"',
    "_": 'A name begins with a letter; others are written in double quotes: "_name"',
}


def _no_token(text: str, place: int) -> AdqlError:
    at = place + len(re.match(_SPACE, text[place:])[0])  # type: ignore[index]
    character = text[at]
    if character == "'":
        return AdqlError("This string has no closing quote '", text, at, hint="A quote within a string is doubled: ''")
    if character == '"':
        problem = "A name cannot be empty" if text[at : at + 2] == '""' else 'This name has no closing quote "'
        return AdqlError(problem, text, at)
    if (character.isascii() and character.isdigit()) or character == ".":
        return AdqlError("This is neither a number nor a name", text, at, hint="A name begins with a letter")
    hint = _HINTS.get(character)
    if hint is None and character.isalpha():
        hint = 'Letters beyond A-Z are allowed in names that stand in double quotes: "name"'
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return AdqlError(f"The character {shown} has no meaning here", text, at, hint=hint)
