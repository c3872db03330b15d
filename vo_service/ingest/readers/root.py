"""ROOT trees, read by uproot.

A branch is a column. It is called by its own name where that is the only one of its kind, else by its path in the
tree. Branches with several values per event become lists; `input: element:` tells which of them is meant.

uproot and awkward take half a second to import: they are imported where they are used, by those who read ROOT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from vo_service.catalog.description_input import FileOptions
from vo_service.errors import IngestError
from vo_service.ingest.readers.arrays import arrow_type_of
from vo_service.ingest.readers.base import FileColumn, choose, damaged, pick


class RootReader:
    """ROOT files. Several trees (`input: table: [E, T]`) stand side by side, entry by entry."""

    name = "root"

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"root")

    def columns(self, path: Path, options: FileOptions) -> tuple[FileColumn, ...]:
        with _open_branches(path, options) as branches:
            return tuple(_column(name, branch) for name, branch in branches.items())

    def rows(self, path: Path, options: FileOptions) -> int | None:
        with _open_branches(path, options) as branches:
            return _entries(path, branches)

    def batches(self, path: Path, options: FileOptions, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with _open_branches(path, options) as branches:
            pick(path, [_column(name, branch) for name, branch in branches.items()], names)
            _entries(path, branches)
            for arrays in zip(*(_arrays(branches[name], rows) for name in names), strict=True):
                yield pa.RecordBatch.from_arrays(list(arrays), list(names))


@contextmanager
def _open_branches(path: Path, options: FileOptions) -> Iterator[dict[str, Any]]:
    """The branches of the trees that hold values, by column name."""
    import uproot  # noqa: PLC0415

    try:
        with uproot.open(path) as file:
            classes = file.classnames(cycle=False)
            trees = [name for name, kind in classes.items() if kind in ("TTree", "TNtuple", "TNtupleD")]
            wanted: Sequence[str | None] = options.table or (None,)
            chosen = [choose(path, "tree", trees, name) for name in wanted]
            branches = [(tree, branch) for tree in chosen for branch in _leaves(file[tree])]
            yield _named(branches, several=len(chosen) > 1)
    except (OSError, ValueError, NotImplementedError, uproot.deserialization.DeserializationError) as error:
        raise damaged(path, error) from None


def _leaves(tree: Any) -> Iterator[Any]:  # noqa: ANN401 (uproot's classes are made at run time)
    from uproot import AsDtype, AsJagged, AsStrings  # noqa: PLC0415

    for _, branch in tree.iteritems(recursive=True):
        if isinstance(branch.interpretation, AsDtype | AsJagged | AsStrings):
            yield branch


def _named(branches: Sequence[tuple[str, Any]], *, several: bool) -> dict[str, Any]:
    leaves = Counter(branch.name for _, branch in branches)
    paths = Counter(_path(branch) for _, branch in branches)
    named = {}
    for tree, branch in branches:
        name = branch.name if leaves[branch.name] == 1 else _path(branch)
        named[f"{tree}/{name}" if several and paths[_path(branch)] > 1 else name] = branch
    return named


def _path(branch: Any) -> str:  # noqa: ANN401
    """Names of a branch and those it is part of, without a first one that all of them are part of."""
    names = [branch.name]
    parent = branch.parent
    while parent is not branch.tree:
        names.append(parent.name)
        parent = parent.parent
    return "/".join(reversed(names))


def _entries(path: Path, branches: dict[str, Any]) -> int:
    counts = {branch.tree.name: int(branch.tree.num_entries) for branch in branches.values()}
    if len(set(counts.values())) > 1:
        raise IngestError(f"{path}: the trees do not stand side by side: their numbers of entries are {counts}")
    return next(iter(counts.values()), 0)


def _column(name: str, branch: Any) -> FileColumn:  # noqa: ANN401
    from uproot import AsJagged, AsStrings  # noqa: PLC0415

    interpretation = branch.interpretation
    if isinstance(interpretation, AsStrings):
        kind: pa.DataType | None = pa.string()
    elif isinstance(interpretation, AsJagged):
        item = arrow_type_of(interpretation.content.to_dtype)
        kind = pa.list_(item) if item else None
    else:
        kind = arrow_type_of(interpretation.to_dtype)
    title = branch.title if branch.title != branch.name and "[" not in branch.title else None
    problem = None if kind else f"its type is {branch.typename}"
    return FileColumn(name, kind or pa.null(), description=title or None, problem=problem)


def _arrays(branch: Any, rows: int) -> Iterator[pa.Array]:  # noqa: ANN401
    """The values of a branch, so many entries at a time. A basket that two blocks share is read once."""
    import awkward as ak  # noqa: PLC0415

    for values in branch.tree.iterate(
        filter_branch=lambda other: other is branch, step_size=rows, library="ak", how=tuple
    ):
        array = ak.to_arrow(values[0], extensionarray=False, list_to32=True, string_to32=True)
        yield array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
