"""The XPath that subscribers may filter by: a part of XPath 1.0 whose cost grows as the packet does. Pure.

An evaluation by libxml2 cannot be stopped, and a short expression can take hours on a large packet (`//*[//*[//*]]`).
Allowed is therefore only what looks at each element a fixed number of times:

    Expr       ::= And ('or' And)*
    And        ::= Comparison ('and' Comparison)*
    Comparison ::= Value (('=' | '!=' | '<' | '<=' | '>' | '>=') Value)?      a path on one side only
    Value      ::= Literal | Number | Function '(' (Expr (',' Expr)*)? ')' | '(' Expr ')' | Path
    Path       ::= ('/' | '//')? Step (('/' | '//') Step)*                    `//` once, and none inside of [ ]
    Step       ::= '.' | ('@'? (Name | '*') | 'text()') ('[' Expr ']')*       relative inside of [ ], only downwards
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from lxml import etree

from vo_service.errors import UsageError

LENGTH_LIMIT: Final = 1_000
"""Characters of an expression at most."""
DEPTH_LIMIT: Final = 8
"""Brackets and parentheses within each other at most."""

FUNCTIONS: Final = frozenset(
    "boolean ceiling contains count false floor last local-name name normalize-space not number position round"
    " starts-with string string-length substring sum true".split()
)

_TOKEN: Final = re.compile(
    r"""\s*(?: (?P<literal>"[^"]*"|'[^']*')
             | (?P<number>-?(?:\d+(?:\.\d*)?|\.\d+))
             | (?P<name>[^\W\d][\w.-]*)
             | (?P<sign>//|!=|<=|>=|[/@*.()\[\],=<>])
             | (?P<end>$))""",
    re.VERBOSE,
)
_COMPARISONS: Final = frozenset("= != < <= > >=".split())


class XPathError(UsageError):
    """An expression that is no XPath, or that is not of the part that is allowed."""


@lru_cache(maxsize=256)
def compile_xpath(expression: str) -> etree.XPath:
    """An expression, ready to be called with a tree. Raises XPathError."""
    if len(expression) > LENGTH_LIMIT:
        raise XPathError(f"The XPath filter has {len(expression)} characters; at most {LENGTH_LIMIT} are taken")
    _Check(expression).whole()
    try:
        return etree.XPath(expression, regexp=False, smart_strings=False)
    except etree.XPathSyntaxError as error:
        raise XPathError(f"Not an XPath expression: {error}: {expression}") from None


class _Check:
    """Reads an expression by the grammar above."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._position = 0
        self._within = 0
        self._depth = 0
        self._next()

    def whole(self) -> None:
        self._expr()
        if self._kind != "end":
            raise self._error("the end, or one of: or, and, =, !=, <, <=, >, >=")

    def _expr(self) -> bool:
        """Like the others, this tells whether what it has read is a bare path."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._error(f"at most {DEPTH_LIMIT} brackets within each other")
        bare = self._comparison()
        while self._take("or", "and"):
            self._comparison()
            bare = False
        self._depth -= 1
        return bare

    def _comparison(self) -> bool:
        left = self._value()
        if not self._take(*_COMPARISONS):
            return left
        if self._value() and left:
            raise self._error("a string or number to compare a path with")
        return False

    def _value(self) -> bool:
        if self._kind in ("literal", "number"):
            self._next()
            return False
        if self._take("("):
            bare = self._expr()
            self._need(")")
            return bare
        if self._kind == "name" and self._word != "text" and self._peek("("):
            self._function()
            return False
        self._path()
        return True

    def _function(self) -> None:
        if self._word not in FUNCTIONS:
            raise self._error(f"one of the functions {', '.join(sorted(FUNCTIONS))}")
        self._next()
        self._need("(")
        if self._take(")"):
            return
        self._expr()
        while self._take(","):
            self._expr()
        self._need(")")

    def _path(self) -> None:
        if self._within and self._word in ("/", "//"):
            raise self._error("a path from the element on (inside of [ ], none begins at the root)")
        everywhere = self._word == "//"
        self._take("/", "//")
        self._step()
        while self._word in ("/", "//"):
            if self._word == "//" and (everywhere or self._within):
                raise self._error("// no more than once in a path, and not inside of [ ]")
            everywhere = everywhere or self._word == "//"
            self._next()
            self._step()

    def _step(self) -> None:
        if self._take("."):
            return
        if self._word == "text" and self._peek("("):
            self._next()
            self._need("(")
            self._need(")")
        else:
            self._take("@")
            if not (self._kind == "name" or self._word == "*"):
                raise self._error("a name, *, @, . or text()")
            self._next()
        while self._take("["):
            self._within += 1
            self._expr()
            self._within -= 1
            self._need("]")

    def _next(self) -> None:
        match = _TOKEN.match(self._expression, self._position)
        if match is None or match.lastgroup is None:
            self._kind, self._word = "other", self._expression[self._position :].strip()[:1]
            raise self._error("XPath without axes, variables, arithmetic, unions and namespaces")
        self._kind, self._word = match.lastgroup, match[match.lastgroup]
        self._position = match.end()

    def _peek(self, sign: str) -> bool:
        return self._expression[self._position :].lstrip().startswith(sign)

    def _take(self, *tokens: str) -> bool:
        if self._kind in ("literal", "number") or self._word not in tokens:
            return False
        self._next()
        return True

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise self._error(token)

    def _error(self, expected: str) -> XPathError:
        found = "its end" if self._kind == "end" else repr(self._word)
        return XPathError(f"XPath filter, at {found}: expected {expected}: {self._expression}")
