"""ADQL text to tokens (ADQL 2.1, section 2.1): one regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tap.adql import hints
from tap.adql.errors import AdqlError
from vo_service.catalog.model import RESERVED_WORDS

Version: TypeAlias = Literal["2.0", "2.1"]

LENGTH_LIMIT = 200_000
"""Characters of a query at most: a list of ten thousand identifiers fits. Half a second is spent on so much."""

DEPTH_LIMIT = 64
"""Parentheses within parentheses at most: the parser and what follows it recurse, which Python allows for some more."""

_NEW_IN_2_1 = frozenset({"BIGINT", "ILIKE", "IN_UNIT", "OFFSET"})
"""Words that ADQL 2.0 does not reserve."""

_KEYWORDS: dict[Version, frozenset[str]] = {"2.1": RESERVED_WORDS, "2.0": RESERVED_WORDS - _NEW_IN_2_1}

_FORBIDDEN = re.compile("[\0\ud800-\udfff]")
"""Not even in strings and comments: no database stores them, and no encoding has the surrogates."""

_SPACE = r"(?:[ \t\r\n\f\v]++|--[^\n]*+)*+"

# Quantifiers are possessive (++, *+): there is one way to read a token, and no text makes the search go back far.
_TOKEN = re.compile(
    _SPACE
    + r"""(?:
        (?P<name>[A-Za-z][A-Za-z0-9_]*+)
      | (?P<number>(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)(?![A-Za-z0-9_.])
      | (?P<sign><>|!=|<=|>=|\|\||[()*,.<>=+;-]|/(?!\*))
      | (?P<string>'(?:[^']++|'')*+')
      | (?P<delimited>"(?:[^"]++|"")++")
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(slots=True)
class Token:
    """A token; `kind` is name, number, string, delimited or end, and the word or sign itself for keywords and signs.

    Keywords are in upper case; `text` of strings and delimited identifiers is without their quotes.
    """

    kind: str
    text: str
    at: int


def tokenize(text: str, version: Version) -> list[Token]:
    """The tokens of a query; the last is of kind "end". Raises AdqlError."""
    _check_text(text)
    keywords = _KEYWORDS[version]
    tokens: list[Token] = []
    place = depth = 0
    while True:
        match = _TOKEN.match(text, place)
        if match is None:
            raise _no_token(text, place)
        kind = match.lastgroup or ""
        value, at, begin, place = match[kind], match.start(kind), place, match.end()
        if kind == "name":
            upper = value.upper()
            tokens.append(Token(upper, upper, at) if upper in keywords else Token("name", value, at))
        elif kind == "sign":
            tokens.append(Token(value, value, at))
            depth += (value == "(") - (value == ")")
            if depth > DEPTH_LIMIT:
                raise AdqlError(f"The query is nested too deeply: at most {DEPTH_LIMIT} levels are accepted", text, at)
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


def _check_text(text: str) -> None:
    if len(text) > LENGTH_LIMIT:
        problem = f"The query has {len(text):,} characters; at most {LENGTH_LIMIT:,} are accepted"
        raise AdqlError(problem, text, LENGTH_LIMIT)
    if found := _FORBIDDEN.search(text):
        raise AdqlError(f"The character {_shown(found[0])} cannot be part of a query", text, found.start())


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
    hint = hints.CHARACTERS.get(character)
    if hint is None and character.isalpha():
        hint = 'Letters beyond A-Z are allowed in names that stand in double quotes: "name"'
    return AdqlError(f"The character {_shown(character)} has no meaning here", text, at, hint=hint)


def _shown(character: str) -> str:
    return character if character.isprintable() else f"U+{ord(character):04X}"
