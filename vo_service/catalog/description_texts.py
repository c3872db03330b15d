"""Texts of a description that have a form: what is refused says what was expected."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from vo_service.addresses import is_web_url

_EMAIL: Final = r"[^\s@<>()\[\]\",:;\\]+@[^\s@<>()\[\]\",:;\\.]+(\.[^\s@<>()\[\]\",:;\\.]+)+"

_TIME_ORDERS: Final = 61
"""The deepest order of a time MOC; a cell of order 0 is half of its axis (MOC 2.0, section 3.3)."""


def check_name(text: str) -> str:
    """A name of a schema, table or column. One of dots alone would vanish from addresses (RFC 3986, section 5.2.4)."""
    if not text or len(text.encode()) > 63 or not text.isprintable() or "/" in text:
        raise ValueError(f"{text!r} cannot be a name: 1 to 63 bytes of printable text without a slash are expected")
    if not text.strip("."):
        raise ValueError(f"{text!r} cannot be a name: something else than dots is expected, as addresses lose these")
    return text


def check_words(text: str) -> str:
    """Something that can be read."""
    if not any(letter.isprintable() and not letter.isspace() for letter in text):
        raise ValueError("a text that is not blank is expected; leave the key out if there is nothing to say")
    return text


def check_url(text: str) -> str:
    """An address on the web."""
    if not is_web_url(text):
        raise ValueError(
            f"{text!r} is not as expected, for example https://example.org/data: a URL of http or https in the"
            " characters of RFC 3986; percent-encode all others (%C3%A4 for ä, %25 for %, %20 for a blank), and write"
            " host names in their ASCII form (xn--...)"
        )
    return text


def check_date(text: str) -> str:
    """A year, a month or a day that there is."""
    if re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", text):
        year, month, day = (int(part) for part in (text + "-01-01")[:10].split("-"))
        try:
            date(year, month, day)
        except ValueError as error:
            raise ValueError(f"{text!r} is no date of the calendar: {error}") from None
        return text
    raise ValueError(f"{text!r} is not as expected: a date as YYYY, YYYY-MM or YYYY-MM-DD, for example 2026-11-21")


def check_orcid(text: str) -> str:
    """An ORCID iD with its check character (ISO/IEC 7064, MOD 11-2)."""
    if not re.fullmatch(r"([0-9]{4}-){3}[0-9]{3}[0-9X]", text):
        raise ValueError(f"{text!r} is not as expected, for example 0000-0002-1825-0097")
    total = 0
    for digit in text[:-1].replace("-", ""):
        total = (total + int(digit)) * 2
    expected = "0123456789X"[(12 - total % 11) % 11]
    if text[-1] != expected:
        raise ValueError(
            f"{text!r} is no ORCID iD: {expected} is expected at its end (check character); is a digit wrong?"
        )
    return text


def check_email(text: str) -> str:
    """An e-mail address."""
    if not re.fullmatch(_EMAIL, text) or not text.isprintable():
        raise ValueError(f"{text!r} is no e-mail address; expected one such as desk@example.org")
    return text


def check_doi(text: str) -> str:
    """A DOI without anything before it."""
    if not re.fullmatch(r"10\.[0-9]{4,9}(\.[0-9]+)*/[^\s<>\"%]+", text) or not text.isprintable():
        raise ValueError(
            f"{text!r} is not as expected, for example 10.5281/zenodo.1234567: 10., four to nine digits, a slash, and"
            ' no blank, <, >, " or % after it'
        )
    return text


def check_time_moc(text: str) -> str:
    """A time MOC in ASCII with at least one cell (MOC 2.0, section 4.3.3)."""
    order, cells = None, 0
    for word in re.sub(r"(\d+/)\s*", r" \1 ", text).split():
        if re.fullmatch(r"[0-9]{1,2}/", word):
            order = int(word[:-1])
            if order > _TIME_ORDERS:
                raise _no_time_moc(text, f"orders are 0 to {_TIME_ORDERS}, not {order}")
        elif re.fullmatch(r"[0-9]{1,19}(-[0-9]{1,19})?", word) and order is not None:
            first, _, last = word.partition("-")
            _check_cells(text, order, int(first), int(last or first))
            cells += 1
        else:
            raise _no_time_moc(text, f"{word!r} is neither an order (30/) nor a cell or range of cells of one")
    if cells == 0:
        raise _no_time_moc(text, "there is no cell")
    return text


def _check_cells(text: str, order: int, first: int, last: int) -> None:
    if first > last:
        raise _no_time_moc(text, f"the range {first}-{last} descends")
    if last >= 2 << order:
        raise _no_time_moc(text, f"cells of order {order} are 0 to {(2 << order) - 1}, not {last}")


def _no_time_moc(text: str, reason: str) -> ValueError:
    return ValueError(f"{text!r} is no time MOC; expected one in ASCII such as 30/1024-1030: {reason}")
