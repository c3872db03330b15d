"""Markup as text is what lxml would write, and what XML cannot hold is replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vo_service.formats.markup import element, text

HOSTILE = ["", "a & b", "<x>", '"it\'s"', "line\nend\r\n\ttab", "ν → τ", "]]>", "&amp;", "<!-- -->", "\U0001f30c"]


@pytest.mark.parametrize("words", HOSTILE)
def test_as_lxml_writes_it(words: str) -> None:
    expected = etree.Element("INFO", name="n", value=words)
    expected.text = words or None
    written = element("INFO", {"name": "n", "value": words, "ID": None}, text(words))
    assert written == etree.tostring(expected, encoding="unicode")


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=20))
def test_any_text_is_read_back(words: str) -> None:
    """XML has no way to write most control characters, nor half a character."""
    document = element("a", {"b": words}, text(words)).encode()
    root = etree.fromstring(document)
    known = "".join(
        "\ufffd" if (ord(c) < 0x20 and c not in "\t\n\r") or c in "\ufffe\uffff" or 0xD800 <= ord(c) < 0xE000 else c
        for c in words
    )
    assert (root.get("b"), root.text or "") == (known, known)
