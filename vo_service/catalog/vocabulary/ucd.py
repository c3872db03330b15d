"""UCDs: is this one built as UCD1+ prescribes, from words of its list?

Source: UCD1+ controlled vocabulary 1.6 (2024-12-18) with its list of deprecated words.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.resources import files

_NOT_FIRST = "S"
_ONLY_FIRST = "P"


def check_ucd(text: str) -> str:
    """The UCD with the letter case of the list, blanks removed.

    Raises ValueError that names the word at fault and the nearest one of the list.
    """
    checked = [_check_word(word.strip(), first=place == 0) for place, word in enumerate(text.split(";"))]
    return ";".join(checked)


def _check_word(word: str, *, first: bool) -> str:
    known = _words().get(word.lower())
    if known is None:
        raise ValueError(f"{word!r} is no word of UCD1+{_hint(word)}")
    spelling, place = known
    if first and place == _NOT_FIRST:
        raise ValueError(f"the UCD word {spelling!r} cannot stand first: it qualifies the words before it")
    if not first and place == _ONLY_FIRST:
        raise ValueError(f"the UCD word {spelling!r} can only stand first")
    return spelling


def _hint(word: str) -> str:
    successor = _deprecated().get(word.lower())
    if successor is not None:
        return f" any more; write {successor!r}"
    near = get_close_matches(word.lower(), _words(), n=1, cutoff=0.6)
    return f"; did you mean {_words()[near[0]][0]!r}?" if near else ""


@cache
def _words() -> dict[str, tuple[str, str]]:
    """Word in lower case -> (word as the list spells it, letter that tells where it may stand)."""
    words: dict[str, tuple[str, str]] = {}
    place = ""
    for line in _lines("ucd-words.txt"):
        if line.startswith("["):
            place = line.strip("[]")
        else:
            words |= {word.lower(): (word, place) for word in line.split()}
    return words


@cache
def _deprecated() -> dict[str, str]:
    pairs = (line.split() for line in _lines("ucd-deprecated.txt"))
    return {old.lower(): new for old, new in pairs}


def _lines(name: str) -> list[str]:
    text = (files(__package__ or "") / name).read_text(encoding="ascii")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
