"""The UPLOAD parameter (DALI 1.1, section 3.4.5; TAP 1.1, section 2.7.6): which tables come with a request.

    UPLOAD=name,param:part     the file in the part of a multipart/form-data body
    UPLOAD=name,https://...    a file that is fetched

UPLOAD may be repeated, and one value may hold several pairs, separated by semicolons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vo_service.catalog.model import RESERVED_WORDS
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError

UPLOADS_LIMIT = 20
"""Tables that may come with one request."""

NAME_LIMIT = 128
"""Characters that the name of a table may have."""

_EXPECTED = "expected NAME,param:PART or NAME,https://..."

# A URL may hold semicolons too: one ends a pair only if another pair begins after it.
_NAME = r'(?:"(?:[^"]|"")*"|[^\s,;"]+)'
_END = re.compile(rf";\s*(?={_NAME}\s*,\s*[A-Za-z][A-Za-z0-9+.-]*:)|[;\s]*$")
_PAIR = re.compile(rf"\s*({_NAME})\s*,\s*(([A-Za-z][A-Za-z0-9+.-]*):\S+)\s*")
_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Upload:
    """A table that comes with a request.

    Attributes
    ----------
    name
        The name of the table, unquoted.
    part, url
        Where its file is: the name of a part of the form, or an address. One of them is None.
    """

    name: str
    part: str | None = None
    url: str | None = None


def read_uploads(parameters: Parameters) -> tuple[Upload, ...]:
    """The tables that come with a request.

    Raises UsageError if a name or an address cannot be, a name is used twice, or a part is missing.
    """
    uploads = [_upload(pair, parameters) for value in parameters.all("UPLOAD") for pair in _pairs(value)]
    names = [upload.name.lower() for upload in uploads]
    for upload in uploads:
        if names.count(upload.name.lower()) > 1:
            raise UsageError(f"UPLOAD: two tables are called {upload.name} (letter case is no difference)")
    if len(uploads) > UPLOADS_LIMIT:
        raise UsageError(f"UPLOAD: {len(uploads)} tables come with the request, {UPLOADS_LIMIT} are accepted")
    return tuple(uploads)


def _pairs(value: str) -> Iterator[str]:
    """The pairs of one value; none, if it is blank."""
    place = 0
    while place < len(value):
        end = _END.search(value, place)
        last = end.start() if end else len(value)
        if value[place:last].strip():
            yield value[place:last]
        place = end.end() if end else last


def _upload(pair: str, parameters: Parameters) -> Upload:
    found = _PAIR.fullmatch(pair)
    if found is None:
        raise UsageError(f"UPLOAD={pair[:200]}: {_EXPECTED}")
    name, (address, scheme) = _table_name(found[1]), (found[2], found[3].lower())
    if scheme in ("http", "https"):
        return Upload(name, url=address)
    if scheme != "param":
        raise UsageError(f"UPLOAD={pair[:200]}: {scheme}: is not accepted; {_EXPECTED}")
    part = address.partition(":")[2]
    if part not in parameters.files:
        raise UsageError(f"UPLOAD={pair[:200]}: {_missing(part, parameters)}")
    return Upload(name, part=part)


def _table_name(written: str) -> str:
    """The name of a table as ADQL 2.1 (section 2.1.4) has it: a regular or delimited identifier."""
    if len(written) > NAME_LIMIT:
        raise UsageError(f"UPLOAD: the name of a table may have {NAME_LIMIT} characters; this one has {len(written)}")
    if written.startswith('"'):
        name = written[1:-1].replace('""', '"')
        if name:
            return name
    elif _REGULAR.fullmatch(written) and written.upper() not in RESERVED_WORDS:
        return written
    why = "it is a reserved word of ADQL" if written.upper() in RESERVED_WORDS else "it is no name in ADQL"
    raise UsageError(
        f"UPLOAD: a table cannot be called {written}, as {why}; expected a letter, then letters, digits and"
        ' underscores, without a schema; other names stand in double quotes ("...")'
    )


def _missing(part: str, parameters: Parameters) -> str:
    if parameters.all(part):
        return f"the part {part!r} is a text; expected a file, which has a filename in its Content-Disposition"
    there_is = f"there is {', '.join(map(repr, parameters.files))}" if parameters.files else "there is none"
    return f"the request has no file in a part called {part!r} (multipart/form-data); {there_is}"
