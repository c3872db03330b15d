"""Keeps pandas out of processes that do without it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


def keep_pandas_out() -> None:
    """Let pyarrow find no pandas; to be called before anything else uses it.

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
