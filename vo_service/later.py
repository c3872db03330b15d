"""Modules that take long to import, and that most processes never use.

    if TYPE_CHECKING:
        from astropy.io import fits
    else:
        fits = later("astropy.io.fits")

A third of the time in which a process of the service starts, and of its memory, was astropy, which few answers need.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class later:  # noqa: N801 (it is used as a function)
    """A module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 (whatever the module has)
        return getattr(import_module(self._name), attribute)
