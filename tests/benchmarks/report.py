"""What is told of a run: a table on the screen, the same in Markdown for the documentation, and everything as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from rich.console import Console
from rich.table import Table

from tests.benchmarks.events import short
from tests.benchmarks.figures import RATES, Figure
from tests.benchmarks.suite import Suite

PACKAGES: Final = "vo-service httptools hpgeom numpy psycopg pyarrow starlette uvicorn uvloop".split()
"""Those whose versions matter."""

HEADS: Final = ("measured", "rows", "value", "unit", "floor", "times the floor", "budget", "of the budget")

PICTURE: Final = "![Figures beside their floors and budgets](performance.png)"

BEGIN, END = "<!-- figures: written by `make bench`, not by hand -->", "<!-- end of figures -->"
"""Between these lines of a document the table of figures stands."""


def machine(suite: Suite) -> dict[str, Any]:
    """What the figures depend on."""
    with psycopg.connect(suite.access.reader.conninfo) as connection:
        version = connection.info.server_version
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "model": _model(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": f"{version // 10_000}.{version % 10_000}",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def to_json(suite: Suite, about: dict[str, Any], path: Path) -> None:
    """Everything, all rounds included."""
    figures = [
        asdict(figure) | {"value": figure.value, "of_floor": figure.of_floor, "of_budget": figure.of_budget}
        for figure in suite.figures
    ]
    checks = [asdict(check) | {"passed": check.passed} for check in suite.checks]
    content = {"machine": about, "seconds": suite.seconds, "figures": figures, "checks": checks}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def to_screen(suite: Suite, about: dict[str, Any], console: Console) -> None:
    """The table, with what is wrong or misses its budget in red."""
    for section in dict.fromkeys(figure.section for figure in suite.figures):
        table = Table(*HEADS, title=section, title_justify="left")
        for figure in suite.figures:
            if figure.section == section:
                missed = figure.of_budget is not None and figure.of_budget > 1
                table.add_row(*cells(figure), style="red" if missed else None)
        console.print(table)
    wrong = [check for check in suite.checks if not check.passed]
    for check in wrong:
        console.print(
            f"{check.section}, {check.name}: expected {check.expected}, got {check.got}", style="red", markup=False
        )
    over = sum(figure.of_budget is not None and figure.of_budget > 1 for figure in suite.figures)
    budgets = sum(figure.budget is not None for figure in suite.figures)
    console.print(
        f"{len(suite.checks)} answers checked, {len(wrong)} wrong; {over} of {budgets} budgets missed;"
        f" load average {_loads(about)}"
    )


def to_markdown(figures: Sequence[Figure], about: dict[str, Any]) -> str:
    """The table for the documentation, with the machine and the picture above it."""
    told = (
        f"{about['when'][:10]}, {about['processors']} processors ({about['model']}), {about['memory_gb']} GB,"
        f" Python {about['python']}, PostgreSQL {about['postgresql']}, load average {_loads(about)}."
    )
    lines = [told, "All rounds, and the versions that matter: [performance.json](performance.json).", "", PICTURE, ""]
    for section in dict.fromkeys(figure.section for figure in figures):
        lines += [f"### {section.capitalize()}", "", _line(HEADS), _line(["---"] * len(HEADS))]
        lines += [_line(cells(figure)) for figure in figures if figure.section == section]
        lines.append("")
    return "\n".join(lines)


def into_document(path: Path, markdown: str) -> None:
    """Put the table where the document has the place for it. Raises ValueError if it has none."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no place for figures: expected the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{markdown}\n{END}{after}", encoding="utf-8")


def cells(figure: Figure) -> list[str]:
    """A line of the table."""
    floor, times, budget, share = figure.floor, figure.of_floor, figure.budget, figure.of_budget
    return [
        figure.name,
        short(figure.rows),
        number(figure.value),
        figure.unit,
        "" if floor is None else number(floor.value),
        "" if times is None else f"{times:.2g}" if times < 9.95 else f"{times:.0f}",
        "" if budget is None else f"{'≥' if figure.unit in RATES else '≤'} {number(budget)}",
        "" if share is None else f"{share:.0%}",
    ]


def number(value: float) -> str:
    """Three digits, and no more than are known."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _loads(about: dict[str, Any]) -> str:
    return " before and ".join(f"{about[when]:.2f}" for when in ("load_before", "load_after")) + " after"
