"""The benchmarks run, and find all answers right; what they measure here means nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.floors import ROOT
from tests.benchmarks.judges import READERS
from tests.benchmarks.rows import kind_of
from vo_service.formats.registry import FORMATS

# Those that have most of the code, and take seconds.
SECTIONS = ("cones", "rows", "aggregates")


def test_every_format_has_a_reader() -> None:
    assert {kind_of(format_) for format_ in FORMATS} == set(READERS)


def test_all_sections_run_and_all_answers_are_right(tmp_path: Path) -> None:
    options = ["--rows", "2000", "--repeats", "1", "--share", "0.01", "--out", str(tmp_path), "--only", *SECTIONS]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *options],
        cwd=ROOT,
        env=os.environ | {"VO_SERVICE_WORKERS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "performance.json").read_text())
    assert {check["section"] for check in found["checks"]} == set(SECTIONS)
    assert all(check["passed"] for check in found["checks"])
    assert {figure["section"] for figure in found["figures"]} == set(SECTIONS)
    assert all(figure["value"] > 0 for figure in found["figures"])
    assert (tmp_path / "performance.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "performance.md").read_text()
    for told in (done.stdout, table):
        assert all(figure["name"] in told for figure in found["figures"])
