"""A place in a list of tokens, and what every part of the parser asks of it."""

from __future__ import annotations

from collections.abc import Iterator

from tap.adql import hints
from tap.adql.errors import AdqlError
from tap.adql.lexer import Token, Version, tokenize
from tap.adql.tree import Identifier

NAMES = ("name", "delimited")
"""Kinds of tokens that are identifiers."""


class Cursor:
    """Reads tokens one after the other; makes the errors."""

    def __init__(self, text: str, version: Version) -> None:
        self.text = text
        self.version = version
        self.tokens = tokenize(text, version)
        self.token = self.tokens[0]
        self._index = 0
        self._query_parentheses: frozenset[int] | None = None

    def advance(self) -> Token:
        """Read the token here, and stand at the next."""
        token = self.token
        if token.kind != "end":
            self._index += 1
            self.token = self.tokens[self._index]
        return token

    def peek(self, ahead: int) -> Token:
        """The token so many places ahead; the end beyond it."""
        return self.tokens[min(self._index + ahead, len(self.tokens) - 1)]

    def at(self, kind: str) -> bool:
        """Whether a token of this kind stands here: a keyword, a sign, name, number, string, delimited or end."""
        return self.token.kind == kind

    def accept(self, kind: str) -> bool:
        """Read this keyword or sign if it stands here."""
        if self.token.kind == kind:
            self.advance()
            return True
        return False

    def expect(self, kind: str, expected: str | None = None) -> None:
        """Read this keyword or sign, which must stand here."""
        if not self.accept(kind):
            raise self.unexpected(expected or kind)

    def identifier(self, expected: str) -> Identifier:
        """`<regular_identifier> | <delimited_identifier>`"""
        token = self.token
        if token.kind not in NAMES:
            raise self.unexpected(expected)
        self.advance()
        return Identifier(token.text, token.kind == "delimited", token.at)

    def unsigned(self, expected: str) -> int:
        """`<unsigned_decimal>`"""
        token = self.token
        if token.kind != "number" or not token.text.isdigit():
            raise self.error(f"{expected}, written as an integer")
        if len(token.text) > 18:
            raise self.error("This number is too large")
        self.advance()
        return int(token.text)

    def encloses_query(self) -> bool:
        """Whether a parenthesis stands here that encloses a query, rather than an expression or joined tables."""
        if self.token.kind != "(":
            return False
        following = self.tokens[self._index + 1].kind
        if following != "(":
            return following == "SELECT"
        if self._query_parentheses is None:
            self._query_parentheses = _query_parentheses(self.tokens)
        return self._index in self._query_parentheses

    def only_in_2_1(self, what: str) -> None:
        if self.version == "2.0":
            raise self.error(f"{what} is not part of ADQL 2.0", hint="LANG=ADQL-2.1 (or ADQL) has it")

    def error(self, problem: str, at: int | None = None, *, hint: str | None = None) -> AdqlError:
        """An error at this token, or at another place."""
        return AdqlError(problem, self.text, self.token.at if at is None else at, hint=hint)

    def unexpected(self, expected: str) -> AdqlError:
        """The error that something else stands here than expected."""
        token = self.token
        before = self.tokens[self._index - 1] if self._index else Token("", "", 0)
        hint = hints.for_token(token.kind, token.text, (before.kind, before.text))
        if token.kind == "end":
            return self.error(f"The query ends too early: expected {expected}", hint=hint)
        shown = {"string": f"'{token.text}'", "delimited": f'"{token.text}"'}.get(token.kind, token.text)
        return self.error(f"Expected {expected}, found {shown[:60]}", hint=hint)


def _query_parentheses(tokens: list[Token]) -> frozenset[int]:
    """The parentheses that enclose a query, by index.

    Those before a SELECT do, and those around them, up to one that is followed by a name: that one is a derived table,
    and what stands around it are joined tables, as in `((SELECT ...) AS x JOIN t USING (a))`.
    """
    behind: dict[int, str] = {}
    for index, kind_behind in _parentheses(tokens):
        inner = index + 1
        if tokens[inner].kind == "SELECT" or behind.get(inner, "AS") not in (*NAMES, "AS"):
            behind[index] = kind_behind
    return frozenset(behind)


def _parentheses(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """Index of each opening parenthesis, and the kind of the token behind its end; inner ones before outer ones."""
    open_: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind == "(":
            open_.append(index)
        elif token.kind == ")" and open_:
            yield open_.pop(), tokens[index + 1].kind
    while open_:
        yield open_.pop(), "end"
