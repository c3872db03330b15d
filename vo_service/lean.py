"""What keeps the processes of a service small."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

_M_ARENA_MAX = -8
"""The option of glibc's mallopt."""

ARENAS = 2
"""Heaps at most. With one for each thread, which glibc makes otherwise, each keeps what its largest answer took."""


def stay_lean() -> None:
    """Let this process take less memory; to be called before it uses pyarrow or starts threads."""
    # Arrow's own allocator keeps 100 MB more, and is no faster here. It is chosen when the library is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _keep_pandas_out()
    # Other C libraries have no such option, or no need of it.
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, ARENAS)


def _keep_pandas_out() -> None:
    """Let pyarrow find no pandas.

    pyarrow imports pandas, where it is installed, as soon as it is given a value, in case that is a frame: half a
    second and 40 MB of each process. Only the reader of files that pandas has written needs it.
    """
    import pyarrow as pa  # noqa: PLC0415 (other commands start without it)

    blind = _Blind()
    sys.meta_path.insert(0, blind)
    try:
        pa.scalar("pyarrow looks for pandas this once")
    finally:
        sys.meta_path.remove(blind)


class _Blind(MetaPathFinder):
    """A finder that says that there is no pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=fullname)
