"""The suite: what all sections share, and their order."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from rich.console import Console

from tap.adql import parse
from tap.translate import translate
from tests.benchmarks import client
from tests.benchmarks.budgets import budget_of
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Check, Figure, Floor, Unit, WrongAnswerError
from tests.support.service import Service
from vo_service.catalog.store import read_catalog
from vo_service.database.access import Access
from vo_service.database.failures import connect
from vo_service.database.statement import Statement

EVERYTHING: Final = 200_000_000
"""The MAXREC of requests for all rows."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    repeats
        Rounds of each measurement.
    share
        The part of the usual number of requests, and of the usual time, that each round takes.
    """

    repeats: int = 5
    share: float = 1.0

    def count(self, usual: int) -> int:
        """A number of requests."""
        return max(10, round(usual * self.share))

    def seconds(self, usual: float) -> float:
        """A time."""
        return max(0.2, usual * self.share)

    def rounds(self, rows: int) -> range:
        """The rounds of what takes longer the more rows there are."""
        return range(self.repeats if rows <= 1_000_000 else max(1, self.repeats // 2))

    def few_rounds(self, rows: int) -> range:
        """The rounds of what takes seconds for a million rows."""
        return self.rounds(rows)[:3]


@dataclass
class Suite:
    """A running service with what was measured of it."""

    service: Service
    access: Access
    empty: client.Server
    files: Path
    effort: Effort
    console: Console
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    section: str = ""

    def __post_init__(self) -> None:
        self.server = client.Server(self.service.url)
        self.random = np.random.default_rng(1)

    def note(
        self,
        name: str,
        events: Events,
        unit: Unit,
        rounds: Sequence[float],
        floor: Floor | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Keep a figure, and show it."""
        budget = budget_of(name, events.rows)
        figure = Figure(self.section, name, events.rows, unit, tuple(rounds), floor, budget, details or {})
        self.figures.append(figure)
        beside = "" if floor is None else f", floor {floor.value:,.4g}"
        wanted = "" if budget is None else f", budget {budget:,.4g}"
        self.console.print(f"  {name}: {figure.value:,.4g} {unit}{beside}{wanted}", markup=False)

    def check(self, name: str, events: Events, expected: object, got: object) -> None:
        """Keep a check of an answer. Raises WrongAnswerError if it is wrong."""
        check = Check(self.section, name, events.rows, expected, got)
        self.checks.append(check)
        if not check.passed:
            raise WrongAnswerError(f"{self.section}, {name}: expected {expected}, got {got}")

    def check_ids(self, name: str, events: Events, expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> None:
        """Keep a check of the numbers of the events in an answer, in any order; of many only their number is kept."""
        got = np.sort(got)
        same = np.array_equal(expected, got)
        self.check(name, events, f"{len(expected)} events", f"{len(got)}{'' if same else ' other'} events")

    def statement(self, query: str) -> Statement:
        """The SQL that the service runs for a query, on what is published now."""
        with connect(self.access.writer.conninfo) as connection:
            catalog = read_catalog(connection)
        return translate(parse(query), catalog)

    def reader(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as the role that queries run as."""
        return psycopg.connect(self.access.reader.conninfo, autocommit=True)

    def run(self, name: str, section: Callable[[Suite, Events], None], events: Events) -> None:
        """Run a section; one whose answers are wrong, or that gets none, ends early and counts as wrong."""
        self.section = name
        self.console.rule(f"{name}, {events.rows:,} rows", align="left")
        started = time.perf_counter()
        try:
            section(self, events)
        except WrongAnswerError as wrong:
            self.console.print(f"WRONG ANSWER: {wrong}", style="red", markup=False)
        except (AssertionError, OSError, psycopg.Error, subprocess.SubprocessError) as problem:
            self.checks.append(Check(name, "comes to its end", events.rows, "it does", repr(problem)))
            self.console.print(f"FAILED: {problem!r}", style="red", markup=False)
        self.seconds[f"{name}, {events.rows}"] = time.perf_counter() - started
