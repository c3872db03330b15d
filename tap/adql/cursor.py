"""A place in a list of tokens, and what every part of the parser asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tap.adql.errors import AdqlError
from tap.adql.lexer import Token, Version, tokenize
from tap.adql.tree import Identifier

DEPTH_LIMIT = 64
"""Levels of nesting at most; the recursion of Python allows for some more."""


class Cursor:
    """Reads tokens one after the other; makes the errors."""

    def __init__(self, text: str, version: Version) -> None:
        self.text = text
        self.version = version
        self.tokens = tokenize(text, version)
        self.token = self.tokens[0]
        self._index = 0
        self._depth = 0
        self._closing: dict[int, int] | None = None

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

    def closing(self, ahead: int) -> int:
        """Index of the parenthesis that closes the one so many places ahead; that of the end if none does."""
        if self._closing is None:
            self._closing = _matching_parentheses(self.tokens)
        return self._closing.get(self._index + ahead, len(self.tokens) - 1)

    def at_keyword(self, word: str) -> bool:
        return self.token.kind == "keyword" and self.token.text == word

    def at_operator(self, text: str) -> bool:
        return self.token.kind == "operator" and self.token.text == text

    def accept_keyword(self, word: str) -> bool:
        """Read this keyword if it stands here."""
        if self.at_keyword(word):
            self.advance()
            return True
        return False

    def accept_operator(self, text: str) -> bool:
        """Read this operator if it stands here."""
        if self.at_operator(text):
            self.advance()
            return True
        return False

    def expect_keyword(self, word: str) -> None:
        if not self.accept_keyword(word):
            raise self.unexpected(word)

    def expect_operator(self, text: str, expected: str | None = None) -> None:
        if not self.accept_operator(text):
            raise self.unexpected(expected or text)

    def identifier(self, expected: str) -> Identifier:
        """`<regular_identifier> | <delimited_identifier>`"""
        token = self.token
        if token.kind not in ("name", "delimited"):
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

    @contextmanager
    def nested(self, levels: int = 1) -> Iterator[None]:
        """One level deeper (or several) while the block runs."""
        self._depth += levels
        if self._depth > DEPTH_LIMIT:
            raise self.error(f"The query is nested too deeply: at most {DEPTH_LIMIT} levels are accepted")
        yield
        self._depth -= levels

    def only_in_2_1(self, what: str) -> None:
        if self.version == "2.0":
            raise self.error(f"{what} is not part of ADQL 2.0", hint="LANG=ADQL-2.1 (or ADQL) has it")

    def error(self, problem: str, at: int | None = None, *, hint: str | None = None) -> AdqlError:
        """An error at this token, or at another place."""
        return AdqlError(problem, self.text, self.token.at if at is None else at, hint=hint)

    def unexpected(self, expected: str) -> AdqlError:
        """The error that something else stands here than expected."""
        token = self.token
        previous = self.tokens[self._index - 1] if self._index else None
        if token.kind == "end":
            return self.error(f"The query ends too early: expected {expected}")
        shown = {"string": f"'{token.text}'", "delimited": f'"{token.text}"'}.get(token.kind, token.text)
        return self.error(f"Expected {expected}, found {shown[:60]}", hint=_hint(previous, token))


def _matching_parentheses(tokens: list[Token]) -> dict[int, int]:
    open_, pairs = [], {}
    for index, token in enumerate(tokens):
        if token.kind == "operator" and token.text == "(":
            open_.append(index)
        elif token.kind == "operator" and token.text == ")" and open_:
            pairs[open_.pop()] = index
    return pairs


_STRUCTURE = frozenset(
    "AND AS BY CREATE DELETE DROP FROM GROUP HAVING INSERT JOIN NOT ON OR ORDER SELECT UNION UPDATE WHERE WITH".split()
)
"""Words that are hardly ever meant as names."""


def _hint(previous: Token | None, token: Token) -> str | None:
    """What a person may have meant."""
    if "LIMIT" in (token.text.upper(), previous.text.upper() if previous else ""):
        return "ADQL limits the number of rows by SELECT TOP n"
    if previous is not None and previous.text == ";":
        return "A request is one query"
    if token.kind == "keyword" and token.text not in _STRUCTURE:
        return f'{token.text} is a reserved word of ADQL: as a name it is written "{token.text.lower()}"'
    if token.kind == "operator" and token.text == "=" and previous is not None and previous.text == "=":
        return "Equality is written with one ="
    return None
