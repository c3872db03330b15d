"""The system user that the embedded PostgreSQL runs as, and running programs as that user.

PostgreSQL refuses to run as root. A service that runs as root therefore runs it as an unprivileged system user of its
own; a service that runs as anybody else runs it as itself. Permissions of existing directories are never changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from vo_service.errors import ConfigurationError


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server. `switch` tells whether that is somebody else than this process."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this account, with nothing of our environment but what is given.

        In a session of its own, so that a Ctrl-C meant for the service does not reach it halfway.
        """
        identity = _Identity(user=self.uid, group=self.gid, extra_groups=[]) if self.switch else _Identity()
        return subprocess.run(  # noqa: S603 (commands of our own)
            command,
            check=False,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            umask=0o077,
            **identity,
        )

    def own(self, path: Path) -> None:
        """Hand a file or directory that we made over to the account."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can_search(self, path: Path) -> bool:
        """Whether the account can enter this directory (or execute this file), the way to it included."""
        if not self.switch:
            return os.access(path, os.X_OK)
        return self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", path], {}).returncode == 0

    def first_closed(self, directory: Path) -> Path | None:
        """The first directory on the way to `directory` that the account cannot enter; None if it can enter all."""
        if self.can_search(directory):
            return None
        return next((p for p in (*reversed(directory.parents), directory) if not self.can_search(p)), directory)


def server_account(name: str) -> Account:
    """The account for the server: this process's own, or, for root, the system user `name`, created if need be.

    Raises ConfigurationError if root has no such user and cannot create or become it.
    """
    if os.geteuid() != 0:
        return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
    entry = _find_user(name) or _create_user(name)
    if entry.pw_uid == 0:
        raise ConfigurationError(f"VO_SERVICE_POSTGRES_USER: PostgreSQL does not run as {name}, which is root")
    account = Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    try:
        account.can_search(Path("/"))
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"The embedded PostgreSQL cannot run as the system user {name!r}: {error}") from None
    return account


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_user(name: str) -> pwd.struct_passwd:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    problem = "the program useradd is not there"
    if program is not None:
        done = subprocess.run(  # noqa: S603 (the name is the operator's, and an argument of its own)
            [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell",
             "/usr/sbin/nologin", "--", name],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        problem = done.stderr.strip()
    entry = _find_user(name)
    if entry is None:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the system user {name!r} for it could not be created ({problem})."
            " Create it, name another with VO_SERVICE_POSTGRES_USER, or start the service as an ordinary user"
        )
    return entry
