"""Drafting a table description from files: what they tell is filled in, what they do not is marked as TODO.

Units and UCDs that only a column's name suggests are marked as guessed, for a person to confirm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.catalog.description_input import FileOptions
from vo_service.catalog.model import HPX_COLUMN
from vo_service.catalog.vocabulary.ucd import check_ucd
from vo_service.catalog.vocabulary.unit import read_unit
from vo_service.errors import IngestError
from vo_service.ingest.readers import FileColumn, Reader, reader_for

LOOK_ROWS = 100_000
"""Rows of each batch that are looked at, to find the datatypes of columns that are text in the file."""

GUESSES = {
    "ra": ("pos.eq.ra;meta.main", "deg"),
    "dec": ("pos.eq.dec;meta.main", "deg"),
    "l": ("pos.galactic.lon", "deg"),
    "b": ("pos.galactic.lat", "deg"),
    "mjd": ("time.epoch", "d"),
    "time": ("time.epoch", None),
    "energy": ("em.energy", None),
    "zenith": ("pos.az.zd", None),
    "azimuth": ("pos.az.azi", None),
    "id": ("meta.id;meta.main", None),
    "run": ("meta.id;obs.sequence", None),
    "name": ("meta.id", None),
    "angular_error": ("stat.error;pos", "deg"),
}
"""UCD and unit that a name suggests."""

_SYNONYMS = {
    "ra": "ra raj2000 ra_j2000 right_ascension ra_deg _raj2000 ra_icrs trackfit_ra_deg",
    "dec": "dec decl de dej2000 dec_j2000 declination dec_deg _dej2000 de_icrs trackfit_dec_deg",
    "l": "l glon gal_lon galactic_longitude",
    "b": "b glat gal_lat galactic_latitude",
    "mjd": "mjd eventmjd obs_mjd t_mjd",
    "energy": "energy e nu_e trk_e reco_energy",
    "zenith": "zenith zen ze",
    "azimuth": "azimuth azi az",
    "id": "id event_id eventid evt_id source_id",
    "run": "run run_id runid",
    "name": "name source_name object",
    "angular_error": "angular_error angerr ang_err sigma",
}

_MEANINGS = {synonym: meaning for meaning, words in _SYNONYMS.items() for synonym in words.split()} | {
    meaning: meaning for meaning in GUESSES
}

_NAME_WITH_UNIT = re.compile(r"\s*(.*?)\s*[\[(]([^\])]+)[\])]\s*")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A column as it will be described."""

    name: str
    source: str
    datatype: str
    unit: str | None
    ucd: str | None
    description: str | None
    meaning: str | None
    guessed: tuple[str, ...] = ()
    """Keys whose values only the name suggests."""


def describe(paths: Sequence[Path], table: str | None = None) -> str:
    """A description in YAML of the table that the files hold; `table` tells which one, for files that hold several.

    The first file tells the columns, all files their datatypes.

    Raises IngestError if a file cannot be read.
    """
    reader = reader_for(paths[0])
    options = _options(reader, paths[0], FileOptions(table=(table,) if table else ()))
    columns = reader.columns(paths[0], options)
    drafts = [_draft(column, _datatype(column, reader, paths, options)) for column in columns if not column.problem]
    left_out = [f"{column.name}: {column.problem}" for column in columns if column.problem]
    return "\n".join([*_head(paths), *_table(paths[0], options, drafts), *_columns(drafts), *_left_out(left_out), ""])


def _options(reader: Reader, path: Path, options: FileOptions) -> FileOptions:
    """With how the columns of a text file are named: numbers in the place of names are the first row."""
    if reader.name not in ("csv", "tsv", "text"):
        return options
    names = [column.name for column in reader.columns(path, options)]
    if not any(re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", name) for name in names):
        return options
    try:
        if len(reader.columns(path, replace(options, header="comment"))) == len(names):
            return replace(options, header="comment")
    except IngestError:
        pass  # No comment stands before the data: then they have no names at all.
    return replace(options, header="no")


def _datatype(column: FileColumn, reader: Reader, paths: Sequence[Path], options: FileOptions) -> str:
    """The VOTable datatype that holds all values."""
    if not pa.types.is_string(column.type):
        return _stated(column.type)
    possible = ["int", "long", "double", "boolean", "timestamp", "char"]
    for path in paths:
        for batch in reader.batches(path, options, [column.name], LOOK_ROWS):
            texts = batch.column(0)
            texts = texts.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(texts), ""), False))
            possible = [name for name in possible if _can_be(texts, name)]
            if not possible:
                return "unicodeChar"
    return possible[0]


_STATED = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_uint8, "unsignedByte"),
    (pa.types.is_int8, "short"),
    (pa.types.is_int16, "short"),
    (pa.types.is_uint16, "int"),
    (pa.types.is_int32, "int"),
    (pa.types.is_integer, "long"),
    (pa.types.is_float32, "float"),
    (pa.types.is_floating, "double"),
    (pa.types.is_decimal, "double"),
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_binary, "binary"),
)


def _stated(kind: pa.DataType) -> str:
    """The datatype of a type that the file states; that of the elements for arrays."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _stated(kind.value_type)
    return next((name for test, name in _STATED if test(kind)), "char")


_ARROW = {"int": pa.int32(), "long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}


def _can_be(texts: pa.Array, datatype: str) -> bool:
    if datatype == "char":
        return pc.all(pc.string_is_ascii(texts)).as_py() is not False
    if datatype == "timestamp":
        return bool(len(texts)) and pc.all(pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d")).as_py()
    try:
        pc.utf8_trim_whitespace(texts).cast(_ARROW[datatype])
    except pa.ArrowInvalid:
        return False
    return True


def _draft(column: FileColumn, datatype: str) -> _Draft:
    """What can be said of a column. A unit may stand in its name, as in `RA[deg]`."""
    spelt = _NAME_WITH_UNIT.fullmatch(column.name)
    unit = read_unit(spelt[2]) if spelt and spelt[1] else None
    plain = spelt[1] if spelt and unit else column.name
    unit = (read_unit(column.unit) if column.unit else None) or unit
    meaning = _MEANINGS.get(plain.lower())
    guess_ucd, guess_unit = GUESSES.get(meaning or "", (None, None))
    ucd = _known_ucd(column.ucd)
    guessed = []
    if ucd is None and guess_ucd:
        ucd, guessed = guess_ucd, ["ucd"]
    if unit is None and guess_unit and datatype in ("float", "double"):
        unit, guessed = guess_unit, [*guessed, "unit"]
    return _Draft(_name(plain), column.name, datatype, unit, ucd, column.description, meaning, tuple(guessed))


def _name(text: str) -> str:
    """A regular identifier of ADQL, as near as possible to the name in the file."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    name = name if re.match(r"[A-Za-z]", name) else f"col{name}"
    return f"{name}_" if name.lower() == HPX_COLUMN else name[:63]


def _known_ucd(ucd: str | None) -> str | None:
    try:
        return check_ucd(ucd) if ucd else None
    except ValueError:
        return None


def _head(paths: Sequence[Path]) -> list[str]:
    schema = _name(paths[0].resolve().parent.name).lower()
    return [
        "# Drafted from the files; complete what is marked TODO, and confirm what is marked as guessed.",
        f"name: {schema}",
        "description: TODO",
        "resource:",
        "  title: TODO",
        "  creators: TODO      # [{name: ..., orcid: ...}]",
        "  license: TODO       # an SPDX identifier, such as CC-BY-4.0",
        "  citation: TODO",
    ]


def _table(path: Path, options: FileOptions, drafts: Sequence[_Draft]) -> list[str]:
    lines = ["tables:", f"  - name: {_name(path.name.split('.')[0])}", "    description: TODO"]
    lines += _position({draft.meaning: draft for draft in reversed(drafts) if draft.meaning})
    settings = {"table": json.dumps(options.table[0])} if options.table else {}
    if options.header != "yes":
        settings["header"] = f'"{options.header}"'
    if settings:
        lines.append(f"    input: {{{', '.join(f'{key}: {value}' for key, value in settings.items())}}}")
    return lines


_ANGLES = {"deg": "deg", "rad": "rad", "h": "hourangle"}


def _position(found: dict[str, _Draft]) -> list[str]:
    """The position, if columns of one were found."""
    for frame, longitude, latitude in (("icrs", "ra", "dec"), ("galactic", "l", "b")):
        if longitude in found and latitude in found:
            lon, lat = found[longitude], found[latitude]
            unit = _ANGLES.get(lon.unit or "deg", "deg")
            if frame == "icrs" and unit == "deg":
                return [f"    position: {{ra: {lon.name}, dec: {lat.name}}}"]
            source = (
                f"{{frame: {frame}, unit: {unit}, longitude: {_quoted(lon.source)}, latitude: {_quoted(lat.source)}}}"
            )
            return ["    position:", f"      source: {source}"]
    return ["    # No position was found: the table will be in TAP, but have no cone search."]


def _columns(drafts: Sequence[_Draft]) -> list[str]:
    lines = ["    columns:"]
    for draft in drafts:
        lines += _column(draft)
    return lines


def _column(draft: _Draft) -> list[str]:
    lines = [f"      - name: {_quoted(draft.name)}", f"        datatype: {draft.datatype}"]
    lines.append(f"        description: {_quoted(draft.description) if draft.description else 'TODO'}")
    if draft.datatype not in ("char", "unicodeChar", "timestamp", "boolean", "binary"):
        lines.append(f"        ivoa:unit: {draft.unit or 'TODO'}{_guess(draft, 'unit')}")
    lines.append(f"        ivoa:ucd: {draft.ucd or 'TODO'}{_guess(draft, 'ucd')}")
    if draft.source != draft.name:
        lines.append(f"        source: {_quoted(draft.source)}")
    return lines


def _guess(draft: _Draft, key: str) -> str:
    return "  # guessed from the name" if key in draft.guessed else ""


def _left_out(problems: Sequence[str]) -> list[str]:
    return [f"# Left out: {problem}" for problem in problems]


def _quoted(text: str) -> str:
    """Text as YAML; in quotes unless it is a plain word."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) else json.dumps(text, ensure_ascii=False)
