"""ROOT: a tree "result", a branch for each column, as ROOT and uproot read it.

Numbers and truth values are leaves of their types (unsignedByte is UChar_t), arrays of fixed length have their axes in
the order of C++; arrays of variable length are flat, with their number of elements in the branch "n<name>". Strings
are UTF-8, in leaves of the type "C"; times are strings in ISO 8601. NULL is as `made_file` says: the flags of a branch
`x` are the branch `x_is_null`.

Names of branches are those of the columns, with _ for characters that C++ has no names with. The tree "columns" has a
row per column: name, branch, unit, ucd, description, datatype, arraysize, xtype, utype; the tree "infos" has data
origin and QUERY_STATUS (OK or OVERFLOW): name, value, text. The string "votable" is a VOTable without rows.

ROOT has no registered media type; application/x-root is what such files are called here.
uproot and awkward take half a second to import, which only those wait for who ask for ROOT.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vo_service.formats.base import Info, ResultTable
from vo_service.formats.head import metadata_document
from vo_service.formats.made_file import Field, FileWriter, flat, unique
from vo_service.formats.values import bytes_of, filled, offsets_from

BLOCK_BYTES = 4_000_000
"""Size of the values of a block of rows, which makes a basket for each branch, in bytes of memory."""

_TYPES = {
    "boolean": "bool",
    "unsignedByte": "uint8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
}
_ATTRIBUTES = ("name", "unit", "ucd", "description", "datatype", "arraysize", "xtype", "utype")


@dataclass(frozen=True, slots=True)
class Root:
    """The format."""

    mime_type: str = "application/x-root"
    aliases: tuple[str, ...] = ("root",)
    extension: str = "root"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> RootWriter:
        return RootWriter(table)


class RootWriter(FileWriter):
    """Writes one file."""

    def _write(self, file: IO[bytes], status: Info) -> None:
        import uproot  # noqa: PLC0415

        taken: set[str] = set()
        branches = [_Branch(field, taken) for field in self._fields]
        counters = {branch.name: unique(f"n{branch.name}", taken) for branch in branches if branch.field.shape is None}
        rows = self._rows_of(BLOCK_BYTES)
        # uproot closes what it writes to. Identifiers of other versions have the address of the machine in them.
        own = os.fdopen(os.dup(file.fileno()), "r+b")
        with uproot.recreate(own, compression=uproot.LZ4(1), uuid_function=uuid.uuid4) as root:
            tree = root.mktree(
                "result",
                {name: kind for branch in branches for name, kind in branch.types()},
                self._table.description,
                counter_name=counters.__getitem__,
                initial_basket_capacity=max(1, -(-self._rows // rows)),
            )
            for block in self._blocks(rows):
                cells = (branch.cells(array) for branch, array in zip(branches, block.columns, strict=True))
                tree.extend({name: values for cell in cells for name, values in cell.items()})
            _tell(root, self._table, branches, status)


class _Branch:
    """A field as it stands in the tree."""

    def __init__(self, field: Field, taken: set[str]) -> None:
        self.field = field
        self.name = unique(re.sub(r"[^A-Za-z0-9_]|^(?=[0-9])", "_", field.column.name), taken)
        self.flags = unique(f"{self.name}_is_null", taken) if field.has_flags else None

    def types(self) -> Sequence[tuple[str, Any]]:
        """Names and types of branches, as uproot has them."""
        own = (self.name, self._type())
        return [own, (self.flags, np.dtype(np.bool_))] if self.flags else [own]

    def cells(self, array: pa.Array) -> dict[str, Any]:
        """The values of the branches."""
        own = {self.name: self._values(array)}
        return {**own, self.flags: array.is_null().to_numpy(zero_copy_only=False)} if self.flags else own

    def _type(self) -> Any:  # noqa: ANN401 (of numpy, or in words of awkward's)
        if self.field.column.is_string:
            return "string"
        kind = _TYPES[self.field.column.datatype]
        return f"var * {kind}" if self.field.shape is None else np.dtype((kind, self.field.shape))

    def _values(self, array: pa.Array) -> Any:  # noqa: ANN401 (an array of numpy or awkward)
        if self.field.column.is_string:
            return _strings(filled(array, ""))
        return _lists(*flat(array)) if self.field.shape is None else self.field.numbers(array)


def _strings(text: pa.StringArray) -> Any:  # noqa: ANN401 (an awkward array)
    """Strings as awkward has them."""
    lengths = pc.binary_length(text).to_numpy(zero_copy_only=False)
    return _lists(bytes_of(text), lengths, {"__array__": "string"}, {"__array__": "char"})


def _lists(
    elements: NDArray[Any],
    lengths: NDArray[np.int32],
    of_lists: Mapping[str, str] | None = None,
    of_elements: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401
    import awkward as ak  # noqa: PLC0415

    content = ak.contents.NumpyArray(elements, parameters=of_elements)
    offsets = ak.index.Index64(offsets_from(lengths).astype(np.int64))
    return ak.Array(ak.contents.ListOffsetArray(offsets, content, parameters=of_lists))


def _tell(root: Any, table: ResultTable, branches: Sequence[_Branch], status: Info) -> None:  # noqa: ANN401
    """What is known of the columns and of the table, beside the tree."""
    columns = [branch.field.column for branch in branches]
    words = {name: [getattr(column, name) or "" for column in columns] for name in _ATTRIBUTES}
    _write_words(root, "columns", {**words, "branch": [branch.name for branch in branches]})
    infos = (*table.infos, status)
    _write_words(root, "infos", {name: [getattr(info, name) for info in infos] for name in ("name", "value", "text")})
    root["votable"] = metadata_document(table, status).decode()


def _write_words(root: Any, name: str, words: Mapping[str, Sequence[str]]) -> None:  # noqa: ANN401
    tree = root.mktree(name, dict.fromkeys(words, "string"))
    tree.extend({name: _strings(pa.array(values, pa.string())) for name, values in words.items()})
