"""The picture for the documentation: how far figures are from their floors, and how much of their budgets they take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from tests.benchmarks.events import short
from tests.benchmarks.figures import Figure

MARKERS: Final = "osD^v"
"""One for each size of the table."""

GOOD, BAD, PLAIN = "#1b7f5c", "#c0392b", "#2c5d8f"
ROW_HEIGHT = 0.19
"""Inches."""

Points = dict[str, dict[int, float]]
"""For each label the ratio by rows of the table."""


def plot(figures: Sequence[Figure], path: Path) -> None:
    """Write the picture as PNG."""
    floors, budgets = ratios(figures, "of_floor"), ratios(figures, "of_budget")
    sizes = sorted({figure.rows for figure in figures})
    height = 1.6 + ROW_HEIGHT * max(len(floors), len(budgets), 4)
    picture = Picture(figsize=(13, height), layout="constrained")
    FigureCanvasAgg(picture)
    left, right = picture.subplots(1, 2)
    draw(left, floors, sizes, "times slower than the floor (1: as fast)", judged=False)
    draw(right, budgets, sizes, "part of the budget (below 1: kept)", judged=True)
    picture.savefig(path, dpi=110, metadata={"Software": None})


def ratios(figures: Sequence[Figure], of: str) -> Points:
    """The ratios to draw. Of what there is for every format, the worst stands for all; no p99 beside its p50."""
    points: Points = {}
    for figure in figures:
        ratio: float | None = getattr(figure, of)
        if ratio is None or (of == "of_floor" and figure.name.endswith("p99")):
            continue
        label, rows = f"{figure.section}: {_common(figure.name)}", figure.rows
        row = points.setdefault(label, {})
        row[rows] = max(ratio, row.get(rows, 0.0))
    return points


def _common(name: str) -> str:
    for ending in ("first byte", "memory", "p99 of p50"):
        if name.endswith(f", {ending}"):
            return f"{ending}, worst"
    return name


def draw(axes: Axes, points: Points, sizes: Sequence[int], title: str, *, judged: bool) -> None:
    """One panel: a line for each label, a mark for each size of the table."""
    labels = list(points)
    for number, rows in enumerate(sizes):
        places = [(points[label][rows], y) for y, label in enumerate(labels) if rows in points[label]]
        colours = [(GOOD if ratio <= 1 else BAD) if judged else PLAIN for ratio, _ in places]
        axes.scatter(
            [ratio for ratio, _ in places], [y for _, y in places], s=24, c=colours,
            marker=MARKERS[number % len(MARKERS)], label=f"{short(rows)} rows", zorder=3,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8)
    if labels:
        axes.set_xscale("log")
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="both", which="major", color="#dddddd", linewidth=0.5, zorder=0)
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=7, loc="best")
