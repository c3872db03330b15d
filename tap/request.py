"""The parameters of a query, as one value (TAP 1.1, section 2.7; DALI 1.1, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vo_service.config import Settings
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.formats.registry import FormatChoice, find_format

Version = Literal["2.0", "2.1"]

LANGUAGES: dict[str, Version] = {"ADQL": "2.1", "ADQL-2.1": "2.1", "ADQL-2.0": "2.0"}
"""Values of LANG and the version of ADQL that each means. The first is the one without a version."""


@dataclass(frozen=True, slots=True)
class TapRequest:
    """What a client asks for.

    Attributes
    ----------
    query
        ADQL text.
    version
        The version of ADQL that it is written in.
    maxrec
        Rows of the answer at most: what the client asked for, or the default, never above the service's limit.
    format
        The output format, with its options.
    """

    query: str
    version: Version
    maxrec: int
    format: FormatChoice


def read_request(parameters: Parameters, settings: Settings) -> TapRequest:
    """The request that the parameters make.

    REQUEST is ignored, as TAP 1.1 asks (section 2.7.2 dropped it); so are parameters that TAP does not know.

    Raises UsageError that names the parameter at fault.
    """
    return TapRequest(
        query=_query(parameters),
        version=_version(parameters),
        maxrec=min(parameters.integer("MAXREC", low=0, default=settings.maxrec_default), settings.maxrec_limit),
        format=find_format(parameters.one("RESPONSEFORMAT") or parameters.one("FORMAT")),
    )


def _query(parameters: Parameters) -> str:
    query = parameters.one("QUERY")
    if query is None or not query.strip():
        raise UsageError("QUERY is missing: expected the text of an ADQL query")
    return query


def _version(parameters: Parameters) -> Version:
    language = parameters.one("LANG")
    if language is None:
        raise UsageError(f"LANG is missing: expected one of {', '.join(LANGUAGES)}")
    try:
        return LANGUAGES[language.upper()]
    except KeyError:
        raise UsageError(f"LANG={language}: expected one of {', '.join(LANGUAGES)}") from None
