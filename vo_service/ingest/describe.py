"""Drafting a table description from files: what they tell is filled in, what they do not is marked as TODO.

What only a column's name suggests is marked as guessed, for a person to confirm. A draft loads as it is, with warnings
for what is left to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from vo_service.catalog.description_checks import is_reserved_column, is_reserved_schema
from vo_service.catalog.description_input import FileOptions
from vo_service.catalog.vocabulary.ucd import check_ucd
from vo_service.catalog.vocabulary.unit import read_unit
from vo_service.errors import IngestError
from vo_service.ingest.known_names import Pair, find_pair, meaning
from vo_service.ingest.readers import FileColumn, Reader, reader_for
from vo_service.ingest.readers.base import read_head
from vo_service.ingest.rows import File
from vo_service.ingest.survey import Survey, is_unique, survey

GUESSED = "  # guessed from the name"

_NAME_WITH_UNIT = re.compile(r"\s*(.*?)\s*[\[(]([^\])]+)[\])]\s*")
_NUMBER = re.compile(r"[-+]?[\d.]+([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A column as it will be described.

    `word` is its name in the file without a unit, and `unit` what the file or that name says.
    """

    name: str
    word: str
    unit: str | None
    survey: Survey

    @property
    def source(self) -> str:
        return self.survey.column.name


def describe(paths: Sequence[Path], table: str | None = None) -> str:
    """A description in YAML of the table that the files hold; `table` tells which one, for files that hold several.

    Raises IngestError if a file cannot be read.
    """
    reader = reader_for(paths[0])
    options = _options(reader, paths[0], FileOptions(table=(table,) if table else ()))
    files = [File(path, reader, options) for path in paths]
    columns = files[0].columns
    drafts = _drafts(survey(files, [column for column in columns if not column.problem]))
    pair = find_pair([draft.word for draft in drafts])
    lines = [
        *_head(paths[0]),
        *_table(files, drafts, pair),
        "    columns:",
        *(line for draft in drafts for line in _column(draft, pair)),
        *(f"# Left out: {json.dumps(column.name)}: {column.problem}" for column in columns if column.problem),
    ]
    return "\n".join([*lines, ""])


# How to read the file ------------------------------------------------------------------------------------------------


def _options(reader: Reader, path: Path, options: FileOptions) -> FileOptions:
    """With where the columns of a text file have their names from: numbers in the place of names are the first row."""
    if reader.name not in ("csv", "tsv", "text"):
        return options
    if reader.name != "text" and _begins_with_comment(path):
        options = replace(options, comment="#")
    names = [column.name for column in reader.columns(path, replace(options, header="no"))]
    first = _names(reader, path, replace(options, header="yes"))
    if first is not None and not any(_NUMBER.fullmatch(name) for name in first):
        return options
    comment = _names(reader, path, replace(options, header="comment"))
    return replace(options, header="comment" if comment is not None and len(comment) == len(names) else "no")


def _names(reader: Reader, path: Path, options: FileOptions) -> list[str] | None:
    """The names of the columns; None if there are none in this place."""
    try:
        return [column.name for column in reader.columns(path, options)]
    except IngestError:
        return None


def _begins_with_comment(path: Path) -> bool:
    return read_head(path).lstrip(b"\xef\xbb\xbf").startswith(b"#")


# Columns -------------------------------------------------------------------------------------------------------------


def _drafts(surveys: dict[str, Survey]) -> list[_Draft]:
    """The columns with names that can be published: regular identifiers, as near to those in the file as possible."""
    taken: set[str] = set()
    drafts = []
    for found in surveys.values():
        word, unit = _word_and_unit(found.column)
        name = _identifier(word)
        while name.lower() in taken or is_reserved_column(name):
            name += "_"
        taken.add(name.lower())
        drafts.append(_Draft(name, word, unit, found))
    return drafts


def _word_and_unit(column: FileColumn) -> tuple[str, str | None]:
    """The name without a unit that stands in it, as in `RA[deg]`, and the unit: that one if the file states none."""
    stated = read_unit(column.unit) if column.unit is not None else None
    spelt = _NAME_WITH_UNIT.fullmatch(column.name)
    if spelt is None or not spelt[1]:
        return column.name, stated
    logarithm = re.fullmatch(r"(.*)/(\w+)", spelt[2])
    if spelt[1].lower() in ("log10", "log") and logarithm:
        unit = read_unit(f"log({logarithm[2]})")
        return f"log10_{logarithm[1]}", stated or unit
    unit = read_unit(spelt[2])
    return (spelt[1] if unit is not None else column.name), stated if stated is not None else unit


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:60]
    return name if re.match(r"[A-Za-z]", name) else f"col{name}"


def _column(draft: _Draft, pair: Pair | None) -> Iterator[str]:
    found, column = draft.survey, draft.survey.column
    datatype = "double" if _in_pair(draft, pair) else found.datatype()
    yield f"      - name: {_quoted(draft.name)}"
    yield f"        datatype: {datatype}"
    if datatype in ("char", "unicodeChar"):
        if found.length:
            yield f"        length: {found.length}"
    elif (arraysize := _arraysize(column.type)) is not None:
        yield f'        votable:arraysize: "{arraysize}"'
    yield f"        description: {_quoted(column.description) if column.description else 'TODO'}"
    yield f"        ivoa:ucd: {_ucd(draft)}"
    if datatype not in ("char", "unicodeChar", "timestamp", "boolean", "binary"):
        yield f"        ivoa:unit: {_unit(draft, pair)}"
    yield from _source(draft, pair)


def _arraysize(kind: pa.DataType) -> str | None:
    if pa.types.is_fixed_size_list(kind):
        return str(kind.list_size)
    return "*" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None


def _ucd(draft: _Draft) -> str:
    stated = draft.survey.column.ucd
    if stated:
        try:
            return check_ucd(stated)
        except ValueError as error:
            return f"TODO  # {' '.join(str(error).split())}"
    known = meaning(draft.word)
    return f"{known.ucd}{GUESSED}" if known else "TODO"


def _unit(draft: _Draft, pair: Pair | None) -> str:
    if draft.unit is not None:
        return "deg" if _in_radians(draft, pair) else _quoted(draft.unit)
    stated = draft.survey.column.unit
    if stated:
        return f"TODO  # the file says {json.dumps(stated)}"
    known = meaning(draft.word)
    if _in_pair(draft, pair):
        return f"deg{GUESSED}"
    return f"{_quoted(known.unit)}{GUESSED}" if known and known.unit is not None else "TODO"


def _source(draft: _Draft, pair: Pair | None) -> Iterator[str]:
    if _in_radians(draft, pair):
        yield f"        source: {{name: {_quoted(draft.source)}, unit: rad}}"
    elif draft.source != draft.name:
        yield f"        source: {_quoted(draft.source)}"
    if draft.survey.sentinel is not None:
        yield f"        # The smallest value is {draft.survey.sentinel:g}. If it stands for a missing one:"
        yield f"        # source: {{name: {_quoted(draft.source)}, null: {draft.survey.sentinel:g}}}"


def _in_pair(draft: _Draft, pair: Pair | None) -> bool:
    return pair is not None and draft.word in (pair.longitude, pair.latitude)


def _in_radians(draft: _Draft, pair: Pair | None) -> bool:
    """Whether a column of the position (ICRS) is to be converted to degrees."""
    if pair is None or pair.frame != "icrs" or not _in_pair(draft, pair):
        return False
    return draft.unit == "rad" or (draft.unit is None and pair.radians)


# The rest of the table -----------------------------------------------------------------------------------------------


def _head(path: Path) -> list[str]:
    schema = _identifier(path.resolve().parent.name).lower()
    return [
        "# Drafted from the files: complete what is marked TODO, and confirm what is marked as guessed.",
        f"name: {schema}{'_' if is_reserved_schema(schema) else ''}",
        "description: TODO",
        "resource:",
        "  title: TODO",
        "  creators: TODO      # [{name: ..., orcid: ...}]",
        "  subjects: TODO      # [neutrino astronomy, ...]",
        "  license: TODO       # an SPDX identifier, such as CC-BY-4.0",
        "  citation: TODO",
        "tables:",
    ]


def _table(files: Sequence[File], drafts: Sequence[_Draft], pair: Pair | None) -> Iterator[str]:
    yield f"  - name: {_identifier(files[0].path.name.split('.')[0])}"
    yield "    description: TODO"
    identifier = next((draft for draft in drafts if _suggests(draft, "meta.id;meta.main")), None)
    if identifier is not None and is_unique(files, identifier.source):
        yield f"    primaryKey: {_quoted(identifier.name)}{GUESSED}"
    epoch = next((draft for draft in drafts if _suggests(draft, "time.epoch")), None)
    if epoch is not None:
        yield f"    epoch: {_quoted(epoch.name)}{GUESSED}"
    yield from _position(drafts, pair)
    yield from _input(files[0])


def _suggests(draft: _Draft, ucd: str) -> bool:
    known = meaning(draft.word)
    return known is not None and known.ucd == ucd and _arraysize(draft.survey.column.type) is None


def _position(drafts: Sequence[_Draft], pair: Pair | None) -> Iterator[str]:
    if pair is None:
        yield "    # No position was found: the table can be queried by TAP, but has no cone search."
        return
    found = {draft.word: draft for draft in drafts}
    longitude, latitude = found[pair.longitude], found[pair.latitude]
    if pair.frame == "icrs":
        yield f"    position: {{ra: {_quoted(longitude.name)}, dec: {_quoted(latitude.name)}}}{GUESSED}"
    else:
        unit = "rad" if longitude.unit == "rad" or (longitude.unit is None and pair.radians) else "deg"
        yield f"    position:{GUESSED}"
        yield (
            f"      source: {{frame: {pair.frame}, unit: {unit}, longitude: {_quoted(longitude.source)},"
            f" latitude: {_quoted(latitude.source)}}}"
        )
    missing = longitude.survey.missing + latitude.survey.missing
    if missing:
        yield "    # Some rows have no position. To leave them out:"
        yield "    # reject: skip"


def _input(file: File) -> Iterator[str]:
    options = file.options
    settings = {"format": file.reader.name}
    if options.table:
        settings["table"] = _quoted(options.table[0])
    if options.header != "yes":
        settings["header"] = options.header
    if options.comment:
        settings["comment"] = json.dumps(options.comment)
    yield f"    input: {{{', '.join(f'{key}: {value}' for key, value in settings.items())}}}"


def _quoted(text: str) -> str:
    """Text as YAML: in quotes unless it is a plain word that cannot be taken for something else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.*-]*", text) and text not in ("null", "TODO")
    return text if plain else json.dumps(text, ensure_ascii=False)
