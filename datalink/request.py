"""The parameters of a request for links, as one value (DataLink 1.1, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from vo_service.config import Settings
from vo_service.dali.links import LINKS_TYPE
from vo_service.dali.parameters import Parameters
from vo_service.formats.registry import FormatChoice, find_format
from vo_service.formats.votable import VOTable

IDS_LIMIT = 1_000
"""Identifiers that one request may have answered; those beyond are left out, as an overflow."""


@dataclass(frozen=True, slots=True)
class LinksRequest:
    """What a client asks for: identifiers as they were sent, each once."""

    identifiers: tuple[str, ...]
    maxrec: int
    format: FormatChoice


def read_request(parameters: Parameters, settings: Settings) -> LinksRequest:
    """The request that the parameters make. Raises UsageError that names the parameter at fault."""
    identifiers = tuple(dict.fromkeys(value for value in parameters.all("ID") if value.strip()))
    return LinksRequest(
        identifiers=identifiers,
        maxrec=min(parameters.integer("MAXREC", low=0, default=settings.maxrec_default), settings.maxrec_limit),
        format=_format(parameters.one("RESPONSEFORMAT")),
    )


def _format(requested: str | None) -> FormatChoice:
    """VOTable is in TABLEDATA unless the request says otherwise, and its type tells that it has links."""
    choice = find_format(requested)
    if not isinstance(choice.format, VOTable) or choice.options.get("serialization"):
        return choice
    short = (requested or "").strip().lower()
    if short in ("votable/b", "votable/b2"):
        return choice
    is_named = "/" in short and short != "votable/td"
    return FormatChoice(
        choice.format, {**choice.options, "serialization": "TABLEDATA"}, choice.content_type if is_named else LINKS_TYPE
    )
