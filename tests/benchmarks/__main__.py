"""The benchmarks: a service as a user starts it, tables of simulated events, and what each protocol gives of them.

    python -m tests.benchmarks [--rows 1000000 10000000] [--only cones rows] [--repeats 5] [--out DIR]

Every answer is checked before it is timed; every figure stands beside its floor and its budget. `docs/performance.md`
says how to read them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.benchmarks import aggregates, cones, loading, matches, report, rows, small, starvation
from tests.benchmarks.events import Events, make_events
from tests.benchmarks.floors import empty_server
from tests.benchmarks.plot import plot
from tests.benchmarks.suite import Effort, Suite
from tests.support.service import running, state_directory
from vo_service.config import load_settings
from vo_service.database.access import open_database


class Section(NamedTuple):
    """A part of the suite; `sizes` says whether it is measured for every size of the table, or for the first alone."""

    measure: Callable[[Suite, Events], None]
    sizes: bool = True


SECTIONS: Final = {
    "load": Section(loading.measure),
    "cones": Section(cones.measure),
    "rows": Section(rows.measure),
    "small": Section(small.measure, sizes=False),
    "matches": Section(matches.measure),
    "aggregates": Section(aggregates.measure),
    "starvation": Section(starvation.measure, sizes=False),
}
"""All parts, in their order."""

DOCUMENTS: Final = Path(__file__).resolve().parents[2] / "docs"


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; gives 1 if an answer was wrong."""
    options = read_options(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
    before = os.getloadavg()[0]
    with started(options, console) as suite:
        for number, size in enumerate(options.rows):
            measure(suite, make_events(size), options.only, first=number == 0)
        about = report.machine(suite) | {"load_before": before, "load_after": os.getloadavg()[0]}
    write_all(suite, about, options.out)
    if options.publish:
        publish(suite, about)
    report.to_screen(suite, about, console)
    return int(not all(check.passed for check in suite.checks))


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes of the table")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
                        help=", ".join(SECTIONS))  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--share", type=float, default=1.0, help="part of the usual requests and seconds of a round")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="where JSON, table and plot go")
    parser.add_argument("--keep", type=Path, metavar="STATE", help="a state directory to use, and to leave there")
    parser.add_argument("--publish", action="store_true", help="put the results into the documentation, too")
    return parser.parse_args(arguments)


@contextmanager
def started(options: argparse.Namespace, console: Console) -> Iterator[Suite]:
    """The service with its default settings, and what its answers are compared with."""
    with ExitStack() as stack:
        state = options.keep.absolute() if options.keep else stack.enter_context(state_directory())
        files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vo-service-benchmarks-")))
        service = stack.enter_context(running("demo", state))
        access = stack.enter_context(open_database(load_settings(state=state)))
        empty = stack.enter_context(empty_server())
        yield Suite(service, access, empty, files, Effort(options.repeats, options.share), console)


def measure(suite: Suite, events: Events, only: list[str], *, first: bool) -> None:
    """All sections for one size of the table. Where loads are not measured the table is loaded all the same."""
    if "load" not in only:
        loading.prepare(suite, events)
    for name, section in SECTIONS.items():
        if name in only and (first or section.sizes):
            suite.run(name, section.measure, events)


def write_all(suite: Suite, about: dict[str, object], directory: Path) -> None:
    """JSON, table and plot."""
    directory.mkdir(parents=True, exist_ok=True)
    report.to_json(suite, about, directory / "performance.json")
    (directory / "performance.md").write_text(report.to_markdown(suite.figures, about), encoding="utf-8")
    plot(suite.figures, directory / "performance.png")


def publish(suite: Suite, about: dict[str, object]) -> None:
    """The same in the documentation."""
    report.to_json(suite, about, DOCUMENTS / "performance.json")
    report.into_document(DOCUMENTS / "performance.md", report.to_markdown(suite.figures, about))
    plot(suite.figures, DOCUMENTS / "performance.png")


if __name__ == "__main__":
    sys.exit(main())
