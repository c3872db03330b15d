"""Independent judges that are programs: STILTS. Absent judges skip a test; in CI their absence is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest


def stilts(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run STILTS; its standard output and error as text."""
    return subprocess.run([program("stilts"), *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def program(name: str) -> str:
    """The path of a program that judges us."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        raise FileNotFoundError(f"{name} is required in CI")
    pytest.skip(f"{name} is not installed")


def votlint_complaints(url_or_path: str) -> list[str]:
    """What `stilts votlint` finds wrong; its exit status is 0 even then, so its text is read."""
    done = stilts("votlint", f"votable={url_or_path}")
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if re.match(r"(ERROR|WARNING|FATAL)|.*Exception", line)]
