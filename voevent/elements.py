"""XML of others, parsed with care, and elements found by their local names: namespaces of VOEvent differ by version."""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Iterator
from typing import Final, NoReturn

from lxml import etree

from vo_service.errors import UsageError

MARKUP_LIMIT: Final = 50_000
"""Tags and attributes of a packet at most, counted as `<` and `=`: to read more takes seconds, and others wait."""

DEPTH_LIMIT: Final = 32
"""Elements within each other at most: who filters by the text of each element reads all text so many times."""

_TOO_DEEP: Final = etree.XPath(f"boolean({'/*' * (DEPTH_LIMIT + 1)})")


class PacketError(UsageError):
    """Bytes that are not a VOEvent, or that are not safe to read as one."""


def parse(raw: bytes) -> etree._Element:
    """The tree, without comments and processing instructions.

    A DOCTYPE is refused before lxml sees it: entities could grow, or name files.

    Raises PacketError if it is not XML, has a DOCTYPE, is nested too deeply, or has too much markup.
    """
    markup = raw.count(b"<") + raw.count(b"=")
    if markup > MARKUP_LIMIT:
        raise PacketError(f"Too many tags and attributes: {markup}; at most {MARKUP_LIMIT} are taken")
    _refuse_doctype(raw)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise PacketError(f"Not XML: {error.msg}") from None
    if _TOO_DEEP(root):
        raise PacketError(f"More than {DEPTH_LIMIT} elements within each other")
    return root


class _RootReachedError(Exception):
    """The document's root begins, and there was no DOCTYPE before it."""


def _refuse_doctype(raw: bytes) -> None:
    parser = xml.parsers.expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _doctype
    parser.StartElementHandler = _root
    try:
        parser.Parse(raw, True)
    except _RootReachedError:
        return
    except (xml.parsers.expat.ExpatError, LookupError, ValueError) as error:
        # The last two are for encodings that are unknown, or too complicated for this parser.
        raise PacketError(f"Not XML: {error}") from None


def _doctype(*_: object) -> NoReturn:
    raise PacketError("A VOEvent with a DOCTYPE is not accepted")


def _root(*_: object) -> NoReturn:
    raise _RootReachedError


def local_name(element: etree._Element) -> str:
    """Name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def child(element: etree._Element | None, name: str) -> etree._Element | None:
    """The first child of this local name; None also where there is no element to look into."""
    # Where there are few children, as nearly everywhere, this takes half the time of lxml's search by a pattern.
    for part in () if element is None else element:
        if local_name(part) == name:
            return part
    return None


def descendants(element: etree._Element | None, name: str) -> Iterator[etree._Element]:
    """All elements of this local name below one, in the order of the document."""
    return iter(()) if element is None else element.iterdescendants("{*}" + name)


def content(element: etree._Element | None) -> str | None:
    """The text of an element without the blanks around it; None if there is none."""
    if element is None:
        return None
    # Elements without others in them are nearly all, and much quicker read without a walk.
    words = "".join(str(part) for part in element.itertext()) if len(element) else element.text or ""
    return words.strip() or None


def text(element: etree._Element | None, name: str) -> str | None:
    """The text of the first child of this local name."""
    return content(child(element, name))
