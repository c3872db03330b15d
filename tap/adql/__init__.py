"""ADQL text to a typed tree: lexer, recursive-descent parser, errors with position. Pure."""

from tap.adql.errors import AdqlError
from tap.adql.parser import parse

__all__ = ["AdqlError", "parse"]
