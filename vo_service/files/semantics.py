"""What a linked file is to a table or row: the IVOA vocabulary of DataLink (DataLink 1.1, section 3.2.6)."""

from __future__ import annotations

import re

from vo_service.errors import UsageError

CORE = frozenset(
    """
    this progenitor derivation auxiliary weight error noise calibration bias dark flat preview preview-image
    preview-plot thumbnail proc cutout documentation detached-header coderived counterpart package
    """.split()
)
"""The terms of http://www.ivoa.net/rdf/datalink/core."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"]+")
_CORE_URI = "http://www.ivoa.net/rdf/datalink/core#"


def checked_semantics(term: str) -> str:
    """A term as documents have it: `#preview` for `preview`, or the whole URI of one in another vocabulary.

    Raises UsageError if it is neither a term of the core vocabulary nor a URI.
    """
    word = term.removeprefix(_CORE_URI).removeprefix("#")
    if word in CORE:
        return f"#{word}"
    if word == term and _URI.fullmatch(term):
        return term
    raise UsageError(
        f"semantics {term}: expected one of {', '.join('#' + known for known in sorted(CORE))}, or the whole URI of a"
        " term in another vocabulary"
    )
