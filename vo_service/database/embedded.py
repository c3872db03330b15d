"""The embedded PostgreSQL: a server of our own in the state directory, there as long as somebody uses it.

    STATE/postgres/data          the data directory
    STATE/postgres/run           the socket: the server listens nowhere else
    STATE/postgres/log           what the server reports, in files of 10 MB
    STATE/postgres/password      of the role that owns everything
    STATE/postgres/server.conf   written at each start; `ALTER SYSTEM` is how to add to it
    STATE/postgres/*.lock        who starts, uses and stops the server

Any number of processes use one server. Each holds a shared lock on `users.lock` as long as it does; starting, joining,
leaving and stopping happen under `server.lock`, so that they cannot meet. The one that leaves last stops the server.
Where the users were killed the server outlives them, and the next one takes it over.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shlex
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from vo_service.config import Settings
from vo_service.database.account import Account, server_account
from vo_service.database.binaries import Binaries, find_binaries
from vo_service.database.locks import Users, exclusive, make_directory
from vo_service.database.tuning import machine_memory, machine_processors, server_settings
from vo_service.errors import ConfigurationError, UnavailableError

DATABASE = "vo_service"
"""Name of the embedded database, and of the role that owns it."""

START_TIMEOUT = 3600
"""Seconds that a start may take: after a crash the server repeats what its log holds, which takes minutes at worst."""

STOP_TIMEOUT = 300
"""Seconds that a stop may take: the server writes all that is in memory."""

LOG_FILES = 10
"""Log files that are kept at a start, the newest ones."""

# A socket address holds 108 bytes on Linux and 104 on macOS, the final NUL included.
_LONGEST_SOCKET = 103
_SOCKET = ".s.PGSQL.5432"

log = logging.getLogger(__name__)


@contextmanager
def embedded_server(settings: Settings) -> Iterator[str]:
    """Use the embedded server while the block runs; gives the connection string of the database's owner.

    SIGTERM and SIGHUP end the block as Ctrl-C does, by an exception, so that what was started is stopped.

    Raises ConfigurationError if the server cannot run with these settings, UnavailableError if it does not start.
    """
    make_directory(settings.state / "postgres")
    # The real path: whoever comes by a symbolic link must find the same lock and socket.
    home = (settings.state / "postgres").resolve()
    mutex, users = home / "server.lock", Users(home / "users.lock")
    with _signals_unwind():
        with exclusive(mutex):
            server = _prepare(home, settings)
        try:
            with exclusive(mutex):
                users.join()
                server.ensure_running()
            yield server.conninfo(DATABASE)
        finally:
            with exclusive(mutex):
                if users.leave():
                    server.stop()


@dataclass(frozen=True, slots=True)
class Server:
    """The server in the directory `home`. Its methods are to be called while holding the lock."""

    home: Path
    account: Account
    binaries: Binaries
    password: str

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def socket_directory(self) -> Path:
        """In the state directory, or, where that makes too long an address, one of the same use below /tmp."""
        directory = self.home / "run"
        if len(os.fsencode(directory / _SOCKET)) <= _LONGEST_SOCKET:
            return directory
        return Path("/tmp", f"vo-service-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]}")  # noqa: S108

    def conninfo(self, database: str) -> str:
        return make_conninfo(
            host=str(self.socket_directory), port=5432, dbname=database, user=DATABASE, password=self.password
        )

    def ensure_running(self) -> None:
        """Start the server unless it runs; make the data directory and the database if they are missing."""
        if self._await_reply() is not Ping.OK:
            if not self.data.exists():
                self._create()
            self._check_version()
            self._start()
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def stop(self) -> None:
        """Stop the server if it runs: sessions end, everything is written."""
        # Asked at its socket: the process id in the data directory of a server that crashed may be anybody's by now.
        if self._ping() is Ping.NO_RESPONSE:
            return
        done = self._run("pg_ctl", "stop", "-s", "-w", "-t", str(STOP_TIMEOUT), "-m", "fast", "-D", str(self.data))
        if done is not None:
            log.error("The embedded PostgreSQL in %s did not stop: %s", self.home, done)

    def _ping(self) -> Ping:
        return Ping(PGconn.ping(make_conninfo(host=str(self.socket_directory), port=5432).encode()))

    def _await_reply(self) -> Ping:
        """OK or NO_RESPONSE; a server that is starting up or shutting down is waited for."""
        give_up = time.monotonic() + START_TIMEOUT
        while (reply := self._ping()) is Ping.REJECT:
            if time.monotonic() > give_up:
                raise UnavailableError(
                    f"The embedded PostgreSQL in {self.home} does not become ready; see {self.home}/log"
                )
            time.sleep(0.1)
        return reply

    def _create(self) -> None:
        """Make the data directory: whole under its name, or not at all."""
        unfinished = self.home / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._make_private(unfinished)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.binaries.major >= 17 else []
        problem = self._run(
            "initdb", "-D", str(unfinished), f"--username={DATABASE}", f"--pwfile={self.home / 'password'}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", *locale,
        )  # fmt: skip
        if problem is not None:
            raise ConfigurationError(f"The embedded PostgreSQL could not be set up in {self.home}: {problem}")
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(self.binaries.major):
            raise ConfigurationError(
                f"The database in {self.data} is of PostgreSQL {version}, the programs in {self.binaries.bin} are of"
                f" PostgreSQL {self.binaries.major}. Name the bin directory of PostgreSQL {version} with"
                " VO_SERVICE_POSTGRES_BIN, or dump the database with it and load the dump into a new state directory"
            )

    def _forget_dead_server(self) -> None:
        """Remove the process id that a killed server left behind, if it is not that of a server of this directory.

        PostgreSQL does not start while a process of this id exists, even if it is another one, or is dead but not yet
        collected by its parent, which in a container may never happen. Two servers cannot come of it: this one is
        known not to answer at its socket, and a new one sees by the shared memory whether processes of it are left.
        """
        try:
            pid = (self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
            command = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            return
        if os.fsencode(self.data) not in command:
            (self.data / "postmaster.pid").unlink()
            (self.socket_directory / f"{_SOCKET}.lock").unlink(missing_ok=True)

    def _start(self) -> None:
        self._forget_dead_server()
        self._make_private(self.socket_directory)
        logs = self.home / "log"
        self._make_private(logs)
        for old in sorted(logs.glob("server-*.log"))[:-LOG_FILES]:
            old.unlink()
        first_words = logs / "start.log"
        first_words.unlink(missing_ok=True)
        configuration = self.home / "server.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        configuration.chmod(0o644)
        log.info("Starting the embedded PostgreSQL in %s", self.home)
        problem = self._run(
            "pg_ctl", "start", "-s", "-w", "-t", str(START_TIMEOUT), "-D", str(self.data), "-l", str(first_words),
            "-o", shlex.join(["-c", f"config_file={configuration}"]),
        )  # fmt: skip
        if problem is not None:
            raise UnavailableError(
                f"The embedded PostgreSQL in {self.home} does not start: {_fatal_words(logs) or problem}"
            )

    def _configuration(self) -> str:
        quoted_directory = '"' + str(self.socket_directory).replace('"', '""') + '"'
        values = {
            **server_settings(machine_memory(), machine_processors()),
            "unix_socket_directories": quoted_directory,
            "unix_socket_permissions": "0700",
            "logging_collector": "on",
            "log_directory": str(self.home / "log"),
            "log_filename": "server-%Y%m%d-%H%M%S.log",
            "log_rotation_size": "10MB",
            "log_rotation_age": "0",
            "log_line_prefix": "%m [%p] %q%u ",
        }
        return "".join("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in values.items())

    def _run(self, program: str, *arguments: str) -> str | None:
        """Run one of the server's programs to its end; gives what it said if it failed."""
        # The C library's messages and classes; text is UTF-8 all the same. Before 17 PostgreSQL took them from here.
        locale = "C" if self.binaries.major >= 17 else "C.UTF-8"
        done = self.account.run([self.binaries.program(program), *arguments], {"LC_ALL": locale, "TZ": "UTC"})
        return None if done.returncode == 0 else done.stdout.strip() or f"{program} ended with {done.returncode}"

    def _make_private(self, directory: Path) -> None:
        """Make a directory for the account alone, or see that it is one."""
        try:
            directory.mkdir(mode=0o700)
            self.account.own(directory)
        except FileExistsError:
            status = directory.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != self.account.uid or status.st_mode & 0o077:
                raise ConfigurationError(f"{directory} is not a private directory of {self.account.name}") from None


def _prepare(home: Path, settings: Settings) -> Server:
    account = server_account(settings.postgres_user)
    closed = account.first_closed(home)
    if closed is not None:
        raise ConfigurationError(
            f"The embedded PostgreSQL runs as the system user {account.name!r}, which cannot enter {closed}."
            " Open that directory (chmod a+x), or choose another state directory with --state"
        )
    return Server(
        home=home,
        account=account,
        binaries=find_binaries(settings, account, home / "programs"),
        password=_password(home / "password", account),
    )


def _password(path: Path, account: Account) -> str:
    """The owner's password: made at the first start, read afterwards."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
        account.own(unfinished)
        unfinished.rename(path)
    return path.read_text(encoding="ascii")


def _fatal_words(logs: Path) -> str:
    """Why the last start failed, in the server's words: they stand in the log, or before it was opened in another."""
    files = [logs / "start.log", *sorted(logs.glob("server-*.log"))[-1:]]
    lines = [line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()]
    return " ".join(line[line.index("FATAL:") :] for line in lines if "FATAL:" in line)


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit in the block, unless the program handles or ignores them already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    replaced = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
