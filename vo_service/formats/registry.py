"""The output formats, and how a request chooses one (DALI 1.1, section 3.4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from types import MappingProxyType

from vo_service.errors import UsageError
from vo_service.formats.arrow import Arrow
from vo_service.formats.base import Format, ResultTable, Writer
from vo_service.formats.delimited import Delimited
from vo_service.formats.fits import Fits
from vo_service.formats.hdf5 import Hdf5
from vo_service.formats.html import Html
from vo_service.formats.json import Json
from vo_service.formats.parquet import Parquet
from vo_service.formats.root import Root
from vo_service.formats.text import Text
from vo_service.formats.votable import VOTable

FORMATS: tuple[Format, ...] = (
    VOTable(
        mime_type="application/x-votable+xml",
        aliases=("votable", "votable/b2", "application/x-votable+xml;serialization=binary2", "text/xml"),
        serialization="BINARY2",
        ivoid="ivo://ivoa.net/std/TAPRegExt#output-votable-binary2",
    ),
    VOTable(
        mime_type="application/x-votable+xml;serialization=tabledata",
        aliases=("votable/td",),
        serialization="TABLEDATA",
        ivoid="ivo://ivoa.net/std/TAPRegExt#output-votable-td",
    ),
    VOTable(
        mime_type="application/x-votable+xml;serialization=binary",
        aliases=("votable/b",),
        serialization="BINARY",
        ivoid="ivo://ivoa.net/std/TAPRegExt#output-votable-binary",
    ),
    Delimited(",", mime_type="text/csv;header=present", aliases=("csv", "text/csv"), extension="csv"),
    Delimited("\t", mime_type="text/tab-separated-values", aliases=("tsv",), extension="tsv"),
    Json(),
    Fits(),
    Parquet(),
    Arrow(),
    Hdf5(),
    Root(),
    Html(),
    Text(),
)
"""All formats; the first is the one of requests that name none."""


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """A format as a request asked for it.

    Attributes
    ----------
    options
        MIME parameters of the request, names in lower case.
    content_type
        What the answer's Content-Type says: the type as requested, or the format's own if a short name was used.
    """

    format: Format
    options: Mapping[str, str]
    content_type: str

    def writer(self, table: ResultTable) -> Writer:
        """A writer for one result."""
        return self.format.writer(table, self.options)


@lru_cache(128)
def find_format(requested: str | None) -> FormatChoice:
    """The format that a value of RESPONSEFORMAT names: a short name or a MIME type, letter case ignored.

    None or an empty value is the default format. MIME parameters that a format does not know are ignored, as clients
    send some of their own. A plus sign that a client forgot to encode, and that arrives as a space, is understood.

    Raises UsageError that lists what there is.
    """
    if requested is None or not requested.strip():
        return FormatChoice(FORMATS[0], {}, FORMATS[0].mime_type)
    wanted = requested.strip().replace("x-votable xml", "x-votable+xml")
    essence, options = _parse(wanted)
    for format_ in FORMATS:
        if essence in (_parse(format_.mime_type)[0], *format_.aliases):
            return FormatChoice(format_, MappingProxyType(options), wanted if _is_mime(wanted) else format_.mime_type)
    raise UsageError(
        f"RESPONSEFORMAT={wanted}: expected one of {', '.join(f.mime_type for f in FORMATS)}, or one of the short names"
        f" {', '.join(a for f in FORMATS for a in f.aliases if '/' not in a or a.startswith('votable/'))}"
    )


def _is_mime(requested: str) -> bool:
    """Whether this is a MIME type, fit to be repeated in a header; short names are not, though some have a slash."""
    return (
        "/" in requested
        and not requested.lower().startswith("votable/")
        and requested.isascii()
        and requested.isprintable()
    )


def _parse(mime_type: str) -> tuple[str, dict[str, str]]:
    """Essence and parameters of a MIME type, in lower case."""
    if ";" not in mime_type and "=" not in mime_type:
        return mime_type.lower().strip(), {}
    message = Message()
    message["content-type"] = mime_type.lower()
    parameters = message.get_params() or [("", "")]
    return parameters[0][0].strip(), {name: value.strip() for name, value in parameters[1:] if name}
