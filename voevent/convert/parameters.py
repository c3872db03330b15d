"""Values of a notice that have no field of their own, as parameters: every format does it the same way."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final

from voevent.vocabulary import PROVENANCE, RESERVED, SKYMAPS

_NOTHING: Final[Mapping[str, str]] = {}


def parameters(
    notice: Mapping[str, Any], told: Container[str] = (), units: Mapping[str, str] = _NOTHING
) -> Iterator[dict[str, Any]]:
    """The values of a notice but those that are `told` otherwise, as fields of `Parameter`.

    Objects and lists of objects become groups. `units` are those that the format defines, by name. Bytes (images) are
    left out: they stay in the original.
    """
    for key, value in notice.items():
        if key in told:
            continue
        for name, part in numbered(key, value):
            if isinstance(part, dict):
                yield from (_param(name, inner, leaf, units) for inner, leaf in _leaves(part, ""))
            elif not isinstance(part, bytes):
                yield _param(None, name, part, units)


def numbered(key: str, value: object) -> Iterator[tuple[str, object]]:
    """The parts of a list under numbered names, as names are unique; an only value keeps the name."""
    if not isinstance(value, list):
        yield key, value
    elif len(value) == 1 and not isinstance(value[0], dict | list):
        yield key, value[0]
    else:
        for number, part in enumerate(value, start=1):
            yield from numbered(f"{key}_{number}", part)


def _leaves(part: dict[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    """What an object holds at any depth; names of objects within it are written before a dot."""
    for key, value in part.items():
        for name, inner in numbered(key, value):
            if isinstance(inner, dict):
                yield from _leaves(inner, f"{prefix}{name}.")
            elif not isinstance(inner, bytes):
                yield prefix + name, inner


def _param(group: str | None, name: str, value: object, units: Mapping[str, str]) -> dict[str, Any]:
    """A parameter; names that ours have are told apart by a prefix. What is no number has no value."""
    unit = units.get(name.rpartition(".")[2])
    if group == PROVENANCE:
        group = f"notice_{group}"
    if group is None and (name.lower() in RESERVED or SKYMAPS.fullmatch(name)):
        name = f"notice_{name}"
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    return {"group": group, "name": name, "value": value, "unit": unit}
