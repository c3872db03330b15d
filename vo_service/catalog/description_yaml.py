"""YAML as a tree of text: what stands in a description, and in which line.

Every scalar stays the text that was written, so that the version 1.10 keeps its zero, a date stays a date, and a column
may be called `no`; the model (`description_model`) gives it a type. An empty value, `~`, `null`, and a TODO without
quotes stand for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from vo_service.errors import ConfigurationError

TODO = "TODO"
"""What `vo-service describe` writes where a person has to fill something in."""

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
Place: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A YAML document."""

    value: Value
    lines: dict[Place, int]
    """Line of each value, from 1."""

    def at(self, place: Place) -> Value:
        """The value at this place; None if there is none."""
        value = self.value
        for key in place:
            if isinstance(value, dict) and isinstance(key, str):
                value = value.get(key)
            elif isinstance(value, list) and isinstance(key, int):
                value = value[key]
            else:
                return None
        return value

    def line(self, place: Place) -> int:
        """The line of the value at this place, or of the nearest one that contains it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_yaml(path: Path) -> Tree:
    """Read a YAML document. Raises ConfigurationError with file and line."""
    lines: dict[Place, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        return Tree(_value(yaml.compose(text, _Loader), (), lines), lines)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}, line {line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """Refuses aliases: a few lines of them can stand for more text than there is memory, or for no end of it."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*) are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


def _value(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> Value:
    if node is None:
        return None
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, index), lines) for index, item in enumerate(node.value)]
    text: str = node.value
    nothing = (
        isinstance(node, yaml.ScalarNode)
        and node.style is None
        and (text in ("", "~", "null") or text.startswith(TODO))
    )
    return None if nothing else text


def _mapping(node: yaml.MappingNode, place: Place, lines: dict[Place, int]) -> dict[str, Value]:
    mapping: dict[str, Value] = {}
    for key, item in node.value:
        name = str(key.value)
        if name in mapping:
            raise yaml.MarkedYAMLError(problem=f"{name!r} stands there twice", problem_mark=key.start_mark)
        mapping[name] = _value(item, (*place, name), lines)
        lines[(*place, name)] = key.start_mark.line + 1
    return mapping
