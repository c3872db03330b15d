"""ADQL text to a typed tree: lexer, recursive-descent parser, errors with position. Pure."""
