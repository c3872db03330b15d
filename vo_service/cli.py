"""The command line: one function per command, each a few lines over the library.

Each imports what it needs when it is called: all of it together takes seconds, which most commands, and the processes
that run beside a service, can do without.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from vo_service import __version__
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access, open_database
from vo_service.errors import ServiceError, UsageError
from vo_service.keeper import end_with_keeper, kept_running
from vo_service.logs import set_up_logs

if TYPE_CHECKING:
    from vo_service.ingest.load import LoadReport, Mode

commands = typer.Typer(
    help="Publish event lists to the Virtual Observatory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def _heed_supervision(supervised: bool) -> bool:
    if supervised:
        end_with_keeper()
    return supervised


State = Annotated[
    Path | None,
    typer.Option("--state", help="Directory of the embedded database and of files.", show_default=False),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port to listen on (default 8000).", show_default=False)]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that answer requests (default: one for each processor).", show_default=False),
]
Supervised = Annotated[
    bool,
    typer.Option(
        "--supervised",
        help="Another process keeps this one.",
        hidden=True,
        # Read before anything else is done: the one that keeps it may end while this one only starts.
        is_eager=True,
        callback=_heed_supervision,
    ),
]


def main() -> None:
    """Entry point of `vo-service`: errors meant for the user become one line and status 1."""
    try:
        commands()
    except ServiceError as error:
        err.print(f"vo-service: {error.message}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


_WELCOME = """
The demo serves a simulated event list at {base}/

  TAP             {base}/tap
  Cone search     {base}/scs/demo/events?
  Alerts          {base}/voevent/stream
  Their broker    {base}/voevent/broker
                  authors at {authors}, subscribers at {subscribers} (VTP)

From Python:

  import pyvo
  tap = pyvo.dal.TAPService("{base}/tap")
  print(tap.search("SELECT TOP 5 * FROM demo.events ORDER BY energy DESC"))
  cone = pyvo.dal.SCSService("{base}/scs/demo/events?")
  print(cone.search(pos=(77.36, 5.69), radius=2.0))

Ctrl-C stops everything.
"""
"""What the demo prints when it serves."""


@contextmanager
def database(settings: Settings) -> Iterator[Access]:
    """The database, running and up to date."""
    from vo_service.app import OWN
    from vo_service.database.init import initialise

    with open_database(settings) as access:
        initialise(access, OWN)
        yield access


@commands.command()
def demo(state: State = None, host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Serve a simulated event list: database, sample and web server in one."""
    from vo_service.lean import stay_lean

    stay_lean()
    from vo_service import server
    from vo_service.database.locks import service_lock
    from vo_service.demo import load_demo

    settings = load_settings(state=state, host=host, port=port, workers=workers)
    set_up_logs(settings)
    with service_lock(settings.state, "demo"):
        listener = server.listen(settings.host, settings.port)
        # A demo starts also where the usual ports are taken.
        wanted = (settings.voevent_author_port, settings.voevent_subscriber_port)
        ports = server.free_ports(settings.voevent_host, wanted)
        # The registry tells where the broker is.
        settings = settings.model_copy(update={"voevent_author_port": ports[0], "voevent_subscriber_port": ports[1]})
        authors, subscribers = (f"{settings.voevent_host}:{port}" for port in ports)
        with database(settings) as access:
            load_demo(access)
            base = settings.public_url or server.address_of(listener)
            welcome = _WELCOME.format(base=base, authors=authors, subscribers=subscribers)
            options = [f"--author-port={ports[0]}", f"--subscriber-port={ports[1]}"]
            _run(settings, access, listener, welcome, kept_running(settings, "broker", *options))


@commands.command()
def serve(state: State = None, host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Serve what is published."""
    from vo_service.lean import stay_lean

    stay_lean()
    from vo_service import server
    from vo_service.database.locks import service_lock

    settings = load_settings(state=state, host=host, port=port, workers=workers)
    set_up_logs(settings)
    with service_lock(settings.state, "serve"):
        listener = server.listen(settings.host, settings.port, server.TAKEOVER)
        base = settings.public_url or server.address_of(listener)
        with database(settings) as access:
            _run(settings, access, listener, f"Serving on {base}/")


def _run(
    settings: Settings, access: Access, listener: socket, welcome: str, *beside: AbstractContextManager[None]
) -> None:
    """This process answers requests; once it does, others like it begin, and the workers, and what else there is."""
    from vo_service import server
    from vo_service.app import create_app

    # Which port it is shows only now where any free one was asked for.
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    others = kept_running(
        settings, "answer", f"--listener={listener.fileno()}", f"--given={settings.model_dump_json(include=_GIVEN)}",
        number=settings.workers - 1, sockets=[listener],
    )  # fmt: skip

    with ExitStack() as stack:

        def begin() -> None:
            out.print(welcome, markup=False)
            for processes in (others, kept_running(settings, "worker", number=settings.job_workers), *beside):
                stack.enter_context(processes)

        app = create_app(settings, access)
        server.run(app, listener, on_ready=begin, trusted_proxies=settings.trusted_proxies)


_GIVEN: Final = {"host", "port", "voevent_author_port", "voevent_subscriber_port"}
"""Settings that commands decide on."""


@commands.command(hidden=True)
def answer(
    listener: Annotated[int, typer.Option(help="Descriptor of the listening socket.")],
    given: Annotated[str, typer.Option(help="Settings that the process which serves has decided on, as JSON.")],
    supervised: Supervised = False,
    state: State = None,
) -> None:
    """Answer requests beside the process that `serve` is."""
    from vo_service.lean import stay_lean

    stay_lean()
    from vo_service import server
    from vo_service.app import create_app

    settings = load_settings(state=state, **json.loads(given))
    set_up_logs(settings)
    with open_database(settings) as access:
        server.run(
            create_app(settings, access), socket(fileno=listener), on_ready=lambda: None,
            trusted_proxies=settings.trusted_proxies,
        )  # fmt: skip


@commands.command()
def worker(
    jobs: Annotated[int, typer.Option(min=1, help="Jobs at once, each in a process of its own.")] = 1,
    supervised: Supervised = False,
    state: State = None,
) -> None:
    """Run asynchronous jobs, beside those that `serve` runs or on another machine."""
    from vo_service.lean import stay_lean

    stay_lean()
    from vo_service.app import JOB_KINDS
    from vo_service.uws.processes import run_worker, supervise_workers

    settings = load_settings(state=state)
    set_up_logs(settings)
    if supervised:
        # Whoever keeps this process has brought the database up to date.
        with open_database(settings) as access:
            run_worker(settings, access, JOB_KINDS)
    else:
        with database(settings):
            supervise_workers(settings, jobs)


@commands.command()
def broker(
    author_port: Annotated[
        int | None, typer.Option(help="Port for authors (default 8098; 0 for any).", show_default=False)
    ] = None,
    subscriber_port: Annotated[
        int | None, typer.Option(help="Port for subscribers (default 8099; 0 for any).", show_default=False)
    ] = None,
    supervised: Supervised = False,
    state: State = None,
) -> None:
    """Take in VOEvents from authors and other brokers, and send them to subscribers (VTP)."""
    import uvloop

    settings = load_settings(state=state, voevent_author_port=author_port, voevent_subscriber_port=subscriber_port)
    set_up_logs(settings)
    # Whoever keeps this process has brought the database up to date.
    with open_database(settings) if supervised else database(settings) as access, kept_running(settings, "matcher"):
        uvloop.run(_run_broker(settings, access, quiet=supervised))


async def _run_broker(settings: Settings, access: Access, *, quiet: bool) -> None:
    from voevent.broker import running_broker

    stopped = _stop_signal()
    async with running_broker(settings, access) as running:
        # What was imported stays: the collector need not look at it again while events wait.
        gc.collect()
        gc.freeze()
        if not quiet:
            out.print(
                f"Authors at {settings.voevent_host}:{running.author_port},"
                f" subscribers at {settings.voevent_host}:{running.subscriber_port}",
                markup=False,
            )
        await stopped.wait()


@commands.command(hidden=True)
def matcher(supervised: Supervised = False, state: State = None) -> None:
    """Match alerts as they are stored; `broker` runs this beside itself."""
    import uvloop

    settings = load_settings(state=state)
    set_up_logs(settings)
    with open_database(settings) if supervised else database(settings) as access:
        uvloop.run(_run_matcher(settings, access))


async def _run_matcher(settings: Settings, access: Access) -> None:
    from voevent.match.online import run_matching

    stopped = asyncio.create_task(_stop_signal().wait())
    matching = asyncio.create_task(run_matching(settings, access))
    await asyncio.wait((stopped, matching), return_when=asyncio.FIRST_COMPLETED)
    if matching.done():
        matching.result()
    matching.cancel()
    await asyncio.gather(matching, return_exceptions=True)


def _stop_signal() -> asyncio.Event:
    """Is set when this process is told to stop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped


@commands.command()
def publish(
    alert: Annotated[typer.FileBinaryRead, typer.Argument(help="VOEvent, GCN notice or alert JSON; - for stdin.")],
    state: State = None,
) -> None:
    """Publish an alert: it is archived, and every sink and subscriber gets it."""
    from voevent.archive.insertion import Original
    from voevent.broker import publish_packet
    from voevent.convert import to_packet

    settings = load_settings(state=state)
    notice = alert.read()
    packet = to_packet(notice, settings)
    original = None if packet == notice else Original(notice, "application/json")
    with database(settings) as access:
        verdict = asyncio.run(publish_packet(packet, access, original))
    if verdict.status not in ("accepted", "duplicate"):
        raise UsageError(f"Not published ({verdict.status}): {verdict.reason}")
    when = "is" if verdict.status == "accepted" else "was already"
    out.print(f"{verdict.ivoid} {when} published.", markup=False)


@commands.command()
def init(state: State = None) -> None:
    """Create the database's tables and roles, or upgrade them."""
    from vo_service.app import OWN
    from vo_service.database.init import initialise

    settings = load_settings(state=state)
    with open_database(settings) as access:
        initialise(access, OWN)
    out.print("The database is up to date.")


@commands.command()
def describe(
    files: Annotated[list[Path], typer.Argument(help="Files of one table.")],
    table: Annotated[str | None, typer.Option(help="Which table, of files that hold several.")] = None,
    state: State = None,
) -> None:
    """Draft a table description (YAML, on standard output) from files."""
    from vo_service.ingest.describe import describe as draft_description

    sys.stdout.write(draft_description(files, table))


@commands.command()
def ingest(
    description: Annotated[Path, typer.Argument(help="Table description (YAML).")],
    files: Annotated[list[Path], typer.Argument(help="Files that hold the rows.")],
    append: Annotated[bool, typer.Option("--append", help="Add the rows to those that are published.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put the rows in the place of those published.")] = False,
    state: State = None,
) -> None:
    """Load files into a table and publish it."""
    from tap.examples import example_problems
    from vo_service.catalog.description import load_description
    from vo_service.catalog.store import read_catalog
    from vo_service.database.failures import connect
    from vo_service.ingest.load import load
    from voevent.match.replay import current_transaction, match_loaded

    if append and replace:
        raise typer.BadParameter("--append and --replace exclude each other")
    settings = load_settings(state=state)
    described = load_description(description)
    _warn(described.warnings)
    mode: Mode = "append" if append else "replace" if replace else "create"
    with database(settings) as access, _progress() as advance:
        before = current_transaction(access)
        report = load(access, described, files, mode=mode, progress=advance)
        coincidences = asyncio.run(match_loaded(access, settings, report.tables, before))
        with connect(access.writer.conninfo) as connection:
            catalog = read_catalog(connection)
    _warn(problem for table in report.tables for problem in example_problems(catalog, table))
    _print_report(report)
    if coincidences:
        out.print(f"{coincidences:,} coincidences with alerts.")


@commands.command(name="rematch")
def rematch_events(
    since: Annotated[datetime | None, typer.Option("--from", help="First time of storage, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Last time of storage, UTC.")] = None,
    state: State = None,
) -> None:
    """Match the archive's alerts anew, by the rules of today; nothing is published."""
    from voevent.match.replay import rematch

    settings = load_settings(state=state)
    with database(settings) as access:
        done = rematch(access, settings, since=since, until=until)
    out.print(f"{done.events:,} events, {done.coincidences:,} coincidences.")


@commands.command()
def scramble(
    rule: Annotated[str, typer.Argument(help="Name of a rule that matches alerts with a table.")],
    trials: Annotated[int, typer.Option(min=1, help="Scrambled alerts for each coincidence.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Coincidences at most, the least by chance first.")] = 20,
    state: State = None,
) -> None:
    """Compare what a rule's coincidences mean with how often they come about in scrambled events of its table."""
    from vo_service.catalog.store import read_catalog
    from vo_service.database.failures import connect
    from voevent.configuration import alerts_file
    from voevent.match.scramble import scramble_rule

    settings = load_settings(state=state)
    named = next((one for one in alerts_file(settings).rules if one.name == rule), None)
    if named is None:
        raise UsageError(f"There is no rule {rule} in the file of alerts (VO_SERVICE_VOEVENT_FILE)")
    with database(settings) as access, connect(access.writer.conninfo) as connection:
        catalog = read_catalog(connection)
        found = scramble_rule(connection, named, catalog, trials=trials, seed=seed, limit=limit)
    grid = Grid("alert", "counterpart", "p", "p scrambled", "FAR [Hz]", "FAR scrambled [Hz]", box=None, pad_edge=False)
    for one in found:
        rates = ("" if value is None else f"{value:.3g}" for value in (one.far, one.empirical_far))
        values = (f"{one.p_value:.3g}", f"{one.empirical.p_value:.3g}", *rates)
        grid.add_row(one.alert_ivoid, one.counterpart, *values)
    out.print(grid)


@commands.command()
def attach(
    table: Annotated[str, typer.Argument(help="schema.table")],
    file: Annotated[str, typer.Argument(help="Path of a file, which is copied, or URL of one, which stays there.")],
    *,
    semantics: Annotated[str, typer.Option(help="What it is: preview, documentation, calibration, ... (DataLink).")],
    description: Annotated[str, typer.Option(help="What is in it, for people.")] = "",
    row: Annotated[str | None, typer.Option(help="Primary key of the row that it belongs to.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Media type, if its name does not tell.")] = None,
    product_type: Annotated[str | None, typer.Option(help="Kind of data: response-function, event-list, ...")] = None,
    state: State = None,
) -> None:
    """Attach a file to a table or a row of it; clients find it by DataLink."""
    from vo_service.files.attach import Wish, attach_file, remove_unused

    settings = load_settings(state=state)
    wish = Wish(table, file, semantics, description, row, content_type, product_type)
    with database(settings) as access:
        done = attach_file(access, wish, settings.files_directory)
        remove_unused(access, settings.files_directory)
    stored, before = done.stored, done.before
    path = f"/files/{done.identifier}/{quote(stored.name, safe='')}"
    out.print(f"{stored.name} is attached to {_owner(table, row)}: {path}", markup=False, soft_wrap=True)
    out.print(f"{stored.content_length:,} bytes, sha256 {stored.sha256}", markup=False, soft_wrap=True)
    if before is not None:
        which = "the copy" if before.location is None else before.location
        size = f"{before.content_length:,} bytes, sha256 {before.sha256}"
        out.print(f"It takes the place of {which}: {size}", markup=False, soft_wrap=True)


@commands.command()
def detach(
    table: Annotated[str, typer.Argument(help="schema.table")],
    name: Annotated[str, typer.Argument(help="Name of the file, the last part of its address.")],
    row: Annotated[str | None, typer.Option(help="Primary key of the row that it belongs to.")] = None,
    state: State = None,
) -> None:
    """Forget a file that is attached to a table or a row of it."""
    from vo_service.files.attach import detach_file, remove_unused

    settings = load_settings(state=state)
    with database(settings) as access:
        detach_file(access, table, row, name)
        remove_unused(access, settings.files_directory)
    out.print(f"{name} is not attached to {_owner(table, row)} any more.", markup=False, soft_wrap=True)


def _owner(table: str, row: str | None) -> str:
    return table if row is None else f"row {row} of {table}"


@commands.command()
def drop(
    table: Annotated[str, typer.Argument(help="schema.table")],
    state: State = None,
) -> None:
    """Unpublish a table and delete its rows."""
    from vo_service.files.attach import remove_unused
    from vo_service.ingest.drop import drop_table

    settings = load_settings(state=state)
    with database(settings) as access:
        drop_table(access, table)
        remove_unused(access, settings.files_directory)
    out.print(f"{table} is gone.", markup=False)


@commands.command(name="recluster")
def recluster_table(
    table: Annotated[str, typer.Argument(help="schema.table")],
    state: State = None,
) -> None:
    """Put the rows of a table back in the order of their positions, which many appends disturb; queries go on."""
    from vo_service.ingest.recluster import NEIGHBOURS, recluster

    settings = load_settings(state=state)
    with database(settings) as access, _progress() as advance:
        done = recluster(access, table, advance)
    before, after = done.before, done.after
    where = f"{NEIGHBOURS:,} neighbouring rows of {done.table.full_name} lie on"
    if after is None:
        out.print(f"{where} {before.pages:.0f} pages: they are in order, there is nothing to be done.", markup=False)
    else:
        rate = done.table.rows / done.seconds
        out.print(f"{where} {after.pages:.0f} pages instead of {before.pages:.0f}.", markup=False)
        out.print(f"{done.table.rows:,} rows put in order, {rate:,.0f} rows/s", markup=False)


@commands.command(name="list")
def list_tables(state: State = None) -> None:
    """List what is published."""
    from vo_service.catalog.model import TAP_SCHEMA
    from vo_service.catalog.store import read_catalog
    from vo_service.database.failures import connect

    settings = load_settings(state=state)
    with database(settings) as access, connect(access.writer.conninfo) as connection:
        catalog = read_catalog(connection)
    grid = Grid("table", "rows", "position", "description", box=None, pad_edge=False)
    for table in catalog.tables():
        if table.schema == TAP_SCHEMA:
            continue
        position = f"{table.position.ra}, {table.position.dec}" if table.position else ""
        grid.add_row(
            table.full_name,
            "" if table.counted_rows is None else f"{table.counted_rows:,}",
            position,
            table.description,
        )
    out.print(grid)


@commands.command()
def validate(
    url: Annotated[str | None, typer.Argument(help="Address of a service (default: that of the settings).")] = None,
    schemas: Annotated[
        Path | None, typer.Option(help="Directory of .xsd files (default: they are fetched once).", show_default=False)
    ] = None,
    thorough: Annotated[bool, typer.Option("--thorough", help="All stages of taplint, also the slow ones.")] = False,
) -> None:
    """Check a running service as harvesters and clients will; status 1 if they would find errors."""
    from vo_service.validation.run import local_address
    from vo_service.validation.run import validate as validate_service

    address = url or local_address(load_settings())
    counts = Counter[str]()
    for title, findings in validate_service(address, schemas, thorough=thorough):
        out.print(f"\n{title}", style="bold", markup=False)
        for finding in findings:
            counts[finding.kind] += finding.number if finding.kind == "CHECKED" else 1
            out.print(str(finding), style=_STYLES[finding.kind], markup=False, soft_wrap=True)
    errors, warnings, skipped = (counts[kind] for kind in ("ERROR", "WARNING", "SKIPPED"))
    out.print(f"\n{errors:,} errors, {warnings:,} warnings, {counts['CHECKED']:,} checks, {skipped:,} skipped")
    if errors:
        raise typer.Exit(1)


_STYLES: Final = {"CHECKED": "none", "ERROR": "red", "WARNING": "yellow", "SKIPPED": "cyan"}


@commands.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on the terminal; gives what reports a stage, the rows done, and their number where it is known."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn(),
        console=err, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=None)
        yield lambda stage, done, total: bar.update(task, description=stage, completed=done, total=total)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _print_report(report: LoadReport) -> None:
    rate = report.rows / report.seconds if report.seconds else 0
    out.print(f"{report.rows:,} rows loaded, {report.rejected:,} rejected, {rate:,.0f} rows/s", markup=False)
    for reason in report.reasons:
        err.print(f"rejected: {reason}", style="yellow", markup=False, soft_wrap=True)
