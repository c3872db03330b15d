"""What STILTS finds, where it is installed: taplint, votlint and datalinklint."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from vo_service.validation.client import document
from vo_service.validation.datalink import linked_tables, row_links
from vo_service.validation.findings import Area, BrokenError, Finding
from vo_service.validation.services import test_queries
from vo_service.validation.site import Site

AREA: Final = Area("stilts")

QUICK: Final = "TME TMS TMC CAP QGE MDQ OBS LOC EXA"
"""Stages of taplint. TMV, CPV and AVV judge documents by schemas, as the area vosi does."""

ALL: Final = "TMV TME TMS TMC CPV CAP AVV QGE QPO QAS UWS MDQ OBS LOC UPL EXA"

SECONDS: Final = 3_600.0
"""After which a program is given up."""

# taplint: E-TMS-QERR-1, E-TMS-QERR-x; datalinklint: E-SMCO-1; votlint: ERROR (l.3): ...
_LINE: Final = re.compile(r"([EWF])-((?:\w{3}-)?\w{4})-(?:\d+|x) (.*)|(ERROR|WARNING|FATAL)\b(.*)")

KNOWN: Final = ((re.compile(r"SMCO .*'documentation'"), "the vocabulary of STILTS 3.4 is older than this term"),)
"""Complaints that are mistaken, and why."""


def check_stilts(site: Site) -> Iterator[Finding]:
    """All of it."""
    program = shutil.which("stilts")
    if program is None:
        yield AREA.skipped("taplint, votlint, datalinklint", "stilts is not installed")
        return
    stages = ALL if site.thorough else QUICK
    yield from AREA.guarded(_taplint(program, site, stages))
    yield from AREA.guarded(_documents(program, site))


def _taplint(program: str, site: Site, stages: str) -> Iterator[Finding]:
    options = (f"tapurl={site.tap}", f"stages={stages}", "report=EWFS", "maxrepeat=10", "truncate=400")
    yield from _run(program, "taplint", site.tap, *options)


def _documents(program: str, site: Site) -> Iterator[Finding]:
    """votlint of a result of TAP and of each cone search, datalinklint of the links of a row."""
    documents = [("votlint", url) for url in test_queries(site)]
    tables = linked_tables(site)
    documents += [("votlint", site.sample(table, 5).url) for table in tables]
    for table in tables:
        if (found := row_links(site, table)) is not None:
            documents.append(("datalinklint", document(found[0], {found[1]: found[2]}).url))
    for task, url in documents:
        yield from AREA.guarded(_document(program, task, url))


def _document(program: str, task: str, url: str) -> Iterator[Finding]:
    # Names given to STILTS may be commands to run ("rm -rf / |"): it gets a file instead.
    with NamedTemporaryFile(suffix=".vot") as file:
        Path(file.name).write_bytes(document(url).body)
        yield from _run(program, task, url, f"votable={file.name}")


def _run(program: str, task: str, address: str, *options: str) -> Iterator[Finding]:
    """What a task of STILTS says about an address. Raises BrokenError if it does not run to its end."""
    try:
        done = subprocess.run(  # noqa: S603 (no shell)
            [program, task, *options], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(address, f"expected stilts {task} to end within {SECONDS:g} s, found it running") from None
    if done.returncode != 0 or (task != "votlint" and "Totals:" not in done.stdout):
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        yield AREA.skipped(address, f"stilts {task} failed: {' '.join(said)}")
    else:
        yield AREA.checked(1, f"address by {task}: {address}")
    yield from complaints(task, address, f"{done.stdout}\n{done.stderr}")


def complaints(task: str, address: str, output: str) -> Iterator[Finding]:
    """Findings from what taplint, datalinklint and votlint write: errors, warnings, and what they could not check."""
    for line in output.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        letter = match[1] or match[4][0]
        said = f"{match[2]} {match[3]}" if match[1] else (match[5]).strip()
        reason = next((why for pattern, why in KNOWN if pattern.match(said)), None)
        if reason is not None:
            yield AREA.warning(address, f"{task} {said} ({reason})")
        elif letter == "E" or match[4] == "FATAL":
            yield AREA.error(address, f"{task} {said}")
        elif letter == "W":
            yield AREA.warning(address, f"{task} {said}")
        else:
            yield AREA.skipped(address, f"{task} could not check: {said}")
