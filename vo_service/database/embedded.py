"""The embedded PostgreSQL: a server of our own in the state directory, there as long as somebody uses it.

Any number of processes use one server. Each holds a shared lock on `users.lock` as long as it does; starting, joining,
leaving and stopping happen under `server.lock`, so that they cannot meet. The one that leaves last stops the server.
Where the users were killed the server outlives them, and the next one takes it over.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vo_service.config import Settings
from vo_service.database.account import Account, server_account
from vo_service.database.binaries import find_binaries
from vo_service.database.locks import Users, exclusive, make_directory
from vo_service.database.server import DATABASE, Server
from vo_service.errors import ConfigurationError

# PostgreSQL's pg_ctl hands paths to a shell in double quotes, as they are; libpq takes a comma for the end of a path.
_UNQUOTABLE = frozenset('"$`\\,\n')


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


def _prepare(home: Path, settings: Settings) -> Server:
    if _UNQUOTABLE & set(str(home)):
        raise ConfigurationError(
            f"PostgreSQL cannot run in {home}: the path must not contain {' '.join(sorted(_UNQUOTABLE)).strip()}"
            " or line breaks; choose another state directory with --state"
        )
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
