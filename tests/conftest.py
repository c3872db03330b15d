"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One process that answers is enough for most tests, and starts faster; those of several say so.
os.environ.setdefault("VO_SERVICE_WORKERS", "1")

pytest_plugins = ["tests.support.service", "tests.support.database", "tests.support.kafka"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real data and conformance material: `VO_SERVICE_SHARED`, or `shared` beside the checkout.

    Tests that use it are skipped where it is absent; in CI its absence is an error.
    """
    root = Path(__file__).resolve().parents[1]
    directory = Path(os.environ.get("VO_SERVICE_SHARED", root.parent / "shared"))
    if directory.is_dir():
        return directory
    if os.environ.get("CI") == "true":
        raise FileNotFoundError(f"{directory}: the shared test material is required in CI")
    pytest.skip(f"{directory} is not there; set VO_SERVICE_SHARED")
