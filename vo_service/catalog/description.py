"""Table descriptions: a YAML file becomes what the catalogue publishes and what the loader has to know.

The steps, each in a module of its own: `description_yaml` makes the text a tree with line numbers, `description_model`
checks it key by key, `description_checks` checks what must hold across keys and tells what is missing,
`description_build` makes the values of the catalogue (`model`) and of the loader (`description_input`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vo_service.catalog.description_build import build_inputs, build_keys, build_schema
from vo_service.catalog.description_checks import find_problems, find_warnings
from vo_service.catalog.description_input import TableInput
from vo_service.catalog.description_model import DescriptionPart, known_keys
from vo_service.catalog.description_yaml import Place, Tree, read_yaml
from vo_service.catalog.model import ForeignKey, Schema
from vo_service.errors import ConfigurationError


@dataclass(frozen=True)
class Description:
    """A schema as it is to be published, and how its tables are read from files.

    Attributes
    ----------
    schema
        With tables whose `rows` are not known yet.
    inputs
        By table name.
    keys
        Foreign keys of the tables.
    warnings
        What is missing or could be better, as sentences for the publisher.
    """

    schema: Schema
    inputs: dict[str, TableInput]
    keys: tuple[ForeignKey, ...] = ()
    warnings: tuple[str, ...] = ()


def load_description(path: Path) -> Description:
    """Read a table description.

    Raises ConfigurationError that tells of every problem with its line.
    """
    tree = read_yaml(path)
    try:
        part = DescriptionPart.model_validate(tree.value)
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors(include_url=False)]
    else:
        problems = list(find_problems(part))
        if not problems:
            return Description(build_schema(part), build_inputs(part), build_keys(part), tuple(find_warnings(part)))
    problems.sort(key=lambda problem: tree.line(problem[0]))
    raise ConfigurationError("\n".join(_explain(path, tree, place, message) for place, message in problems))


_EXPECTED = {
    "model_type": "a mapping (key: value) is expected",
    "list_type": "a list is expected",
    "string_type": "a text is expected",
    "missing": "is missing",
}
"""Words for the errors of pydantic whose own speak of Python."""


def _problem(details: ErrorDetails) -> tuple[Place, str]:
    place = details["loc"]
    if details["type"] == "extra_forbidden":
        near = get_close_matches(str(place[-1]), known_keys(), n=1)
        return place, "there is no such key here" + (f"; did you mean {near[0]!r}?" if near else "")
    words = details["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return place, _EXPECTED.get(details["type"], words)


def _explain(path: Path, tree: Tree, place: Place, message: str) -> str:
    where = ", ".join(_spoken(tree, place))
    return f"{path}, line {tree.line(place)}: {where}: {message}" if where else f"{path}: {message}"


def _spoken(tree: Tree, place: Place) -> Iterator[str]:
    """A place in words: table main, column mjd, ivoa:unit."""
    for depth, key in enumerate(place):
        if isinstance(key, int):
            part = tree.at(place[: depth + 1])
            name = part.get("name") if isinstance(part, dict) else None
            yield f"{str(place[depth - 1]).removesuffix('s')} {name or key + 1}"
        elif depth + 1 == len(place) or isinstance(place[depth + 1], str):
            yield key
