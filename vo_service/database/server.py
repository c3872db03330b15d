"""The PostgreSQL server of a state directory: made, started, stopped. Who may do that when is said in `embedded`.

STATE/postgres/data          the data directory
STATE/postgres/run           the socket: the server listens nowhere else
STATE/postgres/log           what the server reports, in files of 10 MB
STATE/postgres/password      of the role that owns everything
STATE/postgres/server.conf   written at each start; `ALTER SYSTEM` is how to add to it
STATE/postgres/*.lock        who starts, uses and stops the server
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from vo_service.database.account import Account
from vo_service.database.binaries import Binaries
from vo_service.database.tuning import machine_memory, machine_processors, server_settings
from vo_service.errors import ConfigurationError, UnavailableError

DATABASE = "vo_service"
"""Name of the embedded database, and of the role that owns it."""

START_TIMEOUT = 3600
"""Seconds that a start may take: after a crash the server repeats what its log holds, which takes minutes at worst."""

REMNANT_TIMEOUT = 60
"""Seconds that a start waits for processes of a server that was killed: they end with the query that they run."""

STOP_TIMEOUT = 300
"""Seconds that a stop may take: the server writes all that is in memory."""

LOG_FILES = 10
"""Log files that are kept at a start, the newest ones."""

# A socket address holds 108 bytes on Linux and 104 on macOS, the final NUL included.
_LONGEST_SOCKET = 103
_SOCKET = ".s.PGSQL.5432"

# What PostgreSQL says when processes of a former server of the same directory still run.
_REMNANTS = ("shared memory block", "lock file")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The server in the directory `home`. Its methods are to be called while holding the lock."""

    home: Path
    account: Account
    binaries: Binaries
    password: str = field(repr=False)

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

    @property
    def _logs(self) -> Path:
        return self.home / "log"

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
        problem = self._run("pg_ctl", "stop", "-s", "-w", "-t", str(STOP_TIMEOUT), "-m", "fast", "-D", str(self.data))
        if problem is not None:
            log.error("The embedded PostgreSQL in %s did not stop: %s", self.home, problem)
        elif self.socket_directory.parent != self.home:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def _ping(self) -> Ping:
        return Ping(PGconn.ping(make_conninfo(host=str(self.socket_directory), port=5432).encode()))

    def _await_reply(self) -> Ping:
        """OK or NO_RESPONSE; a server that is starting up or shutting down is waited for."""
        give_up = time.monotonic() + START_TIMEOUT
        while (reply := self._ping()) is Ping.REJECT:
            if time.monotonic() > give_up:
                raise UnavailableError(
                    f"The embedded PostgreSQL in {self.home} does not become ready; see {self._logs}"
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
        log.info("Starting the embedded PostgreSQL in %s", self.home)
        self._make_private(self.socket_directory)
        self._make_private(self._logs)
        for old in sorted(self._logs.glob("server-*.log"))[:-LOG_FILES]:
            old.unlink()
        configuration = self.home / "server.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        configuration.chmod(0o644)
        give_up = time.monotonic() + REMNANT_TIMEOUT
        while (problem := self._try_to_start(configuration)) is not None:
            if not any(words in problem for words in _REMNANTS) or time.monotonic() > give_up:
                raise UnavailableError(f"The embedded PostgreSQL in {self.home} does not start: {problem}")
            log.info("Processes of a server that was killed still run in %s; waiting for their end", self.home)
            time.sleep(1)

    def _try_to_start(self, configuration: Path) -> str | None:
        """Start the server and wait until it is ready; gives the reason if it ends instead."""
        self._forget_dead_server()
        first_words = self._logs / "start.log"
        first_words.unlink(missing_ok=True)
        problem = self._run(
            "pg_ctl", "start", "-s", "-w", "-t", str(START_TIMEOUT), "-D", str(self.data), "-l", str(first_words),
            "-o", shlex.join(["-c", f"config_file={configuration}"]),
        )  # fmt: skip
        return None if problem is None else self._last_words() or problem

    def _last_words(self) -> str:
        """Why the start failed, as the server says before it opens its log, or else in it."""
        for file in (self._logs / "start.log", *sorted(self._logs.glob("server-*.log"))[-1:]):
            lines = file.read_text(errors="replace").splitlines() if file.exists() else []
            fatal = [line[line.index("FATAL:") :] for line in lines if "FATAL:" in line]
            if fatal:
                return fatal[-1]
        return ""

    def _configuration(self) -> str:
        values = {
            **server_settings(machine_memory(), machine_processors()),
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",
            "logging_collector": "on",
            "log_directory": str(self._logs),
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
