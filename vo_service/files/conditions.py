"""What a request for a file asks of it: conditions (RFC 9110, section 13) and one range of bytes (section 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_TAG = re.compile(r'(?:W/)?"[^"]*"')


def refusal(headers: Mapping[str, str], etag: str, modified: datetime) -> int | None:
    """412 or 304 if a condition of the request says so, in the order of RFC 9110, section 13.2.2; None if none does.

    `etag` is a strong one, `modified` has whole seconds. Dates that are none are ignored.
    """
    if "if-match" in headers:
        is_expected = names_tag(headers["if-match"], etag, weakly=False)
    else:
        is_expected = not modified > _date(headers, "if-unmodified-since", modified)
    if not is_expected:
        return 412
    if "if-none-match" in headers:
        is_known = names_tag(headers["if-none-match"], etag, weakly=True)
    else:
        is_known = modified <= _date(headers, "if-modified-since", _LONG_AGO)
    return 304 if is_known else None


def wanted_range(headers: Mapping[str, str], etag: str, last_modified: str, size: int) -> tuple[int, int] | None:
    """The first byte that is asked for and the one after the last: equal, or the wrong way round, if there is none.

    None if the whole is asked for; so it is by other units, by several ranges, by what is no range (RFC 9110,
    sections 14.1.1 and 14.2), and where If-Range names another version.
    """
    asked = _RANGE.fullmatch(headers.get("range", "").strip())
    if asked is None or headers.get("if-range", etag) not in (etag, last_modified):
        return None
    first, last = asked.groups()
    if not first:
        return (max(0, size - int(last)), size) if last else None
    if not last:
        return int(first), size
    return (int(first), min(size, int(last) + 1)) if int(first) <= int(last) else None


def names_tag(listed: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of tags names this one; weak tags do so where they are compared weakly only (section 8.8.3.2)."""
    tags = _TAG.findall(listed)
    return listed.strip() == "*" or etag in tags or (weakly and f"W/{etag}" in tags)


def _date(headers: Mapping[str, str], name: str, default: datetime) -> datetime:
    """The date that a header tells; the default where it tells none."""
    try:
        found = parsedate_to_datetime(headers.get(name, ""))
    except (ValueError, OverflowError):
        return default
    return found if found.tzinfo else found.replace(tzinfo=UTC)
