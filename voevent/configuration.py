"""The file of alerts (`VO_SERVICE_VOEVENT_FILE`): sources, sinks and rules, in YAML.

Secrets stay out of it: `${NAME}` in any text stands for the environment's variable NAME.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vo_service.config import Settings
from vo_service.errors import ConfigurationError
from voevent.alert import explain
from voevent.match.rules import Rule
from voevent.publish.settings import SinkSettings
from voevent.sources.settings import SourceSettings

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class AlertsFile(BaseModel):
    """All of the file; the names of sources, of sinks, and of rules differ."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[SourceSettings, ...] = ()
    sinks: tuple[SinkSettings, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind, parts in (("source", self.sources), ("sink", self.sinks), ("rule", self.rules)):
            names = [part.name for part in parts]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"expected one {kind} of each name; there are more of {', '.join(twice)}")
        return self


def alerts_file(settings: Settings) -> AlertsFile:
    """What the settings name; nothing if they name no file. Raises as `load_alerts_file`."""
    return AlertsFile() if settings.voevent_file is None else load_alerts_file(settings.voevent_file)


def load_alerts_file(path: Path) -> AlertsFile:
    """The file's content. Raises ConfigurationError that names everything that cannot be used, and where."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None
    try:
        return AlertsFile.model_validate(_filled_in({} if tree is None else tree, path))
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {explain(error, 'file')}") from None


def _filled_in(tree: Any, path: Path) -> Any:  # noqa: ANN401 (any YAML)
    """The tree with the environment's values in the place of their names."""
    if isinstance(tree, dict):
        return {key: _filled_in(value, path) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled_in(value, path) for value in tree]
    if not isinstance(tree, str):
        return tree

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigurationError(f"{path}: {match[0]} is used, but the environment has no {match[1]}")
        return os.environ[match[1]]

    return _VARIABLE.sub(value_of, tree)
